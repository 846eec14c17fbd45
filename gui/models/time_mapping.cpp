#include "gui/models/time_mapping.h"

#include <algorithm>

namespace hc::gui {
namespace {

// Room left and right of a whole trace, so that its first and last events do not stick to the
// window's edge.
constexpr double kMargin = 0.01;

}  // namespace

TimeMapping::TimeMapping(TimeRange range, int width) : range_(range), width_(std::max(width, 1)) {
    if (range_.span() < kMinSpanNs) range_.end_ns = range_.start_ns + kMinSpanNs;
}

TimeRange clamped(TimeRange range, const TimeRange& bounds) {
    const TimeRange widest = bounds.padded(kMargin);
    if (range.span() >= widest.span()) return widest;
    if (range.span() < TimeMapping::kMinSpanNs) {
        const double centre = range.centre();
        range = {centre - TimeMapping::kMinSpanNs / 2, centre + TimeMapping::kMinSpanNs / 2};
    }
    const double centre = range.centre();
    const double shift = std::clamp(centre, bounds.start_ns, bounds.end_ns) - centre;
    return {range.start_ns + shift, range.end_ns + shift};
}

TimeRange TimeMapping::zoomed(double factor, double x, const TimeRange& bounds) const {
    const double fixed = time_at(x);
    const double span = std::max(range_.span() / factor, kMinSpanNs);
    const double before = span * (x / width_);
    return clamped({fixed - before, fixed - before + span}, bounds);
}

TimeRange TimeMapping::panned(double pixels, const TimeRange& bounds) const {
    const double shift = pixels * ns_per_px();
    return clamped({range_.start_ns + shift, range_.end_ns + shift}, bounds);
}

}  // namespace hc::gui
