/// Which lane lies at which height of the timeline, in logical pixels.
#pragma once

#include <optional>
#include <vector>

#include "gui/models/lanes.h"

namespace hc::gui {

struct LanePlace {
    std::size_t lane = 0;
    int top = 0;
    int height = 0;
};

struct GroupPlace {
    std::size_t group = 0;
    int top = 0;
    int height = 0;
};

/// Tops count from the first lane; the view subtracts what it has scrolled.
struct LaneLayout {
    std::vector<LanePlace> lanes;  ///< one per lane, by index
    std::vector<GroupPlace> groups;
    int height = 0;

    [[nodiscard]] std::optional<std::size_t> lane_at(int y) const;
};

/// Room above the bars of the steps' lane for the marks of triggers.
inline constexpr int kMarkHeight = 13;

/// Rows grow, within reason, to fill the height there is.
[[nodiscard]] LaneLayout lay_out(const LaneSet& set, int available_height);

}  // namespace hc::gui
