#include <QPainter>
#include <QScrollBar>
#include <algorithm>
#include <cmath>

#include "gui/models/describe.h"
#include "gui/models/palette.h"
#include "gui/models/ticks.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {
namespace {

// The steps' bars: the longest decode step fills the row, unless it is so long that all others
// would be flat; then this many medians do.
constexpr double kTallestMedians = 2;
// Steps narrower than this get no lines through the lanes.
constexpr double kStepLinePx = 26;
constexpr int kLabelPad = 4;
// Events narrower than this carry no text.
constexpr int kLeastLabelPx = 26;

QFont small_font(const QWidget& widget) {
    QFont font = widget.font();
    font.setPixelSize(std::max(9, QFontMetrics(font).height() * 5 / 8));
    return font;
}

}  // namespace

double TimelineView::bar_top_ns() const {
    const analysis::Distribution& steps = view_->metrics.step_ns;
    if (steps.count == 0)
        return static_cast<double>(std::max<std::int64_t>(view_->metrics.prefill_ns, 1));
    return std::min(steps.max, steps.median * kTallestMedians) * 1.04;
}

void TimelineView::render_tracks() {
    tracks_dirty_ = false;
    const Theme theme = Theme::of(palette());
    const double ratio = devicePixelRatioF();
    const QRect tracks = tracks_rect();
    const QSize size(static_cast<int>(std::lround(tracks.width() * ratio)),
                     static_cast<int>(std::lround(tracks.height() * ratio)));
    if (tracks_.size() != size) tracks_ = QImage(size, QImage::Format_RGB32);
    tracks_.setDevicePixelRatio(1);
    tracks_.fill(theme.ground);
    if (!view_) return;

    const TimeMapping device(stack_->current(), size.width());
    std::vector<LabelSlot> labels;
    const int least = static_cast<int>(kLeastLabelPx * ratio);
    TrackRaster(view_->lanes, raster_style(ratio))
        .paint(tracks_, device, raster_rows(ratio), least, labels);

    tracks_.setDevicePixelRatio(ratio);
    QPainter painter(&tracks_);
    painter.setFont(font());
    paint_step_lines(painter, theme);
    paint_labels(painter, labels, ratio);
    paint_trigger_marks(painter, theme);
    paint_counters(painter, theme);
    paint_pinned_edge(painter, theme);
}

std::vector<LaneRow> TimelineView::raster_rows(double ratio) const {
    std::vector<LaneRow> rows;
    const int pinned = static_cast<int>(std::lround(layout_.pinned_height * ratio));
    for (const LanePlace& place : layout_.lanes) {
        if (place.height == 0) continue;
        const double top = layout_.on_screen(place, scroll_->value()) * ratio;
        const double bottom = top + place.height * ratio;
        rows.push_back({place.lane, static_cast<int>(std::lround(top)),
                        static_cast<int>(std::lround(bottom)) - static_cast<int>(std::lround(top)),
                        place.pinned ? 0 : pinned});
    }
    return rows;
}

RasterStyle TimelineView::raster_style(double ratio) const {
    const Theme theme = Theme::of(palette());
    RasterStyle style;
    style.dark = theme.dark;
    style.ground = theme.ground.rgb();
    style.counter = hue_rgb(Hue::kCounter, theme.dark);
    style.pixel_ratio = std::max(1, static_cast<int>(std::lround(ratio)));
    style.bar_top_ns = bar_top_ns();
    if (hits_) style.matches = hits_->names;
    return style;
}

void TimelineView::paint_pinned_edge(QPainter& painter, const Theme& theme) const {
    if (layout_.pinned_height == 0) return;
    painter.setPen(QPen(theme.dim_text, 1));
    const double y = layout_.pinned_height - 2.5;
    painter.drawLine(QPointF(0, y), QPointF(tracks_rect().width(), y));
}

/// The full height's value at the left edge of each curve.
void TimelineView::paint_counters(QPainter& painter, const Theme& theme) const {
    painter.setFont(small_font(*this));
    const QFontMetrics metrics(painter.font());
    for (const LanePlace& place : layout_.lanes) {
        const Lane& lane = view_->lanes.lanes[place.lane];
        if (lane.kind != LaneKind::kCounter || place.height < metrics.height()) continue;
        const int top = layout_.on_screen(place, scroll_->value());
        if (!place.pinned && top < layout_.pinned_height) continue;
        const QString text = counter_text(lane.unit, lane.counter_top);
        QColor plate = theme.ground;
        plate.setAlpha(190);
        const QRect box(0, top, metrics.horizontalAdvance(text) + 8, metrics.height() - 1);
        painter.fillRect(box, plate);
        painter.setPen(theme.dim_text);
        painter.drawText(QPointF(4, top + metrics.ascent() - 1), text);
        painter.setPen(theme.grid);
        painter.drawLine(QPointF(0, top + place.height - 0.5),
                         QPointF(tracks_rect().width(), top + place.height - 0.5));
    }
}

void TimelineView::paint_labels(QPainter& painter, const std::vector<LabelSlot>& labels,
                                double ratio) const {
    const QFont usual = font(), small = small_font(*this);
    const QFontMetrics usual_metrics(usual), small_metrics(small);
    for (const LabelSlot& slot : labels) {
        const bool roomy = slot.height / ratio >= usual_metrics.height() + 2;
        const QFontMetrics& metrics = roomy ? usual_metrics : small_metrics;
        if (metrics.height() - 2 > slot.height / ratio) continue;
        const double left = slot.left / ratio + kLabelPad;
        const double room = slot.right / ratio - left - kLabelPad;
        QString text = event_label(*view_, slot.event);
        if (metrics.horizontalAdvance(text) > room) text = text.section(" L", 0, 0);
        const QString fitting = metrics.elidedText(text, Qt::ElideRight, static_cast<int>(room));
        // Three letters and dots say nothing: the colour says it better.
        if (fitting.size() < std::min<qsizetype>(text.size(), 5)) continue;
        painter.setFont(roomy ? usual : small);
        painter.setPen(QColor::fromRgb(readable_on(slot.ground)));
        const double centre = (slot.top + slot.height / 2.0) / ratio;
        painter.drawText(QPointF(left, centre + (metrics.ascent() - metrics.descent()) / 2.0),
                         fitting);
    }
}

void TimelineView::paint_step_lines(QPainter& painter, const Theme& theme) const {
    const TimeMapping map = mapping();
    const double median = view_->metrics.step_ns.median;
    const QRect tracks = tracks_rect();
    for (const LanePlace& place : layout_.lanes) {
        const Lane& lane = view_->lanes.lanes[place.lane];
        if (lane.kind != LaneKind::kSteps || place.height == 0) continue;
        const int bottom = layout_.on_screen(place, scroll_->value()) + place.height;
        // Under pinned tracks only what is below them shows.
        const int least = place.pinned ? 0 : layout_.pinned_height;
        painter.setClipRect(0, least, tracks.width(), tracks.height() - least);
        if (median / map.ns_per_px() >= kStepLinePx) {
            QColor line = theme.text;
            line.setAlpha(theme.dark ? 46 : 40);
            painter.setPen(line);
            for (std::size_t i = lane.events.first_ending_after(map.range().start_ns);
                 i < lane.events.size(); ++i) {
                const double x = map.x_at(static_cast<double>(lane.events.start(i)));
                if (x > map.width()) break;
                painter.drawLine(QPointF(std::floor(x) + 0.5, bottom),
                                 QPointF(std::floor(x) + 0.5, tracks.height()));
                const double right = map.x_at(static_cast<double>(lane.events.end(i)));
                const QString label = event_label(*view_, {place.lane, i});
                const QFontMetrics metrics(font());
                const double centre = (std::max(x, 0.0) + std::min<double>(right, map.width())) / 2;
                const double half = metrics.horizontalAdvance(label) / 2.0;
                if (right - x < 2 * half + 6) continue;
                const QRgb ground =
                    hue_rgb(view_->lanes.names[lane.events.name(i)].hue, theme.dark);
                painter.save();
                painter.setPen(QColor::fromRgb(readable_on(ground)));
                painter.drawText(QPointF(centre - half, bottom - metrics.descent() - 2), label);
                painter.restore();
            }
        }
        if (median <= 0) continue;
        const double y = std::round(bottom - median / bar_top_ns() * place.height) + 0.5;
        QPen dashed(theme.dim_text, 1);
        dashed.setDashPattern({2, 4});
        painter.setPen(dashed);
        painter.drawLine(QPointF(0, y), QPointF(tracks.width(), y));
    }
    painter.setClipping(false);
}

void TimelineView::paint_trigger_marks(QPainter& painter, const Theme& theme) const {
    const TimeMapping map = mapping();
    painter.setRenderHint(QPainter::Antialiasing);
    for (const LanePlace& place : layout_.lanes) {
        const Lane& lane = view_->lanes.lanes[place.lane];
        if (lane.kind != LaneKind::kSteps || place.height == 0) continue;
        const double top = layout_.on_screen(place, scroll_->value()) - kMarkHeight;
        if (!place.pinned && top < layout_.pinned_height) continue;
        double last_x = -100;
        for (std::size_t i = lane.events.first_ending_after(map.range().start_ns);
             i < lane.events.size(); ++i) {
            const auto start = static_cast<double>(lane.events.start(i));
            if (start > map.range().end_ns) break;
            const StepFacts& facts = view_->facts[lane.events.source(i)];
            if (facts.triggers == 0) continue;
            const double left = map.x_at(start);
            const double right = map.x_at(static_cast<double>(lane.events.end(i)));
            const double x = (std::max(left, 0.0) + std::min<double>(right, map.width())) / 2;
            if (x - last_x < 2) continue;  // the mark of a neighbour stands there already
            last_x = x;
            painter.setPen(Qt::NoPen);
            painter.setBrush(theme.warning);
            const QPointF mark[] = {{x - 4.5, top + 2}, {x + 4.5, top + 2}, {x, top + 10}};
            painter.drawPolygon(mark, 3);
            if (right - left < 70) continue;
            painter.setFont(small_font(*this));
            painter.setPen(theme.warning);
            painter.drawText(QPointF(x + 8, top + 10),
                             QString("%1 of %2 checks").arg(facts.triggers).arg(facts.checks));
        }
    }
    painter.setRenderHint(QPainter::Antialiasing, false);
}

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

void TimelineView::paintEvent(QPaintEvent*) {
    if (tracks_.devicePixelRatio() != devicePixelRatioF()) tracks_dirty_ = true;
    if (tracks_dirty_) render_tracks();
    if (minimap_dirty_) render_minimap();
    QPainter painter(this);
    painter.setFont(font());
    painter.drawImage(tracks_rect().topLeft(), tracks_);
    paint_around(painter);
    if (view_) paint_cursor(painter, Theme::of(palette()));
}

/// All but the events themselves and the mouse.
void TimelineView::paint_around(QPainter& painter) {
    const Theme theme = Theme::of(palette());
    const QRect tracks = tracks_rect();
    painter.fillRect(QRect(tracks.right() + 1, 0, width() - tracks.right(), height()), theme.panel);
    if (view_) {
        paint_overlays(painter, theme);
    } else {
        painter.setPen(theme.dim_text);
        painter.drawText(tracks, Qt::AlignCenter, "Open a trace: File \u2192 Open, or Ctrl+O");
    }
    paint_gutter(painter, theme);
    paint_minimap(painter, theme);
    paint_ruler(painter, theme);
    paint_legend(painter, theme);
}

void TimelineView::paint_vector(QPainter& painter) {
    const Theme theme = Theme::of(palette());
    const QRect tracks = tracks_rect();
    painter.setFont(font());
    painter.fillRect(rect(), theme.ground);
    if (view_) {
        painter.save();
        painter.translate(tracks.topLeft());
        std::vector<LabelSlot> labels;
        TrackRaster(view_->lanes, raster_style(1))
            .paint(painter, tracks.height(), mapping(), raster_rows(1), kLeastLabelPx, labels);
        paint_step_lines(painter, theme);
        paint_labels(painter, labels, 1);
        paint_trigger_marks(painter, theme);
        paint_counters(painter, theme);
        paint_pinned_edge(painter, theme);
        painter.restore();
    }
    if (minimap_dirty_) render_minimap();
    paint_around(painter);
}

}  // namespace hc::gui
