#include "cli/report_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "cli/data_table.h"
#include "cli/format.h"
#include "cli/svg.h"

namespace hc::cli {
namespace {

constexpr double kWidth = 880;
constexpr double kLeft = 70;
constexpr double kRight = 860;
constexpr double kPlotWidth = kRight - kLeft;

/// Lines of a vertical axis from 0 to `largest` over y in [bottom, top].
void draw_axis(Svg& svg, double largest, double bottom, double top) {
    const double step = nice_step(largest, 5);
    for (double value = 0; value <= largest * 1.0001; value += step) {
        const double y = bottom - value / largest * (bottom - top);
        svg.line(kLeft, y, kRight, y, "grid");
        svg.text(kLeft - 6, y + 4, axis_ns(value), Svg::Anchor::kEnd);
    }
}

/// Numbers under a horizontal axis that counts from 0 to `count` - 1.
void draw_counts(Svg& svg, std::size_t count, double y, const std::string& what) {
    if (count == 0) return;
    const auto last = static_cast<double>(count - 1);
    const double step = std::max(1.0, nice_step(std::max(last, 1.0), 8));
    for (double value = 0; value <= last; value += step) {
        const double x = kLeft + (value + 0.5) / static_cast<double>(count) * kPlotWidth;
        svg.text(x, y, format_count(static_cast<std::int64_t>(value)), Svg::Anchor::kMiddle);
    }
    svg.text(kRight, y + 15, what, Svg::Anchor::kEnd, "quiet");
}

struct Legend {
    std::string css_class, text;
};

/// Returns the height that it took.
double draw_legend(Svg& svg, double y, const std::vector<Legend>& entries) {
    double x = kLeft;
    const double first = y;
    for (const Legend& entry : entries) {
        const double width = 22 + 7.0 * static_cast<double>(entry.text.size());
        if (x + width > kRight && x > kLeft) {
            x = kLeft;
            y += 18;
        }
        svg.rect(x, y, 12, 12, entry.css_class);
        svg.text(x + 17, y + 10, entry.text);
        x += width + 8;
    }
    return y + 18 - first;
}

double legend_height(const std::vector<Legend>& entries) {
    Svg nowhere("n", 1, 1, "", "");
    return draw_legend(nowhere, 0, entries);
}

std::string point(double x, double y) {
    return svg_number(x) + " " + svg_number(y);
}

/// Which of `columns` columns the i-th of `count` values falls into.
std::size_t column_of(std::size_t i, std::size_t count, std::size_t columns) {
    return i * columns / count;
}

}  // namespace

std::string axis_ns(double ns) {
    constexpr const char* kUnits[] = {"ns", "us", "ms", "s"};
    std::size_t unit = 0;
    while (ns >= 1000 && unit < 3) {
        ns /= 1000;
        ++unit;
    }
    return ns == 0 ? "0" : svg_number(ns) + " " + kUnits[unit];
}

std::string figure(const std::string& svg, const std::string& title, const std::string& caption) {
    return "<figure>\n<figcaption><b>" + escaped(title) + "</b> " + escaped(caption) +
           "</figcaption>\n" + svg + "</figure>\n";
}

std::string parts_figure(const std::string& id, const std::string& title,
                         const std::string& caption, const std::vector<BarPart>& parts) {
    double all = 0;
    for (const BarPart& part : parts) all += part.ns;
    if (!(all > 0)) return "";
    std::vector<Legend> legend;
    std::string description;
    for (const BarPart& part : parts) {
        legend.push_back({part.css_class, fmt::format("{} {} ({})", part.label, format_ns(part.ns),
                                                      format_percent(part.ns / all))});
        description += legend.back().text + "; ";
    }
    Svg svg(id, kWidth, 50 + legend_height(legend), title, description);
    double x = kLeft;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const double width = parts[i].ns / all * kPlotWidth;
        if (width <= 0) continue;
        svg.rect(x, 8, width, 28, parts[i].css_class, legend[i].text);
        if (width > 52) {
            svg.text(x + width / 2, 26, format_percent(parts[i].ns / all), Svg::Anchor::kMiddle,
                     "on-" + parts[i].css_class);
        }
        x += width;
    }
    draw_legend(svg, 46, legend);
    return figure(svg.finish(), title, caption);
}

std::string durations_figure(const std::string& id, const DurationSeries& series) {
    const std::size_t count = series.duration_ns.size();
    if (count == 0) return "";
    std::vector<double> sorted(series.duration_ns.begin(), series.duration_ns.end());
    std::sort(sorted.begin(), sorted.end());
    const double median = sorted[count / 2];
    // Few very long ones would press all others to the ground.
    const double largest =
        std::max(1.0, std::min(sorted.back(), 2 * sorted[(count * 95 + 99) / 100 - 1]));
    const auto above = static_cast<std::int64_t>(
        sorted.end() - std::upper_bound(sorted.begin(), sorted.end(), largest));
    constexpr double kTop = 14;
    constexpr double kBottom = 214;
    const bool marks = !series.marks.empty();
    const double foot = marks ? kBottom + 26 : kBottom + 4;
    const auto y_of = [&](double ns) {
        return kBottom - std::min(ns, largest) / largest * (kBottom - kTop);
    };
    const std::int64_t triggers =
        std::accumulate(series.marks.begin(), series.marks.end(), std::int64_t{0});
    const std::string title = fmt::format("Duration of each {}", series.what);
    Svg svg(id, kWidth, foot + 34, title,
            fmt::format("{} of them; median {}, longest {}, {} triggers",
                        format_count(static_cast<std::int64_t>(count)), format_ns(median),
                        format_ns(sorted.back()), format_count(triggers)));
    draw_axis(svg, largest, kBottom, kTop);

    const std::size_t columns = std::min<std::size_t>(count, 395);
    std::string line;
    std::string high;
    std::string low;
    std::string beyond;
    std::string ticks;
    std::vector<double> values;
    for (std::size_t c = 0, i = 0; c < columns; ++c) {
        values.clear();
        std::int64_t marked = 0;
        for (; i < count && column_of(i, count, columns) == c; ++i) {
            values.push_back(static_cast<double>(series.duration_ns[i]));
            if (marks) marked += series.marks[i];
        }
        std::sort(values.begin(), values.end());
        const double x =
            kLeft + (static_cast<double>(c) + 0.5) / static_cast<double>(columns) * kPlotWidth;
        line += (c == 0 ? "M" : "L") + point(x, y_of(values[values.size() / 2]));
        high += (c == 0 ? "M" : "L") + point(x, y_of(values.back()));
        low.insert(0, "L" + point(x, y_of(values.front())));
        if (values.back() > largest) beyond += fmt::format("M{}l3 5h-6z", point(x, kTop - 6));
        if (marked > 0) {
            const double height = std::min(16.0, 5 + 3.0 * std::log2(static_cast<double>(marked)));
            ticks += fmt::format("M{}v{}", point(x, kBottom + 4), svg_number(height));
        }
    }
    if (count > columns) svg.path(high + low + "z", "band");
    svg.path(line, "curve");
    if (!beyond.empty()) svg.path(beyond, "c-trigger", "longer than the picture is high");
    if (!ticks.empty()) svg.path(ticks, "tick");
    svg.line(kLeft, y_of(median), kRight, y_of(median), "median");
    if (marks) svg.text(kLeft - 6, kBottom + 16, "triggers", Svg::Anchor::kEnd, "quiet");
    draw_counts(svg, count, foot + 12, series.what);

    std::string caption =
        fmt::format("in the order of time; dashed: their median, {}.", format_ns(median));
    if (count > columns)
        caption += " Line: median of neighbours; band: their shortest and longest.";
    if (triggers > 0) caption += " Marks below: steps with drift triggers, longer for more.";
    if (above > 0) {
        caption += fmt::format(" Triangles at the top: {} longer than {} (the longest {}).",
                               format_count(above), format_ns(largest), format_ns(sorted.back()));
    }
    return figure(svg.finish(), title, caption);
}

std::string stacked_figure(const std::string& id, const StackedSeries& series) {
    const std::size_t count = series.kind_ns.size();
    const std::size_t kinds = series.kinds.size();
    if (count == 0 || kinds == 0) return "";
    const std::size_t neighbours = (count + 119) / 120;
    const std::size_t columns = (count + neighbours - 1) / neighbours;
    std::vector<std::vector<double>> mean(columns, std::vector<double>(kinds));
    std::vector<double> members(columns);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t c = i / neighbours;
        members[c] += 1;
        for (std::size_t k = 0; k < kinds; ++k) mean[c][k] += series.kind_ns[i][k];
    }
    double largest = 1;
    std::vector<double> totals(kinds);
    for (std::size_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (std::size_t k = 0; k < kinds; ++k) {
            totals[k] += mean[c][k];
            mean[c][k] /= members[c];
            sum += mean[c][k];
        }
        largest = std::max(largest, sum);
    }
    const double all = std::max(1.0, std::accumulate(totals.begin(), totals.end(), 0.0));
    std::vector<Legend> legend;
    std::string description;
    for (std::size_t k = 0; k < kinds; ++k) {
        legend.push_back({series.css_classes[k],
                          fmt::format("{} {}", series.kinds[k], format_percent(totals[k] / all))});
        description += legend.back().text + "; ";
    }
    constexpr double kTop = 10;
    constexpr double kBottom = 210;
    const std::string title = fmt::format("Time by kind, {} by {}", series.what, series.what);
    Svg svg(id, kWidth, kBottom + 40 + legend_height(legend), title, description);
    draw_axis(svg, largest, kBottom, kTop);
    const double width = kPlotWidth * static_cast<double>(neighbours) / static_cast<double>(count);
    std::vector<std::string> paths(kinds);
    for (std::size_t c = 0; c < columns; ++c) {
        double y = kBottom;
        const double shown = 0.92 * members[c] / static_cast<double>(neighbours);
        for (std::size_t k = 0; k < kinds; ++k) {
            const double height = mean[c][k] / largest * (kBottom - kTop);
            if (height < 0.01) continue;
            y -= height;
            paths[k] += fmt::format(
                "M{}h{}v{}h-{}z", point(kLeft + static_cast<double>(c) * width, y),
                svg_number(width * shown), svg_number(height), svg_number(width * shown));
        }
    }
    for (std::size_t k = 0; k < kinds; ++k) {
        if (!paths[k].empty()) svg.path(paths[k], series.css_classes[k], legend[k].text);
    }
    draw_counts(svg, count, kBottom + 16, series.what);
    draw_legend(svg, kBottom + 36, legend);
    std::string caption = "stacked, operations only; the legend gives each kind's share.";
    if (neighbours > 1) {
        caption += fmt::format(" Each bar is the mean of {} neighbours.", neighbours);
    }
    return figure(svg.finish(), title, caption);
}

std::string shares_figure(const std::string& id, const std::string& title,
                          const std::string& caption, const std::vector<NamedShare>& rows) {
    if (rows.empty()) return "";
    constexpr double kNames = 300;
    constexpr double kBars = 690;
    constexpr double kRow = 22;
    double largest = 1e-9;
    for (const NamedShare& row : rows) largest = std::max(largest, row.share);
    Svg svg(id, kWidth, 10 + kRow * static_cast<double>(rows.size()), title, caption);
    double y = 4;
    for (const NamedShare& row : rows) {
        const double width = std::max(row.share / largest * (kBars - kNames), 0.5);
        svg.text(kNames - 8, y + 14, row.name, Svg::Anchor::kEnd);
        const std::string tip =
            fmt::format("{}: {}", row.full_name.empty() ? row.name : row.full_name, row.right);
        if (row.of_limit) {
            svg.rect(kNames, y + 2, width, kRow - 6, row.css_class + " pale", tip);
            svg.rect(kNames, y + 2, width * std::clamp(*row.of_limit, 0.0, 1.0), kRow - 6,
                     row.css_class, tip);
        } else {
            svg.rect(kNames, y + 2, width, kRow - 6, row.css_class, tip);
        }
        svg.text(kNames + width + 6, y + 14, row.right, Svg::Anchor::kStart, "quiet");
        y += kRow;
    }
    return figure(svg.finish(), title, caption);
}

std::string copy_sizes_figure(const std::string& id, const analysis::Activity& activity) {
    const std::vector<analysis::CopySizeClass> classes = analysis::copy_sizes(activity);
    if (classes.empty()) return "";
    std::map<std::int64_t, std::size_t> place;
    std::vector<std::int32_t> kinds;
    std::int64_t most = 1;
    std::int64_t most_bytes = 1;
    for (const analysis::CopySizeClass& c : classes) {
        place.emplace(c.up_to_bytes, 0);
        if (std::find(kinds.begin(), kinds.end(), c.kind) == kinds.end()) kinds.push_back(c.kind);
        most = std::max(most, c.count);
        most_bytes = std::max(most_bytes, c.bytes);
    }
    std::size_t next = 0;
    for (auto& [size, at] : place) at = next++;
    static constexpr const char* kClasses[] = {"c-transfer", "c-qkv", "c-mlp", "c-commit"};
    const auto class_of = [&](std::int32_t kind) {
        const auto at = std::find(kinds.begin(), kinds.end(), kind) - kinds.begin();
        return kClasses[std::min<std::ptrdiff_t>(at, 3)];
    };
    std::vector<Legend> legend;
    for (const std::int32_t kind : kinds) {
        legend.push_back({class_of(kind), analysis::copy_kind_name(kind)});
    }
    constexpr double kTop = 18;
    constexpr double kBottom = 170;
    const std::string title = "Sizes of copies";
    Svg svg(id, kWidth, kBottom + 30 + legend_height(legend), title,
            fmt::format("{} classes of size; the table of copies by size has the numbers",
                        place.size()));
    const auto draw = [&](double left, double right, const char* what, bool bytes) {
        const double group = (right - left) / static_cast<double>(place.size());
        const double bar = group * 0.86 / static_cast<double>(kinds.size());
        svg.text(left, kTop - 6, what);
        svg.line(left, kBottom, right, kBottom, "grid");
        for (const analysis::CopySizeClass& c : classes) {
            const auto kind =
                static_cast<double>(std::find(kinds.begin(), kinds.end(), c.kind) - kinds.begin());
            const double share =
                bytes ? static_cast<double>(c.bytes) / static_cast<double>(most_bytes)
                      : static_cast<double>(c.count) / static_cast<double>(most);
            const double height = share * (kBottom - kTop);
            const double x = left + static_cast<double>(place[c.up_to_bytes]) * group + kind * bar;
            svg.rect(x, kBottom - height, bar * 0.94, height, class_of(c.kind),
                     fmt::format("{} {}: {} copies, {}", analysis::copy_kind_name(c.kind),
                                 analysis::size_class_name(c.up_to_bytes), format_count(c.count),
                                 format_bytes(static_cast<double>(c.bytes))));
        }
        std::size_t number = 0;
        const std::size_t every = (place.size() + 5) / 6;  // as many words as fit
        for (const auto& [size, at] : place) {
            if (number++ % every != 0) continue;
            svg.text(left + (static_cast<double>(at) + 0.45) * group, kBottom + 14,
                     analysis::size_class_name(size), Svg::Anchor::kMiddle, "small");
        }
    };
    draw(30, 430, "copies", false);
    draw(465, 865, "bytes", true);
    draw_legend(svg, kBottom + 28, legend);
    return figure(svg.finish(), title,
                  "how many there are of each size, and how many bytes they carry. Small copies "
                  "cost their start-up time, large ones the link.");
}

std::string op_class(OpKind kind) {
    return "c-" + std::string(kind < OpKind::kCount ? op_kind_name(kind) : "other");
}

}  // namespace hc::cli
