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
        case LaneKind::kLayers:
            return {16, 26};
        case LaneKind::kCounter:
            return {26, 72};
        case LaneKind::kOps:
        case LaneKind::kKernels:
            return rows == 1 ? Sizes{24, 100} : Sizes{18, 44};
        // A staircase of fetches reads well in thin rows; many of them share a fixed height.
        case LaneKind::kFetches:
            return {std::clamp(110 / rows, 3, 20), std::clamp(360 / rows, 3, 40)};
        default:
            return rows <= 4 ? Sizes{18, 36} : Sizes{std::clamp(110 / rows, 3, 18), 30};
    }
}

int fixed_height(const LaneGroup& group) {
    const int rows = static_cast<int>(group.count);
    return kGroupGap + (rows - 1) * kRowGap + (group.kind == LaneKind::kSteps ? kMarkHeight : 0);
}

}  // namespace

std::optional<std::size_t> LaneLayout::lane_at(int y, int scroll) const {
    for (const LanePlace& place : lanes) {
        const int top = on_screen(place, scroll);
        if (place.height == 0 || y < top || y >= top + place.height) continue;
        // What is scrolled under the pinned tracks is not there.
        if (place.pinned || y >= pinned_height) return place.lane;
    }
    return std::nullopt;
}

std::optional<std::size_t> LaneLayout::group_at(int y, int scroll) const {
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const int top = on_screen(groups[g], scroll) - kGroupGap / 2;
        if (y < top || y >= top + groups[g].height + kGroupGap) continue;
        if (groups[g].pinned || y >= pinned_height) return g;
    }
    return std::nullopt;
}

LaneLayout lay_out(const LaneSet& set, int available_height, const TrackPrefs& prefs) {
    const TrackPrefs::Order order = prefs.order(set.groups);
    int least = 0, most = 0;
    for (const auto* part : {&order.pinned, &order.others}) {
        for (const std::size_t g : *part) {
            const Sizes sizes = row_sizes(set.groups[g]);
            const int rows = static_cast<int>(set.groups[g].count);
            least += rows * sizes.least + fixed_height(set.groups[g]);
            most += rows * sizes.most + fixed_height(set.groups[g]);
        }
    }
    const double stretch =
        most > least
            ? std::clamp(static_cast<double>(available_height - least) / (most - least), 0.0, 1.0)
            : 0.0;
    LaneLayout layout;
    layout.lanes.resize(set.lanes.size());
    for (std::size_t i = 0; i < set.lanes.size(); ++i) layout.lanes[i].lane = i;
    const auto place_all = [&](const std::vector<std::size_t>& groups, bool pinned) {
        int y = groups.empty() ? 0 : kGroupGap / 2;
        for (const std::size_t g : groups) {
            const LaneGroup& group = set.groups[g];
            const Sizes sizes = row_sizes(group);
            const int row = sizes.least + static_cast<int>((sizes.most - sizes.least) * stretch);
            const int top = y;
            if (group.kind == LaneKind::kSteps) y += kMarkHeight;
            for (std::size_t i = group.first; i < group.first + group.count; ++i) {
                layout.lanes[i] = {i, y, row, pinned};
                y += row + (i + 1 < group.first + group.count ? kRowGap : 0);
            }
            layout.groups.push_back({g, top, y - top, pinned});
            y += kGroupGap;
        }
        return y;
    };
    layout.pinned_height = place_all(order.pinned, true);
    layout.height = place_all(order.others, false);
    return layout;
}

}  // namespace hc::gui
