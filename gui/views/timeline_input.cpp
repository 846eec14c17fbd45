#include <QContextMenuEvent>
#include <QHelpEvent>
#include <QMenu>
#include <QMouseEvent>
#include <QScrollBar>
#include <QToolTip>
#include <QWheelEvent>
#include <cmath>

#include "gui/models/describe.h"
#include "gui/models/ticks.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {
namespace {

constexpr double kZoomPerClick = 1.25;
constexpr double kZoomPerKey = 1.5;
constexpr double kPanPerKey = 0.15;  ///< of the width
constexpr double kClickPx = 4;       ///< a press that moves less is a click

}  // namespace

bool TimelineView::event(QEvent* event) {
    if (event->type() == QEvent::ToolTip) {
        const auto* help = static_cast<QHelpEvent*>(event);
        const auto under = event_under(help->pos());
        if (under && drag_ == Drag::kNone) {
            QToolTip::showText(help->globalPos(), tooltip_at(help->pos(), *under), this);
        } else {
            QToolTip::hideText();
        }
        return true;
    }
    return QWidget::event(event);
}

/// Of an event too narrow to point at, how many share its pixel as well.
QString TimelineView::tooltip_at(const QPoint& position, const EventRef& event) const {
    QString text = event_tooltip(*view_, event);
    const LaneEvents& events = view_->lanes.lanes[event.lane].events;
    const TimeMapping map = mapping();
    const double left = map.time_at(position.x() - tracks_rect().left());
    const std::size_t first = events.first_starting_at(left);
    const std::size_t end = events.first_starting_at(left + map.ns_per_px(), first);
    if (end > first + 1) {
        text += QString("\n%1 events begin in this pixel")
                    .arg(format_count(static_cast<qint64>(end - first)));
    }
    return text;
}

void TimelineView::wheelEvent(QWheelEvent* event) {
    const QPointF position = event->position();
    const QPoint delta = event->angleDelta();
    event->accept();
    const bool in_gutter = position.x() < tracks_rect().left();
    if (in_gutter) {
        scroll_->setValue(scroll_->value() - delta.y() / 2);
        return;
    }
    // Some systems turn Shift and wheel into a sideways delta themselves.
    const bool sideways = delta.x() != 0 || event->modifiers().testFlag(Qt::ShiftModifier);
    if (sideways) {
        pan(-(delta.x() != 0 ? delta.x() : delta.y()), burst_gesture());
        return;
    }
    const double clicks = delta.y() / 120.0;
    const bool fine = event->modifiers().testFlag(Qt::ControlModifier);
    const double factor = std::pow(fine ? std::sqrt(kZoomPerClick) : kZoomPerClick, clicks);
    zoom(factor, position.x() - tracks_rect().left(), burst_gesture());
}

void TimelineView::mousePressEvent(QMouseEvent* event) {
    if (event->button() != Qt::LeftButton || !view_) return;
    press_ = event->position();
    press_range_ = stack_->current();
    press_time_ = mapping().time_at(press_.x() - tracks_rect().left());
    ++gesture_;
    last_burst_.invalidate();
    const QPoint point = press_.toPoint();
    if (minimap_rect().contains(point)) {
        drag_ = Drag::kMinimap;
        centre_from_minimap(press_.x());
    } else if (ruler_rect().contains(point) ||
               (tracks_rect().contains(point) && event->modifiers().testFlag(Qt::ShiftModifier))) {
        drag_ = Drag::kMeasure;
    } else if (tracks_rect().contains(point)) {
        drag_ = Drag::kPress;
    } else if (const auto group = group_under(press_)) {
        focused_key_ = view_->lanes.groups[*group].key;
        drag_ = Drag::kTrack;
        update();
    }
    if (drag_ == Drag::kMeasure) press_time_ = snapped_time(press_);
}

std::optional<std::size_t> TimelineView::group_under(const QPointF& position) const {
    const QRect tracks = tracks_rect();
    const int y = static_cast<int>(position.y()) - tracks.top();
    if (!view_ || y < 0 || y >= tracks.height()) return std::nullopt;
    const auto place = layout_.group_at(y, scroll_->value());
    return place ? std::optional(layout_.groups[*place].group) : std::nullopt;
}

void TimelineView::mouseMoveEvent(QMouseEvent* event) {
    mouse_ = event->position();
    const double moved = event->position().x() - press_.x();
    if (drag_ == Drag::kPress &&
        (std::abs(moved) >= kClickPx || std::abs(event->position().y() - press_.y()) >= kClickPx)) {
        drag_ = Drag::kPan;
        setCursor(Qt::ClosedHandCursor);
    }
    switch (drag_) {
        case Drag::kPan: {
            // From the range at the press, so that what was grabbed stays under the mouse.
            const TimeMapping from(press_range_, tracks_rect().width());
            stack_->set(from.panned(-moved, bounds()), gesture_);
            break;
        }
        case Drag::kMeasure: {
            const double time = snapped_time(event->position());
            set_measured(TimeRange{std::min(press_time_, time), std::max(press_time_, time)});
            break;
        }
        case Drag::kMinimap:
            centre_from_minimap(event->position().x());
            break;
        case Drag::kTrack: {
            if (std::abs(event->position().y() - press_.y()) < kClickPx) break;
            setCursor(Qt::ClosedHandCursor);
            const auto before = group_under(event->position());
            dragged_before_ =
                before ? std::optional(view_->lanes.groups[*before].key) : std::nullopt;
            break;
        }
        case Drag::kNone:
        case Drag::kPress:
            break;
    }
    update();
}

void TimelineView::mouseReleaseEvent(QMouseEvent* event) {
    if (event->button() != Qt::LeftButton) return;
    const Drag drag = drag_;
    drag_ = Drag::kNone;
    unsetCursor();
    if (drag == Drag::kPress) {
        set_measured(std::nullopt);
        select(event_under(event->position()));
    }
    if (drag == Drag::kTrack && dragged_before_) {
        change_prefs([&](TrackPrefs& prefs) {
            return prefs.move_before(view_->lanes.groups, focused_key_, *dragged_before_);
        });
    }
    dragged_before_.reset();
    if (drag == Drag::kMeasure && std::abs(event->position().x() - press_.x()) < kClickPx) {
        set_measured(std::nullopt);
    }
}

void TimelineView::mouseDoubleClickEvent(QMouseEvent* event) {
    const auto under = event_under(event->position());
    if (!under) return;
    select(*under);
    const LaneEvents& events = view_->lanes.lanes[under->lane].events;
    const TimeRange range{static_cast<double>(events.start(under->index)),
                          static_cast<double>(events.end(under->index))};
    stack_->set(clamped(range.padded(0.1), bounds()));
}

void TimelineView::leaveEvent(QEvent*) {
    mouse_.reset();
    update();
}

void TimelineView::centre_from_minimap(double x) {
    const QRect map = minimap_rect();
    const TimeMapping whole(bounds(), map.width());
    const double centre = whole.time_at(x - map.left());
    const double span = stack_->current().span();
    stack_->set(clamped({centre - span / 2, centre + span / 2}, bounds()), gesture_);
}

double TimelineView::cursor_or_centre() const {
    const QRect tracks = tracks_rect();
    return mouse_ && tracks.contains(mouse_->toPoint()) ? mouse_->x() - tracks.left()
                                                        : tracks.width() / 2.0;
}

bool TimelineView::handle_view_key(int key, Qt::KeyboardModifiers modifiers) {
    const double page = tracks_rect().width() * kPanPerKey;
    if (modifiers.testFlag(Qt::ControlModifier)) {
        if (key != Qt::Key_Z && key != Qt::Key_Y) return false;
        const bool redo = key == Qt::Key_Y || modifiers.testFlag(Qt::ShiftModifier);
        redo ? stack_->redo() : stack_->undo();
        return true;
    }
    switch (key) {
        case Qt::Key_W:
        case Qt::Key_Plus:
        case Qt::Key_Equal:
            zoom(kZoomPerKey, cursor_or_centre(), burst_gesture());
            return true;
        case Qt::Key_S:
        case Qt::Key_Minus:
            zoom(1 / kZoomPerKey, cursor_or_centre(), burst_gesture());
            return true;
        case Qt::Key_A:
        case Qt::Key_Left:
            pan(-page, burst_gesture());
            return true;
        case Qt::Key_D:
        case Qt::Key_Right:
            pan(page, burst_gesture());
            return true;
        case Qt::Key_PageUp:
            scroll_->setValue(scroll_->value() - scroll_->pageStep());
            return true;
        case Qt::Key_PageDown:
            scroll_->setValue(scroll_->value() + scroll_->pageStep());
            return true;
        case Qt::Key_Up:
            scroll_->setValue(scroll_->value() - 40);
            return true;
        case Qt::Key_Down:
            scroll_->setValue(scroll_->value() + 40);
            return true;
        case Qt::Key_Home:
            fit_all();
            return true;
        case Qt::Key_End:
            fit_decode();
            return true;
        case Qt::Key_F:
            fit_selection();
            return true;
        default:
            return false;
    }
}

void TimelineView::contextMenuEvent(QContextMenuEvent* event) {
    if (!view_) return;
    const bool by_key = event->reason() == QContextMenuEvent::Keyboard;
    const auto group = by_key ? current_group() : group_under(event->pos());
    QMenu menu(this);
    if (group) {
        const QString key = view_->lanes.groups[*group].key;
        focused_key_ = key;
        const bool pinned = prefs_.is_pinned(key);
        menu.addSection(view_->lanes.groups[*group].title);
        menu.addAction(pinned ? "Unpin\tP" : "Pin to the top\tP", this, [=, this] {
            change_prefs([&](TrackPrefs& prefs) { return prefs.set_pinned(key, !pinned); });
        });
        menu.addAction("Hide\tH", this, [=, this] {
            change_prefs([&](TrackPrefs& prefs) { return prefs.set_hidden(key, true); });
        });
        for (const int direction : {-1, 1}) {
            menu.addAction(direction < 0 ? "Move up\tCtrl+\u2191" : "Move down\tCtrl+\u2193", this,
                           [=, this] {
                               change_prefs([&](TrackPrefs& prefs) {
                                   return prefs.move_by(view_->lanes.groups, key, direction);
                               });
                           });
        }
    }
    menu.addSeparator();
    QAction* all = menu.addAction("Show hidden tracks\tShift+H", this, [this] {
        change_prefs([](TrackPrefs& prefs) { return prefs.show_all(); });
    });
    all->setEnabled(prefs_.any_hidden());
    menu.exec(by_key ? mapToGlobal(QPoint(20, tracks_rect().top() + 20)) : event->globalPos());
}

bool TimelineView::handle_track_key(int key, Qt::KeyboardModifiers modifiers) {
    const auto group = current_group();
    const bool control = modifiers.testFlag(Qt::ControlModifier);
    const bool shift = modifiers.testFlag(Qt::ShiftModifier);
    if (key == Qt::Key_H && shift) {
        change_prefs([](TrackPrefs& prefs) { return prefs.show_all(); });
        return true;
    }
    if ((key == Qt::Key_Up || key == Qt::Key_Down) && shift) {
        change_lane(key == Qt::Key_Up ? -1 : 1);
        return true;
    }
    if (!group) return false;
    const QString track = view_->lanes.groups[*group].key;
    if (key == Qt::Key_P && !control) {
        change_prefs(
            [&](TrackPrefs& prefs) { return prefs.set_pinned(track, !prefs.is_pinned(track)); });
        return true;
    }
    if (key == Qt::Key_H && !control) {
        change_prefs([&](TrackPrefs& prefs) { return prefs.set_hidden(track, true); });
        return true;
    }
    if ((key == Qt::Key_Up || key == Qt::Key_Down) && control) {
        change_prefs([&](TrackPrefs& prefs) {
            return prefs.move_by(view_->lanes.groups, track, key == Qt::Key_Up ? -1 : 1);
        });
        return true;
    }
    return false;
}

/// M measures the selection, else what is shown; [ and ] move the ends to the selection's.
void TimelineView::measure_key(int key) {
    TimeRange range = stack_->current();
    if (selection_ && view_) {
        const LaneEvents& events = view_->lanes.lanes[selection_->lane].events;
        range = {static_cast<double>(events.start(selection_->index)),
                 static_cast<double>(events.end(selection_->index))};
    }
    if (key != Qt::Key_M && measured_) {
        TimeRange changed = *measured_;
        (key == Qt::Key_BracketLeft ? changed.start_ns : changed.end_ns) =
            key == Qt::Key_BracketLeft ? range.start_ns : range.end_ns;
        if (changed.span() < 0) std::swap(changed.start_ns, changed.end_ns);
        range = changed;
    }
    set_measured(range);
}

bool TimelineView::handle_walk_key(int key, Qt::KeyboardModifiers modifiers) {
    switch (key) {
        case Qt::Key_N:
            step_hit(modifiers.testFlag(Qt::ShiftModifier) ? -1 : 1);
            return true;
        case Qt::Key_M:
        case Qt::Key_BracketLeft:
        case Qt::Key_BracketRight:
            measure_key(key);
            return true;
        case Qt::Key_Period:
            step_selection(1);
            return true;
        case Qt::Key_Comma:
            step_selection(-1);
            return true;
        case Qt::Key_T:
            go_to_trigger(modifiers.testFlag(Qt::ShiftModifier) ? -1 : 1);
            return true;
        case Qt::Key_Escape:
            set_measured(std::nullopt);
            select(std::nullopt);
            return true;
        default:
            return false;
    }
}

void TimelineView::keyPressEvent(QKeyEvent* event) {
    if (handle_track_key(event->key(), event->modifiers())) return;
    if (handle_view_key(event->key(), event->modifiers())) return;
    if (handle_walk_key(event->key(), event->modifiers())) return;
    QWidget::keyPressEvent(event);
}

}  // namespace hc::gui
