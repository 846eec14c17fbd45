/// Where a person wants to go: a step, or a time.
#pragma once

#include <QString>
#include <cstdint>
#include <optional>

namespace hc::gui {

struct GotoTarget {
    std::optional<std::int64_t> step;
    std::optional<double> time_ns;
};

/// "40" is a step, "12.5ms", "3s", "250us", "99ns" a time from the trace's start. nullopt: neither.
[[nodiscard]] std::optional<GotoTarget> parse_goto(const QString& text);

}  // namespace hc::gui
