// Streams over time as a picture whose size does not grow with the number of events.
#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/report_charts.h"
#include "cli/svg.h"

namespace hc::cli {
namespace {

constexpr double kWidth = 880;
constexpr double kLeft = 110;
constexpr double kRight = 866;
constexpr double kLane = 26;
constexpr double kTop = 8;
/// Up to so many boxes each gets a rectangle with a tooltip.
constexpr std::size_t kSingles = 260;
constexpr std::size_t kColumns = 756;  // one unit of the picture each

struct Scale {
    double start = 0, length = 1;
    [[nodiscard]] double x(std::int64_t ns) const {
        const double share = (static_cast<double>(ns) - start) / length;
        return kLeft + std::clamp(share, 0.0, 1.0) * (kRight - kLeft);
    }
};

/// Boxes too many to draw: each column shows the class that fills most of it, as high as the share
/// of the column that is filled at all.
void draw_raster(Svg& svg, const Strip& strip, const StripLane& lane, const Scale& scale,
                 double y) {
    const std::size_t classes = strip.css_classes.size();
    std::vector<double> filled(kColumns * classes);
    for (const StripBox& box : lane.boxes) {
        const double from = scale.x(box.start_ns) - kLeft;
        const double to = scale.x(box.end_ns) - kLeft;
        for (auto c = static_cast<std::size_t>(from); c < kColumns; ++c) {
            const double left = std::max(from, static_cast<double>(c));
            const double right = std::min(to, static_cast<double>(c + 1));
            if (right <= left) break;
            filled[c * classes + box.css_class] += right - left;
        }
    }
    std::vector<std::string> paths(classes);
    for (std::size_t c = 0; c < kColumns;) {
        const auto look = [&](std::size_t column) {
            const auto first = filled.begin() + static_cast<std::ptrdiff_t>(column * classes);
            const auto most = std::max_element(first, first + static_cast<std::ptrdiff_t>(classes));
            double all = 0;
            for (auto at = first; at != first + static_cast<std::ptrdiff_t>(classes); ++at)
                all += *at;
            // Eighths: neighbours alike become one box.
            return std::pair(
                static_cast<std::size_t>(most - first),
                all > 0 ? std::max(1, static_cast<int>(std::min(all, 1.0) * 8 + 0.5)) : 0);
        };
        const auto [kind, eighths] = look(c);
        std::size_t end = c + 1;
        while (end < kColumns && look(end) == std::pair(kind, eighths)) ++end;
        if (eighths > 0) {
            const double height = (kLane - 6) * eighths / 8;
            paths[kind] += fmt::format(
                "M{} {}h{}v{}h-{}z", svg_number(kLeft + static_cast<double>(c)),
                svg_number(y + kLane - 3 - height), end - c, svg_number(height), end - c);
        }
        c = end;
    }
    for (std::size_t k = 0; k < classes; ++k) {
        if (!paths[k].empty()) svg.path(paths[k], strip.css_classes[k], strip.class_names[k]);
    }
}

void draw_singles(Svg& svg, const Strip& strip, const StripLane& lane, const Scale& scale,
                  double y) {
    for (const StripBox& box : lane.boxes) {
        const double x = scale.x(box.start_ns);
        const double width = std::max(scale.x(box.end_ns) - x, 0.4);
        svg.rect(x, y + 3, width, kLane - 6, strip.css_classes[box.css_class],
                 fmt::format("{} {}", strip.labels[box.label].substr(0, 60),
                             format_ns(static_cast<double>(box.end_ns - box.start_ns))));
    }
}

}  // namespace

std::string strip_figure(const std::string& id, const Strip& strip) {
    if (strip.lanes.empty() || strip.end_ns <= strip.start_ns) return "";
    std::size_t boxes = 0;
    std::vector<double> used(strip.css_classes.size());
    for (const StripLane& lane : strip.lanes) {
        boxes += lane.boxes.size();
        for (const StripBox& box : lane.boxes) {
            used[box.css_class] += static_cast<double>(box.end_ns - box.start_ns);
        }
    }
    if (boxes == 0) return "";
    const double bottom = kTop + kLane * static_cast<double>(strip.lanes.size());
    // Legend entries of what is there, in rows.
    double x = kLeft;
    double legend_y = bottom + 32;
    struct Entry {
        double x, y;
        std::size_t css_class;
    };
    std::vector<Entry> legend;
    for (std::size_t k = 0; k < used.size(); ++k) {
        if (used[k] <= 0) continue;
        const double width = 28 + 7.0 * static_cast<double>(strip.class_names[k].size());
        if (x + width > kRight && x > kLeft) {
            x = kLeft;
            legend_y += 18;
        }
        legend.push_back({x, legend_y, k});
        x += width;
    }
    const auto length = static_cast<double>(strip.end_ns - strip.start_ns);
    Svg svg(id, kWidth, legend_y + 18, strip.title,
            fmt::format("{} streams over {}, {} pieces of work", strip.lanes.size(),
                        format_ns(length), format_count(static_cast<std::int64_t>(boxes))));
    const Scale scale{static_cast<double>(strip.start_ns), length};
    const double step = nice_step(length, 7);
    for (double at = 0; at <= length * 1.0001; at += step) {
        const double line = kLeft + at / length * (kRight - kLeft);
        svg.line(line, kTop, line, bottom + 4, "grid");
        svg.text(line, bottom + 18, axis_ns(at), Svg::Anchor::kMiddle, "small");
    }
    double y = kTop;
    for (const StripLane& lane : strip.lanes) {
        svg.text(kLeft - 8, y + 17, lane.label.substr(0, 16), Svg::Anchor::kEnd);
        svg.line(kLeft, y + kLane, kRight, y + kLane, "grid");
        if (boxes <= kSingles) {
            draw_singles(svg, strip, lane, scale, y);
        } else {
            draw_raster(svg, strip, lane, scale, y);
        }
        y += kLane;
    }
    for (const Entry& entry : legend) {
        svg.rect(entry.x, entry.y, 12, 12, strip.css_classes[entry.css_class]);
        svg.text(entry.x + 17, entry.y + 10, strip.class_names[entry.css_class]);
    }
    std::string caption = strip.caption;
    if (boxes > kSingles) {
        caption +=
            " Drawn in columns: the height says how much of a column's time was filled, "
            "the colour what filled most of it.";
    }
    return figure(svg.finish(), strip.title, caption);
}

}  // namespace hc::cli
