/// What the operations of a new run take: recorded ones at other sizes, and on another machine.
/// The one place for both timelines, with and without the operations written out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "simulator/replay/donors.h"
#include "simulator/replay/timeline.h"

namespace hc::sim {

/// One operation of the new run.
struct NewOp {
    OpKind kind{};
    std::int32_t layer = -1;
    std::size_t step = 0;  // index into the source's steps
    std::int64_t rows = 0;
    std::int64_t bytes_read = 0;
    std::int64_t bytes_written = 0;
    std::int64_t flops = 0;
};

/// A value of the recording at another scale, rounded; exactly itself at scale 1.
[[nodiscard]] std::int64_t scaled(std::int64_t value, double factor);

class NewCosts {
public:
    explicit NewCosts(const TimelineInput& input);

    struct Fetch {
        std::int64_t rows = 0;
        std::int64_t bytes = 0;
        std::int64_t work_ns = 0;
        std::int64_t latency_ns = 0;
        std::int64_t submit_ns = 0;
    };
    struct Commit {
        std::int64_t gap_ns = 0;
        std::int64_t work_ns = 0;
    };

    [[nodiscard]] const Donors& donors() const { return donors_; }

    /// A recorded attention at the new run's rows; `op` gets its sizes.
    [[nodiscard]] std::int64_t attention(NewOp& op, std::int64_t work_ns, std::int32_t batch);
    /// A recorded drift operation at the new run's rows. `same`: of this very check.
    [[nodiscard]] std::int64_t drift(NewOp& op, std::int64_t work_ns, bool same);
    /// `id` is the fetch's place among the decisions.
    [[nodiscard]] Fetch fetch(const FetchDecision& decision, std::size_t id) const;
    [[nodiscard]] Commit commit(const FetchDecision& decision, std::size_t id);

    /// Every time above still is that of the recording's machine: the time on the new one. Throws
    /// Error(kRefused) for one that is too long to be true.
    [[nodiscard]] std::int64_t on_machine(const NewOp& op, std::int64_t work_ns) const;

    /// Slowdown of computation beside a transfer, on the new machine.
    [[nodiscard]] double interference() const {
        const double recorded = in_.costs.interference();
        return in_.machine == nullptr ? recorded
                                      : std::min(100.0, in_.machine->interference(recorded));
    }

    /// Time changed so far, times the residual of what changed it.
    [[nodiscard]] double doubt_ns() const { return doubt_ns_; }
    /// Rows of attention that differ from the recording's; the largest 0: none.
    [[nodiscard]] std::int64_t attention_rows_min() const { return attention_rows_min_; }
    [[nodiscard]] std::int64_t attention_rows_max() const { return attention_rows_max_; }

private:
    [[nodiscard]] std::int64_t resize(NewOp& op, std::int64_t old_rows, std::int64_t work_ns);
    void doubt(OpKind kind, double changed_ns);

    const TimelineInput& in_;
    Donors donors_;
    bool reduced_;
    double doubt_ns_ = 0;
    std::int64_t attention_rows_min_ = std::numeric_limits<std::int64_t>::max();
    std::int64_t attention_rows_max_ = 0;
};

}  // namespace hc::sim
