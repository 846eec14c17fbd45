// What stands around the events: the strip of the whole run, ruler, titles, legend.
#include <QPainter>
#include <QScrollBar>
#include <algorithm>
#include <cmath>

#include "gui/models/palette.h"
#include "gui/models/ticks.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {

void TimelineView::render_minimap() {
    minimap_dirty_ = false;
    const Theme theme = Theme::of(palette());
    const double ratio = devicePixelRatioF();
    const QRect map = minimap_rect();
    minimap_ =
        QImage(static_cast<int>(std::lround(map.width() * ratio)),
               static_cast<int>(std::lround((map.height() - 6) * ratio)), QImage::Format_RGB32);
    minimap_.fill(theme.ground);
    if (!view_) return;
    std::vector<LaneRow> rows;
    const auto add = [&](LaneKind kind, double top, double height) {
        for (std::size_t i = 0; i < view_->lanes.lanes.size(); ++i) {
            if (view_->lanes.lanes[i].kind != kind) continue;
            rows.push_back({i, static_cast<int>(top * minimap_.height()),
                            std::max(1, static_cast<int>(height * minimap_.height()))});
            return;  // one lane of a kind tells enough at this size
        }
    };
    const bool any_steps = view_->data.steps.size() > 0;
    const bool any_fetches = !view_->data.fetches.empty();
    if (any_steps) add(LaneKind::kSteps, 0.0, 0.62);
    if (any_fetches) add(LaneKind::kFetches, 0.7, 0.3);
    // A trace of nothing but activity: kernels and calls say where something happened.
    if (!any_steps) add(LaneKind::kKernels, 0.0, 0.62);
    if (!any_fetches) add(LaneKind::kApi, 0.7, 0.3);
    RasterStyle style = raster_style(1);
    style.matches = {};
    std::vector<LabelSlot> none;
    const TimeMapping whole(bounds(), minimap_.width());
    TrackRaster(view_->lanes, style).paint(minimap_, whole, rows, 1 << 20, none);
    minimap_.setDevicePixelRatio(ratio);
}

void TimelineView::paint_minimap(QPainter& painter, const Theme& theme) const {
    const QRect map = minimap_rect();
    painter.fillRect(QRect(0, 0, width(), map.height()), theme.panel);
    painter.drawImage(map.topLeft() + QPoint(0, 3), minimap_);
    if (!view_) return;
    const TimeMapping whole(bounds(), map.width());
    const double left = map.left() + whole.x_at(stack_->current().start_ns);
    const double right = map.left() + whole.x_at(stack_->current().end_ns);
    const QRectF window(
        std::max<double>(left, map.left()), 1.5,
        std::max(3.0, std::min<double>(right, map.right()) - std::max<double>(left, map.left())),
        map.height() - 3);
    QColor outside = theme.panel;
    outside.setAlpha(150);
    painter.fillRect(QRectF(map.left(), 3, window.left() - map.left(), map.height() - 6), outside);
    painter.fillRect(QRectF(window.right(), 3, map.right() + 1 - window.right(), map.height() - 6),
                     outside);
    paint_hits(painter, theme);
    painter.setPen(QPen(theme.accent, 1));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(window);
    painter.setPen(theme.dim_text);
    painter.drawText(QRect(10, 0, map.left() - 16, map.height()), Qt::AlignVCenter | Qt::AlignLeft,
                     "whole run");
}

/// A mark for every pixel of the strip in which hits begin: a walk by pixels, not by hits.
void TimelineView::paint_hits(QPainter& painter, const Theme& theme) const {
    if (!hits_ || hits_->count == 0) return;
    const QRect map = minimap_rect();
    const TimeMapping whole(bounds(), map.width());
    std::vector<std::uint8_t> marked(static_cast<std::size_t>(map.width()));
    for (std::size_t lane = 0; lane < hits_->in_lane.size(); ++lane) {
        const auto& hits = hits_->in_lane[lane];
        const LaneEvents& events = view_->lanes.lanes[lane].events;
        for (std::size_t i = 0; i < hits.size();) {
            const double x = whole.x_at(static_cast<double>(events.start(hits[i])));
            const int pixel = std::clamp(static_cast<int>(x), 0, map.width() - 1);
            marked[static_cast<std::size_t>(pixel)] = 1;
            const double next = whole.time_at(pixel + 1);
            const auto later = std::partition_point(
                hits.begin() + static_cast<std::ptrdiff_t>(i) + 1, hits.end(),
                [&](std::uint32_t k) { return static_cast<double>(events.start(k)) < next; });
            i = static_cast<std::size_t>(later - hits.begin());
        }
    }
    for (std::size_t x = 0; x < marked.size(); ++x) {
        if (marked[x] == 0) continue;
        painter.fillRect(QRect(map.left() + static_cast<int>(x), map.bottom() - 4, 1, 4),
                         theme.warning);
    }
}

void TimelineView::paint_ruler(QPainter& painter, const Theme& theme) const {
    const QRect ruler = ruler_rect();
    painter.fillRect(QRect(0, ruler.top(), width(), ruler.height()), theme.panel);
    painter.setPen(theme.border);
    painter.drawLine(0, ruler.bottom(), width(), ruler.bottom());
    const QFontMetrics metrics(font());
    const int base = ruler.top() + (ruler.height() + metrics.ascent() - metrics.descent()) / 2;
    for (const Tick& tick : time_ticks(mapping(), metrics.horizontalAdvance("0000.000 ms") + 16)) {
        const double x = ruler.left() + mapping().x_at(tick.time_ns);
        if (x < ruler.left() || x > ruler.right()) continue;
        painter.setPen(theme.border);
        painter.drawLine(QPointF(std::floor(x) + 0.5, ruler.top() + 5),
                         QPointF(std::floor(x) + 0.5, ruler.bottom()));
        painter.setPen(theme.dim_text);
        if (x + 5 + metrics.horizontalAdvance(tick.label) < ruler.right()) {
            painter.drawText(QPointF(x + 5, base), tick.label);
        }
    }
    painter.setPen(theme.dim_text);
    painter.drawText(QRect(10, ruler.top(), ruler.left() - 16, ruler.height()),
                     Qt::AlignVCenter | Qt::AlignLeft,
                     format_duration(stack_->current().span()) + " shown");
}

void TimelineView::paint_gutter(QPainter& painter, const Theme& theme) const {
    const QRect tracks = tracks_rect();
    const QRect gutter(0, tracks.top(), tracks.left(), tracks.height());
    painter.fillRect(gutter, theme.panel);
    painter.save();
    painter.setClipRect(gutter);
    const QFontMetrics metrics(font());
    const QFont small = small_font(*this);
    const QFontMetrics small_metrics(small);
    for (const GroupPlace& place : layout_.groups) {
        const LaneGroup& group = view_->lanes.groups[place.group];
        const int top = tracks.top() + layout_.on_screen(place, scroll_->value());
        const int least = tracks.top() + (place.pinned ? 0 : layout_.pinned_height);
        painter.setClipRect(gutter.intersected(QRect(0, least, gutter.width(), height())));
        if (group.key == focused_key_) {
            painter.fillRect(QRect(0, top - 3, 3, place.height + 6), theme.accent);
        }
        const bool first = &place == &layout_.groups.front();
        painter.setPen(theme.border);
        if (!first) painter.drawLine(0, top - 4, gutter.right(), top - 4);
        if (dragged_before_ && *dragged_before_ == group.key) {
            painter.fillRect(QRect(0, top - 5, gutter.width(), 3), theme.accent);
        }
        QString subtitle = group.subtitle;
        if (group.kind == LaneKind::kSteps && view_->metrics.step_ns.count > 0) {
            subtitle = "median " + format_duration(view_->metrics.step_ns.median);
        }
        if (place.pinned) subtitle = subtitle.isEmpty() ? "pinned" : subtitle + ", pinned";
        if (group.count > 1 && group.kind == LaneKind::kFetches) {
            subtitle += QString("\nup to %1 at once").arg(group.count);
        }
        const int both = metrics.height() + small_metrics.height();
        const bool two = !subtitle.isEmpty() && place.height >= both - 2;
        const int text_top = two ? top + std::min(6, (place.height - both + 2) / 2)
                                 : top + (place.height - metrics.height()) / 2;
        painter.setFont(font());
        painter.setPen(theme.text);
        painter.drawText(QRect(10, text_top, gutter.width() - 14, metrics.height()),
                         Qt::AlignLeft | Qt::AlignVCenter,
                         metrics.elidedText(group.title, Qt::ElideRight, gutter.width() - 14));
        if (!two) continue;
        painter.setFont(small);
        painter.setPen(theme.dim_text);
        painter.drawText(
            QRect(10, text_top + metrics.height(), gutter.width() - 12,
                  std::min(place.height - metrics.height() + 4, 3 * small_metrics.height())),
            Qt::AlignLeft | Qt::AlignTop, subtitle);
    }
    painter.restore();
    painter.setPen(theme.border);
    painter.drawLine(gutter.right(), 0, gutter.right(), height() - legend_height());
}

void TimelineView::paint_legend(QPainter& painter, const Theme& theme) const {
    if (legend_height() == 0) return;
    const QRect area(0, height() - legend_height(), width(), legend_height());
    painter.fillRect(area, theme.panel);
    painter.setPen(theme.border);
    painter.drawLine(area.topLeft(), area.topRight());
    const QFont small = small_font(*this);
    const QFontMetrics metrics(small);
    painter.setFont(small);
    int x = 10;
    const int centre = area.center().y() + 1;
    for (const LegendEntry& entry : legend_) {
        const int wide = metrics.horizontalAdvance(entry.text);
        if (x + 14 + wide > area.right() - 8) break;
        painter.fillRect(QRect(x, centre - 5, 10, 10),
                         QColor::fromRgb(hue_rgb(entry.hue, theme.dark)));
        painter.setPen(theme.dim_text);
        painter.drawText(x + 14, centre + (metrics.ascent() - metrics.descent()) / 2, entry.text);
        x += 14 + wide + 13;
    }
}

}  // namespace hc::gui
