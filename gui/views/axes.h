/// The frame of a small plot: round numbers on both axes, and where a value lies.
#pragma once

#include <QPainter>
#include <QRectF>
#include <QString>
#include <functional>

#include "gui/views/theme.h"

namespace hc::gui {

struct Axis {
    double low = 0, high = 1;
    std::function<QString(double)> text;
    QString title;
};

class Axes {
public:
    Axes(const QRectF& area, Axis x, Axis y) : area_(area), x_(std::move(x)), y_(std::move(y)) {}

    /// What is left of `whole` for the plot once numbers are written beside it.
    [[nodiscard]] static QRectF area_within(const QRectF& whole, const QFontMetrics& metrics);
    [[nodiscard]] QPointF place(double x, double y) const;
    [[nodiscard]] double x_at(double pixel) const;
    [[nodiscard]] const QRectF& area() const { return area_; }
    void paint(QPainter& painter, const Theme& theme) const;

private:
    QRectF area_;
    Axis x_, y_;
};

}  // namespace hc::gui
