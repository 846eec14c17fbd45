/// Where one has been: the shown time range, with undo and redo.
#pragma once

#include <QObject>
#include <cstdint>
#include <vector>

#include "gui/models/time_mapping.h"

namespace hc::gui {

/// Owns the shown range; every view listens to it. Movements of one gesture (wheel clicks,
/// a drag) become one entry.
class ViewStack : public QObject {
    Q_OBJECT
public:
    explicit ViewStack(QObject* parent = nullptr) : QObject(parent) {}

    /// Forgets everything and starts at `range`.
    void reset(const TimeRange& range);
    /// Shows `range`. A `gesture` other than 0 that equals the one before replaces its entry.
    void set(const TimeRange& range, std::uint64_t gesture = 0);
    [[nodiscard]] const TimeRange& current() const { return current_; }

    [[nodiscard]] bool can_undo() const { return !past_.empty(); }
    [[nodiscard]] bool can_redo() const { return !future_.empty(); }
    void undo();
    void redo();

Q_SIGNALS:
    void changed();

private:
    static constexpr std::size_t kMaxEntries = 200;

    TimeRange current_;
    std::uint64_t gesture_ = 0;
    std::vector<TimeRange> past_;
    std::vector<TimeRange> future_;
};

}  // namespace hc::gui
