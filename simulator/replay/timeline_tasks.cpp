#include "simulator/replay/timeline_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr std::int64_t kLongestNs = std::int64_t{3'600} * 1'000'000'000;

/// int8 products: the matrices with weights (fp32 precision has none).
bool has_weights(OpKind kind) {
    return kind == OpKind::kQkv || kind == OpKind::kAttnOut || kind == OpKind::kMlp ||
           kind == OpKind::kLmHead;
}

/// The recorded pieces that new checks, fetches and commits are made of.
class Donors {
public:
    Donors(const SourceRun& source, const SourceRun* other) : source_(source) {
        const bool own = !source.checks.empty() || other == nullptr;
        checks_ = own ? &source.checks : &other->checks;
        const bool own_fetches = !source.fetches.empty() || other == nullptr;
        for (const auto& [key, fetch] : own_fetches ? source.fetches : other->fetches) {
            fetches_.push_back(&fetch);
            if (fetch.committed) commits_.push_back(&fetch);
        }
    }

    /// The drift operations to use for a check of `layer` at `step`: its own, else those of the
    /// nearest step of the layer, else of any layer. nullptr: never recorded.
    const RecordedCheck* check(std::int32_t layer, std::int64_t step) const {
        if (checks_->empty()) return nullptr;
        const auto at = std::lower_bound(checks_->begin(), checks_->end(), std::pair(layer, step),
                                         [](const RecordedCheck& c, const auto& key) {
                                             return std::pair(c.layer, c.step) < key;
                                         });
        const bool next_fits = at != checks_->end() && at->layer == layer;
        if (at != checks_->begin() && std::prev(at)->layer == layer) {
            const auto before = std::prev(at);
            if (!next_fits || step - before->step < at->step - step) return &*before;
        }
        if (next_fits) return &*at;
        return &(*checks_)[static_cast<std::size_t>(layer + step) % checks_->size()];
    }

    const RecordedFetch* same_fetch(const FetchDecision& fetch) const {
        const auto found =
            source_.fetches.find({fetch.sequence, fetch.layer, fetch.pivot, fetch.step});
        return found == source_.fetches.end() ? nullptr : &found->second;
    }
    /// Any recorded one, in turn, so that their spread is kept.
    const RecordedFetch* fetch(std::size_t turn) const { return pick(fetches_, turn); }
    const RecordedFetch* commit(std::size_t turn) const { return pick(commits_, turn); }

private:
    static const RecordedFetch* pick(const std::vector<const RecordedFetch*>& from,
                                     std::size_t turn) {
        return from.empty() ? nullptr : from[turn % from.size()];
    }

    const SourceRun& source_;
    const std::vector<RecordedCheck>* checks_ = nullptr;
    std::vector<const RecordedFetch*> fetches_;
    std::vector<const RecordedFetch*> commits_;
};

class TaskBuilder {
public:
    explicit TaskBuilder(const TimelineInput& input)
        : in_(input),
          donors_(input.source, input.donor),
          reduced_(input.source.parameters.precision == "fast") {
        out_.decode = out_.engine.add_stream();
        out_.worker = out_.engine.add_stream();
        out_.engine.set_interference(input.costs.interference());
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
        return std::move(out_);
    }

private:
    TaskId add(const NewOp& op, Task task) {
        if (in_.machine != nullptr) {
            const LinearFit* fit = depends_on_rows(op.kind) ? in_.costs.find(op.kind) : nullptr;
            const OpWork work{op.kind, static_cast<double>(op.bytes_read + op.bytes_written),
                              static_cast<double>(op.flops)};
            task.work_ns = in_.machine->rescale(work, task.work_ns, fit ? fit->floor_ns : 0.0,
                                                reduced_ && has_weights(op.kind));
        }
        if (task.work_ns > kLongestNs) {
            throw_refused(fmt::format("a '{}' operation would take {:.0f} s: too long to be true",
                                      op_kind_name(op.kind),
                                      static_cast<double>(task.work_ns) * 1e-9));
        }
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
        std::int64_t work = op.work_ns;
        if (op.kind == OpKind::kAttention && op.layer >= 0 && op.rows > 0 &&
            static_cast<std::size_t>(op.layer) < in_.attention_rows_delta.size()) {
            now.rows = std::max<std::int64_t>(
                1, op.rows + batch * in_.attention_rows_delta[static_cast<std::size_t>(op.layer)]);
            work = resize(now, op.rows, work);
        }
        const TaskId task = add_compute(now, op.gap_ns, work);
        if (op.kind == OpKind::kAttention) first_use(op.layer, task);
    }

    /// Scales sizes and time of an operation from `old_rows` to op.rows.
    std::int64_t resize(NewOp& op, std::int64_t old_rows, std::int64_t work_ns) {
        if (op.rows == old_rows || old_rows <= 0) return work_ns;
        const double factor = static_cast<double>(op.rows) / static_cast<double>(old_rows);
        op.bytes_read = scaled(op.bytes_read, factor);
        op.bytes_written =
            op.kind == OpKind::kAttention ? op.bytes_written : scaled(op.bytes_written, factor);
        op.flops = scaled(op.flops, factor);
        const std::int64_t now = in_.costs.rescale(op.kind, work_ns, static_cast<double>(old_rows),
                                                   static_cast<double>(op.rows));
        doubt(op.kind, static_cast<double>(std::abs(now - work_ns)));
        if (op.kind == OpKind::kAttention) {
            out_.attention_rows_min = std::min(out_.attention_rows_min, op.rows);
            out_.attention_rows_max = std::max(out_.attention_rows_max, op.rows);
        }
        return now;
    }

    void doubt(OpKind kind, double changed_ns) {
        const LinearFit* fit = in_.costs.find(kind);
        out_.doubt_ns += changed_ns * (fit == nullptr ? 1.0 : fit->residual_median);
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
            plan.donor = donors_.check(plan.layer, step);
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
        for (const RecordedOp& op : plan.donor->ops) {
            NewOp now{op.kind,       plan.layer,       index_,  op.rows,
                      op.bytes_read, op.bytes_written, op.flops};
            now.rows = scaled(op.rows, in_.window_scale * in_.prompt_scale);
            const std::int64_t work = resize(now, op.rows, op.work_ns);
            if (!same) doubt(op.kind, static_cast<double>(work));
            last = add_compute(now, op.gap_ns, work);
            if (op.kind == OpKind::kDriftTopk) decisions.push_back(last);
        }
        const std::size_t count = plan.last - plan.first;
        for (std::size_t i = 0; i < count; ++i) {
            const TaskId task = decisions.size() == count ? decisions[i]
                                : decisions.empty()       ? last
                                                          : decisions.back();
            out_.check_tasks[plan.first + i] = task;
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
        const std::int64_t rows = scaled(fetch.rows_fetched, in_.prompt_scale);
        const RecordedFetch* own = donors_.same_fetch(fetch);
        const RecordedFetch* donor = own != nullptr ? own : donors_.fetch(id);
        const std::int64_t bytes = rows * in_.row_bytes;
        const NewOp op{OpKind::kFetch, fetch.layer, index_, rows, bytes, bytes, 0};
        Task task{.stream = out_.worker, .load = Load::kTransfer};
        if (donor != nullptr) {
            task.work_ns =
                in_.costs.rescale(OpKind::kFetch, donor->work_ns, static_cast<double>(donor->rows),
                                  static_cast<double>(rows));
            task.latency_ns = donor->latency_ns;
            out_.fetch_tasks[id].submit_ns = donor->submit_ns;
        } else {
            task.work_ns =
                std::llround(in_.costs.require(OpKind::kFetch).at(static_cast<double>(rows)));
        }
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
        const RecordedFetch* own = donors_.same_fetch(fetch);
        if (own != nullptr && !own->committed) own = nullptr;
        const RecordedFetch* donor = own != nullptr ? own : donors_.commit(id);
        const NewOp op{OpKind::kCommit, fetch.layer, index_, rows, bytes, bytes, 0};
        std::int64_t gap = 0;
        std::int64_t work = 0;
        if (donor != nullptr) {
            gap = donor->commit_gap_ns;
            work = in_.costs.rescale(OpKind::kCommit, donor->commit_work_ns,
                                     static_cast<double>(donor->rows), static_cast<double>(rows));
        } else {
            work = std::llround(in_.costs.require(OpKind::kCommit).at(static_cast<double>(rows)));
        }
        if (own == nullptr || own->rows != rows) doubt(OpKind::kCommit, static_cast<double>(work));
        out_.fetch_tasks[id].commit = add_compute(op, gap, work);
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
    Donors donors_;
    bool reduced_;
    TimelineTasks out_;
    std::vector<PlannedCheck> planned_;
    std::vector<std::pair<std::pair<OpKind, std::int32_t>, std::int32_t>> occurrence_;
    std::vector<std::size_t> unused_;  // commits whose rows no attention has read yet
    std::size_t index_ = 0;            // of the step being built
    std::size_t next_check_ = 0;
    std::size_t next_commit_ = 0;
    std::int64_t lead_ns_ = 0;  // pauses before the next operation of the decode thread
};

}  // namespace

std::int64_t scaled(std::int64_t value, double factor) {
    constexpr double kMost = 4e18;  // a broken file must not overflow
    return factor == 1 ? value : std::llround(std::min(kMost, static_cast<double>(value) * factor));
}

TimelineTasks build_tasks(const TimelineInput& input) {
    return TaskBuilder(input).build();
}

}  // namespace hc::sim
