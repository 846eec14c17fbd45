#include "cli/format.h"

#include <cmath>
#include <fmt/format.h>

namespace hc::cli {

std::string format_ns(double ns) {
    const double size = std::abs(ns);
    if (size < 1e3) return fmt::format("{:.0f} ns", ns);
    if (size < 1e6) return fmt::format("{:.1f} us", ns / 1e3);
    if (size < 1e9) return fmt::format("{:.2f} ms", ns / 1e6);
    return fmt::format("{:.2f} s", ns / 1e9);
}

std::string format_bytes(double bytes) {
    const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (std::abs(bytes) >= 1024 && unit + 1 < std::size(units)) {
        bytes /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, units[unit]);
}

std::string format_count(std::int64_t count) {
    std::string digits = fmt::format("{}", count);
    const std::ptrdiff_t first = digits.front() == '-' ? 1 : 0;
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > first; at -= 3) {
        digits.insert(static_cast<std::size_t>(at), ",");
    }
    return digits;
}

std::string format_percent(double share) { return fmt::format("{:.1f} %", share * 100); }

std::string format_percent(std::optional<double> share) {
    return share ? format_percent(*share) : std::string("none");
}

std::string format_number(double value, int digits) { return fmt::format("{:.{}f}", value, digits); }

}  // namespace hc::cli
