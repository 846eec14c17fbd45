#include "gui/models/counter_series.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/error.h"

namespace hc::gui {

CounterSeries::CounterSeries(std::vector<std::int64_t> time_ns, std::vector<float> value,
                             std::int64_t end_ns)
    : time_ns_(std::move(time_ns)), value_(std::move(value)), end_ns_(end_ns) {
    HC_CHECK(time_ns_.size() == value_.size());
    if (time_ns_.empty()) return;
    end_ns_ = std::max(end_ns_, time_ns_.back());
    constexpr float kInfinite = std::numeric_limits<float>::infinity();
    std::vector<Node> nodes((size() + kFan - 1) / kFan, Node{kInfinite, -kInfinite, 0, 0});
    for (std::size_t i = 0; i < size(); ++i) {
        HC_CHECK(i == 0 || time_ns_[i] >= time_ns_[i - 1]);
        const float v = value_[i];
        if (std::isnan(v)) continue;
        Node& node = nodes[i / kFan];
        const auto length = static_cast<double>(end_of(i) - time_ns_[i]);
        node.least = std::min(node.least, v);
        node.most = std::max(node.most, v);
        node.area += static_cast<double>(v) * length;
        node.known += length;
        highest_ = std::max(highest_, static_cast<double>(v));
    }
    levels_.push_back(std::move(nodes));
    while (levels_.back().size() > 1) {
        const std::vector<Node>& fine = levels_.back();
        std::vector<Node> coarse((fine.size() + kFan - 1) / kFan,
                                 Node{kInfinite, -kInfinite, 0, 0});
        for (std::size_t i = 0; i < fine.size(); ++i) {
            Node& node = coarse[i / kFan];
            node.least = std::min(node.least, fine[i].least);
            node.most = std::max(node.most, fine[i].most);
            node.area += fine[i].area;
            node.known += fine[i].known;
        }
        levels_.push_back(std::move(coarse));
    }
}

std::size_t CounterSeries::at(double time_ns) const {
    if (empty() || time_ns < static_cast<double>(start()) || time_ns > static_cast<double>(end_ns_))
        return size();
    const auto after = std::upper_bound(
        time_ns_.begin(), time_ns_.end(), time_ns,
        [](double time, std::int64_t start) { return time < static_cast<double>(start); });
    return static_cast<std::size_t>(after - time_ns_.begin()) - 1;
}

CounterSeries::Span CounterSeries::over(double from_ns, double to_ns) const {
    Span span;
    if (empty() || !(to_ns > from_ns) || to_ns <= static_cast<double>(start()) ||
        from_ns >= static_cast<double>(end_ns_)) {
        return span;
    }
    const std::size_t first = from_ns <= static_cast<double>(start()) ? 0 : at(from_ns);
    const auto last_it = std::lower_bound(
        time_ns_.begin(), time_ns_.end(), to_ns,
        [](std::int64_t start, double time) { return static_cast<double>(start) < time; });
    const auto end = static_cast<std::size_t>(last_it - time_ns_.begin());
    double least = std::numeric_limits<double>::infinity(), most = -least;
    double area = 0, known = 0;
    const auto take_point = [&](std::size_t i) {
        const auto v = static_cast<double>(value_[i]);
        if (std::isnan(v)) return;
        const double left = std::max(from_ns, static_cast<double>(time_ns_[i]));
        const double right = std::min(to_ns, static_cast<double>(end_of(i)));
        least = std::min(least, v);
        most = std::max(most, v);
        area += v * std::max(right - left, 0.0);
        known += std::max(right - left, 0.0);
    };
    // The outer points count in part; whole nodes lie between.
    std::size_t a = first, b = end;
    if (a < b) take_point(a++);
    if (a < b) take_point(--b);
    while (a < b && a % kFan != 0) take_point(a++);
    while (a < b && b % kFan != 0) take_point(--b);
    a /= kFan;
    b /= kFan;
    for (std::size_t level = 0; a < b; ++level) {
        const std::vector<Node>& nodes = levels_[level];
        const auto take_node = [&](std::size_t i) {
            least = std::min(least, static_cast<double>(nodes[i].least));
            most = std::max(most, static_cast<double>(nodes[i].most));
            area += nodes[i].area;
            known += nodes[i].known;
        };
        const bool top = level + 1 == levels_.size();
        while (a < b && (top || a % kFan != 0)) take_node(a++);
        while (a < b && b % kFan != 0) take_node(--b);
        a /= kFan;
        b /= kFan;
    }
    if (!(most >= least)) return span;
    span.known = true;
    span.least = least;
    span.most = most;
    span.mean = known > 0 ? area / known : most;
    return span;
}

std::size_t CounterSeries::memory() const {
    std::size_t bytes = size() * (sizeof(std::int64_t) + sizeof(float));
    for (const auto& level : levels_) bytes += level.size() * sizeof(Node);
    return bytes;
}

}  // namespace hc::gui
