#include <QMouseEvent>
#include <QPainter>
#include <QPainterPath>
#include <QToolTip>
#include <algorithm>
#include <cmath>
#include <utility>

#include "gui/models/palette.h"
#include "gui/models/ticks.h"
#include "gui/views/drift_view.h"
#include "gui/views/theme.h"

namespace hc::gui {
namespace {

/// First and last step on the axis, with room for half a mark at both ends.
std::pair<double, double> shown_steps(const DriftModel& drift) {
    const auto first = static_cast<double>(drift.first_step());
    const auto last = static_cast<double>(drift.last_step());
    const double room = 0.5 + 0.015 * (last - first);
    return {first - room, last + room};
}

}  // namespace

DriftPlot::DriftPlot(QWidget* parent) : QWidget(parent) {
    setMouseTracking(true);
    setAccessibleName("attention drift of the chosen pivot");
}

void DriftPlot::set_view(const RunViewPtr& view) {
    view_ = view;
    series_.reset();
    marked_.reset();
    shown_first_.reset();
    shown_last_.reset();
    hover_ = nullptr;
    update();
}

void DriftPlot::show_series(std::optional<std::size_t> series) {
    series_ = series;
    hover_ = nullptr;
    update();
}

void DriftPlot::show_range(const TimeRange& range) {
    shown_first_.reset();
    shown_last_.reset();
    const auto& steps = view_ ? view_->data.steps : trace::Steps{};
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto start = static_cast<double>(steps.start_ns[i]);
        const auto end = static_cast<double>(steps.end_ns[i]);
        if (end <= range.start_ns || start >= range.end_ns || end <= start) continue;
        // Fractions of a step, so that panning moves the shade smoothly.
        const auto step = static_cast<double>(steps.step[i]);
        const double first = step - 0.5 + std::max(0.0, (range.start_ns - start) / (end - start));
        const double last = step - 0.5 + std::min(1.0, (range.end_ns - start) / (end - start));
        shown_first_ = shown_first_ ? std::min(*shown_first_, first) : first;
        shown_last_ = shown_last_ ? std::max(*shown_last_, last) : last;
    }
    update();
}

void DriftPlot::mark_step(std::optional<std::int64_t> step) {
    marked_ = step;
    update();
}

const DriftSeries* DriftPlot::series() const {
    return view_ && series_ ? &view_->drift.series()[*series_] : nullptr;
}

QRectF DriftPlot::plot_rect() const {
    const QFontMetrics metrics(font());
    const double left = metrics.horizontalAdvance("0.00") + 14;
    const double bottom = metrics.height() + 8;
    return QRectF(left, 22, width() - left - 14, height() - 22 - bottom);
}

QPointF DriftPlot::position_of(double step, double overlap) const {
    const QRectF area = plot_rect();
    const auto [first, last] = shown_steps(view_->drift);
    return {area.left() + (step - first) / (last - first) * area.width(),
            area.bottom() - overlap * area.height()};
}

double DriftPlot::step_at(double x) const {
    const QRectF area = plot_rect();
    const auto [first, last] = shown_steps(view_->drift);
    return first + (x - area.left()) / area.width() * (last - first);
}

void DriftPlot::paint_axes(QPainter& painter) const {
    const Theme theme = Theme::of(palette());
    const QFontMetrics metrics(font());
    const QRectF area = plot_rect();
    const double rows = area.height() < 90 ? 0.5 : 0.25;
    for (double y = 0; y <= 1.0001; y += rows) {
        const double py = std::round(area.bottom() - y * area.height()) + 0.5;
        painter.setPen(theme.grid);
        painter.drawLine(QPointF(area.left(), py), QPointF(area.right(), py));
        painter.setPen(theme.dim_text);
        const QString label = QString::number(y, 'f', 2);
        painter.drawText(QPointF(area.left() - 6 - metrics.horizontalAdvance(label),
                                 py + metrics.ascent() / 2.0 - 1),
                         label);
    }
    const auto first = static_cast<double>(view_->drift.first_step());
    const auto last = static_cast<double>(view_->drift.last_step());
    const double step =
        std::max(1.0, nice_step((last - first + 1) * 60 / std::max(area.width(), 1.0)));
    const double base = area.bottom() + 5 + metrics.ascent();
    const QString axis = "step";
    const double axis_left = area.right() - metrics.horizontalAdvance(axis);
    painter.drawText(QPointF(axis_left, base), axis);
    for (double s = std::ceil(first / step) * step; s <= last; s += step) {
        const double x = std::round(position_of(s, 0).x()) + 0.5;
        const QString label = QString::number(s, 'f', 0);
        const double half = metrics.horizontalAdvance(label) / 2.0;
        painter.setPen(theme.grid);
        painter.drawLine(QPointF(x, area.bottom()), QPointF(x, area.bottom() + 4));
        painter.setPen(theme.dim_text);
        if (x + half < axis_left - 8) painter.drawText(QPointF(x - half, base), label);
    }
}

void DriftPlot::paint_series(QPainter& painter) const {
    const Theme theme = Theme::of(palette());
    const DriftSeries& s = *series();
    const QRectF area = plot_rect();
    const QColor line = QColor::fromRgb(hue_rgb(Hue::kAttention, theme.dark));
    QColor band = line;
    band.setAlpha(70);
    painter.save();
    painter.setClipRect(area.adjusted(-1, -16, 1, 1));
    painter.setRenderHint(QPainter::Antialiasing);
    QPainterPath upper;
    std::vector<QPointF> lower, median, threshold;
    for (const DriftPoint& point : s.points) {
        const auto step = static_cast<double>(point.step);
        const QPointF top = position_of(step, point.highest);
        upper.elementCount() == 0 ? upper.moveTo(top) : upper.lineTo(top);
        lower.push_back(position_of(step, point.lowest));
        median.push_back(position_of(step, point.median));
        threshold.push_back(position_of(step, point.threshold));
    }
    for (auto it = lower.rbegin(); it != lower.rend(); ++it) upper.lineTo(*it);
    upper.closeSubpath();
    painter.fillPath(upper, band);
    threshold.front().setX(area.left());
    threshold.back().setX(area.right());
    QPen dashed(theme.warning, 1.3);
    dashed.setDashPattern({5, 4});
    painter.setPen(dashed);
    painter.drawPolyline(threshold.data(), static_cast<int>(threshold.size()));
    painter.setPen(QPen(line, 1.8));
    painter.drawPolyline(median.data(), static_cast<int>(median.size()));
    const bool dots = area.width() / static_cast<double>(s.points.size()) > 7;
    for (std::size_t i = 0; i < s.points.size(); ++i) {
        const bool triggered = s.points[i].triggered;
        if (!triggered && !dots) continue;
        painter.setPen(Qt::NoPen);
        painter.setBrush(triggered ? theme.warning : line);
        painter.drawEllipse(median[i], triggered ? 4.0 : 2.4, triggered ? 4.0 : 2.4);
        if (!triggered) continue;
        // The mark above the plot shows a trigger even where curves are crowded.
        const double x = median[i].x();
        const QPointF mark[] = {
            {x - 4.5, area.top() - 12}, {x + 4.5, area.top() - 12}, {x, area.top() - 4}};
        painter.drawPolygon(mark, 3);
        QColor stem = theme.warning;
        stem.setAlpha(90);
        painter.setPen(QPen(stem, 1));
        painter.drawLine(QPointF(x, area.top() - 4), QPointF(x, area.bottom()));
    }
    painter.restore();
}

void DriftPlot::paint_hover(QPainter& painter) const {
    if (hover_ == nullptr) return;
    const Theme theme = Theme::of(palette());
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(theme.accent, 1.4));
    painter.setBrush(Qt::NoBrush);
    painter.drawEllipse(position_of(static_cast<double>(hover_->step), hover_->median), 6, 6);
}

void DriftPlot::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const Theme theme = Theme::of(palette());
    painter.fillRect(rect(), theme.ground);
    if (series() == nullptr) {
        painter.setPen(theme.dim_text);
        const QString text = view_ ? "This run made no drift checks.\nOnly runs that retrieve do."
                                   : "The drift of a pivot shows here.";
        painter.drawText(rect(), Qt::AlignCenter, text);
        return;
    }
    const QRectF area = plot_rect();
    if (shown_first_) {
        const double left = std::max(position_of(*shown_first_, 0).x(), area.left());
        const double right = std::min(position_of(*shown_last_, 0).x(), area.right());
        const bool part = left > area.left() + 1 || right < area.right() - 1;
        if (part && right >= left) {
            QColor shade = theme.text;
            shade.setAlpha(theme.dark ? 22 : 16);
            painter.fillRect(QRectF(left, area.top(), std::max(right - left, 2.0), area.height()),
                             shade);
        }
    }
    paint_axes(painter);
    paint_series(painter);
    if (marked_) {
        const double x = position_of(static_cast<double>(*marked_), 0).x();
        painter.setPen(QPen(theme.accent, 1.2));
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()));
    }
    paint_hover(painter);
}

void DriftPlot::mouseMoveEvent(QMouseEvent* event) {
    const DriftSeries* s = series();
    hover_ = s == nullptr ? nullptr : nearest_point(*s, step_at(event->position().x()));
    if (hover_ != nullptr) {
        QToolTip::showText(event->globalPosition().toPoint(),
                           QString("step %1\nmedian overlap %2\nwindow %3 to %4\nthreshold %5%6")
                               .arg(hover_->step)
                               .arg(hover_->median, 0, 'f', 3)
                               .arg(hover_->lowest, 0, 'f', 3)
                               .arg(hover_->highest, 0, 'f', 3)
                               .arg(hover_->threshold, 0, 'f', 2)
                               .arg(hover_->triggered ? "\ntriggered a fetch" : ""),
                           this);
    }
    update();
}

void DriftPlot::leaveEvent(QEvent*) {
    hover_ = nullptr;
    update();
}

void DriftPlot::mousePressEvent(QMouseEvent* event) {
    const DriftSeries* s = series();
    if (s == nullptr || event->button() != Qt::LeftButton) return;
    if (const DriftPoint* point = nearest_point(*s, step_at(event->position().x()))) {
        Q_EMIT step_clicked(point->step);
    }
}

}  // namespace hc::gui
