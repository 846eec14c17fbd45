/// Count, sum, mean, median, p95, p99 and longest of the events that start within a range: per
/// track, and per name within it. Exact, by counting and without sorting, so that ten million
/// events take tens of milliseconds.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "gui/models/lanes.h"
#include "gui/models/time_mapping.h"

namespace hc::gui {

struct StatisticsRow {
    /// Stands for all names of a track beyond its first thousand.
    static constexpr std::uint32_t kOtherNames = 0xffffffff;

    std::size_t group = 0;              ///< of LaneSet::groups
    std::optional<std::uint32_t> name;  ///< of LaneSet::names; none: the whole track
    std::int64_t count = 0;
    std::int64_t sum_ns = 0;
    double median_ns = 0;                 ///< the mean of the middle two of an even count
    std::int64_t p95_ns = 0, p99_ns = 0;  ///< nearest rank, as profiler/analysis has it
    std::int64_t max_ns = 0, min_ns = 0;
    [[nodiscard]] double mean_ns() const {
        return count > 0 ? static_cast<double>(sum_ns) / static_cast<double>(count) : 0;
    }
};

struct RangeStatistics {
    TimeRange range;
    std::vector<StatisticsRow> rows;  ///< by track, its own row first, then names by their sum
    std::int64_t num_events = 0;
    double elapsed_ms = 0;  ///< what it took
};

/// nullopt: cancelled. Uses a second thread beside the caller's where there is much to do.
[[nodiscard]] std::optional<RangeStatistics> range_statistics(const LaneSet& set,
                                                              const TimeRange& range,
                                                              const std::atomic<bool>& cancelled);

}  // namespace hc::gui
