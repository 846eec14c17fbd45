/// Goals and limits as people type them.
#pragma once

#include <string>
#include <vector>

#include "simulator/search/goal.h"

namespace CLI {
class App;
}

namespace hc::cli {

struct GoalOptions {
    std::string minimize, maximize;
    std::string max_memory, max_host_memory;
    double min_recall = -1, min_hiding = -1;
    double max_step_p99_ms = -1, max_step_median_ms = -1;
    double min_tokens_per_s = -1;
};
void add_goal_options(CLI::App& command, GoalOptions& options);

/// "24GiB", "900 MB", "1048576" as bytes. Throws Error(kUsage) naming `option`.
[[nodiscard]] double parse_bytes(const std::string& text, const std::string& option);
/// Without an objective: the p99 of steps. Throws Error(kUsage).
[[nodiscard]] sim::Goal goal_of(const GoalOptions& options);
/// "minimize step_p99, with memory at most 24.00 GiB, recall at least 0.97".
[[nodiscard]] std::string goal_text(const sim::Goal& goal);
/// A value of that metric with its unit.
[[nodiscard]] std::string metric_text(sim::Metric metric, const sim::Figures& figures);

}  // namespace hc::cli
