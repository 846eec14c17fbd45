/// From a scenario to settings, decisions and the input of a timeline.
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "simulator/replay/other_batch.h"
#include "simulator/replay/simulator_impl.h"

namespace hc::sim {
namespace {

constexpr std::size_t kCachedDecisions = 64;
constexpr std::size_t kCachedBatches = 8;

}  // namespace

policy::Settings Simulator::Impl::settings_of(const Scenario& scenario) const {
    policy::Settings settings = base_settings;
    if (scenario.mode && *scenario.mode != settings.mode) {
        policy::Settings preset = policy::settings_for(*scenario.mode);
        preset.ratio = settings.ratio;
        preset.window = settings.window;
        preset.stable_threshold = settings.stable_threshold;
        preset.retrieval = settings.retrieval;
        preset.sink = settings.sink;
        preset.recent = settings.recent;
        preset.pool_width = settings.pool_width;
        settings = preset;
    }
    if (scenario.ratio) settings.ratio = *scenario.ratio;
    if (scenario.stable_threshold) settings.stable_threshold = *scenario.stable_threshold;
    if (scenario.window) settings.window = *scenario.window;
    if (scenario.commit_lag) settings.commit_lag = *scenario.commit_lag;
    if (scenario.retrieval) settings.retrieval = *scenario.retrieval;
    policy::validate(settings);
    return settings;
}

Plan Simulator::Impl::plan(const Scenario& scenario) const {
    Plan plan;
    const std::string policy =
        scenario.policy.value_or(parts.heterocache ? "heterocache" : source.run.policy);
    if (policy != "fullkv" && policy != "heterocache") {
        throw_usage(fmt::format(
            "policy '{:.40}' cannot be simulated, expected fullkv or heterocache", policy));
    }
    plan.heterocache = policy == "heterocache";
    const bool asks_policy = scenario.ratio || scenario.stable_threshold || scenario.window ||
                             scenario.commit_lag || scenario.retrieval || scenario.mode;
    if (!plan.heterocache && (asks_policy || scenario.heads != nullptr)) {
        throw_usage(
            "ratio, threshold, window, commit lag, retrieval, mode and heads belong to "
            "heterocache, "
            "and the policy asked for is fullkv");
    }
    plan_batch(scenario, plan);
    plan.prompt = scenario.prompt_tokens.value_or(parts.prompt);
    plan.extrapolated = plan.prompt != parts.prompt;
    const auto steps = static_cast<std::int64_t>(parts.steps.size());
    if (plan.prompt < 1) throw_usage(fmt::format("a prompt of {} tokens", plan.prompt));
    if (parts.shape.context > 0 && plan.prompt > parts.shape.context - steps) {
        throw_refused(
            fmt::format("a prompt of {} tokens and {} decode steps exceed the model's "
                        "context of {}",
                        plan.prompt, steps, parts.shape.context));
    }
    if (!plan.heterocache) {
        plan.budgets =
            policy::full_budgets(static_cast<std::int32_t>(parts.shape.num_layers),
                                 static_cast<std::int32_t>(parts.shape.num_kv_heads), plan.prompt);
        return plan;
    }
    if (!profile) {
        throw_refused(
            "neither the run nor its drift trace holds a head profile: heterocache cannot "
            "be simulated from it");
    }
    plan.profile = &*profile;
    plan_heads(scenario, plan);
    if (scenario.drift && !told) {
        throw_refused(
            "the drift of this trace was found by attention, not told: it stays as it is");
    }
    if (told) plan.drift = scenario.drift.value_or(*told);
    plan.settings = settings_of(scenario);
    plan.budgets = policy::compute_budgets(*plan.profile, plan.prompt, plan.settings);
    return plan;
}

void Simulator::Impl::plan_heads(const Scenario& scenario, Plan& plan) const {
    if (scenario.heads == nullptr) return;
    const HeadProfile& heads = *scenario.heads;
    if (heads.num_layers != profile->num_layers || heads.num_kv_heads != profile->num_kv_heads ||
        heads.roles != profile->roles || heads.stars != profile->stars ||
        heads.ratios.size() != profile->ratios.size()) {
        throw_refused(
            "the heads asked for have other roles or stars than the recording: only their shares "
            "of the budget can differ, since only pivots and compressed heads of the recording "
            "have scores");
    }
    plan.profile = &heads;
    plan.own_heads = false;
}

void Simulator::Impl::plan_batch(const Scenario& scenario, Plan& plan) const {
    plan.batch = scenario.batch.value_or(batch());
    if (plan.batch < 1 || plan.batch > (1 << 12)) {
        throw_usage(fmt::format("a batch of {}, expected 1 to {}", plan.batch, 1 << 12));
    }
    if (plan.batch == batch()) return;
    {
        const std::lock_guard lock(mutex);
        if (const auto found = batches.find(plan.batch); found != batches.end()) {
            plan.other_batch = found->second;
            return;
        }
    }
    plan.other_batch = std::make_shared<const SourceRun>(at_batch(parts, *costs, plan.batch));
    const std::lock_guard lock(mutex);
    if (batches.size() >= kCachedBatches) batches.clear();
    batches.emplace(plan.batch, plan.other_batch);
}

std::shared_ptr<const JudgedDecisions> Simulator::Impl::decide(const Plan& plan,
                                                               std::int64_t last_step) const {
    auto made = std::make_shared<JudgedDecisions>();
    if (told) {
        made->decisions = decisions_of(told_figures(plan, last_step), plan.budgets, plan.settings);
        return made;
    }
    if (!scores) throw_refused(no_scores);
    // Decisions do not depend on time: scenarios that differ in the machine share them.
    const std::string key =
        fmt::format("{}|{}|{}", config::to_json(plan.settings), plan.batch, last_step);
    if (plan.own_heads) {
        const std::lock_guard lock(mutex);
        if (const auto found = decisions.find(key); found != decisions.end()) return found->second;
    }
    made->decisions = replay_policy(*scores, *plan.profile, plan.settings, parts.step_offset + 1,
                                    last_step, plan.batch);
    made->recall = recall_of(plan, made->decisions);
    if (!plan.own_heads) return made;
    const std::lock_guard lock(mutex);
    if (decisions.size() >= kCachedDecisions) decisions.clear();
    decisions.emplace(key, made);
    return made;
}

FigureDecisions Simulator::Impl::told_figures(const Plan& plan, std::int64_t last_step) const {
    // Of the recorded prompt: the timeline scales rows to the one asked about.
    const policy::Budgets budgets =
        plan.extrapolated ? policy::compute_budgets(*plan.profile, parts.prompt, plan.settings)
                          : plan.budgets;
    const bool own = !parts.fetches.empty() || !donor;
    return told_decisions(own ? parts : *donor, *told, *plan.drift, *plan.profile, budgets,
                          own ? recorded_budgets : donor_budgets, plan.settings,
                          parts.step_offset + 1, last_step, plan.batch);
}

FigureDecisions Simulator::Impl::decide_figures(const Plan& plan, std::int64_t last_step) const {
    if (told) return told_figures(plan, last_step);
    if (!scores) throw_refused(no_scores);
    std::unique_ptr<FigureReplayer> replayer;
    {
        const std::lock_guard lock(mutex);
        if (!replayers.empty()) {
            replayer = std::move(replayers.back());
            replayers.pop_back();
        }
    }
    if (replayer == nullptr) replayer = std::make_unique<FigureReplayer>(*scores, *probabilities);
    // As in replay_policy: rows are of the recorded prompt, whatever prompt is asked about.
    const policy::Budgets budgets =
        plan.extrapolated ? policy::compute_budgets(*plan.profile, scores->prompt(), plan.settings)
                          : plan.budgets;
    FigureDecisions made =
        replayer->replay(*plan.profile, budgets, plan.settings, parts.step_offset + 1, last_step,
                         plan.batch, !plan.extrapolated);
    const std::lock_guard lock(mutex);
    replayers.push_back(std::move(replayer));
    return made;
}

std::size_t Simulator::Impl::replayable_steps(const Plan& plan, Prediction& out) const {
    if (!plan.heterocache || !plan.settings.retrieval || !scores) return parts.steps.size();
    const auto beyond = std::find_if(parts.steps.begin(), parts.steps.end(), [&](const auto& step) {
        return step.step > scores->last_step();
    });
    const auto steps = static_cast<std::size_t>(beyond - parts.steps.begin());
    if (steps == 0) throw_refused("the drift trace holds no decode step of the run");
    if (steps < parts.steps.size()) {
        out.notes.push_back(fmt::format("{} of {} decode steps: the drift trace ends there", steps,
                                        parts.steps.size()));
    }
    return steps;
}

TimelineInput Simulator::Impl::timeline_input(const Plan& plan, const Decisions* made,
                                              const MachineModel* machine,
                                              std::size_t steps) const {
    TimelineInput input{.source = plan.other_batch ? *plan.other_batch : parts, .costs = *costs};
    input.donor = donor ? &*donor : nullptr;
    input.decisions = made;
    input.machine = machine;
    input.settings = plan.settings;
    input.row_bytes = row_bytes();
    input.num_steps = steps;
    input.prompt_scale = static_cast<double>(plan.prompt) / static_cast<double>(parts.prompt);
    if (plan.heterocache) {
        const bool own = !parts.checks.empty() || !donor;
        const std::int32_t window =
            own ? (parts.heterocache ? parts.parameters.settings.window : plan.settings.window)
                : donor->parameters.settings.window;
        input.window_scale = static_cast<double>(plan.settings.window) / window;
    }
    const auto heads = static_cast<std::size_t>(parts.shape.num_kv_heads);
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(parts.shape.num_layers); ++layer) {
        std::int64_t delta = 0;
        for (std::size_t h = layer * heads; h < (layer + 1) * heads; ++h) {
            delta += plan.budgets.capacity[h] - recorded_budgets.capacity[h];
        }
        input.attention_rows_delta.push_back(delta);
    }
    return input;
}

}  // namespace hc::sim
