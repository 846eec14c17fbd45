#include <algorithm>
#include <limits>
#include <unordered_map>

#include "profiler/analysis/metrics.h"
#include "profiler/analysis/step_index.h"
#include "profiler/analysis/step_table.h"
#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

using trace::RunData;

/// What a commit waited for.
struct Wait {
    std::int64_t exposed_ns = 0;
    std::int64_t transfer_end_ns = std::numeric_limits<std::int64_t>::min();
};

std::unordered_map<std::int64_t, Wait> waits_by_op(const RunData& data) {
    std::unordered_map<std::int64_t, Wait> waits;
    for (const FetchRecord& fetch : data.fetches) {
        if (fetch.commit_op < 0 || fetch.exposed_ns <= 0) continue;
        Wait& wait = waits[fetch.commit_op];
        add_wrapping(wait.exposed_ns, fetch.exposed_ns);
        wait.transfer_end_ns = std::max(wait.transfer_end_ns, fetch.end_ns);
    }
    return waits;
}

/// Operations that are no transfers as intervals of real work.
class ComputeIntervals {
public:
    explicit ComputeIntervals(const RunData& data) : ops_(data.ops), waits_(waits_by_op(data)) {}

    [[nodiscard]] bool is_compute(std::size_t op) const {
        return !is_transfer(ops_.kind[op]);
    }
    [[nodiscard]] Interval at(std::size_t op) const {
        Interval interval{ops_.start_ns[op], ops_.end_ns[op]};
        if (ops_.kind[op] != OpKind::kCommit) return interval;
        // A commit waits for the transfer's end first and copies then.
        const auto found = waits_.find(ops_.op_id[op]);
        if (found == waits_.end()) return interval;
        const Wait& wait = found->second;
        const std::int64_t length = std::max<std::int64_t>(interval.end_ns - interval.start_ns, 0);
        const std::int64_t waited =
            wait.transfer_end_ns <= interval.start_ns
                ? 0
                : std::min(wait.exposed_ns, wait.transfer_end_ns - interval.start_ns);
        interval.start_ns += std::clamp<std::int64_t>(waited, 0, length);
        return interval;
    }

private:
    const trace::Ops& ops_;
    std::unordered_map<std::int64_t, Wait> waits_;
};

std::vector<Interval> transfers_of(const RunData& data) {
    std::vector<Interval> transfers;
    for (std::size_t i = 0; i < data.ops.size(); ++i) {
        if (is_transfer(data.ops.kind[i])) {
            transfers.push_back({data.ops.start_ns[i], data.ops.end_ns[i]});
        }
    }
    if (data.ops.size() == 0) {
        for (const FetchRecord& f : data.fetches) transfers.push_back({f.start_ns, f.end_ns});
    }
    return unite(std::move(transfers));
}

/// The interval shares some time with one of the set.
bool touches(std::span<const Interval> disjoint, const Interval& interval) {
    if (interval.end_ns <= interval.start_ns) return false;
    const auto next =
        std::lower_bound(disjoint.begin(), disjoint.end(), interval.start_ns,
                         [](const Interval& a, std::int64_t start) { return a.end_ns <= start; });
    return next != disjoint.end() && next->start_ns < interval.end_ns;
}

/// Same kind and rows.
struct OpClass {
    OpKind kind{};
    std::int64_t rows = 0;
    [[nodiscard]] bool operator==(const OpClass&) const = default;
};

struct OpClassHash {
    std::size_t operator()(const OpClass& c) const {
        return std::hash<std::uint64_t>()(static_cast<std::uint64_t>(c.rows) * 64 +
                                          static_cast<std::uint64_t>(c.kind));
    }
};

struct ClassTimes {
    std::int64_t count_beside = 0;
    double beside_ns = 0;
    std::vector<double> alone_ns;  // in steps without a transfer
};

/// Operations of decode steps, beside transfers and in steps without any.
std::unordered_map<OpClass, ClassTimes, OpClassHash> collect_times(
    const RunData& data, const ComputeIntervals& compute, std::span<const Interval> transfers) {
    std::vector<char> step_is_quiet(data.steps.size());
    for (std::size_t s = 0; s < data.steps.size(); ++s) {
        step_is_quiet[s] = data.steps.phase[s] == Phase::kDecode &&
                           !touches(transfers, {data.steps.start_ns[s], data.steps.end_ns[s]});
    }
    std::unordered_map<OpClass, ClassTimes, OpClassHash> classes;
    StepIndex steps(data.steps);
    const auto for_decode_ops = [&](auto&& each) {
        for (std::size_t i = 0; i < data.ops.size(); ++i) {
            if (!compute.is_compute(i)) continue;
            const std::optional<std::size_t> step = steps.find(data.ops.step[i]);
            if (step && data.steps.phase[*step] == Phase::kDecode) {
                each(OpClass{data.ops.kind[i], data.ops.rows[i]}, compute.at(i),
                     step_is_quiet[*step] != 0);
            }
        }
    };
    for_decode_ops([&](const OpClass& op_class, const Interval& interval, bool quiet) {
        if (quiet || !touches(transfers, interval)) return;
        ClassTimes& times = classes[op_class];
        times.count_beside += 1;
        times.beside_ns += static_cast<double>(interval.end_ns - interval.start_ns);
    });
    // Only classes that were seen beside a transfer need their time alone.
    for_decode_ops([&](const OpClass& op_class, const Interval& interval, bool quiet) {
        if (!quiet) return;
        const auto found = classes.find(op_class);
        if (found == classes.end()) return;
        found->second.alone_ns.push_back(static_cast<double>(interval.end_ns - interval.start_ns));
    });
    return classes;
}

std::optional<double> interference_of(const RunData& data, const ComputeIntervals& compute,
                                      std::span<const Interval> transfers) {
    double beside = 0;
    double alone = 0;
    for (auto& [op_class, times] : collect_times(data, compute, transfers)) {
        if (times.alone_ns.empty()) continue;  // never seen alone: nothing to compare with
        beside += times.beside_ns;
        alone += static_cast<double>(times.count_beside) * median_in_place(times.alone_ns);
    }
    if (alone <= 0) return std::nullopt;
    return beside / alone - 1;
}

}  // namespace

/// A transfer that runs on the decode stream itself (the synchronous path) holds it up from end to
/// end. In the trace of a recorded program that key may be a stream that only copies.
std::vector<FetchWait> fetch_waits(const RunData& data) {
    bool computes = false;
    for (std::size_t i = 0; i < data.ops.size() && !computes; ++i) {
        computes = !is_transfer(data.ops.kind[i]) && data.ops.stream[i] == kDecodeStream;
    }
    std::unordered_map<std::int64_t, std::size_t> on_decode_stream;
    for (std::size_t i = 0; computes && i < data.ops.size(); ++i) {
        if (is_transfer(data.ops.kind[i]) && data.ops.stream[i] == kDecodeStream) {
            on_decode_stream[data.ops.op_id[i]] = i;
        }
    }
    std::vector<FetchWait> waits;
    for (const FetchRecord& fetch : data.fetches) {
        FetchWait wait{fetch.exposed_ns, fetch.committed_step};
        const auto own = on_decode_stream.find(fetch.fetch_op);
        if (own != on_decode_stream.end()) {
            const std::int64_t whole =
                data.ops.end_ns[own->second] - data.ops.start_ns[own->second];
            if (whole > wait.exposed_ns) wait = {whole, data.ops.step[own->second]};
        }
        waits.push_back(wait);
    }
    return waits;
}

RunIntervals run_intervals(const RunData& data) {
    const ComputeIntervals compute(data);
    std::vector<Interval> busy;
    for (std::size_t i = 0; i < data.ops.size(); ++i) {
        if (compute.is_compute(i)) busy.push_back(compute.at(i));
    }
    return {transfers_of(data), unite(std::move(busy))};
}

TransferMetrics transfer_metrics(const RunData& data) {
    TransferMetrics metrics;
    const RunIntervals intervals = run_intervals(data);
    metrics.transfer_ns = measure(intervals.transfer);
    for (const FetchWait& wait : fetch_waits(data)) {
        add_wrapping(metrics.exposed_ns, wait.exposed_ns);
    }
    if (metrics.transfer_ns == 0) return metrics;
    const auto transfer = static_cast<double>(metrics.transfer_ns);
    metrics.hiding = 1 - static_cast<double>(metrics.exposed_ns) / transfer;
    if (data.ops.size() == 0) return metrics;
    metrics.overlap =
        static_cast<double>(measure_intersection(intervals.transfer, intervals.compute)) / transfer;
    metrics.interference = interference_of(data, ComputeIntervals(data), intervals.transfer);
    return metrics;
}

}  // namespace hc::analysis
