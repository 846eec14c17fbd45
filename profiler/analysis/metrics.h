/// What a run was like, in the words of trace.md ("Definitions").
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"
#include "profiler/trace/columns.h"

namespace hc::analysis {

struct Interval {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
};

/// Sorted, disjoint union. Intervals of zero or negative length vanish.
[[nodiscard]] std::vector<Interval> unite(std::vector<Interval> intervals);
/// Total length of disjoint intervals.
[[nodiscard]] std::int64_t measure(std::span<const Interval> disjoint);
/// Length of the intersection of two disjoint, sorted sets.
[[nodiscard]] std::int64_t measure_intersection(std::span<const Interval> a,
                                                std::span<const Interval> b);

struct Distribution {
    std::int64_t count = 0;
    double mean = 0, median = 0, p95 = 0, p99 = 0, max = 0, min = 0, sum = 0;
};
/// Percentiles by the nearest-rank rule; the median of an even count is the mean of the middle two.
[[nodiscard]] Distribution distribution(std::vector<double> values);

/// Overlap of transfers with computation. Optional: no transfer, or nothing to compare.
struct TransferMetrics {
    std::int64_t transfer_ns = 0;  ///< length of the union
    std::int64_t exposed_ns = 0;
    std::optional<double> overlap;
    std::optional<double> hiding;  ///< 1 - exposed / transfer
    std::optional<double> interference;
};

struct OpKindTotal {
    OpKind kind{};
    std::int64_t count = 0;
    std::int64_t total_ns = 0;
    double median_ns = 0;
    std::int64_t bytes = 0;
    std::int64_t flops = 0;
};

struct RecallInterval {
    double low = 0, high = 0;
};

struct RunMetrics {
    trace::RunId run = 0;
    std::int64_t prefill_ns = 0;
    Distribution step_ns;     ///< decode steps
    double tokens_per_s = 0;  ///< decode tokens over the sum of decode steps
    TransferMetrics transfer;
    std::int64_t checks = 0, triggers = 0, fetches = 0, superseded = 0;
    std::int64_t rows_wanted = 0, rows_fetched = 0, fetch_bytes = 0;
    std::int32_t commit_lag = 0;
    std::int64_t kv_pool_peak_bytes = 0, host_tier_bytes = 0, process_peak_bytes = 0;
    std::optional<Distribution> kl_nats;
    std::optional<double> top1_equal;  ///< share of steps
    std::optional<double> perplexity;
    std::optional<RecallInterval> recall;  ///< mean over compressed heads and recorded steps
    std::vector<OpKindTotal> by_kind;      ///< decode steps, largest total first
};

/// Transfers are the fetch operations; computation is every other operation of the decode stream,
/// less the part of a commit in which it was blocked (FetchRecord::exposed_ns: nothing computes
/// then, so a transfer that is waited for is never also hidden). A transfer on the decode stream
/// itself is exposed from end to end. A run without recorded
/// operations gives its fetches' own times, and nothing that needs computation.
[[nodiscard]] TransferMetrics transfer_metrics(const trace::RunData& data);

/// `attention` is the run named by data.run.attention_run, when there is one.
[[nodiscard]] RunMetrics run_metrics(const trace::RunData& data, const trace::RunData* attention);

/// Recall per recorded (step, sequence, head), by replaying data.rows over attention.attention's
/// prob rows: a row of step s is judged by what is resident during step s. Full heads and FullKV
/// give 1; the policy "oracle" gives oracle_recall(); a head of which nothing was selected yet
/// gives no row. Ordered by step, sequence,
/// layer, head. Throws Error(kRefused) when the two runs have prompts of different lengths.
[[nodiscard]] std::vector<trace::RecallRecord> run_recall(const trace::RunData& data,
                                                          const trace::RunData& attention);
/// The oracle beside it: the best `capacity` positions (HeadRecord) of each step.
[[nodiscard]] std::vector<trace::RecallRecord> oracle_recall(const trace::RunData& data,
                                                             const trace::RunData& attention);

}  // namespace hc::analysis
