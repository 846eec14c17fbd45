/// What the machine of a run could do at best, to hold figures against.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::analysis {

struct Limit {
    double gb_per_s = 0;
    trace::ValueOrigin origin = trace::ValueOrigin::kMeasured;
    std::string source;
};

struct Limits {
    std::optional<Limit> read;  ///< memory of the device that computes
    std::optional<Limit> h2d, d2h;
};

/// From the trace's values (hc_value): those of `run` or of no run. A measured one wins over one
/// of a catalogue; of several measured ones the largest (a rate at another row size is no limit).
[[nodiscard]] Limits find_limits(const std::vector<trace::Value>& values, trace::RunId run);

}  // namespace hc::analysis
