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
                const std::uint32_t name = lane.events.name(i);
                const bool faint = hits_ && hits_->names[name] == 0;
                const QRgb ground =
                    faint ? theme.ground.rgb() : hue_rgb(view_->lanes.names[name].hue, theme.dark);
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
