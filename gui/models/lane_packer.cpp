#include "gui/models/lane_packer.h"

#include <algorithm>

namespace hc::gui {
namespace {

constexpr std::int64_t kTimeLimit = std::int64_t{1} << 60;

bool is_flat(const EventColumns& columns) {
    for (std::size_t i = 1; i < columns.size(); ++i) {
        if (columns.start_ns[i] < columns.start_ns[i - 1] + columns.duration(i - 1)) return false;
    }
    return true;
}

}  // namespace

std::int64_t bounded_time(std::int64_t ns) {
    return std::clamp(ns, -kTimeLimit, kTimeLimit);
}

std::size_t LanePacker::place(std::int64_t& start, std::int64_t end) {
    for (std::size_t row = 0; row < ends_.size(); ++row) {
        if (ends_[row] <= start) return take(row, start, end);
    }
    if (ends_.size() < kMaxRows) {
        ends_.push_back(std::max(start, end));
        return ends_.size() - 1;
    }
    const auto row =
        static_cast<std::size_t>(std::min_element(ends_.begin(), ends_.end()) - ends_.begin());
    start = ends_[row];
    return take(row, start, end);
}

std::size_t LanePacker::take(std::size_t row, std::int64_t start, std::int64_t end) {
    ends_[row] = std::max(start, end);
    return row;
}

std::vector<LaneEvents> pack(std::vector<LaneEvent> events) {
    std::stable_sort(events.begin(), events.end(), [](const LaneEvent& a, const LaneEvent& b) {
        return a.start != b.start ? a.start < b.start : a.end > b.end;
    });
    LanePacker packer;
    std::vector<std::uint16_t> rows(events.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
        rows[i] = static_cast<std::uint16_t>(packer.place(events[i].start, events[i].end));
    }
    std::vector<LaneEvents> lanes(packer.num_rows());
    for (std::size_t i = 0; i < events.size(); ++i) {
        const LaneEvent& e = events[i];
        lanes[rows[i]].add(e.start, e.end, e.name, e.source);
    }
    return lanes;
}

std::vector<LaneEvents> pack(EventColumns columns) {
    if (columns.size() == 0) return {};
    if (is_flat(columns)) {
        std::vector<LaneEvents> one;
        one.emplace_back(std::move(columns));
        return one;
    }
    std::vector<LaneEvent> events(columns.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
        const std::int64_t start = columns.start_ns[i];
        events[i] = {start, start + columns.duration(i), columns.name[i], columns.source[i]};
    }
    columns = {};
    return pack(std::move(events));
}

}  // namespace hc::gui
