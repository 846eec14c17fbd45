/// The CUDA activity of recordings of two programs (or of two states of one) beside each other.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "profiler/analysis/activity.h"
#include "profiler/analysis/compare.h"
#include "profiler/analysis/device_time.h"

namespace hc::analysis {

/// Times of one thing in one recording.
struct TimesSummary {
    std::int64_t count = 0;
    std::int64_t total_ns = 0;
    double median_ns = 0;
    /// All durations, where summarise_activity() was asked to keep them.
    std::vector<double> samples;
};

/// All that a comparison needs of a recording's activity.
struct ActivitySummary {
    std::map<std::string, TimesSummary> kernels, copies, calls;
    std::vector<double> range_ns;  ///< of the chosen NVTX range, in order
    // Over all devices.
    std::int64_t span_ns = 0, compute_ns = 0, transfer_ns = 0, both_ns = 0;
    std::int64_t idle_ns[kIdleCauses] = {};
    std::int64_t copy_bytes = 0;
    std::int64_t lost = 0;
};
/// `range`: NVTX ranges whose durations are wanted, "" for none. `keep_samples`: 8 bytes an event.
[[nodiscard]] ActivitySummary summarise_activity(const Activity& activity, const std::string& range,
                                                 bool keep_samples);

/// One name (kernel, kind of copy, API call) on both sides.
struct NamedDifference {
    std::string name;
    TimeDifference time;                    ///< of one: medians of the recordings
    double count_a = 0, count_b = 0;        ///< mean over recordings
    double total_a_ns = 0, total_b_ns = 0;  ///< mean over recordings
    [[nodiscard]] double total_difference_ns() const { return total_b_ns - total_a_ns; }
};

struct ActivityComparison {
    TimeDifference range;  ///< of the chosen range's durations; empty without one
    std::vector<NamedDifference> kernels, copies, calls;  ///< widest difference of totals first
    std::vector<FigureDifference> figures;
    std::int64_t lost_a = 0, lost_b = 0;
};
/// One summary a recording. Verdicts as compare.h says, corrected (Holm) over the names of each
/// table and over the figures.
[[nodiscard]] ActivityComparison compare_activity(std::span<const ActivitySummary> a,
                                                  std::span<const ActivitySummary> b);

}  // namespace hc::analysis
