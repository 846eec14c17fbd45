#include "gui/models/run_tables.h"

#include "gui/models/describe.h"
#include "gui/models/ticks.h"

namespace hc::gui {
namespace {

using Number = std::function<double(std::size_t)>;

TableColumn count_column(const QString& title, Number number) {
    return {title, number,
            [number](std::size_t row) { return format_count(static_cast<qint64>(number(row))); }};
}

TableColumn duration_column(const QString& title, Number number) {
    return {title, number, [number](std::size_t row) { return format_duration(number(row)); }};
}

TableColumn time_column(const QString& title, Number number) {
    return {title, number, [number](std::size_t row) { return format_time(number(row)); }};
}

TableColumn share_column(const QString& title, Number number) {
    return {title, number,
            [number](std::size_t row) { return QString::number(number(row), 'f', 3); }};
}

TableColumn text_column(const QString& title, std::function<QString(std::size_t)> text) {
    return {title, [](std::size_t) { return 0.0; }, std::move(text), true};
}

}  // namespace

std::vector<TableColumn> step_columns(const RunViewPtr& view) {
    const auto& steps = view->data.steps;
    return {
        count_column("step", [view, &steps](std::size_t i) { return double(steps.step[i]); }),
        time_column("start", [view, &steps](std::size_t i) { return double(steps.start_ns[i]); }),
        duration_column(
            "duration",
            [view, &steps](std::size_t i) { return double(steps.end_ns[i] - steps.start_ns[i]); }),
        count_column("checks", [view](std::size_t i) { return double(view->facts[i].checks); }),
        count_column("triggers", [view](std::size_t i) { return double(view->facts[i].triggers); }),
        text_column("remark",
                    [view, &steps](std::size_t i) {
                        if (steps.phase[i] == Phase::kPrefill) return QString("prefill");
                        return view->facts[i].slow ? QString("slow") : QString();
                    }),
    };
}

std::vector<TableColumn> check_columns(const RunViewPtr& view) {
    const auto& drift = view->data.drift;
    return {
        count_column("step", [view, &drift](std::size_t i) { return double(drift[i].step); }),
        count_column("layer", [view, &drift](std::size_t i) { return double(drift[i].layer); }),
        count_column("pivot", [view, &drift](std::size_t i) { return double(drift[i].pivot); }),
        count_column("base", [view, &drift](std::size_t i) { return double(drift[i].base); }),
        share_column("median", [view, &drift](std::size_t i) { return drift[i].median; }),
        share_column("threshold", [view, &drift](std::size_t i) { return drift[i].threshold; }),
        text_column("triggered",
                    [view, &drift](std::size_t i) {
                        return drift[i].triggered ? QString("yes") : QString();
                    }),
    };
}

std::vector<TableColumn> fetch_columns(const RunViewPtr& view) {
    const auto& fetches = view->data.fetches;
    const auto rate = [view, &fetches](std::size_t i) {
        const auto ns = double(fetches[i].end_ns - fetches[i].start_ns);
        return ns > 0 ? double(fetches[i].bytes) / ns : 0.0;
    };
    return {
        count_column("fetch", [view, &fetches](std::size_t i) { return double(fetches[i].id); }),
        count_column("layer", [view, &fetches](std::size_t i) { return double(fetches[i].layer); }),
        time_column("queued",
                    [view, &fetches](std::size_t i) { return double(fetches[i].queued_ns); }),
        duration_column("transfer",
                        [view, &fetches](std::size_t i) {
                            return double(fetches[i].end_ns - fetches[i].start_ns);
                        }),
        count_column("rows",
                     [view, &fetches](std::size_t i) { return double(fetches[i].rows_fetched); }),
        {"bytes", [view, &fetches](std::size_t i) { return double(fetches[i].bytes); },
         [view, &fetches](std::size_t i) { return format_bytes(double(fetches[i].bytes)); }},
        {"GB/s", rate, [rate](std::size_t i) { return QString::number(rate(i), 'f', 2); }},
        count_column("due",
                     [view, &fetches](std::size_t i) { return double(fetches[i].due_step); }),
        {"commit", [view, &fetches](std::size_t i) { return double(fetches[i].committed_step); },
         [view, &fetches](std::size_t i) {
             // Never committed: superseded, or the run ended first.
             return fetches[i].committed_step < 0 ? QString("\u2013")
                                                  : format_count(fetches[i].committed_step);
         }},
        duration_column("exposed",
                        [view, &fetches](std::size_t i) { return double(fetches[i].exposed_ns); }),
    };
}

std::vector<TableColumn> statistics_columns(const RunViewPtr& view,
                                            const RangeStatisticsPtr& statistics) {
    const auto row = [statistics](std::size_t i) -> const StatisticsRow& {
        return statistics->rows[i];
    };
    return {
        text_column("track",
                    [view, row](std::size_t i) {
                        const LaneGroup& group = view->lanes.groups[row(i).group];
                        return group.subtitle.isEmpty() || group.kind == LaneKind::kSteps
                                   ? group.title
                                   : group.title + ", " + group.subtitle;
                    }),
        text_column("name",
                    [view, row](std::size_t i) {
                        const auto name = row(i).name;
                        if (!name) return QString("(all)");
                        return *name == StatisticsRow::kOtherNames ? QString("(other names)")
                                                                   : view->lanes.names[*name].text;
                    }),
        count_column("count", [row](std::size_t i) { return double(row(i).count); }),
        duration_column("sum", [row](std::size_t i) { return double(row(i).sum_ns); }),
        duration_column("mean", [row](std::size_t i) { return row(i).mean_ns(); }),
        duration_column("median", [row](std::size_t i) { return row(i).median_ns; }),
        duration_column("p95", [row](std::size_t i) { return double(row(i).p95_ns); }),
        duration_column("p99", [row](std::size_t i) { return double(row(i).p99_ns); }),
        duration_column("max", [row](std::size_t i) { return double(row(i).max_ns); }),
    };
}

std::vector<TableColumn> hit_columns(const RunViewPtr& view, const SearchHitsPtr& hits) {
    const auto events = [view](const EventRef& hit) -> const LaneEvents& {
        return view->lanes.lanes[hit.lane].events;
    };
    return {
        text_column("event",
                    [view, hits](std::size_t i) { return event_title(*view, hits->at(i)); }),
        time_column("start",
                    [hits, events](std::size_t i) {
                        const EventRef hit = hits->at(i);
                        return double(events(hit).start(hit.index));
                    }),
        duration_column("duration",
                        [hits, events](std::size_t i) {
                            const EventRef hit = hits->at(i);
                            return double(events(hit).duration(hit.index));
                        }),
        text_column("track",
                    [view, hits](std::size_t i) {
                        return view->lanes.groups[view->lanes.group_of(hits->at(i).lane)].title;
                    }),
    };
}

}  // namespace hc::gui
