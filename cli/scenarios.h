/// Grids of what-if questions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "simulator/replay/simulator.h"

namespace hc::cli {

/// Every combination of the values given; an empty list leaves that setting as recorded.
struct ScenarioGrid {
    std::vector<double> ratios;
    std::vector<double> thresholds;
    std::vector<std::int32_t> windows;
    std::vector<std::int32_t> commit_lags;
    std::vector<std::int64_t> prompt_tokens;
    std::vector<std::int32_t> batches;
    std::vector<std::string> policies;
    std::vector<std::string> machines;  ///< ids or files
    std::optional<sim::ToldDrift> drift;
    std::optional<bool> retrieval;
};

/// Labelled by what each changes; "as recorded" for the one that changes nothing.
[[nodiscard]] std::vector<sim::Scenario> expand(const ScenarioGrid& grid);

/// Each distinct note once, below the table.
void print_notes(const std::vector<sim::Prediction>& predictions);

}  // namespace hc::cli
