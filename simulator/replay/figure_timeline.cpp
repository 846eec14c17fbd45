#include "simulator/replay/figure_timeline.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "simulator/replay/new_costs.h"

namespace hc::sim {
namespace {

constexpr std::int64_t kMillion = 1'000'000;

std::uint64_t place_key(OpKind kind, std::int32_t layer, std::int32_t occurrence) {
    return static_cast<std::uint64_t>(kind) << 56 |
           static_cast<std::uint64_t>(static_cast<std::uint32_t>(layer)) << 24 |
           static_cast<std::uint64_t>(occurrence & 0xffffff);
}

bool same_pattern(const RecordedStep& a, const RecordedStep& b) {
    return std::equal(a.ops.begin(), a.ops.end(), b.ops.begin(), b.ops.end(),
                      [](const RecordedOp& x, const RecordedOp& y) {
                          return x.kind == y.kind && x.layer == y.layer;
                      });
}

bool is_drift(OpKind kind) {
    return kind == OpKind::kDriftScore || kind == OpKind::kDriftTopk;
}

/// Transfers of the one worker, in order; computation beside them is slower, with the event
/// engine's own arithmetic.
class Transfers {
public:
    explicit Transfers(double interference)
        : ppm_(std::llround(interference * static_cast<double>(kMillion))) {}

    /// The worker comes to a fetch that is ready at `ready_ns`. Returns its end.
    std::int64_t add(std::int64_t ready_ns, std::int64_t latency_ns, std::int64_t work_ns) {
        const std::int64_t start = std::max(free_ns_, ready_ns) + latency_ns;
        free_ns_ = start + work_ns;
        if (work_ns > 0) spans_.push_back({start, free_ns_});
        return free_ns_;
    }

    /// End of a computation of `work_ns` that starts at `start_ns`; later ones start no earlier.
    std::int64_t end_of(std::int64_t start_ns, std::int64_t work_ns, TimelineFigures& out) {
        while (next_ < spans_.size() && spans_[next_].end_ns <= start_ns) ++next_;
        if (next_ == spans_.size() || spans_[next_].start_ns >= start_ns + work_ns) {
            return start_ns + work_ns;
        }
        std::int64_t now = start_ns;
        std::int64_t left = work_ns;
        std::int64_t beside = 0;
        for (std::size_t i = next_; i < spans_.size(); ++i) {
            const Span& span = spans_[i];
            if (span.start_ns > now) {
                if (now + left <= span.start_ns) break;
                left -= span.start_ns - now;
                now = span.start_ns;
            }
            const std::int64_t slow =
                left + left / kMillion * ppm_ + (left % kMillion * ppm_ + kMillion / 2) / kMillion;
            if (now + slow <= span.end_ns) {
                beside += slow;
                now += slow;
                left = 0;
                break;
            }
            const std::int64_t there = span.end_ns - now;
            beside += there;
            left = std::max<std::int64_t>(0, left - there * kMillion / (kMillion + ppm_));
            now = span.end_ns;
        }
        now += left;
        if (beside > 0) {
            out.overlap_ns += beside;
            out.beside_ns += static_cast<double>(now - start_ns);
            out.beside_alone_ns += static_cast<double>(work_ns);
        }
        return now;
    }

private:
    struct Span {
        std::int64_t start_ns = 0;
        std::int64_t end_ns = 0;
    };
    std::int64_t ppm_;
    std::int64_t free_ns_ = 0;
    std::vector<Span> spans_;
    std::size_t next_ = 0;  // spans before it have ended
};

class Walk {
public:
    Walk(const TimelineInput& input, const FigureDecisions* decisions, const StepPatterns& patterns)
        : in_(input),
          decisions_(decisions),
          patterns_(patterns),
          costs_(input),
          transfers_(costs_.interference()) {
        if (decisions_ != nullptr) fetch_end_.assign(decisions_->fetches.size(), 0);
        out_.step_ns.reserve(in_.num_steps);
    }

    TimelineFigures run() {
        double total = 0;
        for (std::size_t i = 0; i < in_.num_steps; ++i) {
            add_step(i);
            total += out_.step_ns.back();
        }
        out_.uncertainty = total > 0 ? costs_.doubt_ns() / total : 0;
        out_.notes =
            attention_notes(in_.costs, costs_.attention_rows_min(), costs_.attention_rows_max());
        return std::move(out_);
    }

private:
    struct Planned {
        const RecordedCheck* donor = nullptr;
        std::int32_t layer = 0;
        std::size_t first = 0;  // decisions [first, last)
        std::size_t last = 0;
        std::int64_t after = -1;  // operation of the step; -1: at its end
    };

    void add_step(std::size_t index) {
        const RecordedStep& step = in_.source.steps[index];
        index_ = index;
        lead_ns_ += step.pause_ns;
        // A step begins after its pause, and ends at least there.
        const std::int64_t start = step_end_ns_ + step.pause_ns;
        commit_due(step.step);
        plan_checks(step.step);
        const bool checking = decisions_ != nullptr && in_.settings.retrieval;
        std::size_t planned = 0;
        while (planned < planned_.size() && planned_[planned].after < 0) ++planned;
        const std::size_t homeless = planned;
        for (std::size_t i = 0; i < step.ops.size(); ++i) {
            const RecordedOp& op = step.ops[i];
            if (is_drift(op.kind) && !checking) continue;
            recorded(op, step.batch);
            for (; planned < planned_.size() &&
                   planned_[planned].after == static_cast<std::int64_t>(i);
                 ++planned) {
                run_check(planned_[planned]);
            }
        }
        for (std::size_t i = homeless; i > 0; --i) run_check(planned_[i - 1]);
        lead_ns_ += step.tail_ns;
        step_end_ns_ = std::max(now_ns_, start) + step.tail_ns;
        out_.step_ns.push_back(static_cast<double>(step_end_ns_ - start));
    }

    void recorded(const RecordedOp& op, std::int32_t batch) {
        NewOp now{op.kind, op.layer, index_, op.rows, op.bytes_read, op.bytes_written, op.flops};
        const std::int64_t work =
            op.kind == OpKind::kAttention ? costs_.attention(now, op.work_ns, batch) : op.work_ns;
        compute(op.gap_ns, costs_.on_machine(now, work));
    }

    void compute(std::int64_t gap_ns, std::int64_t work_ns) {
        now_ns_ = transfers_.end_of(issue(gap_ns), work_ns, out_);
    }

    std::int64_t issue(std::int64_t gap_ns) {
        const std::int64_t at = now_ns_ + gap_ns + lead_ns_;
        lead_ns_ = 0;
        return at;
    }

    void plan_checks(std::int64_t step) {
        planned_.clear();
        if (decisions_ == nullptr) return;
        const auto& checks = decisions_->checks;
        while (next_check_ < checks.size() && checks[next_check_].step == step) {
            Planned plan;
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
            const bool same_place = plan.donor->anchor_layer == plan.donor->layer;
            plan.after = patterns_.find(index_, plan.donor->anchor,
                                        same_place ? plan.layer : plan.donor->anchor_layer,
                                        plan.donor->anchor_occurrence);
            planned_.push_back(plan);
        }
        std::stable_sort(planned_.begin(), planned_.end(),
                         [](const Planned& a, const Planned& b) { return a.after < b.after; });
    }

    void run_check(const Planned& plan) {
        const std::int64_t step = in_.source.steps[index_].step;
        const bool same = plan.donor->layer == plan.layer && plan.donor->step == step;
        const std::size_t count = plan.last - plan.first;
        operations_of(*plan.donor, count, check_ops_);
        check_ends_.clear();
        for (const RecordedOp* op : check_ops_) {
            NewOp now{op->kind,       plan.layer,        index_,   op->rows,
                      op->bytes_read, op->bytes_written, op->flops};
            const std::int64_t work = costs_.drift(now, op->work_ns, same);
            compute(op->gap_ns, costs_.on_machine(now, work));
            if (op->kind == OpKind::kDriftTopk) check_ends_.push_back(now_ns_);
        }
        const auto& fetches = decisions_->fetches;
        auto fetch = std::lower_bound(
            fetches.begin(), fetches.end(), plan.first,
            [](const FetchDecision& f, std::size_t check) { return f.check < check; });
        for (; fetch != fetches.end() && fetch->check < plan.last; ++fetch) {
            const std::size_t nth = fetch->check - plan.first;
            const auto id = static_cast<std::size_t>(fetch - fetches.begin());
            submit(id, nth < check_ends_.size() ? check_ends_[nth] : now_ns_);
            if (in_.settings.commit_lag == 0) commit(id);
        }
    }

    void submit(std::size_t id, std::int64_t check_end_ns) {
        const FetchDecision& decision = decisions_->fetches[id];
        const NewCosts::Fetch cost = costs_.fetch(decision, id);
        const NewOp op{OpKind::kFetch, decision.layer, index_, cost.rows,
                       cost.bytes,     cost.bytes,     0};
        const std::int64_t work = costs_.on_machine(op, cost.work_ns);
        const std::int64_t ready = check_end_ns + cost.submit_ns;
        out_.transfer_ns += work;
        out_.fetched_rows += cost.rows;
        out_.fetched_bytes += cost.bytes;
        out_.largest_fetch_bytes = std::max(out_.largest_fetch_bytes, cost.bytes);
        if (in_.settings.asynchronous) {
            fetch_end_[id] = transfers_.add(ready, cost.latency_ns, work);
            return;
        }
        now_ns_ = std::max(issue(0), ready) + cost.latency_ns + work;
        fetch_end_[id] = now_ns_;
        out_.exposed_ns += work;
    }

    void commit_due(std::int64_t step) {
        if (decisions_ == nullptr || in_.settings.commit_lag == 0) return;
        const auto& fetches = decisions_->fetches;
        for (; next_commit_ < fetches.size() && fetches[next_commit_].due_step <= step;
             ++next_commit_) {
            if (!fetches[next_commit_].superseded) commit(next_commit_);
        }
    }

    void commit(std::size_t id) {
        const FetchDecision& decision = decisions_->fetches[id];
        const NewCosts::Commit cost = costs_.commit(decision, id);
        const std::int64_t rows = scaled(decision.rows_fetched, in_.prompt_scale);
        const std::int64_t bytes = rows * in_.row_bytes;
        const NewOp op{OpKind::kCommit, decision.layer, index_, rows, bytes, bytes, 0};
        const std::int64_t issued = issue(cost.gap_ns);
        const std::int64_t ready = std::max(issued, fetch_end_[id]);
        if (in_.settings.asynchronous) out_.exposed_ns += ready - issued;
        now_ns_ = transfers_.end_of(ready, costs_.on_machine(op, cost.work_ns), out_);
    }

    const TimelineInput& in_;
    const FigureDecisions* decisions_;
    const StepPatterns& patterns_;
    NewCosts costs_;
    Transfers transfers_;
    TimelineFigures out_;
    std::vector<Planned> planned_;
    std::vector<const RecordedOp*> check_ops_;
    std::vector<std::int64_t> check_ends_;  // of the decisions of one check
    std::vector<std::int64_t> fetch_end_;   // [fetch decision]
    std::size_t index_ = 0;                 // of the step being walked
    std::size_t next_check_ = 0;
    std::size_t next_commit_ = 0;
    std::int64_t now_ns_ = 0;       // end of the decode thread's last operation
    std::int64_t step_end_ns_ = 0;  // of the step before
    std::int64_t lead_ns_ = 0;      // pauses before the next operation of the decode thread
};

}  // namespace

StepPatterns::StepPatterns(const SourceRun& source) {
    std::size_t last = 0;  // the step whose pattern the latest entry is
    for (std::size_t i = 0; i < source.steps.size(); ++i) {
        if (i > 0 && same_pattern(source.steps[last], source.steps[i])) {
            pattern_of_.push_back(pattern_of_[last]);
            continue;
        }
        std::vector<Place> pattern;
        std::map<std::pair<OpKind, std::int32_t>, std::int32_t> occurrences;
        for (std::size_t op = 0; op < source.steps[i].ops.size(); ++op) {
            const RecordedOp& recorded = source.steps[i].ops[op];
            const std::int32_t occurrence = occurrences[{recorded.kind, recorded.layer}]++;
            pattern.push_back({place_key(recorded.kind, recorded.layer, occurrence),
                               static_cast<std::int32_t>(op)});
        }
        std::sort(pattern.begin(), pattern.end(),
                  [](const Place& a, const Place& b) { return a.key < b.key; });
        patterns_.push_back(std::move(pattern));
        pattern_of_.push_back(static_cast<std::int32_t>(patterns_.size() - 1));
        last = i;
    }
}

std::int64_t StepPatterns::find(std::size_t step, OpKind kind, std::int32_t layer,
                                std::int32_t occurrence) const {
    const std::vector<Place>& pattern = patterns_[static_cast<std::size_t>(pattern_of_[step])];
    const std::uint64_t key = place_key(kind, layer, occurrence);
    const auto at = std::lower_bound(pattern.begin(), pattern.end(), key,
                                     [](const Place& p, std::uint64_t k) { return p.key < k; });
    return at == pattern.end() || at->key != key ? -1 : at->index;
}

TimelineFigures figure_timeline(const TimelineInput& input, const FigureDecisions* decisions,
                                const StepPatterns& patterns) {
    return Walk(input, decisions, patterns).run();
}

}  // namespace hc::sim
