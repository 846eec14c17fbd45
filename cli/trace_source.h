/// Runs of a trace with their metrics: what `report`, `simulate`, `profile` and `demo` share.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "engine/core/progress.h"
#include "profiler/trace/reader.h"

namespace hc::cli {

/// Metrics of all runs, or of those in `only`.
[[nodiscard]] std::vector<LabelledMetrics> read_metrics(const trace::Trace& trace,
                                                        const std::vector<trace::RunId>& only, Progress& progress);

}  // namespace hc::cli
