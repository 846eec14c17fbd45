#include "simulator/replay/source_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>

#include "engine/core/error.h"
#include "simulator/cost/op_costs.h"
#include "simulator/cost/transfers.h"

namespace hc::sim {
namespace {

using Index = std::size_t;

bool is_drift(OpKind kind) {
    return kind == OpKind::kDriftScore || kind == OpKind::kDriftTopk;
}

/// About an hour and a petabyte: more is a broken file, and would overflow sums.
constexpr std::int64_t kLongestNs = std::int64_t{3'600} * 1'000'000'000;
constexpr std::int64_t kLargest = std::int64_t{1} << 50;
constexpr std::int64_t kLatestNs = std::int64_t{1} << 60;

void check_span(std::int64_t start, std::int64_t end, const char* what, std::int64_t id,
                const std::string& name) {
    const bool sane = start > -kLatestNs && start < kLatestNs && end > -kLatestNs &&
                      end < kLatestNs && end - start <= kLongestNs;
    if (!sane) {
        throw_input(fmt::format("{}: {} {} from {} to {} ns, expected at most an hour", name, what,
                                id, start, end));
    }
}

void check_sizes(const trace::RunData& data, const std::string& name) {
    for (Index i = 0; i < data.steps.size(); ++i) {
        check_span(data.steps.start_ns[i], data.steps.end_ns[i], "step", data.steps.step[i], name);
        if (data.steps.batch[i] < 1 || data.steps.batch[i] > (1 << 12)) {
            throw_input(fmt::format("{}: step {} of {} sequences", name, data.steps.step[i],
                                    data.steps.batch[i]));
        }
    }
    const trace::Ops& ops = data.ops;
    for (Index i = 0; i < ops.size(); ++i) {
        check_span(ops.start_ns[i], ops.end_ns[i], "operation", ops.op_id[i], name);
        for (const std::int64_t size :
             {ops.rows[i], ops.bytes_read[i], ops.bytes_written[i], ops.flops[i]}) {
            if (size < 0 || size > kLargest) {
                throw_input(
                    fmt::format("{}: operation {} has a size of {}", name, ops.op_id[i], size));
            }
        }
        if (ops.kind[i] >= OpKind::kCount) {
            throw_input(fmt::format("{}: operation {} of unknown kind", name, ops.op_id[i]));
        }
    }
    for (const FetchRecord& fetch : data.fetches) {
        check_span(fetch.start_ns, fetch.end_ns, "fetch", fetch.id, name);
        check_span(fetch.queued_ns, fetch.queued_ns, "fetch", fetch.id, name);
        const bool sane = fetch.rows_fetched >= 0 && fetch.rows_fetched <= kLargest &&
                          fetch.runs >= 0 && fetch.runs <= kLargest && fetch.bytes >= 0 &&
                          fetch.bytes <= kLargest && fetch.exposed_ns >= 0 &&
                          fetch.exposed_ns <= kLongestNs;
        if (!sane) throw_input(fmt::format("{}: fetch {} has impossible sizes", name, fetch.id));
    }
}

void check_shape(const SourceRun& run, std::int32_t batch, const std::string& name) {
    const auto within = [](std::int64_t value, std::int64_t most) {
        return value >= 1 && value <= most;
    };
    const bool sane = within(run.shape.num_layers, 1 << 12) &&
                      within(run.shape.num_kv_heads, 1 << 12) &&
                      within(run.shape.head_dim, 1 << 12) && within(run.prompt, 1 << 28) &&
                      within(run.parameters.element_bytes, 16) &&
                      within(run.parameters.page_size, 1 << 20) && within(batch, 1 << 12);
    if (!sane) throw_input(name + ": shape, batch or parameters out of range");
    const double bytes = static_cast<double>(run.shape.num_kv_heads_total()) *
                         static_cast<double>(run.prompt) * static_cast<double>(batch) *
                         static_cast<double>(2 * run.shape.head_dim * run.parameters.element_bytes);
    if (bytes > static_cast<double>(kLargest)) {
        throw_input(fmt::format("{}: a cache of {:.3g} bytes", name, bytes));
    }
}

/// Rows of `data` by the keys that taking apart needs.
class Tables {
public:
    explicit Tables(const trace::RunData& data) : data_(data) {
        for (Index i = 0; i < data.ops.size(); ++i) {
            op_at_[data.ops.op_id[i]] = i;
            by_step_[data.ops.step[i]].push_back(i);
        }
        for (auto& [step, ops] : by_step_) {
            std::stable_sort(ops.begin(), ops.end(), [&](Index a, Index b) {
                return data.ops.start_ns[a] < data.ops.start_ns[b];
            });
        }
        for (const DriftRecord& check : data.drift) {
            check_at_[check.check_id] = &check;
            checked_.insert({check.step, check.layer});
        }
    }

    const std::vector<Index>& ops_of(std::int64_t step) const {
        static const std::vector<Index> none;
        const auto found = by_step_.find(step);
        return found == by_step_.end() ? none : found->second;
    }
    std::optional<Index> op(std::int64_t id) const {
        const auto found = op_at_.find(id);
        if (found == op_at_.end()) return std::nullopt;
        return found->second;
    }
    const DriftRecord* check(std::int64_t id) const {
        const auto found = check_at_.find(id);
        return found == check_at_.end() ? nullptr : found->second;
    }
    /// Drift operations of another step are work of every step (scores kept as they come).
    bool belongs_to_check(Index op) const {
        return is_drift(data_.ops.kind[op]) &&
               checked_.contains({data_.ops.step[op], data_.ops.layer[op]});
    }

private:
    const trace::RunData& data_;
    std::unordered_map<std::int64_t, Index> op_at_;
    std::unordered_map<std::int64_t, std::vector<Index>> by_step_;
    std::unordered_map<std::int64_t, const DriftRecord*> check_at_;
    std::set<std::pair<std::int64_t, std::int32_t>> checked_;
};

class TakeApart {
public:
    TakeApart(const trace::RunData& data, double interference)
        : data_(data),
          interference_(interference),
          tables_(data),
          transfers_(data),
          blocked_(blocked_ns(data)),
          gap_(data.ops.size(), 0) {
        for (const FetchRecord& fetch : data.fetches) {
            // A thread's commit that waits shows it as its own time.
            if (fetch.commit_op >= 0 && data.run.backend == "cuda") {
                exposed_[fetch.commit_op] += fetch.exposed_ns;
            }
        }
    }

    void steps(SourceRun& run) {
        std::optional<std::int64_t> previous_end;
        for (Index i = 0; i < data_.steps.size(); ++i) {
            if (data_.steps.phase[i] != Phase::kDecode) continue;
            RecordedStep step;
            step.step = data_.steps.step[i];
            if (run.steps.empty()) run.step_offset = step.step - 1;
            step.batch = data_.steps.batch[i];
            const std::int64_t start = data_.steps.start_ns[i];
            if (previous_end) step.pause_ns = std::max<std::int64_t>(0, start - *previous_end);
            previous_end = data_.steps.end_ns[i];
            one_step(start, *previous_end, step, run.checks);
            run.steps.push_back(std::move(step));
        }
        std::stable_sort(run.checks.begin(), run.checks.end(), [](const auto& a, const auto& b) {
            return a.layer != b.layer ? a.layer < b.layer : a.step < b.step;
        });
    }

    void fetches(SourceRun& run) {
        std::vector<const FetchRecord*> order;
        for (const FetchRecord& fetch : data_.fetches) order.push_back(&fetch);
        std::stable_sort(order.begin(), order.end(),
                         [](const auto* a, const auto* b) { return a->start_ns < b->start_ns; });
        std::int64_t worker_free = std::numeric_limits<std::int64_t>::min();
        for (const FetchRecord* fetch : order) {
            const DriftRecord* check = tables_.check(fetch->check_id);
            // Without an operation it was dropped before it began.
            if (check == nullptr || fetch->fetch_op < 0 || fetch->end_ns < fetch->start_ns)
                continue;
            RecordedFetch recorded;
            recorded.sequence = fetch->sequence;
            recorded.layer = check->layer;
            recorded.pivot = check->pivot;
            recorded.step = check->step;
            recorded.rows = fetch->rows_fetched;
            recorded.runs = fetch->runs;
            recorded.bytes = fetch->bytes;
            recorded.work_ns = fetch->end_ns - fetch->start_ns;
            if (const auto op = tables_.op(check->op_id)) {
                recorded.submit_ns =
                    std::max<std::int64_t>(0, fetch->queued_ns - data_.ops.end_ns[*op]);
            }
            recorded.latency_ns = std::max<std::int64_t>(
                0, fetch->start_ns - std::max(fetch->queued_ns, worker_free));
            worker_free = std::max(worker_free, fetch->end_ns);
            commit(*fetch, recorded);
            run.fetches[{recorded.sequence, recorded.layer, recorded.pivot, recorded.step}] =
                recorded;
        }
    }

private:
    std::int64_t alone(Index op) const {
        const std::int64_t start =
            std::min(data_.ops.end_ns[op], data_.ops.start_ns[op] + blocked_[op]);
        const std::int64_t time = std::max<std::int64_t>(0, data_.ops.end_ns[op] - start);
        if (interference_ <= 0) return time;
        const auto beside = static_cast<double>(transfers_.beside(start, data_.ops.end_ns[op]));
        return std::max<std::int64_t>(
            0,
            time - static_cast<std::int64_t>(beside * interference_ / (1 + interference_) + 0.5));
    }

    /// What of the time before a commit was waiting for its transfer: where a device's stream
    /// commits, the wait lies before the operation, not inside it.
    std::int64_t waited_before(Index op) const {
        if (data_.ops.kind[op] != OpKind::kCommit) return 0;
        const auto found = exposed_.find(data_.ops.op_id[op]);
        return found == exposed_.end() ? 0
                                       : std::max<std::int64_t>(0, found->second - blocked_[op]);
    }

    RecordedOp recorded(Index op) const {
        RecordedOp result;
        result.kind = data_.ops.kind[op];
        result.layer = data_.ops.layer[op];
        result.gap_ns = gap_[op];
        result.work_ns = alone(op);
        result.rows = data_.ops.rows[op];
        result.bytes_read = data_.ops.bytes_read[op];
        result.bytes_written = data_.ops.bytes_written[op];
        result.flops = data_.ops.flops[op];
        return result;
    }

    void one_step(std::int64_t start, std::int64_t end, RecordedStep& step,
                  std::vector<RecordedCheck>& checks) {
        std::int64_t free = start;
        std::map<std::pair<OpKind, std::int32_t>, std::int32_t> occurrences;
        RecordedCheck anchor;  // of the last operation that stays
        RecordedOp* last = nullptr;
        std::int64_t last_end = 0;
        for (const Index op : tables_.ops_of(step.step)) {
            if (data_.ops.stream[op] != kDecodeStream) continue;
            const std::int64_t op_start = data_.ops.start_ns[op];
            gap_[op] = std::max<std::int64_t>(0, op_start - free - waited_before(op));
            free = std::max(free, data_.ops.end_ns[op]);
            const OpKind kind = data_.ops.kind[op];
            const std::int32_t layer = data_.ops.layer[op];
            if (kind == OpKind::kCommit) continue;
            if (kind == OpKind::kFetch) {
                // On the decode thread it can lie inside the operation that was recorded last.
                if (last != nullptr && last_end > op_start) {
                    const std::int64_t inside = std::min(last_end, data_.ops.end_ns[op]) - op_start;
                    last->work_ns = std::max<std::int64_t>(0, last->work_ns - inside);
                }
                continue;
            }
            if (!tables_.belongs_to_check(op)) {
                anchor.anchor = kind;
                anchor.anchor_layer = layer;
                anchor.anchor_occurrence = occurrences[{kind, layer}]++;
                step.ops.push_back(recorded(op));
                last = &step.ops.back();
                last_end = data_.ops.end_ns[op];
                continue;
            }
            if (checks.empty() || checks.back().step != step.step || checks.back().layer != layer) {
                checks.push_back(anchor);
                checks.back().step = step.step;
                checks.back().layer = layer;
            }
            checks.back().ops.push_back(recorded(op));
            last = &checks.back().ops.back();
            last_end = data_.ops.end_ns[op];
        }
        step.tail_ns = std::max<std::int64_t>(0, end - free);
    }

    /// One commit operation may serve several fetches: its time is shared by rows.
    void commit(const FetchRecord& fetch, RecordedFetch& recorded) const {
        const auto op = fetch.commit_op < 0 ? std::nullopt : tables_.op(fetch.commit_op);
        if (!op) return;
        recorded.committed = true;
        recorded.commit_gap_ns = gap_[*op];
        std::int64_t rows = 0;
        for (const FetchRecord& other : data_.fetches) {
            if (other.commit_op == fetch.commit_op) rows += other.rows_fetched;
        }
        recorded.commit_work_ns = alone(*op);
        if (rows > fetch.rows_fetched && rows > 0) {
            const double share =
                static_cast<double>(fetch.rows_fetched) / static_cast<double>(rows);
            recorded.commit_work_ns =
                static_cast<std::int64_t>(static_cast<double>(recorded.commit_work_ns) * share);
        }
    }

    const trace::RunData& data_;
    double interference_;
    Tables tables_;
    TransferTimes transfers_;
    std::vector<std::int64_t> blocked_;
    std::unordered_map<std::int64_t, std::int64_t> exposed_;  // [commit op] of a device's stream
    std::vector<std::int64_t> gap_;                           // [op], filled by steps()
};

}  // namespace

SourceRun take_apart(const trace::RunData& data, double interference) {
    const std::string name = fmt::format("run {}", data.run.id);
    check_sizes(data, name);
    SourceRun run;
    run.parameters =
        config::run_parameters_from_json(data.run.parameters_json, name + " parameters");
    run.shape = config::shape_from_json(data.run.shape_json, name + " shape");
    run.heterocache = data.run.policy == "heterocache";
    run.prompt = data.run.prompt_tokens;
    if (run.prompt <= 0) throw_refused(name + " has no prompt tokens: nothing to simulate");
    check_shape(run, data.run.batch, name);
    if (run.heterocache && !run.parameters.profile) {
        throw_refused(name + " does not hold its head profile: its decisions cannot be repeated");
    }
    TakeApart parts(data, interference);
    parts.steps(run);
    parts.fetches(run);
    const bool any_op = std::any_of(run.steps.begin(), run.steps.end(),
                                    [](const RecordedStep& step) { return !step.ops.empty(); });
    if (!any_op) {
        throw_refused(name + " holds no decode steps with operations: nothing to simulate");
    }
    return run;
}

}  // namespace hc::sim
