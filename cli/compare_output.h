/// The answer of `hcprof compare`, as text and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "profiler/analysis/compare.h"
#include "profiler/analysis/compare_activity.h"

namespace hc::cli {

/// The runs that were compared, one a recording, and what came of it.
struct ComparedRuns {
    std::vector<analysis::RunSummary> a, b;
    std::string label_a, label_b;
    analysis::Comparison comparison;
};

struct CompareAnswer {
    std::vector<std::string> files_a, files_b;  ///< as the user named them
    std::vector<ComparedRuns> runs;
    std::optional<analysis::ActivityComparison> activity;
    std::string range;                   ///< the NVTX range whose time is compared, "" for none
    std::vector<std::string> left_over;  ///< runs without a partner
    [[nodiscard]] bool is_single() const { return files_a.size() == 1 && files_b.size() == 1; }
};

/// "A run 0 (fullkv)".
[[nodiscard]] std::string describe_run(const std::string& side, const trace::Run& run);
/// "+4.9 %", "-" where not known.
[[nodiscard]] std::string signed_percent(std::optional<double> share);
/// The interval in percent of A's median, "-" where there is none.
[[nodiscard]] std::string interval_percent(const analysis::TimeDifference& time);

/// `top`: rows of the tables by name; 0: all.
void print_answer(const CompareAnswer& answer, std::size_t top, int width);
void print_answer_json(const CompareAnswer& answer);

}  // namespace hc::cli
