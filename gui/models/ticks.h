/// Round numbers for rulers and axes, and times as people read them.
#pragma once

#include <QString>
#include <vector>

#include "gui/models/time_mapping.h"

namespace hc::gui {

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
[[nodiscard]] double nice_step(double least);

struct Tick {
    double time_ns = 0;
    QString label;
};

/// Ticks over the range, at least `min_distance_px` apart, labelled with just enough digits to
/// tell neighbours apart.
[[nodiscard]] std::vector<Tick> time_ticks(const TimeMapping& mapping, double min_distance_px);

/// "734 ns", "12.4 µs", "3.21 ms", "1.20 s": three digits that matter.
[[nodiscard]] QString format_duration(double ns);
/// A place in time, to the microsecond, so that neighbours differ: "49776.123 ms".
[[nodiscard]] QString format_time(double ns);
/// "512 B", "1.50 KiB", "3.2 MiB".
[[nodiscard]] QString format_bytes(double bytes);
/// 1234567 as "1,234,567".
[[nodiscard]] QString format_count(qint64 count);

}  // namespace hc::gui
