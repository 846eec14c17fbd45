/// Everything the viewer shows of one run, made once by a worker and never changed after.
#pragma once

#include <QString>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "engine/core/progress.h"
#include "gui/models/drift_model.h"
#include "gui/models/lanes.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/columns.h"

namespace hc::gui {

struct RunView {
    QString path;                  ///< of the trace; empty for data that came from elsewhere
    QString warning;               ///< of the trace ("not closed cleanly, ...")
    std::vector<trace::Run> runs;  ///< all of the file
    trace::RunData data;
    std::vector<trace::RecallRecord> recall;
    analysis::RunMetrics metrics;
    std::optional<double> ratio;  ///< by the run's parameters
    std::vector<StepFacts> facts;
    LaneSet lanes;
    DriftModel drift;
    TimeRange decode;  ///< all decode steps; the whole trace where there is none

    /// Row of data.steps, nullopt: no such step.
    [[nodiscard]] std::optional<std::size_t> step_row(std::int64_t step) const;
    [[nodiscard]] TimeRange step_range(std::size_t row) const;
    /// Row of data.ops, nullopt: no such operation.
    [[nodiscard]] std::optional<std::size_t> op_row(std::int64_t op_id) const;
    [[nodiscard]] std::optional<std::size_t> check_row(std::int64_t check_id) const;
    /// Where an operation, step or fetch lies in the lanes. Of a fetch: its first piece.
    [[nodiscard]] std::optional<EventRef> locate_op(std::size_t row) const;
    [[nodiscard]] std::optional<EventRef> locate_step(std::size_t row) const;
    [[nodiscard]] std::optional<EventRef> locate_fetch(std::size_t row) const;
    /// The steps around the first trigger, from the one before it to the fetch's commit; nullopt:
    /// nothing triggered.
    [[nodiscard]] std::optional<TimeRange> around_first_trigger() const;
    /// The fetch of the first trigger, the largest of that step; row of data.fetches.
    [[nodiscard]] std::optional<std::size_t> first_triggered_fetch() const;
};

/// Takes RunData from anywhere. `recall` and `metrics` are the caller's. Of `extras` the activity
/// is looked at.
[[nodiscard]] RunView make_run_view(trace::RunData data, const std::vector<trace::Stream>& streams,
                                    std::vector<trace::RecallRecord> recall,
                                    analysis::RunMetrics metrics, LaneExtras extras = {});

/// Reads a run of a trace; without a number the first that has something to show of policies:
/// recorded heterocache, else the first run. Throws hc::Error; kRefused for a file without runs.
[[nodiscard]] RunView load_run_view(const std::filesystem::path& path,
                                    std::optional<trace::RunId> run, Progress& progress);

/// One name for a run among others: "2 · heterocache (fixed)".
[[nodiscard]] QString run_title(const trace::Run& run);

}  // namespace hc::gui
