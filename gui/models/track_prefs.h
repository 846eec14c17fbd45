/// Which tracks a person wants to see, and in which order: kept by key, so that it holds for the
/// next trace as well.
#pragma once

#include <QByteArray>
#include <QString>
#include <QStringList>
#include <vector>

#include "gui/models/lanes.h"

namespace hc::gui {

/// A plain value; every change gives true when it changed anything.
class TrackPrefs {
public:
    [[nodiscard]] bool is_pinned(const QString& key) const { return pinned_.contains(key); }
    [[nodiscard]] bool is_hidden(const QString& key) const { return hidden_.contains(key); }
    [[nodiscard]] bool any_hidden() const { return !hidden_.isEmpty(); }
    /// Words that a track's title or subtitle must hold to be shown; pinned ones always are.
    [[nodiscard]] const QString& filter() const { return filter_; }

    bool set_pinned(const QString& key, bool pinned);
    bool set_hidden(const QString& key, bool hidden);
    bool show_all();
    bool set_filter(const QString& filter);
    /// Puts a track before another; both must be among `groups`.
    bool move_before(const std::vector<LaneGroup>& groups, const QString& key,
                     const QString& before);
    /// Moves a track one place among those shown of its kind (pinned or not).
    bool move_by(const std::vector<LaneGroup>& groups, const QString& key, int direction);

    struct Order {
        std::vector<std::size_t> pinned, others;  ///< indexes of groups that are shown
    };
    [[nodiscard]] Order order(const std::vector<LaneGroup>& groups) const;

    /// For the settings; the filter is not kept. Anything unreadable gives the default.
    [[nodiscard]] QByteArray save() const;
    [[nodiscard]] static TrackPrefs restore(const QByteArray& text);
    [[nodiscard]] bool operator==(const TrackPrefs&) const = default;

private:
    [[nodiscard]] std::vector<std::size_t> sorted(const std::vector<LaneGroup>& groups) const;
    [[nodiscard]] bool passes(const LaneGroup& group) const;

    QStringList pinned_, hidden_;
    QStringList order_;  ///< keys that were moved, with all others of the trace at that time
    QString filter_;
};

}  // namespace hc::gui
