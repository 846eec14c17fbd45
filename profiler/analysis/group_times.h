/// Exact figures of durations by group, for many groups and many values at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hc::analysis {

struct GroupTimes {
    std::int64_t count = 0;
    std::int64_t total_ns = 0;
    std::int64_t min_ns = 0, max_ns = 0;
    double median_ns = 0;     ///< mean of the middle two for an even count
    std::int64_t p95_ns = 0;  ///< nearest rank
};

/// Collects (group, duration) pairs. 12 bytes a pair; the answer needs 8 more while it is made.
class GroupedDurations {
public:
    void reserve(std::size_t count) {
        groups_.reserve(count);
        durations_.reserve(count);
    }
    /// `group` counts from 0.
    void add(std::uint32_t group, std::int64_t duration_ns) {
        groups_.push_back(group);
        durations_.push_back(duration_ns);
    }
    /// One entry a group, up to the largest that was added; empty ones have count 0. Percentiles
    /// are selected, not estimated. Time grows with the number of values alone.
    [[nodiscard]] std::vector<GroupTimes> times() const;

private:
    std::vector<std::uint32_t> groups_;
    std::vector<std::int64_t> durations_;
};

}  // namespace hc::analysis
