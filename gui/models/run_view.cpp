#include "gui/models/run_view.h"

#include <algorithm>
#include <span>

#include "engine/config/settings_json.h"
#include "engine/core/error.h"
#include "gui/models/activity_lanes.h"
#include "gui/models/activity_load.h"
#include "profiler/trace/reader.h"

namespace hc::gui {
namespace {

TimeRange decode_range(const trace::Steps& steps, const TimeRange& bounds) {
    TimeRange range;
    bool any = false;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (steps.phase[i] != Phase::kDecode) continue;
        const auto start = static_cast<double>(steps.start_ns[i]);
        const auto end = static_cast<double>(steps.end_ns[i]);
        range.start_ns = any ? std::min(range.start_ns, start) : start;
        range.end_ns = any ? std::max(range.end_ns, end) : end;
        any = true;
    }
    return any && range.span() > 0 ? clamped(range, bounds) : bounds;
}

const trace::Run& choose_run(const std::vector<trace::Run>& runs) {
    for (const trace::Run& run : runs) {
        if (run.policy == "heterocache" && run.origin == trace::Origin::kRecorded) return run;
    }
    return runs.front();
}

/// Parameters of a run that this version does not understand are no reason not to show it.
std::optional<double> ratio_of(const trace::Run& run) {
    if (run.policy != "heterocache") return std::nullopt;
    try {
        return config::run_parameters_from_json(run.parameters_json, "parameters").settings.ratio;
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::optional<EventRef> locate(const LaneSet& set, LaneKind kind, std::size_t row,
                               std::int64_t start_ns) {
    for (std::size_t lane = 0; lane < set.lanes.size(); ++lane) {
        if (set.lanes[lane].kind != kind) continue;
        const LaneEvents& events = set.lanes[lane].events;
        // Several events of no length can share a start.
        for (std::size_t i = events.first_starting_at(static_cast<double>(start_ns));
             i < events.size() && events.start(i) == start_ns; ++i) {
            if (events.source(i) == row) return EventRef{lane, i};
        }
    }
    return std::nullopt;
}

/// Recall as recorded; else by replaying the run over the drift trace it is judged by.
std::vector<trace::RecallRecord> recall_of(const trace::Trace& trace, const trace::RunData& data,
                                           Progress& progress) {
    std::vector<trace::RecallRecord> rows = trace.recall(data.run.id);
    if (!rows.empty() || data.run.attention_run < 0 || data.rows.empty()) return rows;
    try {
        const trace::RunData attention =
            trace.read(data.run.attention_run, {.operations = false, .attention = true}, progress);
        return analysis::run_recall(data, attention);
    } catch (const Error& error) {
        // A trace cut down to one run names an attention run that is gone: shown without recall.
        if (error.code() == ExitCode::kInterrupted) throw;
        return {};
    }
}

void add_mean_recall(analysis::RunMetrics& metrics, std::span<const trace::RecallRecord> rows) {
    if (metrics.recall || rows.empty()) return;
    analysis::RecallInterval mean;
    for (const trace::RecallRecord& row : rows) {
        mean.low += row.low;
        mean.high += row.high;
    }
    mean.low /= static_cast<double>(rows.size());
    mean.high /= static_cast<double>(rows.size());
    metrics.recall = mean;
}

}  // namespace

std::optional<std::size_t> RunView::step_row(std::int64_t step) const {
    const auto& steps = data.steps.step;
    const auto found = std::find(steps.begin(), steps.end(), step);
    if (found == steps.end()) return std::nullopt;
    return static_cast<std::size_t>(found - steps.begin());
}

TimeRange RunView::step_range(std::size_t row) const {
    return {static_cast<double>(data.steps.start_ns[row]),
            static_cast<double>(data.steps.end_ns[row])};
}

std::optional<std::size_t> RunView::op_row(std::int64_t op_id) const {
    if (op_id < 0) return std::nullopt;
    const auto& ids = data.ops.op_id;
    const auto found = std::find(ids.begin(), ids.end(), op_id);
    if (found == ids.end()) return std::nullopt;
    return static_cast<std::size_t>(found - ids.begin());
}

std::optional<std::size_t> RunView::check_row(std::int64_t check_id) const {
    for (std::size_t i = 0; check_id >= 0 && i < data.drift.size(); ++i) {
        if (data.drift[i].check_id == check_id) return i;
    }
    return std::nullopt;
}

std::optional<EventRef> RunView::locate_op(std::size_t row) const {
    return locate(lanes, LaneKind::kOps, row, data.ops.start_ns[row]);
}

std::optional<EventRef> RunView::locate_step(std::size_t row) const {
    return locate(lanes, LaneKind::kSteps, row, data.steps.start_ns[row]);
}

std::optional<EventRef> RunView::locate_fetch(std::size_t row) const {
    const FetchRecord& fetch = data.fetches[row];
    // A fetch that the worker took at once has no queued piece.
    for (const std::int64_t start : {fetch.queued_ns, fetch.start_ns}) {
        if (const auto found = locate(lanes, LaneKind::kFetches, row, start)) return found;
    }
    return std::nullopt;
}

std::optional<std::size_t> RunView::first_triggered_fetch() const {
    std::optional<std::size_t> best;
    std::int64_t best_step = 0;
    for (std::size_t i = 0; i < data.fetches.size(); ++i) {
        const FetchRecord& fetch = data.fetches[i];
        const auto check = check_row(fetch.check_id);
        if (!check || fetch.committed_step < 0) continue;
        const std::int64_t step = data.drift[*check].step;
        const bool better = !best || step < best_step ||
                            (step == best_step && fetch.bytes > data.fetches[*best].bytes);
        if (better) {
            best = i;
            best_step = step;
        }
    }
    return best;
}

std::optional<TimeRange> RunView::around_first_trigger() const {
    const DriftRecord* first = nullptr;
    for (const DriftRecord& check : data.drift) {
        if (check.triggered && (first == nullptr || check.step < first->step)) first = &check;
    }
    if (first == nullptr) return std::nullopt;
    std::int64_t last_step = first->step;
    for (const FetchRecord& fetch : data.fetches) {
        if (fetch.check_id == first->check_id) {
            last_step = std::max(last_step, fetch.committed_step);
        }
    }
    // The prefill would squeeze everything else into a corner.
    auto from = step_row(first->step - 1);
    if (!from || data.steps.phase[*from] == Phase::kPrefill) from = step_row(first->step);
    const auto to = step_row(last_step);
    if (!from || !to) return std::nullopt;
    return clamped(TimeRange{step_range(*from).start_ns, step_range(*to).end_ns}.padded(0.02),
                   lanes.bounds);
}

RunView make_run_view(trace::RunData data, const std::vector<trace::Stream>& streams,
                      std::vector<trace::RecallRecord> recall, analysis::RunMetrics metrics,
                      LaneExtras extras) {
    RunView view;
    view.data = std::move(data);
    view.recall = std::move(recall);
    view.metrics = std::move(metrics);
    add_mean_recall(view.metrics, view.recall);
    view.ratio = ratio_of(view.data.run);
    view.facts = step_facts(view.data);
    extras.recall = &view.recall;
    view.lanes = build_lanes(view.data, streams, view.facts, std::move(extras));
    view.drift = DriftModel(view.data);
    view.decode = decode_range(view.data.steps, view.lanes.bounds);
    if (!view.data.run.policy.empty()) view.runs = {view.data.run};
    return view;
}

namespace {

RunView load(const std::filesystem::path& path, std::optional<trace::RunId> run,
             Progress& progress) {
    const trace::Trace trace(path);
    const bool any_activity = trace.activity_counts().total() > 0;
    if (run) static_cast<void>(trace.run(*run));  // says which runs there are
    if (trace.runs().empty() && !any_activity) {
        throw_refused(path.string() + " holds no run of the engine and no CUDA activity");
    }
    trace::RunData data;
    std::vector<trace::RecallRecord> recall;
    analysis::RunMetrics metrics;
    if (!trace.runs().empty()) {
        const trace::RunId id = run ? *run : choose_run(trace.runs()).id;
        data = trace.read(id, {.operations = true, .attention = false}, progress);
        recall = recall_of(trace, data, progress);
        metrics = analysis::run_metrics(data, nullptr);
    }
    ActivityCollector activity;
    LaneExtras extras;
    if (any_activity) {
        activity = read_activity(trace, progress);
        extras.activity = &activity;
        extras.strings = &trace.strings();
        extras.launches = &trace.launches();
    }
    if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "loading was cancelled");
    progress.begin("arranging events", 0);
    RunView view = make_run_view(std::move(data), trace.streams(), std::move(recall),
                                 std::move(metrics), std::move(extras));
    progress.end();
    view.runs = trace.runs();
    view.path = QString::fromStdString(path.string());
    view.warning = QString::fromStdString(trace.warning());
    return view;
}

}  // namespace

RunView load_run_view(const std::filesystem::path& path, std::optional<trace::RunId> run,
                      Progress& progress) {
    try {
        return load(path, run, progress);
    } catch (const Error& error) {
        // SQLite quotes a damaged schema with its line ends.
        const QString message = QString::fromUtf8(error.what()).simplified();
        throw Error(error.code(), message.toStdString());
    }
}

QString run_title(const trace::Run& run) {
    QString title = QString("%1 \u00b7 %2").arg(run.id).arg(QString::fromStdString(run.policy));
    if (!run.mode.empty()) title += QString(" (%1)").arg(QString::fromStdString(run.mode));
    if (run.origin == trace::Origin::kSimulated) title += " \u00b7 simulated";
    return title;
}

}  // namespace hc::gui
