#include "gui/models/view_stack.h"

namespace hc::gui {

void ViewStack::reset(const TimeRange& range) {
    past_.clear();
    future_.clear();
    gesture_ = 0;
    current_ = range;
    Q_EMIT changed();
}

void ViewStack::set(const TimeRange& range, std::uint64_t gesture) {
    if (range == current_) return;
    const bool same_gesture = gesture != 0 && gesture == gesture_;
    if (!same_gesture) {
        if (past_.size() == kMaxEntries) past_.erase(past_.begin());
        past_.push_back(current_);
    }
    gesture_ = gesture;
    future_.clear();
    current_ = range;
    Q_EMIT changed();
}

void ViewStack::undo() {
    if (past_.empty()) return;
    future_.push_back(current_);
    current_ = past_.back();
    past_.pop_back();
    gesture_ = 0;
    Q_EMIT changed();
}

void ViewStack::redo() {
    if (future_.empty()) return;
    past_.push_back(current_);
    current_ = future_.back();
    future_.pop_back();
    gesture_ = 0;
    Q_EMIT changed();
}

}  // namespace hc::gui
