#include <QHelpEvent>
#include <QMouseEvent>
#include <QScrollBar>
#include <QToolTip>
#include <QWheelEvent>
#include <cmath>

#include "gui/models/describe.h"
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
            QToolTip::showText(help->globalPos(), event_tooltip(*view_, *under), this);
        } else {
            QToolTip::hideText();
        }
        return true;
    }
    return QWidget::event(event);
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
    }
}

void TimelineView::mouseMoveEvent(QMouseEvent* event) {
    mouse_ = event->position();
    const double moved = event->position().x() - press_.x();
    const double x = event->position().x() - tracks_rect().left();
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
            const double time = mapping().time_at(x);
            set_measured(TimeRange{std::min(press_time_, time), std::max(press_time_, time)});
            break;
        }
        case Drag::kMinimap:
            centre_from_minimap(event->position().x());
            break;
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

bool TimelineView::handle_walk_key(int key, Qt::KeyboardModifiers modifiers) {
    switch (key) {
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
    if (handle_view_key(event->key(), event->modifiers())) return;
    if (handle_walk_key(event->key(), event->modifiers())) return;
    QWidget::keyPressEvent(event);
}

}  // namespace hc::gui
