/// The curves of a run: link rate, pool, overlap at checks, recall.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gui/models/lanes.h"

namespace hc::gui {

struct Transfer {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t bytes = 0;
};

/// Bytes per ns that are under way at any time; transfers at the same time add up. Up to
/// kExactTransfers exactly, above as means over 65536 stretches of equal length.
[[nodiscard]] CounterSeries rate_of(std::vector<Transfer> transfers);
inline constexpr std::size_t kExactTransfers = 200'000;

/// Adds those curves that the run has data for. `recall` may be null.
void add_run_counters(const trace::RunData& data, const std::vector<trace::RecallRecord>* recall,
                      LaneSet& set);

}  // namespace hc::gui
