/// Which lane lies at which height of the timeline, in logical pixels.
#pragma once

#include <optional>
#include <vector>

#include "gui/models/lanes.h"
#include "gui/models/track_prefs.h"

namespace hc::gui {

/// Height 0: not shown.
struct LanePlace {
    std::size_t lane = 0;
    int top = 0;
    int height = 0;
    bool pinned = false;
};

struct GroupPlace {
    std::size_t group = 0;
    int top = 0;
    int height = 0;
    bool pinned = false;
};

/// Pinned tracks stand above all others and do not scroll. Tops count from the first lane of
/// either part; on_screen() says where that is.
struct LaneLayout {
    std::vector<LanePlace> lanes;    ///< one per lane, by index
    std::vector<GroupPlace> groups;  ///< those shown, pinned ones first
    int pinned_height = 0;
    int height = 0;  ///< of the part that scrolls

    /// Top in the tracks' area, with `scroll` pixels scrolled away.
    [[nodiscard]] int on_screen(const LanePlace& place, int scroll) const {
        return place.pinned ? place.top : place.top + pinned_height - scroll;
    }
    [[nodiscard]] int on_screen(const GroupPlace& place, int scroll) const {
        return place.pinned ? place.top : place.top + pinned_height - scroll;
    }
    [[nodiscard]] std::optional<std::size_t> lane_at(int y, int scroll) const;
    /// Index into `groups`.
    [[nodiscard]] std::optional<std::size_t> group_at(int y, int scroll) const;
};

/// Room above the bars of the steps' lane for the marks of triggers.
inline constexpr int kMarkHeight = 13;

/// Rows grow, within reason, to fill the height there is.
[[nodiscard]] LaneLayout lay_out(const LaneSet& set, int available_height,
                                 const TrackPrefs& prefs = {});

}  // namespace hc::gui
