/// The lanes of a run: which events lie in which row of the timeline.
#pragma once

#include <QString>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gui/models/activity.h"
#include "gui/models/counter_series.h"
#include "gui/models/lane_events.h"
#include "gui/models/mip_index.h"
#include "gui/models/palette.h"
#include "gui/models/time_mapping.h"
#include "profiler/trace/activity_columns.h"
#include "profiler/trace/columns.h"

namespace hc::gui {

struct EventName {
    QString text;
    Hue hue = Hue::kOther;
    bool emphasised = false;  ///< never drowned by neighbours when zoomed out
};

/// What a lane shows, and what `LaneEvents::source` counts in it.
enum class LaneKind : std::uint8_t {
    kSteps,    ///< rows of steps; drawn as bars, high where the step is long
    kLayers,   ///< stretches of one layer's operations: the row of the first of them
    kOps,      ///< rows of operations
    kFetches,  ///< rows of fetches: queued, transfer, staged, commit, first use
    kCounter,  ///< no events, a curve
    kKernels,  ///< rows of ActivityDetails from here on
    kCopies,
    kSets,
    kSyncs,
    kApi,
    kNvtx,
};

/// What a counter's number is.
enum class CounterUnit : std::uint8_t { kBytesPerNs, kBytes, kShare };

struct Lane {
    LaneKind kind = LaneKind::kOps;
    std::int32_t stream = -1;  ///< of an operations lane
    LaneEvents events;
    MipIndex mip;
    EventPyramid pyramid;
    CounterSeries counter;
    CounterUnit unit = CounterUnit::kBytes;
    double counter_top = 0;  ///< what a full row stands for
};

/// Neighbouring lanes under one title: a track.
struct LaneGroup {
    QString title;
    QString subtitle;
    LaneKind kind = LaneKind::kOps;
    std::size_t first = 0;
    std::size_t count = 0;
    QString key = {};                       ///< knows the track again in another trace
    std::vector<std::uint32_t> names = {};  ///< that its events have, each once
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
    std::shared_ptr<const ActivityDetails> activity;  ///< shared: lanes are moved, it stays

    [[nodiscard]] std::size_t num_events() const;
    [[nodiscard]] std::size_t memory() const;
    /// The group of a lane.
    [[nodiscard]] std::size_t group_of(std::size_t lane) const;
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

class ActivityCollector;

/// What else of a file goes into the lanes beside the run.
struct LaneExtras {
    const std::vector<trace::RecallRecord>* recall = nullptr;
    ActivityCollector* activity = nullptr;      ///< emptied
    const trace::Strings* strings = nullptr;    ///< beside the activity
    const trace::Launches* launches = nullptr;  ///< beside the activity
};

[[nodiscard]] LaneSet build_lanes(const trace::RunData& data,
                                  const std::vector<trace::Stream>& streams,
                                  const std::vector<StepFacts>& facts, LaneExtras extras = {});

/// Adds a track of these lanes. An empty list adds nothing.
void add_track(LaneSet& set, LaneGroup group, std::vector<LaneEvents> lanes,
               std::int32_t stream = -1);
/// Adds a track of one curve. `top` 0: its highest value.
void add_counter(LaneSet& set, const QString& title, CounterSeries series, CounterUnit unit,
                 double top = 0);

/// The event at `time_ns` or, within `tolerance_ns`, the nearest one of the lane.
[[nodiscard]] std::optional<std::size_t> event_at(const Lane& lane, double time_ns,
                                                  double tolerance_ns);

}  // namespace hc::gui
