/// Which time lies under which pixel. A plain value: views own one each, tests need no window.
#pragma once

#include <cstdint>

namespace hc::gui {

/// A stretch of trace time. Kept in double: 53 bits hold 104 days in nanoseconds, and zooming
/// needs fractions of one.
struct TimeRange {
    double start_ns = 0;
    double end_ns = 1;
    [[nodiscard]] double span() const { return end_ns - start_ns; }
    [[nodiscard]] double centre() const { return start_ns + span() / 2; }
    [[nodiscard]] bool contains(double t) const { return t >= start_ns && t < end_ns; }
    [[nodiscard]] bool operator==(const TimeRange&) const = default;
    /// Widened by a share of its length on both sides.
    [[nodiscard]] TimeRange padded(double share) const {
        return {start_ns - span() * share, end_ns + span() * share};
    }
};

/// Maps `range` onto `width` pixels.
class TimeMapping {
public:
    /// Narrowest range that can be shown.
    static constexpr double kMinSpanNs = 20;

    TimeMapping() = default;
    TimeMapping(TimeRange range, int width);

    [[nodiscard]] const TimeRange& range() const { return range_; }
    [[nodiscard]] int width() const { return width_; }
    [[nodiscard]] double ns_per_px() const { return range_.span() / width_; }
    [[nodiscard]] double time_at(double x) const { return range_.start_ns + x * ns_per_px(); }
    [[nodiscard]] double x_at(double time_ns) const {
        return (time_ns - range_.start_ns) / ns_per_px();
    }

    /// The range after zooming by `factor` (> 1: closer) with the time under `x` staying there.
    /// Never wider than the bounds with a little margin: then, and only then, the time moves.
    [[nodiscard]] TimeRange zoomed(double factor, double x, const TimeRange& bounds) const;
    /// The range moved by `pixels` to the right in time; its centre stays within the bounds.
    [[nodiscard]] TimeRange panned(double pixels, const TimeRange& bounds) const;

private:
    TimeRange range_;
    int width_ = 1;
};

/// Makes any range showable: at least kMinSpanNs wide, at most the bounds with a little margin,
/// its centre within them.
[[nodiscard]] TimeRange clamped(TimeRange range, const TimeRange& bounds);

}  // namespace hc::gui
