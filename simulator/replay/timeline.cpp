#include "simulator/replay/timeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "simulator/replay/timeline_tasks.h"

namespace hc::sim {
namespace {

/// Puts the engine's times back into the tables of a run.
class Reader {
public:
    Reader(const TimelineInput& input, TimelineTasks& tasks)
        : in_(input), tasks_(tasks), times_(tasks.engine.run()) {}

    Timeline read() {
        Timeline out;
        put_steps(out);
        put_ops(out);
        put_fetches(out);
        out.notes =
            attention_notes(in_.costs, tasks_.attention_rows_min, tasks_.attention_rows_max);
        return out;
    }

private:
    const TaskTimes& times(std::size_t task) const { return times_[task]; }

    void put_steps(Timeline& out) {
        std::int64_t end = 0;  // of the step before
        double total = 0;
        for (std::size_t i = 0; i < in_.num_steps; ++i) {
            const RecordedStep& step = in_.source.steps[i];
            const std::int64_t start = end + step.pause_ns;
            const std::size_t last_task =
                i + 1 < in_.num_steps ? tasks_.first_task[i + 1] : tasks_.engine.num_tasks();
            std::int64_t last = start;
            for (std::size_t t = last_task; t > tasks_.first_task[i]; --t) {
                if (tasks_.engine.task(static_cast<TaskId>(t - 1)).stream != tasks_.decode)
                    continue;
                last = times(t - 1).end_ns;
                break;
            }
            end = last + step.tail_ns;
            out.steps.step.push_back(step.step);
            out.steps.phase.push_back(Phase::kDecode);
            out.steps.batch.push_back(step.batch);
            out.steps.start_ns.push_back(start);
            out.steps.end_ns.push_back(end);
            total += static_cast<double>(end - start);
        }
        out.uncertainty = total > 0 ? tasks_.doubt_ns / total : 0;
    }

    /// The step in which a fetch ended; the last one for what ended later.
    std::size_t step_at(const Timeline& out, std::int64_t time_ns) const {
        const auto& ends = out.steps.end_ns;
        const auto at = std::lower_bound(ends.begin(), ends.end(), time_ns);
        return std::min(static_cast<std::size_t>(at - ends.begin()), ends.size() - 1);
    }

    void put_ops(Timeline& out) {
        std::vector<std::size_t> fetch_ops;
        for (std::size_t t = 0; t < tasks_.ops.size(); ++t) {
            if (tasks_.engine.task(static_cast<TaskId>(t)).stream != tasks_.worker) continue;
            tasks_.ops[t].step = step_at(out, times(t).end_ns);
            fetch_ops.push_back(t);  // the worker is one stream: starts and ends ascend
        }
        id_.resize(tasks_.ops.size());
        reserve(out.ops, tasks_.ops.size());
        std::size_t next = 0;
        const auto earlier = [&](std::size_t a, std::size_t b) {
            return std::pair(tasks_.ops[a].step, shown_start(a)) <
                   std::pair(tasks_.ops[b].step, shown_start(b));
        };
        for (std::size_t t = 0; t < tasks_.ops.size(); ++t) {
            if (tasks_.engine.task(static_cast<TaskId>(t)).stream == tasks_.worker) continue;
            while (next < fetch_ops.size() && earlier(fetch_ops[next], t)) {
                put_op(out, fetch_ops[next++]);
            }
            put_op(out, t);
        }
        while (next < fetch_ops.size()) put_op(out, fetch_ops[next++]);
    }

    static void reserve(trace::Ops& ops, std::size_t count) {
        ops.op_id.reserve(count);
        ops.step.reserve(count);
        ops.layer.reserve(count);
        ops.kind.reserve(count);
        ops.stream.reserve(count);
        ops.start_ns.reserve(count);
        ops.end_ns.reserve(count);
        ops.bytes_read.reserve(count);
        ops.bytes_written.reserve(count);
        ops.flops.reserve(count);
        ops.rows.reserve(count);
    }

    /// A commit is shown with its waiting, as the engine records it.
    std::int64_t shown_start(std::size_t t) const {
        return tasks_.ops[t].kind == OpKind::kCommit ? times(t).issued_ns : times(t).start_ns;
    }

    void put_op(Timeline& out, std::size_t t) {
        const NewOp& op = tasks_.ops[t];
        const auto id = static_cast<std::int64_t>(out.ops.size());
        id_[t] = id;
        const bool on_worker = tasks_.engine.task(static_cast<TaskId>(t)).stream == tasks_.worker;
        out.ops.op_id.push_back(id);
        out.ops.step.push_back(out.steps.step[op.step]);
        out.ops.layer.push_back(op.layer);
        out.ops.kind.push_back(op.kind);
        out.ops.stream.push_back(on_worker ? kFetchStream : kDecodeStream);
        out.ops.start_ns.push_back(shown_start(t));
        out.ops.end_ns.push_back(times(t).end_ns);
        out.ops.bytes_read.push_back(op.bytes_read);
        out.ops.bytes_written.push_back(op.bytes_written);
        out.ops.flops.push_back(op.flops);
        out.ops.rows.push_back(op.rows);
    }

    std::int64_t id_of(TaskId task) const {
        return task < 0 ? -1 : id_[static_cast<std::size_t>(task)];
    }

    void put_edge(Timeline& out, std::int64_t from, std::int64_t to) {
        if (from < 0 || to < 0) return;
        out.edges.from_op.push_back(from);
        out.edges.to_op.push_back(to);
        out.edges.kind.push_back(EdgeKind::kHost);
    }

    void put_fetches(Timeline& out) {
        if (in_.decisions == nullptr) return;
        for (const TaskId task : tasks_.check_tasks) out.check_ops.push_back(id_of(task));
        for (std::size_t id = 0; id < tasks_.fetch_tasks.size(); ++id) {
            const FetchDecision& decision = in_.decisions->fetches[id];
            const FetchTasks& own = tasks_.fetch_tasks[id];
            if (own.fetch < 0) continue;  // beyond the steps replayed
            const TaskTimes& fetch = times(static_cast<std::size_t>(own.fetch));
            const auto check = static_cast<std::size_t>(tasks_.check_tasks[decision.check]);
            FetchRecord record;
            record.id = static_cast<std::int64_t>(id);
            record.check_id = static_cast<std::int64_t>(decision.check);
            record.sequence = decision.sequence;
            record.layer = decision.layer;
            record.rows_wanted = scaled(decision.rows_wanted, in_.prompt_scale);
            record.rows_fetched = scaled(decision.rows_fetched, in_.prompt_scale);
            record.runs = scaled(decision.runs, in_.prompt_scale);
            record.bytes = record.rows_fetched * in_.row_bytes;
            record.queued_ns = times(check).end_ns + own.submit_ns;
            record.start_ns = fetch.start_ns;
            record.end_ns = fetch.end_ns;
            record.due_step = decision.due_step;
            record.superseded = decision.superseded;
            record.fetch_op = id_of(own.fetch);
            record.commit_op = id_of(own.commit);
            record.first_use_op = id_of(own.first_use);
            if (own.commit >= 0) {
                const TaskTimes& commit = times(static_cast<std::size_t>(own.commit));
                record.committed_step = decision.due_step;
                record.exposed_ns = commit.ready_ns - commit.issued_ns;
            }
            put_edge(out, id_of(tasks_.check_tasks[decision.check]), record.fetch_op);
            put_edge(out, record.fetch_op, record.commit_op);
            out.fetches.push_back(record);
        }
    }

    const TimelineInput& in_;
    TimelineTasks& tasks_;
    std::vector<TaskTimes> times_;  // [task]
    std::vector<std::int64_t> id_;  // [task] op id in the new run
};

}  // namespace

std::vector<std::string> attention_notes(const OpCosts& costs, std::int64_t rows_min,
                                         std::int64_t rows_max) {
    std::vector<std::string> notes;
    const LinearFit* fit = costs.find(OpKind::kAttention);
    if (fit == nullptr || rows_max == 0) return notes;
    if (fit->kind == FitKind::kProportional) {
        notes.push_back(
            "attention was recorded at one size only, or its time does not grow with it by a "
            "line: taken as proportional to rows");
    }
    if (static_cast<double>(rows_min) < 0.95 * fit->size_min ||
        static_cast<double>(rows_max) > 1.05 * fit->size_max) {
        notes.push_back(fmt::format(
            "attention reads {} to {} rows, recorded were {:.0f} to {:.0f}: its cost is "
            "extrapolated along a line",
            rows_min, rows_max, fit->size_min, fit->size_max));
    }
    return notes;
}

Timeline build_timeline(const TimelineInput& input) {
    TimelineTasks tasks = build_tasks(input);
    return Reader(input, tasks).read();
}

}  // namespace hc::sim
