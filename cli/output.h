/// Printing that several commands share.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/core/head_profile.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/columns.h"
#include "simulator/replay/simulator.h"

namespace hc::cli {

void print_json(const nlohmann::ordered_json& document);
/// One line on stderr, "hcprof: warning: ...".
void print_warning(const std::string& message);
/// Throws Error(kIo) naming the path when a file could not be created there. Creates nothing.
void check_writable(const std::string& path);

/// Layers as columns, KV heads as rows, one letter a head: A V P s.
[[nodiscard]] std::string role_map(const HeadProfile& profile);

/// "heterocache r=0.50 fixed" and the like.
[[nodiscard]] std::string run_label(const trace::Run& run);

[[nodiscard]] nlohmann::ordered_json to_json(const analysis::RunMetrics& metrics, const trace::Run& run);
[[nodiscard]] nlohmann::ordered_json to_json(const sim::Prediction& prediction);

/// Runs side by side, one column a run.
struct LabelledMetrics {
    std::string label;
    trace::Run run;
    analysis::RunMetrics metrics;
};
[[nodiscard]] std::string metrics_table(const std::vector<LabelledMetrics>& runs, int width);
/// One row a prediction; `recorded` (may be null) comes first for comparison.
[[nodiscard]] std::string predictions_table(const std::vector<sim::Prediction>& predictions,
                                            const LabelledMetrics* recorded, int width);

}  // namespace hc::cli
