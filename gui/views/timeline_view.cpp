#include "gui/views/timeline_view.h"

#include <QEvent>
#include <QScrollBar>
#include <algorithm>
#include <cmath>

#include "gui/models/flow.h"

namespace hc::gui {
namespace {

constexpr int kMinimapHeight = 30;
constexpr int kRulerHeight = 24;
// A pause of that length ends a burst of wheel clicks.
constexpr qint64 kBurstMs = 500;
// How near to an event, in pixels, a click must be to take it.
constexpr double kReachPx = 3;

}  // namespace

TimelineView::TimelineView(QWidget* parent) : QWidget(parent) {
    stack_ = new ViewStack(this);
    scroll_ = new QScrollBar(Qt::Vertical, this);
    setMouseTracking(true);
    setFocusPolicy(Qt::StrongFocus);
    setAttribute(Qt::WA_OpaquePaintEvent);
    setAccessibleName("timeline");
    connect(stack_, &ViewStack::changed, this, [this] {
        invalidate();
        Q_EMIT range_changed();
    });
    connect(scroll_, &QScrollBar::valueChanged, this, [this] { invalidate(); });
    relayout();
}

void TimelineView::set_view(RunViewPtr view) {
    view_ = std::move(view);
    selection_.reset();
    arrows_.clear();
    hits_.reset();
    marked_step_.reset();
    measured_.reset();
    minimap_dirty_ = true;
    legend_ = view_ ? legend_of(*view_) : std::vector<LegendEntry>{};
    relayout();
    stack_->reset(view_ ? view_->decode.padded(0.005) : TimeRange{0, 1e6});
    Q_EMIT selection_changed();
}

TimeMapping TimelineView::mapping() const {
    return {stack_->current(), tracks_rect().width()};
}

const TimeRange& TimelineView::bounds() const {
    static const TimeRange kEmpty{0, 1e6};
    return view_ ? view_->lanes.bounds : kEmpty;
}

int TimelineView::gutter_width() const {
    const QFontMetrics metrics(font());
    int widest = metrics.horizontalAdvance("decode thread");
    if (view_) {
        for (const LaneGroup& group : view_->lanes.groups) {
            widest = std::max(widest, metrics.horizontalAdvance(group.title));
            widest = std::max(widest, metrics.horizontalAdvance(group.subtitle) * 9 / 10);
        }
    }
    return std::clamp(widest + 20, 90, 190);
}

int TimelineView::legend_height() const {
    return view_ && legend_shown_ ? QFontMetrics(font()).height() + 10 : 0;
}

QRect TimelineView::minimap_rect() const {
    const int left = gutter_width();
    return {left, 0, std::max(1, width() - left - scroll_->sizeHint().width()), kMinimapHeight};
}

QRect TimelineView::ruler_rect() const {
    const QRect map = minimap_rect();
    return {map.left(), map.bottom() + 1, map.width(), kRulerHeight};
}

QRect TimelineView::tracks_rect() const {
    const QRect ruler = ruler_rect();
    const int top = ruler.bottom() + 1;
    return {ruler.left(), top, ruler.width(), std::max(1, height() - top - legend_height())};
}

void TimelineView::relayout() {
    const QRect tracks = tracks_rect();
    layout_ = view_ ? lay_out(view_->lanes, tracks.height(), prefs_) : LaneLayout{};
    const int room = std::max(1, tracks.height() - layout_.pinned_height);
    scroll_->setGeometry(width() - scroll_->sizeHint().width(),
                         tracks.top() + std::min(layout_.pinned_height, tracks.height()),
                         scroll_->sizeHint().width(), room);
    scroll_->setRange(0, std::max(0, layout_.height - room));
    scroll_->setPageStep(room);
    scroll_->setSingleStep(20);
    scroll_->setVisible(scroll_->maximum() > 0);
    minimap_dirty_ = true;
    invalidate();
}

void TimelineView::invalidate() {
    tracks_dirty_ = true;
    update();
}

void TimelineView::resizeEvent(QResizeEvent*) {
    relayout();
}

void TimelineView::changeEvent(QEvent* event) {
    const auto type = event->type();
    if (type == QEvent::PaletteChange || type == QEvent::FontChange ||
        type == QEvent::StyleChange) {
        relayout();
    }
    QWidget::changeEvent(event);
}

void TimelineView::select(std::optional<EventRef> event) {
    if (event == selection_) return;
    selection_ = event;
    arrows_ = selection_ && view_ ? flow_of(*view_, *selection_) : std::vector<FlowArrow>{};
    if (selection_ && view_) {
        focused_key_ = view_->lanes.groups[view_->lanes.group_of(selection_->lane)].key;
    }
    update();
    Q_EMIT selection_changed();
}

void TimelineView::set_measured(std::optional<TimeRange> range) {
    measured_ = range;
    update();
    Q_EMIT measured_changed();
}

int TimelineView::top_of(const LanePlace& place) const {
    return tracks_rect().top() + layout_.on_screen(place, scroll_->value());
}

QRectF TimelineView::rect_of(const EventRef& event) const {
    const LaneEvents& events = view_->lanes.lanes[event.lane].events;
    const LanePlace& place = layout_.lanes[event.lane];
    const QRect tracks = tracks_rect();
    const TimeMapping map = mapping();
    const double left = map.x_at(static_cast<double>(events.start(event.index)));
    const double right = map.x_at(static_cast<double>(events.end(event.index)));
    return {tracks.left() + left, static_cast<double>(top_of(place)), right - left,
            static_cast<double>(place.height)};
}

void TimelineView::reveal(const EventRef& event) {
    const LanePlace& place = layout_.lanes[event.lane];
    const QRect tracks = tracks_rect();
    if (place.height > 0 && !place.pinned) {
        const int room = std::max(1, tracks.height() - layout_.pinned_height);
        if (place.top < scroll_->value()) scroll_->setValue(place.top - 4);
        if (place.top + place.height > scroll_->value() + room) {
            scroll_->setValue(place.top + place.height + 4 - room);
        }
    }
    const LaneEvents& events = view_->lanes.lanes[event.lane].events;
    const auto start = static_cast<double>(events.start(event.index));
    const auto end = static_cast<double>(events.end(event.index));
    const TimeRange shown = stack_->current();
    if (end > shown.start_ns + shown.span() * 0.02 && start < shown.end_ns - shown.span() * 0.02) {
        return;
    }
    const double shift = (start + end) / 2 - shown.centre();
    stack_->set(clamped({shown.start_ns + shift, shown.end_ns + shift}, bounds()), burst_gesture());
}

std::optional<EventRef> TimelineView::event_under(const QPointF& position) const {
    const QRect tracks = tracks_rect();
    if (!view_ || !tracks.contains(position.toPoint())) return std::nullopt;
    const auto lane =
        layout_.lane_at(static_cast<int>(position.y()) - tracks.top(), scroll_->value());
    if (!lane) return std::nullopt;
    const TimeMapping map = mapping();
    const auto found =
        event_at(view_->lanes.lanes[*lane], map.time_at(position.x() - tracks.left()),
                 kReachPx * map.ns_per_px());
    if (!found) return std::nullopt;
    return EventRef{*lane, *found};
}

std::uint64_t TimelineView::burst_gesture() {
    if (!last_burst_.isValid() || last_burst_.elapsed() > kBurstMs) ++gesture_;
    last_burst_.restart();
    return gesture_;
}

void TimelineView::zoom(double factor, double x, std::uint64_t gesture) {
    stack_->set(mapping().zoomed(factor, x, bounds()), gesture);
}

void TimelineView::pan(double pixels, std::uint64_t gesture) {
    stack_->set(mapping().panned(pixels, bounds()), gesture);
}

void TimelineView::fit_all() {
    stack_->set(clamped(bounds().padded(1), bounds()));
}

void TimelineView::fit_decode() {
    if (view_) stack_->set(clamped(view_->decode.padded(0.005), bounds()));
}

void TimelineView::fit_selection() {
    if (measured_) {
        stack_->set(clamped(*measured_, bounds()));
        return;
    }
    if (!selection_ || !view_) return;
    std::vector<EventRef> events{*selection_};
    for (const FlowArrow& arrow : arrows_) {
        events.push_back(arrow.from);
        events.push_back(arrow.to);
    }
    TimeRange all;
    for (std::size_t i = 0; i < events.size(); ++i) {
        const LaneEvents& lane = view_->lanes.lanes[events[i].lane].events;
        const auto start = static_cast<double>(lane.start(events[i].index));
        const auto end = static_cast<double>(lane.end(events[i].index));
        all.start_ns = i == 0 ? start : std::min(all.start_ns, start);
        all.end_ns = i == 0 ? end : std::max(all.end_ns, end);
    }
    stack_->set(clamped(all.padded(0.1), bounds()));
}

bool TimelineView::go_to_step(std::int64_t step) {
    const auto row = view_ ? view_->step_row(step) : std::nullopt;
    if (!row) return false;
    const TimeRange range = view_->step_range(*row);
    // Two steps on each side tell whether this one is unlike its neighbours; a zoom that shows
    // less is kept.
    const double span = std::min(stack_->current().span(), range.span() * 5);
    stack_->set(clamped({range.centre() - span / 2, range.centre() + span / 2}, bounds()));
    if (const auto event = view_->locate_step(*row)) select(*event);
    return true;
}

void TimelineView::go_to_trigger(int direction) {
    if (!view_) return;
    const trace::Steps& steps = view_->data.steps;
    // From the selected step on where one is selected, else from the middle of the view.
    double from = stack_->current().centre();
    if (selection_ && view_->lanes.lanes[selection_->lane].kind == LaneKind::kSteps) {
        const std::size_t row =
            view_->lanes.lanes[selection_->lane].events.source(selection_->index);
        from = view_->step_range(row).centre();
    }
    std::optional<std::size_t> best;
    double best_distance = 0;
    for (std::size_t row = 0; row < steps.size(); ++row) {
        const double distance = (view_->step_range(row).centre() - from) * direction;
        if (view_->facts[row].triggers == 0 || distance <= 1) continue;
        if (!best || distance < best_distance) {
            best = row;
            best_distance = distance;
        }
    }
    if (best) go_to_step(steps.step[*best]);
}

void TimelineView::step_selection(int direction) {
    if (!view_) return;
    if (!selection_) {
        // Nothing selected yet: begin with the first step in sight.
        for (std::size_t lane = 0; lane < view_->lanes.lanes.size(); ++lane) {
            const LaneEvents& events = view_->lanes.lanes[lane].events;
            const std::size_t first = events.first_starting_at(stack_->current().start_ns);
            if (first < events.size() && layout_.lanes[lane].height > 0) {
                select(EventRef{lane, first});
                return;
            }
        }
        return;
    }
    EventRef next = *selection_;
    const std::size_t count = view_->lanes.lanes[next.lane].events.size();
    if (direction < 0 ? next.index == 0 : next.index + 1 >= count) return;
    next.index = direction < 0 ? next.index - 1 : next.index + 1;
    select(next);
    reveal(next);
}

void TimelineView::change_lane(int direction) {
    if (!view_ || !selection_) {
        step_selection(1);
        return;
    }
    // Lanes in the order in which they are seen.
    std::vector<std::size_t> seen;
    for (const GroupPlace& place : layout_.groups) {
        const LaneGroup& group = view_->lanes.groups[place.group];
        for (std::size_t i = group.first; i < group.first + group.count; ++i) {
            if (!view_->lanes.lanes[i].events.empty()) seen.push_back(i);
        }
    }
    const auto here = std::find(seen.begin(), seen.end(), selection_->lane);
    if (here == seen.end()) return;
    const auto place = (here - seen.begin()) + direction;
    if (place < 0 || place >= static_cast<std::ptrdiff_t>(seen.size())) return;
    const LaneEvents& from = view_->lanes.lanes[selection_->lane].events;
    const auto time = static_cast<double>(from.start(selection_->index));
    const std::size_t lane = seen[static_cast<std::size_t>(place)];
    const LaneEvents& events = view_->lanes.lanes[lane].events;
    const EventRef next{lane, std::min(events.first_ending_after(time), events.size() - 1)};
    select(next);
    reveal(next);
}

void TimelineView::go_to_time(double time_ns) {
    const double half = stack_->current().span() / 2;
    stack_->set(clamped({time_ns - half, time_ns + half}, bounds()));
}

void TimelineView::show_event(const EventRef& event) {
    select(event);
    const LaneEvents& events = view_->lanes.lanes[event.lane].events;
    const auto start = static_cast<double>(events.start(event.index));
    const auto end = static_cast<double>(events.end(event.index));
    // Too short to see: a sixtieth of the width is.
    if ((end - start) / mapping().ns_per_px() < 3) {
        const double span = std::max((end - start) * 60, 2000.0);
        const double middle = (start + end) / 2;
        stack_->set(clamped({middle - span / 2, middle + span / 2}, bounds()), burst_gesture());
    }
    reveal(event);
}

void TimelineView::set_legend(bool shown) {
    legend_shown_ = shown;
    relayout();
}

void TimelineView::set_hits(SearchHitsPtr hits) {
    hits_ = std::move(hits);
    invalidate();
}

void TimelineView::show_hit(std::size_t hit) {
    if (hits_ && hit < hits_->count) show_event(hits_->at(hit));
}

void TimelineView::step_hit(int direction) {
    if (!view_ || !hits_) return;
    const auto next = hits_->next(view_->lanes, selection_, stack_->current().start_ns, direction);
    if (next) show_event(*next);
}

void TimelineView::mark_step(std::optional<std::int64_t> step) {
    marked_step_ = step;
    update();
}

void TimelineView::set_prefs(const TrackPrefs& prefs) {
    if (prefs == prefs_) return;
    prefs_ = prefs;
    relayout();
    Q_EMIT prefs_changed();
}

void TimelineView::change_prefs(const std::function<bool(TrackPrefs&)>& change) {
    TrackPrefs prefs = prefs_;
    if (change(prefs)) set_prefs(prefs);
}

std::optional<std::size_t> TimelineView::current_group() const {
    if (!view_) return std::nullopt;
    for (std::size_t g = 0; g < view_->lanes.groups.size(); ++g) {
        if (view_->lanes.groups[g].key == focused_key_) return g;
    }
    return std::nullopt;
}

double TimelineView::snapped_time(const QPointF& position) const {
    constexpr double kSnapPx = 6, kWidePx = 14;
    const TimeMapping map = mapping();
    const double time = map.time_at(position.x() - tracks_rect().left());
    const auto event = event_under(position);
    if (!event) return time;
    const QRectF box = rect_of(*event);
    if (box.width() < kWidePx) return time;
    const LaneEvents& events = view_->lanes.lanes[event->lane].events;
    if (std::abs(box.left() - position.x()) <= kSnapPx) {
        return static_cast<double>(events.start(event->index));
    }
    if (std::abs(box.right() - position.x()) <= kSnapPx) {
        return static_cast<double>(events.end(event->index));
    }
    return time;
}

}  // namespace hc::gui
