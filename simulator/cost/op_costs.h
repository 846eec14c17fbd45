/// What each kind of operation costs, fitted from recorded runs.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "engine/core/records.h"
#include "profiler/trace/columns.h"
#include "simulator/cost/linear_fit.h"

namespace hc::sim {

/// Cost by kind over rows (attention, drift_score, drift_topk, fetch, commit) or, for the other
/// kinds, per operation as recorded. Only decode operations of recorded runs count. A commit's
/// time is without its waiting; a fetch's size is its rows.
class OpCosts {
public:
    /// `runs` must be of one model, precision and machine; the first is the one to predict from,
    /// and times of the others are taken as if the machine had been as fast as in it (by its
    /// matrix products). Pointers are not kept.
    explicit OpCosts(std::span<const trace::RunData* const> runs);

    /// nullptr: nothing recorded of this kind.
    [[nodiscard]] const LinearFit* find(OpKind kind) const;
    /// Throws Error(kRefused) saying what would have to be recorded.
    [[nodiscard]] const LinearFit& require(OpKind kind) const;

    /// A recorded time at another size: recorded * fit(new) / fit(old), exactly `recorded` when
    /// the sizes are equal.
    [[nodiscard]] std::int64_t rescale(OpKind kind, std::int64_t recorded_ns, double old_size,
                                       double new_size) const;

    /// The same for an operation whose time depends on the tokens of a step (every kind that does
    /// not depend on rows). Throws Error(kRefused) unless runs of several batch sizes were
    /// recorded.
    [[nodiscard]] std::int64_t rescale_tokens(OpKind kind, std::int64_t recorded_ns,
                                              double old_tokens, double new_tokens) const;
    /// Cost over tokens; nullptr where one batch size was recorded.
    [[nodiscard]] const LinearFit* find_tokens(OpKind kind) const;

    /// Extra time of computation beside a transfer, as a factor (0: none measured), robustly
    /// over kinds: Σ(time - alone) / Σ(alone * overlapped share), alone = median of the same
    /// kind and layer in steps without a transfer.
    [[nodiscard]] double interference() const { return interference_; }

private:
    using Fits = std::array<std::optional<LinearFit>, static_cast<std::size_t>(OpKind::kCount)>;
    Fits fits_;
    Fits token_fits_;
    double interference_ = 0;
};

/// True for kinds whose time depends on rows.
[[nodiscard]] constexpr bool depends_on_rows(OpKind kind) {
    return kind == OpKind::kAttention || kind == OpKind::kDriftScore ||
           kind == OpKind::kDriftTopk || kind == OpKind::kFetch || kind == OpKind::kCommit;
}

/// Per operation of `run.ops`: time that the stream was blocked inside it (commits), from the
/// run's fetches.
[[nodiscard]] std::vector<std::int64_t> blocked_ns(const trace::RunData& run);

}  // namespace hc::sim
