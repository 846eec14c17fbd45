/// The decisions that the engine's policy code would have made, from the recorded scores.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/policy/heterocache.h"
#include "profiler/trace/columns.h"

namespace hc::sim {

/// Selection scores of a drift trace by (sequence, head, step). Borrows the run's rows.
class ScoreIndex {
public:
    /// Throws Error(kInput) for rows outside the run's shape, or with positions beyond the prompt
    /// or given twice; Error(kRefused) when the run has no drift trace.
    ScoreIndex(const trace::RunData& attention, std::int32_t num_layers, std::int32_t num_kv_heads);

    [[nodiscard]] std::int64_t prompt() const { return prompt_; }
    [[nodiscard]] std::int32_t sequences() const { return sequences_; }
    /// Largest decode step with rows.
    [[nodiscard]] std::int64_t last_step() const { return last_step_; }
    /// Positions per row: the smallest row there is.
    [[nodiscard]] std::int64_t depth() const { return depth_; }
    /// Step of the sequence's prompt: its first rows.
    [[nodiscard]] std::int64_t prompt_step(std::int32_t sequence) const {
        return prompt_step_[static_cast<std::size_t>(sequence)];
    }
    /// Ranked positions, empty where nothing was recorded.
    [[nodiscard]] std::span<const Position> row(std::int32_t sequence, HeadId head,
                                                std::int64_t step) const;
    /// The same; throws Error(kRefused) where nothing was recorded.
    [[nodiscard]] std::span<const Position> require(std::int32_t sequence, HeadId head,
                                                    std::int64_t step) const;

private:
    [[nodiscard]] std::size_t at(std::int32_t sequence, HeadId head, std::int64_t step) const;

    std::int64_t prompt_ = 0;
    std::int32_t sequences_ = 0;
    std::int32_t num_layers_ = 0;
    std::int32_t num_kv_heads_ = 0;
    std::int64_t last_step_ = 0;
    std::int64_t depth_ = 0;
    std::vector<std::int64_t> prompt_step_;     // [sequence]
    std::vector<const AttentionRecord*> rows_;  // [sequence][head][step]
};

/// Throws Error(kRefused) naming the largest ratio that can be asked when the rows are too short
/// for `budgets`.
void check_depth(const ScoreIndex& scores, const HeadProfile& profile,
                 const policy::Settings& settings, const policy::Budgets& budgets);

struct FetchDecision {
    std::size_t check = 0;  ///< index into Decisions::checks
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    std::int32_t pivot = 0;
    std::int64_t step = 0;  ///< of the check
    std::int64_t due_step = 0;
    bool superseded = false;
    bool committed = false;  ///< within the steps simulated
    std::int64_t rows_wanted = 0;
    std::int64_t rows_fetched = 0;
    std::int64_t runs = 0;
};

struct Decisions {
    policy::Budgets budgets;
    std::vector<DriftRecord> checks;     ///< in the order of steps, layers, stars, sequences
    std::vector<FetchDecision> fetches;  ///< in the order of their checks
    std::vector<RowsRecord> rows;        ///< prefill selections, then commits; fetch_id: index of
                                         ///< the fetch
};

/// Replays HeteroCache for sequences 0..sequences-1 over decode steps 1..steps; sequences beyond
/// those recorded repeat them in turn. Throws as check_depth(), and Error(kRefused) when pivots or
/// compressed heads of the profile have no rows.
[[nodiscard]] Decisions replay_policy(const ScoreIndex& scores, const HeadProfile& profile,
                                      const policy::Settings& settings, std::int64_t first_step,
                                      std::int64_t last_step, std::int32_t sequences);

}  // namespace hc::sim
