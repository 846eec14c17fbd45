#include "profiler/analysis/step_table.h"

#include <algorithm>
#include <unordered_map>

#include "profiler/analysis/step_index.h"
#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

using trace::RunData;

/// The part of a sorted, disjoint set that lies in a window; windows may overlap and come in any
/// order.
std::vector<Interval> clip(const std::vector<Interval>& disjoint, std::int64_t start_ns,
                           std::int64_t end_ns) {
    std::vector<Interval> inside;
    auto at = std::lower_bound(disjoint.begin(), disjoint.end(), start_ns,
                               [](const Interval& i, std::int64_t t) { return i.end_ns <= t; });
    for (; at != disjoint.end() && at->start_ns < end_ns; ++at) {
        inside.push_back({std::max(at->start_ns, start_ns), std::min(at->end_ns, end_ns)});
    }
    return inside;
}

void add_intervals(const RunData& data, std::vector<StepRow>& rows) {
    const RunIntervals intervals = run_intervals(data);
    if (intervals.transfer.empty()) return;
    for (StepRow& row : rows) {
        const std::vector<Interval> transfer = clip(intervals.transfer, row.start_ns, row.end_ns);
        if (transfer.empty()) continue;
        row.transfer_ns = measure(transfer);
        row.both_ns =
            measure_intersection(transfer, clip(intervals.compute, row.start_ns, row.end_ns));
    }
}

void add_operations(const RunData& data, StepIndex& steps, std::vector<StepRow>& rows) {
    const trace::Ops& ops = data.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const std::optional<std::size_t> step = steps.find(ops.step[i]);
        const auto kind = static_cast<std::size_t>(ops.kind[i]);
        if (!step || kind >= rows[*step].kind_ns.size()) continue;
        add_wrapping(rows[*step].kind_ns[kind], ops.end_ns[i] - ops.start_ns[i]);
    }
}

std::unordered_map<std::int64_t, const DriftRecord*> checks_by_id(const RunData& data) {
    std::unordered_map<std::int64_t, const DriftRecord*> checks;
    for (const DriftRecord& check : data.drift) checks.emplace(check.check_id, &check);
    return checks;
}

void add_fetches(const RunData& data, StepIndex& steps, std::vector<StepRow>& rows) {
    const auto checks = checks_by_id(data);
    const auto row_of = [&](std::int64_t step) -> StepRow* {
        const std::optional<std::size_t> index = steps.find(step);
        return index ? &rows[*index] : nullptr;
    };
    for (const DriftRecord& check : data.drift) {
        StepRow* row = row_of(check.step);
        if (row == nullptr) continue;
        row->checks += 1;
        row->triggers += check.triggered ? 1 : 0;
    }
    const std::vector<FetchWait> waits = fetch_waits(data);
    for (std::size_t i = 0; i < data.fetches.size(); ++i) {
        const FetchRecord& fetch = data.fetches[i];
        const auto check = checks.find(fetch.check_id);
        if (check != checks.end()) {
            if (StepRow* row = row_of(check->second->step)) row->fetches_triggered += 1;
        }
        if (fetch.committed_step >= 0) {
            if (StepRow* row = row_of(fetch.committed_step)) {
                row->fetches_used += 1;
                add_wrapping(row->bytes_used, fetch.bytes);
            }
        }
        if (StepRow* row = row_of(waits[i].step)) {
            add_wrapping(row->exposed_ns, waits[i].exposed_ns);
        }
    }
}

}  // namespace

std::vector<StepRow> step_table(const RunData& data) {
    std::vector<StepRow> rows(data.steps.size());
    for (std::size_t s = 0; s < rows.size(); ++s) {
        rows[s].step = data.steps.step[s];
        rows[s].phase = data.steps.phase[s];
        rows[s].start_ns = data.steps.start_ns[s];
        rows[s].end_ns = data.steps.end_ns[s];
    }
    StepIndex steps(data.steps);
    add_operations(data, steps, rows);
    add_fetches(data, steps, rows);
    add_intervals(data, rows);
    return rows;
}

std::vector<RetrievalRow> retrieval_table(const RunData& data) {
    const auto checks = checks_by_id(data);
    std::unordered_map<std::int64_t, std::size_t> first_uses;
    for (const FetchRecord& fetch : data.fetches) {
        if (fetch.first_use_op >= 0) first_uses.emplace(fetch.first_use_op, data.ops.size());
    }
    for (std::size_t i = 0; i < data.ops.size(); ++i) {
        const auto found = first_uses.find(data.ops.op_id[i]);
        if (found != first_uses.end()) found->second = i;
    }
    const std::vector<FetchWait> waits = fetch_waits(data);
    std::vector<RetrievalRow> rows;
    for (std::size_t i = 0; i < data.fetches.size(); ++i) {
        RetrievalRow row;
        row.fetch = data.fetches[i];
        row.fetch.exposed_ns = waits[i].exposed_ns;
        const auto check = checks.find(row.fetch.check_id);
        if (check != checks.end()) {
            row.trigger_step = check->second->step;
            row.pivot = check->second->pivot;
            row.median = check->second->median;
            row.threshold = check->second->threshold;
        }
        const auto use = first_uses.find(row.fetch.first_use_op);
        if (use != first_uses.end() && use->second < data.ops.size()) {
            row.use_step = data.ops.step[use->second];
            row.use_ns = data.ops.start_ns[use->second];
        }
        rows.push_back(row);
    }
    return rows;
}

RetrievalTotals retrieval_totals(const std::vector<RetrievalRow>& rows) {
    RetrievalTotals totals;
    std::vector<double> waited, transfer, steps;
    std::vector<Interval> intervals;
    std::int64_t bytes_moved = 0;
    for (const RetrievalRow& row : rows) {
        totals.count += 1;
        totals.superseded += row.fetch.superseded ? 1 : 0;
        totals.late += row.fetch.exposed_ns > 0 ? 1 : 0;
        add_wrapping(totals.rows_wanted, row.fetch.rows_wanted);
        add_wrapping(totals.rows_fetched, row.fetch.rows_fetched);
        add_wrapping(totals.bytes, row.fetch.bytes);
        add_wrapping(totals.exposed_ns, row.fetch.exposed_ns);
        if (row.ran()) {
            waited.push_back(static_cast<double>(row.waited_ns()));
            transfer.push_back(static_cast<double>(row.transfer_ns()));
            intervals.push_back({row.fetch.start_ns, row.fetch.end_ns});
            add_wrapping(bytes_moved, row.fetch.bytes);
        }
        if (row.use_step >= 0) {
            totals.used += 1;
            if (row.trigger_step >= 0) {
                steps.push_back(static_cast<double>(row.use_step - row.trigger_step));
            }
        }
    }
    const std::int64_t time = measure(unite(std::move(intervals)));
    if (time > 0) totals.gb_per_s = static_cast<double>(bytes_moved) / static_cast<double>(time);
    totals.waited_ns = distribution(std::move(waited));
    totals.transfer_ns = distribution(std::move(transfer));
    totals.steps_to_use = distribution(std::move(steps));
    return totals;
}

}  // namespace hc::analysis
