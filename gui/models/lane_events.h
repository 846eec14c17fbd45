/// The events of one lane as columns: 20 bytes each, and what a lane's drawing asks of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace hc::gui {

/// Ordered by start and free of overlap: an event begins no earlier than the one before ends.
/// (What nests or overlaps lies in several lanes, see LanePacker.)
class LaneEvents {
public:
    /// `source` is whatever the lane's kind says: a row of the operations, steps or fetches.
    /// An end before the start counts as the start.
    void add(std::int64_t start_ns, std::int64_t end_ns, std::uint32_t name, std::uint32_t source);

    [[nodiscard]] std::size_t size() const { return start_ns_.size(); }
    [[nodiscard]] bool empty() const { return start_ns_.empty(); }
    [[nodiscard]] std::int64_t start(std::size_t i) const { return start_ns_[i]; }
    [[nodiscard]] std::int64_t duration(std::size_t i) const {
        return duration_ns_[i] != kLong ? duration_ns_[i] : long_durations_.at(i);
    }
    [[nodiscard]] std::int64_t end(std::size_t i) const { return start_ns_[i] + duration(i); }
    [[nodiscard]] std::uint32_t name(std::size_t i) const { return name_[i]; }
    [[nodiscard]] std::uint32_t source(std::size_t i) const { return source_[i]; }

    /// The first event that ends after `time_ns`, or size().
    [[nodiscard]] std::size_t first_ending_after(double time_ns) const;
    /// The first event that starts at or after `time_ns`, or size(). Looks from `from` on.
    [[nodiscard]] std::size_t first_starting_at(double time_ns, std::size_t from = 0) const;

    [[nodiscard]] std::size_t memory() const;

private:
    // Durations of 4.29 s and more are rare; they live beside.
    static constexpr std::uint32_t kLong = 0xffffffff;

    std::vector<std::int64_t> start_ns_;
    std::vector<std::uint32_t> duration_ns_;
    std::vector<std::uint32_t> name_;
    std::vector<std::uint32_t> source_;
    std::unordered_map<std::size_t, std::int64_t> long_durations_;
};

/// Sums and longest events over any range of a lane, exactly: a tree of fan-out 16.
class EventPyramid {
public:
    EventPyramid() = default;
    explicit EventPyramid(const LaneEvents& events);

    struct Summary {
        std::int64_t count = 0;
        std::int64_t sum_ns = 0;
        std::int64_t longest_ns = 0;
        std::size_t longest = 0;  ///< its index; meaningless when count is 0
    };
    /// Over the events [begin, end).
    [[nodiscard]] Summary over(const LaneEvents& events, std::size_t begin, std::size_t end) const;
    [[nodiscard]] std::size_t memory() const;

private:
    static constexpr std::size_t kFan = 16;
    struct Node {
        std::int64_t sum_ns = 0;
        std::int64_t longest_ns = -1;
        std::size_t longest = 0;
    };
    std::vector<std::vector<Node>> levels_;  ///< [0]: one node per 16 events
};

}  // namespace hc::gui
