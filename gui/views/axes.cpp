#include "gui/views/axes.h"

#include <cmath>

#include "gui/models/ticks.h"

namespace hc::gui {

QRectF Axes::area_within(const QRectF& whole, const QFontMetrics& metrics) {
    return whole.adjusted(metrics.horizontalAdvance("00.00 ms") + 8, metrics.height() / 2.0 + 4,
                          -12, -metrics.height() - 8.0);
}

QPointF Axes::place(double x, double y) const {
    const double width = std::max(x_.high - x_.low, 1e-12);
    const double height = std::max(y_.high - y_.low, 1e-12);
    return {area_.left() + (x - x_.low) / width * area_.width(),
            area_.bottom() - (y - y_.low) / height * area_.height()};
}

double Axes::x_at(double pixel) const {
    return x_.low + (pixel - area_.left()) / std::max(area_.width(), 1.0) * (x_.high - x_.low);
}

void Axes::paint(QPainter& painter, const Theme& theme) const {
    const QFontMetrics metrics(painter.font());
    const double step_y =
        nice_step((y_.high - y_.low) * metrics.height() * 1.8 / std::max(area_.height(), 1.0));
    for (double v = std::ceil(y_.low / step_y) * step_y; v <= y_.high + step_y * 1e-6;
         v += step_y) {
        const double y = std::round(place(x_.low, v).y()) + 0.5;
        painter.setPen(theme.grid);
        painter.drawLine(QPointF(area_.left(), y), QPointF(area_.right(), y));
        painter.setPen(theme.dim_text);
        const QString text = y_.text(v);
        painter.drawText(QPointF(area_.left() - 5 - metrics.horizontalAdvance(text),
                                 y + metrics.ascent() / 2.0 - 1),
                         text);
    }
    const double base = area_.bottom() + 4 + metrics.ascent();
    const double title_left = area_.right() - metrics.horizontalAdvance(x_.title);
    const double step_x = nice_step((x_.high - x_.low) * metrics.horizontalAdvance("00.0 ms") *
                                    1.1 / std::max(area_.width(), 1.0));
    for (double v = std::ceil(x_.low / step_x) * step_x; v <= x_.high + step_x * 1e-6;
         v += step_x) {
        const double x = std::round(place(v, y_.low).x()) + 0.5;
        painter.setPen(theme.grid);
        painter.drawLine(QPointF(x, area_.bottom()), QPointF(x, area_.bottom() + 3));
        const QString text = x_.text(v);
        const double half = metrics.horizontalAdvance(text) / 2.0;
        painter.setPen(theme.dim_text);
        if (x + half < title_left - 4) painter.drawText(QPointF(x - half, base), text);
    }
    painter.setPen(theme.dim_text);
    painter.drawText(QPointF(title_left, base), x_.title);
}

}  // namespace hc::gui
