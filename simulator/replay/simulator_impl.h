/// What a Simulator holds; private to the files simulator*.cpp.
#pragma once

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
#include "simulator/replay/policy_replay.h"
#include "simulator/replay/simulator.h"
#include "simulator/replay/source_run.h"
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
    std::optional<OpCosts> costs;
    std::optional<ScoreIndex> scores;
    std::string no_scores;  // why `scores` is empty
    std::optional<HeadProfile> profile;
    policy::Settings base_settings;
    policy::Budgets recorded_budgets;

    mutable std::mutex mutex;  // guards decisions
    mutable std::unordered_map<std::string, std::shared_ptr<const JudgedDecisions>> decisions;

    void prepare(std::vector<trace::RunData> others);
    void prepare_costs(const std::vector<trace::RunData>& others);
    void prepare_policy();
    [[nodiscard]] const trace::RunData& judged_by() const {
        return attention_is_source ? source : attention;
    }
    [[nodiscard]] std::int32_t batch() const { return std::max(1, source.run.batch); }
    [[nodiscard]] std::int64_t row_bytes() const {
        return 2 * parts.shape.head_dim * parts.parameters.element_bytes;
    }

    [[nodiscard]] Plan plan(const Scenario& scenario) const;
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
    void fill_run(const Scenario& scenario, const Plan& plan, Prediction& out) const;
    void fill_decisions(const Plan& plan, const Decisions& decisions, Timeline& timeline,
                        Prediction& out) const;
    void fill_memory(const Plan& plan, Prediction& out) const;
    void fill_tokens(const Plan& plan, Prediction& out) const;
    void fill_estimates(const Plan& plan, const Doubt& doubt, Prediction& out) const;
    [[nodiscard]] Doubt doubt_of(const Plan& plan, const MachineModel* machine, double model,
                                 Prediction& out) const;
};

}  // namespace hc::sim
