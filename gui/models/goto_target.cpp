#include "gui/models/goto_target.h"

#include <QRegularExpression>

namespace hc::gui {

std::optional<GotoTarget> parse_goto(const QString& text) {
    static const QRegularExpression pattern("^([0-9]+(?:\\.[0-9]+)?)\\s*(ns|us|\u00b5s|ms|s)?$");
    const QRegularExpressionMatch match = pattern.match(text.trimmed());
    if (!match.hasMatch()) return std::nullopt;
    GotoTarget target;
    const QString unit = match.captured(2);
    if (unit.isEmpty()) {
        bool ok = false;
        target.step = match.captured(1).toLongLong(&ok);
        return ok ? std::optional(target) : std::nullopt;
    }
    const double factor = unit == "s" ? 1e9 : unit == "ms" ? 1e6 : unit == "ns" ? 1 : 1e3;
    target.time_ns = match.captured(1).toDouble() * factor;
    return target;
}

}  // namespace hc::gui
