/// The lanes of a run: which events lie in which row of the timeline.
#pragma once

#include <QString>
#include <cstdint>
#include <optional>
#include <vector>

#include "gui/models/lane_events.h"
#include "gui/models/mip_index.h"
#include "gui/models/palette.h"
#include "gui/models/time_mapping.h"
#include "profiler/trace/columns.h"

namespace hc::gui {

struct EventName {
    QString text;
    Hue hue = Hue::kOther;
    bool emphasised = false;  ///< never drowned by neighbours when zoomed out
};

/// What `LaneEvents::source` counts.
enum class LaneKind : std::uint8_t {
    kSteps,    ///< rows of steps; drawn as bars, high where the step is long
    kOps,      ///< rows of operations
    kFetches,  ///< rows of fetches: queued, transfer, staged, commit, first use
};

struct Lane {
    LaneKind kind = LaneKind::kOps;
    std::int32_t stream = -1;  ///< of an operations lane
    LaneEvents events;
    MipIndex mip;
    EventPyramid pyramid;
};

/// Neighbouring lanes under one title.
struct LaneGroup {
    QString title;
    QString subtitle;
    LaneKind kind = LaneKind::kOps;
    std::size_t first = 0;
    std::size_t count = 0;
};

/// Index of a lane and of an event in it.
struct EventRef {
    std::size_t lane = 0;
    std::size_t index = 0;
    [[nodiscard]] bool operator==(const EventRef&) const = default;
};

struct LaneSet {
    std::vector<EventName> names;
    std::vector<Lane> lanes;
    std::vector<LaneGroup> groups;
    TimeRange bounds{0, 1};

    [[nodiscard]] std::size_t num_events() const;
    [[nodiscard]] std::size_t memory() const;
};

/// How a step compares with the run's other decode steps.
struct StepFacts {
    std::int64_t checks = 0;
    std::int64_t triggers = 0;
    bool slow = false;
};

/// A decode step is slow when it takes longer than this many medians.
inline constexpr double kSlowFactor = 1.25;

/// One entry per row of data.steps.
[[nodiscard]] std::vector<StepFacts> step_facts(const trace::RunData& data);

[[nodiscard]] LaneSet build_lanes(const trace::RunData& data,
                                  const std::vector<trace::Stream>& streams,
                                  const std::vector<StepFacts>& facts);

/// The event at `time_ns` or, within `tolerance_ns`, the nearest one of the lane.
[[nodiscard]] std::optional<std::size_t> event_at(const Lane& lane, double time_ns,
                                                  double tolerance_ns);

}  // namespace hc::gui
