#include <QPainter>
#include <QPainterPath>
#include <algorithm>
#include <cmath>

#include "gui/models/ticks.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {
namespace {

constexpr double kArrowHead = 6;

/// Text on a small plate, so that it reads over anything.
void draw_plate(QPainter& painter, const QRectF& around, const QString& text, const Theme& theme) {
    QColor plate = theme.panel;
    plate.setAlpha(235);
    painter.setPen(theme.border);
    painter.setBrush(plate);
    painter.drawRoundedRect(around, 3, 3);
    painter.setPen(theme.text);
    painter.drawText(around, Qt::AlignCenter, text);
}

/// From the end of one box to the begin of the next; where that leaves no way between, from below
/// (or above) the one to above (or below) the other.
void draw_arrow(QPainter& painter, const QRectF& from, const QRectF& to, const Theme& theme) {
    QPointF start(from.right(), from.center().y()), end(to.left(), to.center().y());
    QPointF along(1, 0);
    double bend = std::clamp((end.x() - start.x()) * 0.45, 12.0, 120.0);
    const bool apart = from.bottom() <= to.top() || to.bottom() <= from.top();
    if (apart && end.x() - start.x() < 40) {
        const double down = from.bottom() <= to.top() ? 1 : -1;
        start = {from.center().x(), down > 0 ? from.bottom() : from.top()};
        end = {to.center().x(), down > 0 ? to.top() : to.bottom()};
        along = {0, down};
        bend = std::abs(end.y() - start.y()) * 0.45;
    }
    const QPointF across(-along.y(), along.x());
    QPainterPath path(start);
    path.cubicTo(start + along * bend, end - along * bend, end - along * kArrowHead);
    // A halo in the ground's colour keeps the line apart from what lies under it.
    QColor halo = theme.ground;
    halo.setAlpha(200);
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(halo, 5, Qt::SolidLine, Qt::RoundCap));
    painter.drawPath(path);
    painter.setPen(QPen(theme.accent, 1.7, Qt::SolidLine, Qt::RoundCap));
    painter.drawPath(path);
    const QPointF base = end - along * (kArrowHead + 1);
    const QPointF head[] = {end, base + across * 4, base - across * 4};
    painter.setPen(Qt::NoPen);
    painter.setBrush(theme.accent);
    painter.drawPolygon(head, 3);
}

}  // namespace

void TimelineView::paint_overlays(QPainter& painter, const Theme& theme) const {
    painter.save();
    painter.setClipRect(tracks_rect());
    paint_measured(painter, theme);
    paint_marked_step(painter, theme);
    paint_selection(painter, theme);
    paint_arrows(painter, theme);
    painter.restore();
}

void TimelineView::paint_selection(QPainter& painter, const Theme& theme) const {
    if (!selection_ || !is_seen(*selection_)) return;
    QRectF box = rect_of(*selection_);
    // Around a short event, not over it.
    if (box.width() < 7) box = QRectF(box.center().x() - 3.5, box.top(), 7, box.height());
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(theme.ground, 4));
    painter.drawRect(box);
    painter.setPen(QPen(theme.accent, 2));
    painter.drawRect(box);
    painter.setRenderHint(QPainter::Antialiasing, false);
}

/// In a lane that is shown, and not scrolled under the pinned tracks. Arrows to what is above or
/// below the window still point there.
bool TimelineView::is_seen(const EventRef& event) const {
    const LanePlace& place = layout_.lanes[event.lane];
    if (place.height == 0) return false;
    return place.pinned ||
           top_of(place) + place.height > tracks_rect().top() + layout_.pinned_height;
}

void TimelineView::paint_arrows(QPainter& painter, const Theme& theme) const {
    painter.setRenderHint(QPainter::Antialiasing);
    for (const FlowArrow& arrow : arrows_) {
        if (!is_seen(arrow.from) || !is_seen(arrow.to)) continue;
        draw_arrow(painter, rect_of(arrow.from), rect_of(arrow.to), theme);
    }
    painter.setPen(QPen(theme.accent, 1.2));
    painter.setBrush(Qt::NoBrush);
    for (const FlowArrow& arrow : arrows_) {
        for (const EventRef& event : {arrow.from, arrow.to}) {
            if (!is_seen(event)) continue;
            QRectF box = rect_of(event);
            if (box.width() < 5) box = QRectF(box.center().x() - 2.5, box.top(), 5, box.height());
            painter.drawRect(box);
        }
    }
    painter.setRenderHint(QPainter::Antialiasing, false);
}

void TimelineView::paint_marked_step(QPainter& painter, const Theme& theme) const {
    const auto row = marked_step_ ? view_->step_row(*marked_step_) : std::nullopt;
    if (!row) return;
    const QRect tracks = tracks_rect();
    const TimeRange step = view_->step_range(*row);
    const double left = tracks.left() + mapping().x_at(step.start_ns);
    const double right = tracks.left() + mapping().x_at(step.end_ns);
    QColor shade = theme.warning;
    shade.setAlpha(36);
    painter.fillRect(QRectF(left, tracks.top(), std::max(right - left, 2.0), tracks.height()),
                     shade);
}

void TimelineView::paint_measured(QPainter& painter, const Theme& theme) const {
    if (!measured_) return;
    const QRect tracks = tracks_rect();
    const TimeMapping map = mapping();
    const double left = tracks.left() + map.x_at(measured_->start_ns);
    const double right = tracks.left() + map.x_at(measured_->end_ns);
    QColor shade = theme.accent;
    shade.setAlpha(28);
    painter.fillRect(QRectF(left, tracks.top(), right - left, tracks.height()), shade);
    painter.setPen(QPen(theme.accent, 1));
    painter.drawLine(QPointF(left, tracks.top()), QPointF(left, tracks.bottom()));
    painter.drawLine(QPointF(right, tracks.top()), QPointF(right, tracks.bottom()));
    const QString text = format_duration(measured_->span());
    const QFontMetrics metrics(font());
    const double wide = metrics.horizontalAdvance(text) + 12;
    const double centre = std::clamp((left + right) / 2, tracks.left() + wide / 2 + 2.0,
                                     tracks.right() - wide / 2 - 2.0);
    draw_plate(painter,
               QRectF(centre - wide / 2, tracks.bottom() - metrics.height() - 10, wide,
                      metrics.height() + 4),
               text, theme);
}

void TimelineView::paint_cursor(QPainter& painter, const Theme& theme) const {
    const QRect tracks = tracks_rect();
    if (!mouse_ || mouse_->x() < tracks.left() || mouse_->x() > tracks.right()) return;
    QColor line = theme.accent;
    line.setAlpha(110);
    painter.setPen(line);
    painter.drawLine(QPointF(mouse_->x(), tracks.top()), QPointF(mouse_->x(), tracks.bottom()));
    const TimeMapping map = mapping();
    const double time = map.time_at(mouse_->x() - tracks.left());
    // Digits down to a pixel's worth of time.
    const double decimals = std::clamp(6 - std::floor(std::log10(map.ns_per_px())), 0.0, 6.0);
    const QString text = QString::number(time / 1e6, 'f', static_cast<int>(decimals)) + " ms";
    const QFontMetrics metrics(font());
    const double wide = metrics.horizontalAdvance(text) + 12;
    const QRect ruler = ruler_rect();
    const double centre =
        std::clamp(mouse_->x(), ruler.left() + wide / 2, ruler.right() - wide / 2);
    draw_plate(painter, QRectF(centre - wide / 2, ruler.top() + 2, wide, ruler.height() - 4), text,
               theme);
}

}  // namespace hc::gui
