#include "gui/models/lane_events.h"

#include <algorithm>

#include "engine/core/error.h"

namespace hc::gui {

void EventColumns::add(std::int64_t start, std::int64_t duration, std::uint32_t event_name,
                       std::uint32_t event_source) {
    duration = std::max<std::int64_t>(duration, 0);
    if (duration >= LaneEvents::kLong) long_durations.emplace(size(), duration);
    start_ns.push_back(start);
    duration_ns.push_back(static_cast<std::uint32_t>(
        std::min<std::int64_t>(duration, std::int64_t{LaneEvents::kLong})));
    name.push_back(event_name);
    source.push_back(event_source);
}

void EventColumns::reserve(std::size_t num_events) {
    start_ns.reserve(num_events);
    duration_ns.reserve(num_events);
    name.reserve(num_events);
    source.reserve(num_events);
}

std::int64_t EventColumns::duration(std::size_t i) const {
    return duration_ns[i] != LaneEvents::kLong ? duration_ns[i] : long_durations.at(i);
}

LaneEvents::LaneEvents(EventColumns columns) : columns_(std::move(columns)) {
    for (std::size_t i = 1; i < size(); ++i) HC_CHECK(start(i) >= end(i - 1));
}

void LaneEvents::add(std::int64_t start_ns, std::int64_t end_ns, std::uint32_t name,
                     std::uint32_t source) {
    HC_CHECK(empty() || start_ns >= end(size() - 1));
    columns_.add(start_ns, end_ns - start_ns, name, source);
}

std::size_t LaneEvents::first_ending_after(double time_ns) const {
    // Only the last event that starts before can still be running: no overlap in a lane.
    const std::size_t next = first_starting_at(time_ns);
    if (next > 0 && static_cast<double>(end(next - 1)) > time_ns) return next - 1;
    return next;
}

std::size_t LaneEvents::first_starting_at(double time_ns, std::size_t from) const {
    const std::vector<std::int64_t>& starts = columns_.start_ns;
    const auto begin = starts.begin() + static_cast<std::ptrdiff_t>(from);
    const auto found = std::lower_bound(
        begin, starts.end(), time_ns,
        [](std::int64_t start, double time) { return static_cast<double>(start) < time; });
    return static_cast<std::size_t>(found - starts.begin());
}

std::size_t LaneEvents::memory() const {
    return size() * (sizeof(std::int64_t) + 3 * sizeof(std::uint32_t)) +
           columns_.long_durations.size() * 48;
}

EventPyramid::EventPyramid(const LaneEvents& events) {
    std::vector<Node> nodes((events.size() + kFan - 1) / kFan);
    for (std::size_t i = 0; i < events.size(); ++i) {
        Node& node = nodes[i / kFan];
        const std::int64_t duration = events.duration(i);
        node.sum_ns += duration;
        if (duration > node.longest_ns) {
            node.longest_ns = duration;
            node.longest = i;
        }
    }
    levels_.push_back(std::move(nodes));
    while (levels_.back().size() > 1) {
        const std::vector<Node>& fine = levels_.back();
        std::vector<Node> coarse((fine.size() + kFan - 1) / kFan);
        for (std::size_t i = 0; i < fine.size(); ++i) {
            Node& node = coarse[i / kFan];
            node.sum_ns += fine[i].sum_ns;
            if (fine[i].longest_ns > node.longest_ns) {
                node.longest_ns = fine[i].longest_ns;
                node.longest = fine[i].longest;
            }
        }
        levels_.push_back(std::move(coarse));
    }
}

EventPyramid::Summary EventPyramid::over(const LaneEvents& events, std::size_t begin,
                                         std::size_t end) const {
    Summary summary;
    end = std::min(end, events.size());
    if (begin >= end) return summary;
    summary.count = static_cast<std::int64_t>(end - begin);
    summary.longest_ns = -1;
    const auto take = [&](std::int64_t sum, std::int64_t longest_ns, std::size_t longest) {
        summary.sum_ns += sum;
        if (longest_ns > summary.longest_ns) {
            summary.longest_ns = longest_ns;
            summary.longest = longest;
        }
    };
    const auto take_event = [&](std::size_t i) { take(events.duration(i), events.duration(i), i); };
    while (begin < end && begin % kFan != 0) take_event(begin++);
    while (begin < end && end % kFan != 0) take_event(--end);
    // [begin, end) is now whole nodes of level 0; climb while both ends allow it.
    begin /= kFan;
    end /= kFan;
    for (std::size_t level = 0; begin < end; ++level) {
        const std::vector<Node>& nodes = levels_[level];
        const auto take_node = [&](std::size_t i) {
            take(nodes[i].sum_ns, nodes[i].longest_ns, nodes[i].longest);
        };
        const bool top = level + 1 == levels_.size();
        while (begin < end && (top || begin % kFan != 0)) take_node(begin++);
        while (begin < end && end % kFan != 0) take_node(--end);
        begin /= kFan;
        end /= kFan;
    }
    return summary;
}

std::size_t EventPyramid::memory() const {
    std::size_t bytes = 0;
    for (const auto& level : levels_) bytes += level.size() * sizeof(Node);
    return bytes;
}

}  // namespace hc::gui
