// Tables of an engine run: operations, steps, retrievals.
#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/report_tables.h"
#include "profiler/trace/names.h"

namespace hc::cli {
namespace {

using analysis::RetrievalRow;
using analysis::StepRow;

Cell step_or_none(std::int64_t step) {
    return step >= 0 ? Cell(step) : Cell();
}

std::optional<double> rate(std::int64_t amount, std::int64_t ns) {
    if (amount <= 0 || ns <= 0) return std::nullopt;
    return static_cast<double>(amount) / static_cast<double>(ns);
}

std::string heading(const RunReport& run, const char* what) {
    return fmt::format("{} of run {} ({})", what, run.metrics.run.id, run.metrics.label);
}

}  // namespace

DataTable operations_table(const RunReport& run) {
    DataTable table;
    table.key = "operations";
    table.title = heading(run, "Operations") + ", decode steps";
    table.whole = true;
    table.columns = {{"kind", "operation", Unit::kText},
                     {"count", "count", Unit::kCount},
                     {"total_ns", "total", Unit::kNs},
                     {"share", "share", Unit::kShare},
                     {"median_ns", "median", Unit::kNs},
                     {"bytes", "bytes", Unit::kBytes, false},
                     {"flops", "flops", Unit::kCount, false},
                     {"gb_per_s", "GB/s", Unit::kGbPerS},
                     {"share_of_limit", "of limit", Unit::kShare},
                     {"gflop_per_s", "GFLOP/s", Unit::kNumber}};
    double all = 0;
    for (const analysis::OpKindTotal& k : run.metrics.metrics.by_kind) {
        all += static_cast<double>(k.total_ns);
    }
    for (const analysis::OpKindTotal& k : run.metrics.metrics.by_kind) {
        const std::optional<double> gb_per_s = rate(k.bytes, k.total_ns);
        std::optional<double> of_limit;
        // A transfer's limit is the link, which the trace may not know.
        const auto& limit = is_transfer(k.kind) ? run.limits.h2d : run.limits.read;
        if (gb_per_s && limit) of_limit = *gb_per_s / limit->gb_per_s;
        table.add_row({std::string(op_kind_name(k.kind)), k.count, k.total_ns,
                       all > 0 ? static_cast<double>(k.total_ns) / all : 0, k.median_ns, k.bytes,
                       k.flops, cell_of(gb_per_s), cell_of(of_limit),
                       cell_of(rate(k.flops, k.total_ns))});
    }
    if (run.limits.read) {
        table.note =
            fmt::format("of limit: of {:.1f} GB/s memory read ({})", run.limits.read->gb_per_s,
                        trace::value_origin_name(run.limits.read->origin));
    }
    return table;
}

DataTable steps_table(const RunReport& run) {
    DataTable table;
    table.key = "steps";
    table.title = heading(run, "Steps");
    table.columns = {{"step", "step", Unit::kCount},
                     {"phase", "phase", Unit::kText},
                     {"start_ns", "start", Unit::kNs, false},
                     {"duration_ns", "time", Unit::kNs},
                     {"checks", "checks", Unit::kCount, false},
                     {"triggers", "triggers", Unit::kCount, true, true},
                     {"fetches_triggered", "asked for", Unit::kCount, false},
                     {"fetches_used", "used", Unit::kCount, true, true},
                     {"bytes_used", "bytes", Unit::kBytes, true, true},
                     {"exposed_ns", "exposed", Unit::kNs, true, true},
                     {"transfer_ns", "transfer", Unit::kNs, true, true},
                     {"overlap", "overlap", Unit::kShare}};
    const bool has_work = !run.step_work.empty();
    if (has_work) {
        table.columns.push_back({"kernels", "kernels", Unit::kCount});
        table.columns.push_back({"kernel_ns", "kernel time", Unit::kNs});
        table.columns.push_back({"copy_bytes", "copied", Unit::kBytes, false});
        table.columns.push_back({"api_ns", "in calls", Unit::kNs, false});
        table.columns.push_back({"device_idle_ns", "idle", Unit::kNs, false});
    }
    // Each kind of operation that occurs, for machines.
    std::vector<std::size_t> kinds;
    for (std::size_t k = 0; k < static_cast<std::size_t>(OpKind::kCount); ++k) {
        if (std::any_of(run.steps.begin(), run.steps.end(),
                        [k](const StepRow& row) { return row.kind_ns[k] != 0; })) {
            kinds.push_back(k);
            table.columns.push_back(
                {std::string(op_kind_name(static_cast<OpKind>(k))) + "_ns", "", Unit::kNs, false});
        }
    }
    for (std::size_t s = 0; s < run.steps.size(); ++s) {
        const StepRow& row = run.steps[s];
        std::vector<Cell> cells = {row.step,
                                   std::string(trace::phase_name(row.phase)),
                                   row.start_ns,
                                   row.duration_ns(),
                                   row.checks,
                                   row.triggers,
                                   row.fetches_triggered,
                                   row.fetches_used,
                                   row.bytes_used,
                                   row.exposed_ns,
                                   row.transfer_ns,
                                   cell_of(row.overlap())};
        if (has_work) {
            const analysis::RangeWork& work = run.step_work[s];
            cells.insert(cells.end(), {work.kernels, work.compute_ns, work.copy_bytes, work.api_ns,
                                       work.idle_ns});
        }
        for (const std::size_t k : kinds) cells.emplace_back(row.kind_ns[k]);
        table.add_row(std::move(cells));
    }
    const bool any_transfer = std::any_of(run.steps.begin(), run.steps.end(), [](const StepRow& s) {
        return s.transfer_ns > 0 || s.fetches_used > 0;
    });
    if (any_transfer) {
        table.note = "used: fetches committed at its start; transfer, overlap: within its window";
    }
    return table;
}

DataTable slowest_steps(const DataTable& steps) {
    DataTable table = steps;
    const auto duration = [](const std::vector<Cell>& row) {
        return std::get<std::int64_t>(row[3]);
    };
    std::erase_if(table.rows, [](const std::vector<Cell>& row) {
        return std::get<std::string>(row[1]) != trace::phase_name(Phase::kDecode);
    });
    std::stable_sort(table.rows.begin(), table.rows.end(),
                     [&](const auto& a, const auto& b) { return duration(a) > duration(b); });
    table.title += ", slowest first";
    table.columns[1].for_people = false;
    return table;
}

DataTable retrievals_table(const RunReport& run) {
    DataTable table;
    table.key = "retrievals";
    table.title = heading(run, "Retrievals");
    table.columns = {{"fetch", "fetch", Unit::kCount},
                     {"check", "check", Unit::kCount, false},
                     {"layer", "layer", Unit::kCount},
                     {"pivot", "pivot", Unit::kCount, false},
                     {"sequence", "sequence", Unit::kCount, false},
                     {"way", "way", Unit::kText, false},
                     {"trigger_step", "triggered", Unit::kCount},
                     {"due_step", "due", Unit::kCount, false},
                     {"committed_step", "committed", Unit::kCount, false},
                     {"use_step", "used", Unit::kCount},
                     {"median", "median overlap", Unit::kNumber, false},
                     {"threshold", "threshold", Unit::kNumber, false},
                     {"rows_wanted", "wanted", Unit::kCount, false},
                     {"rows_fetched", "rows", Unit::kCount},
                     {"pieces", "pieces", Unit::kCount, false},
                     {"bytes", "bytes", Unit::kBytes},
                     {"queued_ns", "queued at", Unit::kNs, false},
                     {"start_ns", "start", Unit::kNs, false},
                     {"end_ns", "end", Unit::kNs, false},
                     {"first_use_ns", "used at", Unit::kNs, false},
                     {"waited_ns", "in queue", Unit::kNs},
                     {"transfer_ns", "transfer", Unit::kNs},
                     {"gb_per_s", "GB/s", Unit::kGbPerS},
                     {"exposed_ns", "exposed", Unit::kNs},
                     {"superseded", "superseded", Unit::kCount, false}};
    for (const RetrievalRow& row : run.retrievals) {
        const FetchRecord& f = row.fetch;
        const bool ran = row.ran();
        const bool checked = row.trigger_step >= 0;
        table.add_row({f.id,
                       step_or_none(f.check_id),
                       std::int64_t{f.layer},
                       checked ? Cell(std::int64_t{row.pivot}) : Cell(),
                       std::int64_t{f.sequence},
                       std::string(trace::fetch_way_name(f.way)),
                       step_or_none(row.trigger_step),
                       f.due_step,
                       step_or_none(f.committed_step),
                       step_or_none(row.use_step),
                       checked ? Cell(row.median) : Cell(),
                       checked ? Cell(row.threshold) : Cell(),
                       f.rows_wanted,
                       f.rows_fetched,
                       f.runs,
                       f.bytes,
                       f.queued_ns,
                       ran ? Cell(f.start_ns) : Cell(),
                       ran ? Cell(f.end_ns) : Cell(),
                       row.use_step >= 0 ? Cell(row.use_ns) : Cell(),
                       ran ? Cell(row.waited_ns()) : Cell(),
                       ran ? Cell(row.transfer_ns()) : Cell(),
                       ran ? cell_of(rate(f.bytes, row.transfer_ns())) : Cell(),
                       f.exposed_ns,
                       std::int64_t{f.superseded ? 1 : 0}});
    }
    table.note =
        "triggered: the step whose check asked for it; used: the step whose attention "
        "first read it";
    return table;
}

DataTable retrieval_totals_table(const RunReport& run) {
    const analysis::RetrievalTotals& t = run.retrieval_totals;
    DataTable table;
    table.key = "retrieval_totals";
    table.title = heading(run, "Retrievals") + ", in all";
    table.columns = {{"retrievals", "retrievals", Unit::kCount},
                     {"used", "used", Unit::kCount},
                     {"superseded", "superseded", Unit::kCount},
                     {"late", "waited for", Unit::kCount},
                     {"rows_wanted", "wanted rows", Unit::kCount, false},
                     {"rows_fetched", "rows", Unit::kCount},
                     {"bytes", "bytes", Unit::kBytes},
                     {"waited_median_ns", "in queue (median)", Unit::kNs, false},
                     {"transfer_median_ns", "transfer (median)", Unit::kNs},
                     {"transfer_p95_ns", "transfer p95", Unit::kNs, false},
                     {"steps_to_use_median", "steps to use", Unit::kNumber},
                     {"gb_per_s", "GB/s", Unit::kGbPerS},
                     {"exposed_ns", "exposed", Unit::kNs}};
    const auto known = [](const analysis::Distribution& d, double value) {
        return d.count > 0 ? Cell(value) : Cell();
    };
    table.add_row(
        {t.count, t.used, t.superseded, t.late, t.rows_wanted, t.rows_fetched, t.bytes,
         known(t.waited_ns, t.waited_ns.median), known(t.transfer_ns, t.transfer_ns.median),
         known(t.transfer_ns, t.transfer_ns.p95), known(t.steps_to_use, t.steps_to_use.median),
         cell_of(t.gb_per_s), t.exposed_ns});
    return table;
}

}  // namespace hc::cli
