#include "profiler/activity/clock_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/clock.h"

namespace hc::activity {
namespace {

constexpr std::int64_t kStepNs = 1'000'000;

}  // namespace

std::optional<ClockPair> read_pair(const std::function<std::optional<std::int64_t>()>& read_other,
                                   int readings) {
    std::optional<ClockPair> best;
    for (int reading = 0; reading < readings; ++reading) {
        ClockPair pair;
        pair.before_ns = now_ns();
        const std::optional<std::int64_t> other = read_other();
        pair.after_ns = now_ns();
        if (!other) return std::nullopt;
        pair.other_ns = *other;
        if (!best || pair.after_ns - pair.before_ns < best->after_ns - best->before_ns) {
            best = pair;
        }
    }
    return best;
}

std::int64_t ClockConverter::operator()(std::int64_t other_ns) {
    if (other_ns < low_ || other_ns >= high_) find_segment(other_ns);
    const double since = static_cast<double>(other_ns - base_ns_);
    return other_ns - offset_ns_ - std::llround(since * slope_);
}

void ClockConverter::find_segment(std::int64_t other_ns) {
    constexpr std::int64_t kFirst = std::numeric_limits<std::int64_t>::min();
    constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();
    const auto next = std::upper_bound(
        knots_.begin(), knots_.end(), other_ns,
        [](std::int64_t time, const Knot& knot) { return time < knot.other_ns; });
    slope_ = 0;
    low_ = next == knots_.begin() ? kFirst : std::prev(next)->other_ns;
    high_ = next == knots_.end() ? kLast : next->other_ns;
    if (knots_.empty()) return;
    const Knot& from = next == knots_.begin() ? *next : *std::prev(next);
    // The distance to the base times a slope of 0 is 0: far times keep all their digits.
    base_ns_ = from.other_ns;
    offset_ns_ = from.offset_ns;
    if (next == knots_.begin() || next == knots_.end()) return;
    slope_ = static_cast<double>(next->offset_ns - from.offset_ns) /
             static_cast<double>(next->other_ns - from.other_ns);
}

void ClockFit::add(const ClockPair& pair) {
    const std::int64_t width = std::max<std::int64_t>(0, pair.after_ns - pair.before_ns);
    const ClockConverter::Knot knot{pair.other_ns,
                                    pair.other_ns - (pair.before_ns + width / 2)};
    const std::lock_guard lock(mutex_);
    bracket_ns_ = std::max(bracket_ns_, (width + 1) / 2);
    if (!knots_.empty()) {
        const std::int64_t change = std::abs(knot.offset_ns - knots_.back().offset_ns);
        change_ns_ = std::max(change_ns_, change);
        if (change > kStepNs) ++steps_;
        // Set back: times from before and after cannot be told apart, so the later reading wins.
        while (!knots_.empty() && knots_.back().other_ns >= knot.other_ns) knots_.pop_back();
    }
    knots_.push_back(knot);
    // Half at a time, so that this costs nothing on average.
    if (knots_.size() > max_pairs_) {
        knots_.erase(knots_.begin(), knots_.begin() + static_cast<std::ptrdiff_t>(max_pairs_ / 2));
    }
}

ClockConverter ClockFit::converter() const {
    const std::lock_guard lock(mutex_);
    ClockConverter converter;
    converter.knots_ = knots_;
    return converter;
}

std::int64_t ClockFit::error_ns() const {
    const std::lock_guard lock(mutex_);
    return bracket_ns_ + change_ns_;
}

std::int64_t ClockFit::steps() const {
    const std::lock_guard lock(mutex_);
    return steps_;
}

}  // namespace hc::activity
