/// A recorded run at another batch size.
#pragma once

#include <cstdint>

#include "simulator/cost/op_costs.h"
#include "simulator/replay/source_run.h"

namespace hc::sim {

/// `source` with every step at `batch` sequences: products and the like along their line over
/// tokens, attention along its line over rows. Checks, fetches and commits stay: the decisions say
/// how many there are. Throws Error(kRefused) when only one batch size was recorded.
[[nodiscard]] SourceRun at_batch(const SourceRun& source, const OpCosts& costs, std::int32_t batch);

}  // namespace hc::sim
