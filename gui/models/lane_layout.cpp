#include "gui/models/lane_layout.h"

#include <algorithm>

namespace hc::gui {
namespace {

constexpr int kGroupGap = 8;
constexpr int kRowGap = 1;

struct Sizes {
    int least = 0;
    int most = 0;
};

Sizes row_sizes(const LaneGroup& group) {
    const int rows = std::max(1, static_cast<int>(group.count));
    switch (group.kind) {
        case LaneKind::kSteps:
            return {34, 120};
        case LaneKind::kOps:
            return rows == 1 ? Sizes{24, 100} : Sizes{18, 44};
        // A staircase of fetches reads well in thin rows; many of them share a fixed height.
        case LaneKind::kFetches:
            return {std::clamp(110 / rows, 3, 20), std::clamp(360 / rows, 3, 40)};
    }
    return {20, 40};
}

}  // namespace

std::optional<std::size_t> LaneLayout::lane_at(int y) const {
    for (const LanePlace& place : lanes) {
        if (y >= place.top && y < place.top + place.height) return place.lane;
    }
    return std::nullopt;
}

LaneLayout lay_out(const LaneSet& set, int available_height) {
    int least = 0, most = 0;
    for (const LaneGroup& group : set.groups) {
        const Sizes sizes = row_sizes(group);
        const int rows = static_cast<int>(group.count);
        const int fixed =
            kGroupGap + (rows - 1) * kRowGap + (group.kind == LaneKind::kSteps ? kMarkHeight : 0);
        least += rows * sizes.least + fixed;
        most += rows * sizes.most + fixed;
    }
    const double stretch =
        most > least
            ? std::clamp(static_cast<double>(available_height - least) / (most - least), 0.0, 1.0)
            : 0.0;
    LaneLayout layout;
    layout.lanes.resize(set.lanes.size());
    int y = kGroupGap / 2;
    for (std::size_t g = 0; g < set.groups.size(); ++g) {
        const LaneGroup& group = set.groups[g];
        const Sizes sizes = row_sizes(group);
        const int row = sizes.least + static_cast<int>((sizes.most - sizes.least) * stretch);
        const int top = y;
        if (group.kind == LaneKind::kSteps) y += kMarkHeight;
        for (std::size_t i = group.first; i < group.first + group.count; ++i) {
            layout.lanes[i] = {i, y, row};
            y += row + (i + 1 < group.first + group.count ? kRowGap : 0);
        }
        layout.groups.push_back({g, top, y - top});
        y += kGroupGap;
    }
    layout.height = y;
    return layout;
}

}  // namespace hc::gui
