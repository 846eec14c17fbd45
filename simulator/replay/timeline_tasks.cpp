#include "simulator/replay/timeline_tasks.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

class TaskBuilder {
public:
    explicit TaskBuilder(const TimelineInput& input) : in_(input), costs_(input) {
        out_.decode = out_.engine.add_stream();
        out_.worker = out_.engine.add_stream();
        out_.engine.set_interference(costs_.interference());
        std::size_t ops = 0;
        for (std::size_t i = 0; i < in_.num_steps; ++i) ops += in_.source.steps[i].ops.size();
        out_.engine.reserve(ops + ops / 4);
        out_.ops.reserve(ops + ops / 4);
        if (in_.decisions != nullptr) {
            out_.check_tasks.assign(in_.decisions->checks.size(), -1);
            out_.fetch_tasks.resize(in_.decisions->fetches.size());
        }
    }

    TimelineTasks build() {
        for (std::size_t i = 0; i < in_.num_steps; ++i) add_step(i);
        out_.doubt_ns = costs_.doubt_ns();
        out_.attention_rows_min = costs_.attention_rows_min();
        out_.attention_rows_max = costs_.attention_rows_max();
        return std::move(out_);
    }

private:
    TaskId add(const NewOp& op, Task task) {
        task.work_ns = costs_.on_machine(op, task.work_ns);
        if (task.stream == out_.decode) {
            task.gap_ns += lead_ns_;
            lead_ns_ = 0;
        }
        out_.ops.push_back(op);
        return out_.engine.add_task(task);
    }

    TaskId add_compute(const NewOp& op, std::int64_t gap_ns, std::int64_t work_ns) {
        return add(
            op,
            {.stream = out_.decode, .load = Load::kCompute, .gap_ns = gap_ns, .work_ns = work_ns});
    }

    void add_step(std::size_t index) {
        const RecordedStep& step = in_.source.steps[index];
        index_ = index;
        lead_ns_ += step.pause_ns;
        out_.first_task.push_back(out_.engine.num_tasks());
        commit_due(step.step);
        plan_checks(step.step);
        occurrence_.clear();
        for (const RecordedOp& op : step.ops) {
            const bool drift = op.kind == OpKind::kDriftScore || op.kind == OpKind::kDriftTopk;
            if (drift && (in_.decisions == nullptr || !in_.settings.retrieval)) continue;
            add_recorded(op, step.batch);
            run_checks_after(op);
        }
        // Their anchor did not occur in this step: at its end.
        while (!planned_.empty()) run_check(planned_.size() - 1);
        lead_ns_ += step.tail_ns;
    }

    void add_recorded(const RecordedOp& op, std::int32_t batch) {
        NewOp now{op.kind, op.layer, index_, op.rows, op.bytes_read, op.bytes_written, op.flops};
        const bool resized = op.kind == OpKind::kAttention;
        const std::int64_t work = resized ? costs_.attention(now, op.work_ns, batch) : op.work_ns;
        const TaskId task = add_compute(now, op.gap_ns, work);
        if (op.kind == OpKind::kAttention) first_use(op.layer, task);
    }

    // ---- checks ----

    struct PlannedCheck {
        const RecordedCheck* donor = nullptr;
        std::int32_t layer = 0;
        std::size_t first = 0;  // decisions [first, last)
        std::size_t last = 0;
    };

    void plan_checks(std::int64_t step) {
        planned_.clear();
        if (in_.decisions == nullptr) return;
        const auto& checks = in_.decisions->checks;
        while (next_check_ < checks.size() && checks[next_check_].step == step) {
            PlannedCheck plan;
            plan.first = next_check_;
            plan.layer = checks[next_check_].layer;
            while (next_check_ < checks.size() && checks[next_check_].step == step &&
                   checks[next_check_].layer == plan.layer) {
                ++next_check_;
            }
            plan.last = next_check_;
            plan.donor = costs_.donors().check(plan.layer, step);
            if (plan.donor == nullptr) {
                throw_refused(
                    "no recorded drift check to take its cost from: record a heterocache "
                    "run with retrieval on in the same trace");
            }
            planned_.push_back(plan);
        }
    }

    void run_checks_after(const RecordedOp& op) {
        if (planned_.empty()) return;
        const auto key = std::pair(op.kind, op.layer);
        auto seen = std::find_if(occurrence_.begin(), occurrence_.end(),
                                 [&](const auto& entry) { return entry.first == key; });
        if (seen == occurrence_.end()) seen = occurrence_.insert(seen, {key, -1});
        const std::int32_t occurrence = ++seen->second;
        for (std::size_t i = 0; i < planned_.size();) {
            const PlannedCheck& plan = planned_[i];
            const bool same_place = plan.donor->anchor_layer == plan.donor->layer;
            const std::int32_t anchor_layer = same_place ? plan.layer : plan.donor->anchor_layer;
            if (plan.donor->anchor == op.kind && anchor_layer == op.layer &&
                plan.donor->anchor_occurrence == occurrence) {
                run_check(i);
            } else {
                ++i;
            }
        }
    }

    void run_check(std::size_t planned) {
        const PlannedCheck plan = planned_[planned];
        planned_.erase(planned_.begin() + static_cast<std::ptrdiff_t>(planned));
        const std::int64_t step = in_.source.steps[index_].step;
        const bool same = plan.donor->layer == plan.layer && plan.donor->step == step;
        std::vector<TaskId> decisions;  // the topk operations
        TaskId last = -1;
        const std::size_t count = plan.last - plan.first;
        operations_of(*plan.donor, count, check_ops_);
        for (const RecordedOp* recorded : check_ops_) {
            const RecordedOp& op = *recorded;
            NewOp now{op.kind,       plan.layer,       index_,  op.rows,
                      op.bytes_read, op.bytes_written, op.flops};
            const std::int64_t work = costs_.drift(now, op.work_ns, same);
            last = add_compute(now, op.gap_ns, work);
            if (op.kind == OpKind::kDriftTopk) decisions.push_back(last);
        }
        for (std::size_t i = 0; i < count; ++i) {
            out_.check_tasks[plan.first + i] = i < decisions.size() ? decisions[i] : last;
        }
        submit_fetches(plan.first, plan.last);
    }

    // ---- fetches and commits ----

    void submit_fetches(std::size_t first_check, std::size_t last_check) {
        const auto& fetches = in_.decisions->fetches;
        auto fetch = std::lower_bound(
            fetches.begin(), fetches.end(), first_check,
            [](const FetchDecision& f, std::size_t check) { return f.check < check; });
        for (; fetch != fetches.end() && fetch->check < last_check; ++fetch) {
            const auto id = static_cast<std::size_t>(fetch - fetches.begin());
            submit(id);
            if (in_.settings.commit_lag == 0) commit(id);
        }
    }

    void submit(std::size_t id) {
        const FetchDecision& fetch = in_.decisions->fetches[id];
        const NewCosts::Fetch cost = costs_.fetch(fetch, id);
        const NewOp op{OpKind::kFetch, fetch.layer, index_, cost.rows, cost.bytes, cost.bytes, 0};
        Task task{.stream = out_.worker,
                  .load = Load::kTransfer,
                  .latency_ns = cost.latency_ns,
                  .work_ns = cost.work_ns};
        out_.fetch_tasks[id].submit_ns = cost.submit_ns;
        if (!in_.settings.asynchronous) {
            task.stream = out_.decode;
            task.load = Load::kQuiet;
        }
        out_.fetch_tasks[id].fetch = add(op, task);
        out_.engine.add_dependency(out_.check_tasks[fetch.check], out_.fetch_tasks[id].fetch,
                                   out_.fetch_tasks[id].submit_ns);
    }

    void commit_due(std::int64_t step) {
        if (in_.decisions == nullptr || in_.settings.commit_lag == 0) return;
        const auto& fetches = in_.decisions->fetches;
        for (; next_commit_ < fetches.size() && fetches[next_commit_].due_step <= step;
             ++next_commit_) {
            if (!fetches[next_commit_].superseded) commit(next_commit_);
        }
    }

    void commit(std::size_t id) {
        const FetchDecision& fetch = in_.decisions->fetches[id];
        const std::int64_t rows = scaled(fetch.rows_fetched, in_.prompt_scale);
        const std::int64_t bytes = rows * in_.row_bytes;
        const NewCosts::Commit cost = costs_.commit(fetch, id);
        const NewOp op{OpKind::kCommit, fetch.layer, index_, rows, bytes, bytes, 0};
        out_.fetch_tasks[id].commit = add_compute(op, cost.gap_ns, cost.work_ns);
        out_.engine.add_dependency(out_.fetch_tasks[id].fetch, out_.fetch_tasks[id].commit);
        unused_.push_back(id);
    }

    void first_use(std::int32_t layer, TaskId task) {
        std::erase_if(unused_, [&](std::size_t id) {
            if (in_.decisions->fetches[id].layer != layer) return false;
            out_.fetch_tasks[id].first_use = task;
            return true;
        });
    }

    const TimelineInput& in_;
    NewCosts costs_;
    TimelineTasks out_;
    std::vector<PlannedCheck> planned_;
    std::vector<const RecordedOp*> check_ops_;  // of the check being added
    std::vector<std::pair<std::pair<OpKind, std::int32_t>, std::int32_t>> occurrence_;
    std::vector<std::size_t> unused_;  // commits whose rows no attention has read yet
    std::size_t index_ = 0;            // of the step being built
    std::size_t next_check_ = 0;
    std::size_t next_commit_ = 0;
    std::int64_t lead_ns_ = 0;  // pauses before the next operation of the decode thread
};

}  // namespace

TimelineTasks build_tasks(const TimelineInput& input) {
    return TaskBuilder(input).build();
}

}  // namespace hc::sim
