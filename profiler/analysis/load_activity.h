/// Fills Activity from a trace.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/analysis/activity.h"
#include "profiler/trace/reader.h"

namespace hc::analysis {

/// Records that are missing from the trace, by cause (hc_meta's lost_CAUSE), those above 0.
[[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> lost_records(
    const trace::Trace& trace);

/// Reads the tables of CUDA activity with two threads: what devices did, and what the host called.
/// About 32 bytes an event stay. A trace without activity gives an empty one. Throws what the
/// reader throws, and Error(kRefused) for a trace of more than 65,535 threads
/// or 1,024 devices.
[[nodiscard]] Activity load_activity(const trace::Trace& trace, Progress& progress);

}  // namespace hc::analysis
