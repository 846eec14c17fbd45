/// An engine run step by step, and its retrievals with the steps at both ends of their way.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "profiler/analysis/metrics.h"
#include "profiler/trace/columns.h"

namespace hc::analysis {

struct StepRow {
    std::int64_t step = 0;
    Phase phase = Phase::kDecode;
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t checks = 0, triggers = 0;
    std::int64_t fetches_triggered = 0;  ///< asked for by a check of this step
    std::int64_t fetches_used = 0;       ///< committed at its start
    std::int64_t bytes_used = 0;         ///< by the fetches that were committed at its start
    std::int64_t exposed_ns = 0;         ///< in which it waited for fetches
    std::int64_t transfer_ns = 0;        ///< transfers within its window, whoever needs them
    std::int64_t both_ns = 0;            ///< of these, beside computation
    /// Sum over operations of the step, by OpKind.
    std::array<std::int64_t, static_cast<std::size_t>(OpKind::kCount)> kind_ns{};

    [[nodiscard]] std::int64_t duration_ns() const { return end_ns - start_ns; }
    [[nodiscard]] std::optional<double> overlap() const {
        if (transfer_ns == 0) return std::nullopt;
        return static_cast<double>(both_ns) / static_cast<double>(transfer_ns);
    }
};
/// By step. The sums over steps of exposed_ns equal TransferMetrics::exposed_ns where every fetch
/// was committed in a recorded step.
[[nodiscard]] std::vector<StepRow> step_table(const trace::RunData& data);

/// A retrieval with the step that triggered and the step that used it.
struct RetrievalRow {
    FetchRecord fetch;
    std::int64_t trigger_step = -1;  ///< of its check; -1: the check is not in the trace
    std::int32_t pivot = -1;
    double median = 0, threshold = 0;  ///< of the check; 0 where there is none
    std::int64_t use_step = -1;        ///< of the attention that first read the rows; -1: none did
    std::int64_t use_ns = -1;          ///< when that began

    [[nodiscard]] bool ran() const { return fetch.end_ns >= 0 && fetch.start_ns >= 0; }
    [[nodiscard]] std::int64_t waited_ns() const {  ///< from trigger to start; 0: never ran
        return ran() ? fetch.start_ns - fetch.queued_ns : 0;
    }
    [[nodiscard]] std::int64_t transfer_ns() const {
        return ran() ? fetch.end_ns - fetch.start_ns : 0;
    }
};
/// By fetch id.
[[nodiscard]] std::vector<RetrievalRow> retrieval_table(const trace::RunData& data);

struct RetrievalTotals {
    std::int64_t count = 0, superseded = 0, used = 0;
    std::int64_t late = 0;  ///< somebody waited for it
    std::int64_t rows_wanted = 0, rows_fetched = 0, bytes = 0;
    std::int64_t exposed_ns = 0;
    Distribution waited_ns, transfer_ns;  ///< of those that ran
    Distribution steps_to_use;            ///< from trigger to first use, of those that were used
    /// Bytes of those that ran over the union of their times; nullopt where that is empty.
    std::optional<double> gb_per_s;
};
[[nodiscard]] RetrievalTotals retrieval_totals(const std::vector<RetrievalRow>& rows);

/// The transfers and the computation of a run as transfer_metrics() takes them: sorted, disjoint.
struct RunIntervals {
    std::vector<Interval> transfer, compute;
};
[[nodiscard]] RunIntervals run_intervals(const trace::RunData& data);

/// What was exposed of a fetch, and in which step (-1: not known).
struct FetchWait {
    std::int64_t exposed_ns = 0;
    std::int64_t step = -1;
};
/// One entry a fetch, in their order. Their sum is TransferMetrics::exposed_ns.
[[nodiscard]] std::vector<FetchWait> fetch_waits(const trace::RunData& data);

}  // namespace hc::analysis
