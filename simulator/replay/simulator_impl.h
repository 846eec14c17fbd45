/// What a Simulator holds; private to the files simulator*.cpp.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/policy/budget.h"
#include "simulator/cost/op_costs.h"
#include "simulator/cost/roofline.h"
#include "simulator/replay/estimates.h"
#include "simulator/replay/figure_decisions.h"
#include "simulator/replay/figure_timeline.h"
#include "simulator/replay/policy_replay.h"
#include "simulator/replay/simulator.h"
#include "simulator/replay/source_run.h"
#include "simulator/replay/synthetic_decisions.h"
#include "simulator/replay/timeline.h"

namespace hc::sim {

/// What a scenario comes down to.
struct Plan {
    bool heterocache = false;
    policy::Settings settings;
    const HeadProfile* profile = nullptr;
    std::int64_t prompt = 0;
    policy::Budgets budgets;  // of the new run
    bool extrapolated = false;
    std::int32_t batch = 1;
    std::shared_ptr<const SourceRun> other_batch;  // the source at `batch`; null: as recorded
    std::optional<ToldDrift> drift;                // where decisions are told
    bool own_heads = true;                         // budgets per head as recorded
};

/// A scenario made ready, and what is known of the answer before any time is.
struct Question {
    Plan plan;
    std::optional<MachineModel> machine;
    std::size_t steps = 0;
    [[nodiscard]] const MachineModel* on() const { return machine ? &*machine : nullptr; }
};

/// Times of a new run, from either timeline.
struct RunTimes {
    std::vector<double> step_ns;
    double tokens = 0;
    std::int64_t transfer_ns = 0;
    std::int64_t exposed_ns = 0;
    std::optional<double> hiding, overlap, interference;
};

/// Decisions of one combination of settings, and the recall that follows from them: neither
/// depends on time.
struct JudgedDecisions {
    Decisions decisions;
    std::optional<analysis::RecallInterval> recall;
};

struct Simulator::Impl {
    trace::RunData source;
    trace::RunData attention;
    std::vector<trace::Value> values;
    bool attention_is_source = false;

    SourceRun parts;                 // of source
    std::optional<SourceRun> donor;  // another run with checks
    trace::Run donor_run;
    std::optional<OpCosts> costs;
    std::optional<ScoreIndex> scores;
    std::string no_scores;  // why `scores` is empty
    std::optional<HeadProfile> profile;
    policy::Settings base_settings;
    policy::Budgets recorded_budgets;
    policy::Budgets donor_budgets;  // of the donor, where decisions are told
    std::optional<ToldDrift> told;  // drift was told: decisions follow its rule
    std::optional<ProbRows> probabilities;
    std::optional<StepPatterns> patterns;

    mutable std::mutex mutex;  // guards everything below
    mutable std::unordered_map<std::string, std::shared_ptr<const JudgedDecisions>> decisions;
    mutable std::map<std::int32_t, std::shared_ptr<const SourceRun>> batches;
    mutable std::vector<std::unique_ptr<FigureReplayer>> replayers;  // idle ones

    void prepare(std::vector<trace::RunData> others);
    void prepare_costs(const std::vector<trace::RunData>& others);
    void prepare_policy();
    void prepare_told(const trace::Run& run, const config::RunParameters& parameters);
    [[nodiscard]] const trace::RunData& judged_by() const {
        return attention_is_source ? source : attention;
    }
    [[nodiscard]] std::int32_t batch() const { return std::max(1, source.run.batch); }
    [[nodiscard]] std::int64_t row_bytes() const {
        return 2 * parts.shape.head_dim * parts.parameters.element_bytes;
    }

    [[nodiscard]] Question ask(const Scenario& scenario, Prediction& out) const;
    [[nodiscard]] Plan plan(const Scenario& scenario) const;
    void plan_batch(const Scenario& scenario, Plan& plan) const;
    void plan_heads(const Scenario& scenario, Plan& plan) const;
    [[nodiscard]] FigureDecisions decide_figures(const Plan& plan, std::int64_t last_step) const;
    [[nodiscard]] FigureDecisions told_figures(const Plan& plan, std::int64_t last_step) const;
    void note_decisions(const Plan& plan, Prediction& out) const;
    void fill_memory_figures(const Plan& plan, std::size_t steps, Prediction& out) const;
    [[nodiscard]] policy::Settings settings_of(const Scenario& scenario) const;
    [[nodiscard]] std::shared_ptr<const JudgedDecisions> decide(const Plan& plan,
                                                                std::int64_t last_step) const;
    [[nodiscard]] std::size_t replayable_steps(const Plan& plan, Prediction& out) const;
    [[nodiscard]] TimelineInput timeline_input(const Plan& plan, const Decisions* decisions,
                                               const MachineModel* machine,
                                               std::size_t steps) const;
    [[nodiscard]] std::vector<HeadRecord> head_records(const Plan& plan,
                                                       const policy::Budgets& budgets) const;
    [[nodiscard]] std::optional<analysis::RecallInterval> recall_of(const Plan& plan,
                                                                    const Decisions& made) const;
    void fill_run(const Plan& plan, Prediction& out) const;
    void fill_tables(const Scenario& scenario, const Plan& plan, Prediction& out) const;
    void fill_decisions(const Plan& plan, const Decisions& decisions, Timeline& timeline,
                        Prediction& out) const;
    void fill_memory(const Plan& plan, Prediction& out) const;
    void fill_tokens(const Plan& plan, Prediction& out) const;
    void fill_estimates(RunTimes times, const Doubt& doubt, Prediction& out) const;
    [[nodiscard]] Doubt doubt_of(const Plan& plan, const MachineModel* machine, double model,
                                 Prediction& out) const;
};

}  // namespace hc::sim
