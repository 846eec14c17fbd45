#include "gui/models/ticks.h"

#include <QLocale>
#include <algorithm>
#include <array>
#include <cmath>

namespace hc::gui {
namespace {

struct TimeUnit {
    double ns;
    const char* name;
};
constexpr std::array<TimeUnit, 4> kTimeUnits = {
    {{1e9, "s"}, {1e6, "ms"}, {1e3, "\u00b5s"}, {1, "ns"}}};

QString three_digits(double value) {
    const double magnitude = std::abs(value);
    const int decimals = magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : 2;
    return QString::number(value, 'f', decimals);
}

}  // namespace

double nice_step(double least) {
    if (!(least > 0)) return 1;
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        // A hair of tolerance: pow and log10 of exact powers are not exact.
        if (factor * power >= least * (1 - 1e-9)) return factor * power;
    }
    return 10 * power;
}

std::vector<Tick> time_ticks(const TimeMapping& mapping, double min_distance_px) {
    const double step = std::max(nice_step(mapping.ns_per_px() * min_distance_px), 1.0);
    const TimeRange& range = mapping.range();
    // The unit is chosen by the largest time shown, the decimals by the step.
    const double largest = std::max({std::abs(range.start_ns), std::abs(range.end_ns), step});
    const auto unit = std::find_if(kTimeUnits.begin(), kTimeUnits.end() - 1,
                                   [&](const TimeUnit& u) { return largest >= u.ns; });
    const double digits = std::ceil(std::log10(unit->ns / step) - 1e-9);
    const int decimals = std::clamp(static_cast<int>(digits), 0, 9);

    std::vector<Tick> ticks;
    const double first = std::ceil(range.start_ns / step);
    const double last = std::floor(range.end_ns / step);
    for (double i = first; i <= last; ++i) {
        const double time = i * step;
        const double shown = time == 0 ? 0 : time / unit->ns;  // no "-0"
        ticks.push_back(
            {time, QString::number(shown, 'f', decimals) + ' ' + QString::fromUtf8(unit->name)});
    }
    return ticks;
}

QString format_duration(double ns) {
    const double magnitude = std::abs(ns);
    for (const TimeUnit& unit : kTimeUnits) {
        if (magnitude >= unit.ns * 0.9995 && unit.ns > 1) {
            return three_digits(ns / unit.ns) + ' ' + QString::fromUtf8(unit.name);
        }
    }
    return QString::number(ns, 'f', 0) + " ns";
}

QString format_time(double ns) {
    return QString::number(ns / 1e6, 'f', 3) + " ms";
}

QString format_bytes(double bytes) {
    constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (std::abs(bytes) >= 1023.5 && unit + 1 < kUnits.size()) {
        bytes /= 1024;
        ++unit;
    }
    const QString number = unit == 0 ? QString::number(bytes, 'f', 0) : three_digits(bytes);
    return number + ' ' + kUnits[unit];
}

QString format_count(qint64 count) {
    return QLocale(QLocale::English, QLocale::UnitedStates).toString(count);
}

}  // namespace hc::gui
