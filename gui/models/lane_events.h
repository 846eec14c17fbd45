/// The events of one lane as columns: 20 bytes each, and what a lane's drawing asks of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace hc::gui {

/// The columns themselves, in the making: nothing is promised of their order.
struct EventColumns {
    std::vector<std::int64_t> start_ns;
    std::vector<std::uint32_t> duration_ns;  ///< LaneEvents::kLong: see `long_durations`
    std::vector<std::uint32_t> name;
    std::vector<std::uint32_t> source;
    std::unordered_map<std::size_t, std::int64_t> long_durations;  ///< 4.29 s and more: rare

    void add(std::int64_t start, std::int64_t duration, std::uint32_t event_name,
             std::uint32_t event_source);
    void reserve(std::size_t num_events);
    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    [[nodiscard]] std::int64_t duration(std::size_t i) const;
};

/// Ordered by start and free of overlap: an event begins no earlier than the one before ends.
/// (What nests or overlaps lies in several lanes, see LanePacker.)
class LaneEvents {
public:
    LaneEvents() = default;
    /// Takes columns that keep the order.
    explicit LaneEvents(EventColumns columns);

    /// `source` is whatever the lane's kind says: a row of the operations, steps or fetches.
    /// An end before the start counts as the start.
    void add(std::int64_t start_ns, std::int64_t end_ns, std::uint32_t name, std::uint32_t source);

    [[nodiscard]] std::size_t size() const { return columns_.size(); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] std::int64_t start(std::size_t i) const { return columns_.start_ns[i]; }
    [[nodiscard]] std::int64_t duration(std::size_t i) const {
        const std::uint32_t ns = columns_.duration_ns[i];
        return ns != kLong ? ns : columns_.long_durations.at(i);
    }
    [[nodiscard]] std::int64_t end(std::size_t i) const { return start(i) + duration(i); }
    [[nodiscard]] std::uint32_t name(std::size_t i) const { return columns_.name[i]; }
    [[nodiscard]] std::uint32_t source(std::size_t i) const { return columns_.source[i]; }

    /// Whole columns, for loops over millions of events. A duration of kLong stands for one of
    /// at least that much, see duration().
    static constexpr std::uint32_t kLong = 0xffffffff;
    [[nodiscard]] std::span<const std::uint32_t> durations() const { return columns_.duration_ns; }
    [[nodiscard]] std::span<const std::uint32_t> names() const { return columns_.name; }
    [[nodiscard]] std::span<const std::uint32_t> sources() const { return columns_.source; }

    /// The first event that ends after `time_ns`, or size().
    [[nodiscard]] std::size_t first_ending_after(double time_ns) const;
    /// The first event that starts at or after `time_ns`, or size(). Looks from `from` on.
    [[nodiscard]] std::size_t first_starting_at(double time_ns, std::size_t from = 0) const;

    [[nodiscard]] std::size_t memory() const;

private:
    EventColumns columns_;
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
