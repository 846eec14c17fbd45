/// The decisions of policy_replay without the rows: what a sweep over thousands of settings needs.
/// Sets are bitmaps, made once per budget and shared by all scenarios of that budget. Tests hold
/// every decision against policy_replay, which runs engine/policy itself.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "profiler/analysis/metrics.h"
#include "simulator/replay/policy_replay.h"
#include "simulator/replay/position_set.h"
#include "simulator/replay/prefix_sums.h"

namespace hc::sim {

struct FigureCheck {
    std::int64_t step = 0;
    std::int32_t layer = 0;
    std::int32_t pivot = 0;
    std::int32_t sequence = 0;
    bool triggered = false;
};

struct FigureDecisions {
    std::vector<FigureCheck> checks;     ///< in the order of Decisions::checks
    std::vector<FetchDecision> fetches;  ///< equal to Decisions::fetches
    std::optional<analysis::RecallInterval> recall;
};
/// The same of decisions that were made in full.
[[nodiscard]] FigureDecisions figures_of(const Decisions& decisions,
                                         const std::optional<analysis::RecallInterval>& recall);

/// Probability rows of a drift trace by head, as recall is judged by them. Borrows the rows.
class ProbRows {
public:
    ProbRows(const trace::RunData& attention, std::int32_t num_layers, std::int32_t num_kv_heads);
    /// Rows of a head in the order of their steps.
    [[nodiscard]] const std::vector<const AttentionRecord*>& of(std::int32_t sequence,
                                                                HeadId head) const;
    [[nodiscard]] bool empty() const { return rows_.empty(); }

private:
    std::int32_t num_layers_;
    std::int32_t num_kv_heads_;
    std::vector<std::vector<const AttentionRecord*>> rows_;  // [sequence][head]
};

/// A set of one score row, with the mass that probability rows have on it as far as anyone asked.
struct JudgedSet {
    PositionSet set;
    std::span<const Position> prefix_of;  ///< the ranked row whose best it is; empty: no prefix
    mutable std::unordered_map<const AttentionRecord*, analysis::RecallInterval> mass;
};
using SetPointer = std::shared_ptr<const JudgedSet>;

/// Keeps sets from scenario to scenario. One thread at a time.
class FigureReplayer {
public:
    /// Borrows both. `most_sets` of one budget are kept for later scenarios.
    FigureReplayer(const ScoreIndex& scores, const ProbRows& probabilities,
                   std::size_t most_sets = std::size_t{48} << 10);
    ~FigureReplayer();

    /// As replay_policy, and throws as it does.
    [[nodiscard]] FigureDecisions replay(const HeadProfile& profile, const policy::Budgets& budgets,
                                         const policy::Settings& settings, std::int64_t first_step,
                                         std::int64_t last_step, std::int32_t sequences,
                                         bool wants_recall);

private:
    friend class SequenceFigures;
    struct BudgetSets;

    BudgetSets& sets_for(const policy::Budgets& budgets, const policy::Settings& settings);
    [[nodiscard]] analysis::RecallInterval judge(const JudgedSet& held, const AttentionRecord& row);
    /// The best `capacity` of a score row, kept nowhere.
    [[nodiscard]] PositionSet best_of(std::int64_t base, std::int32_t sequence, HeadId head,
                                      std::int64_t step);
    SetPointer set_of(BudgetSets& sets, std::int32_t sequence, HeadId head, std::int64_t step,
                      std::int64_t capacity, bool forced, std::int64_t lowest);

    const ScoreIndex& scores_;
    const ProbRows& probabilities_;
    std::size_t most_sets_;
    PrefixSets prefixes_;
    PrefixMasses masses_;
    Positions all_;  // every prompt position, for budgets that keep everything
    std::list<std::unique_ptr<BudgetSets>> budgets_;  // the latest first
};

}  // namespace hc::sim
