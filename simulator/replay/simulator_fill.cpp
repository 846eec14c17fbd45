/// From a timeline to a prediction: the run as a trace would hold it, and figures with intervals.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/policy/device_memory.h"
#include "simulator/replay/simulator_impl.h"

namespace hc::sim {
namespace {

/// Assumed, not measured: how far a data sheet (or a machine measured elsewhere) can mislead.
/// Published errors without target data are 8 to 13 % on average with far larger single ones
/// (simulator.md §2); ours has no fitted transfer at all.
constexpr double kSpecOnlyDoubt = 0.30;
constexpr double kTargetSweptDoubt = 0.15;
/// Assumed per doubling of the prompt.
constexpr double kExtrapolationDoubt = 0.10;

std::int64_t pool_bytes(const policy::Budgets& budgets, std::int64_t generated,
                        std::int64_t page_size, std::int64_t row_bytes, std::int64_t batch) {
    std::int64_t pages = 0;
    for (const std::int64_t capacity : budgets.capacity) {
        pages += (capacity + generated + page_size - 1) / page_size;
    }
    return pages * page_size * row_bytes * batch;
}

}  // namespace

std::vector<HeadRecord> Simulator::Impl::head_records(const Plan& plan,
                                                      const policy::Budgets& budgets) const {
    std::vector<HeadRecord> records;
    const auto heads = static_cast<std::size_t>(parts.shape.num_kv_heads);
    for (std::size_t i = 0; i < budgets.capacity.size(); ++i) {
        HeadRecord head;
        head.layer = static_cast<std::int32_t>(i / heads);
        head.head = static_cast<std::int32_t>(i % heads);
        head.capacity = budgets.capacity[i];
        head.role = HeadRole::kVolatile;
        if (plan.heterocache) {
            head.role = plan.profile->roles[i];
            head.ratio = plan.profile->ratios[i];
            if (i < plan.profile->stability.size()) head.stability = plan.profile->stability[i];
            for (const Star& star : plan.profile->stars[i / heads]) {
                const bool member = std::find(star.members.begin(), star.members.end(),
                                              head.head) != star.members.end();
                if (member) head.pivot = star.pivot;
            }
        }
        records.push_back(head);
    }
    return records;
}

/// By the rows of the decisions alone, over the recorded prompt.
std::optional<analysis::RecallInterval> Simulator::Impl::recall_of(const Plan& plan,
                                                                   const Decisions& made) const {
    trace::RunData judged;
    judged.run.id = -1;
    judged.run.policy = "heterocache";
    judged.run.prompt_tokens = parts.prompt;
    judged.heads = head_records(plan, made.budgets);
    judged.rows = made.rows;
    return analysis::run_metrics(judged, &judged_by()).recall;
}

void Simulator::Impl::fill_run(const Plan& plan, Prediction& out) const {
    trace::RunData& data = out.data;
    data.run = source.run;
    data.run.id = -1;
    data.run.origin = trace::Origin::kSimulated;
    data.run.source_run = source.run.id;
    data.run.attention_run = plan.extrapolated ? -1 : judged_by().run.id;
    data.run.policy = plan.heterocache ? "heterocache" : "fullkv";
    data.run.prompt_tokens = plan.prompt;
    data.run.batch = plan.batch;
    data.run.drift = plan.heterocache && !told ? "trace" : source.run.drift;
    data.run.mode = plan.heterocache ? policy::mode_name(plan.settings.mode) : "";
    data.run.window = plan.heterocache ? plan.settings.window : 0;
    data.run.commit_lag = plan.heterocache ? plan.settings.commit_lag : 0;
}

/// What only a written run needs.
void Simulator::Impl::fill_tables(const Scenario& scenario, const Plan& plan,
                                  Prediction& out) const {
    trace::RunData& data = out.data;
    config::RunParameters parameters = parts.parameters;
    parameters.drift_keep.reset();
    parameters.drift_every.reset();
    parameters.profile.reset();
    if (plan.heterocache) {
        parameters.settings = plan.settings;
        parameters.profile = *plan.profile;
    }
    data.run.parameters_json = config::to_json(parameters);
    data.machine = source.machine;
    data.machine.run = -1;
    if (scenario.machine) data.machine.name = scenario.machine->name;
    data.heads = head_records(plan, plan.budgets);
}

void Simulator::Impl::note_decisions(const Plan& plan, Prediction& out) const {
    if (told) {
        out.notes.push_back(
            "drift is synthetic: checks trigger by the engine's hash of seed, step and star, "
            "whatever the threshold; rows of a fetch follow the recorded fetch, or the recorded "
            "mean, by what the rule asks at the new capacities; recall is not known");
        return;
    }
    if (plan.batch > scores->sequences()) {
        out.notes.push_back(fmt::format(
            "{} sequences decide by the scores of the {} recorded, in turn: their fetches come in "
            "the same steps",
            plan.batch, scores->sequences()));
    }
    if (!attention_is_source && source.run.policy == "heterocache") {
        out.notes.push_back(
            "decisions come from full attention's scores: the run's own would "
            "differ where its retrieval changed its hidden states");
    }
}

void Simulator::Impl::fill_decisions(const Plan& plan, const Decisions& made, Timeline& timeline,
                                     Prediction& out) const {
    out.data.drift = made.checks;
    for (std::size_t i = 0; i < out.data.drift.size(); ++i) {
        DriftRecord& check = out.data.drift[i];
        check.op_id = timeline.check_ops[i];
        check.base = plan.budgets.base;
        out.triggers += check.triggered ? 1 : 0;
    }
    out.checks = static_cast<std::int64_t>(out.data.drift.size());
    out.data.fetches = std::move(timeline.fetches);
    out.fetches = static_cast<std::int64_t>(out.data.fetches.size());
    for (const FetchRecord& fetch : out.data.fetches) {
        out.rows_fetched += fetch.rows_fetched;
        out.fetch_bytes += fetch.bytes;
    }
    // With another prompt it is known how many rows move, not which.
    if (!plan.extrapolated) out.data.rows = made.rows;
}

/// Sizes that follow from budgets alone, after the last of `steps` decode steps.
void Simulator::Impl::fill_memory_figures(const Plan& plan, std::size_t steps,
                                          Prediction& out) const {
    const std::int64_t page = std::max<std::int64_t>(1, parts.parameters.page_size);
    const auto generated = static_cast<std::int64_t>(steps);
    if (plan.heterocache) {
        out.host_tier_bytes =
            policy::forecast_memory(*plan.profile, plan.budgets, parts.shape, generated, plan.batch,
                                    page, parts.parameters.element_bytes, plan.settings)
                .host_bytes;
    }
    out.kv_pool_bytes = pool_bytes(plan.budgets, generated, page, row_bytes(), plan.batch);
    if (source.run.backend != "cuda") return;
    policy::DeviceMemoryQuestion question;
    question.shape = parts.shape;
    question.profile = plan.heterocache ? plan.profile : nullptr;
    question.settings = plan.settings;
    question.prompt = plan.prompt;
    question.generated = generated + 1;
    question.batch = plan.batch;
    question.page_tokens = page;
    question.synthetic_prefill = source.run.prefill == "synthetic";
    const policy::DeviceMemoryForecast forecast = policy::forecast_device_memory(question);
    out.device_bytes = forecast.device_bytes();
    if (plan.heterocache) out.host_tier_bytes = forecast.host_tier_bytes;
}

void Simulator::Impl::fill_memory(const Plan& plan, Prediction& out) const {
    const std::int64_t page = std::max<std::int64_t>(1, parts.parameters.page_size);
    for (const FetchRecord& fetch : out.data.fetches) {
        out.staging_bytes = std::max(out.staging_bytes, fetch.bytes);
    }
    fill_memory_figures(plan, out.data.steps.size(), out);
    for (std::size_t i = 0; i < out.data.steps.size(); ++i) {
        MemoryRecord memory;
        memory.step = out.data.steps.step[i];
        memory.pool_used_bytes = pool_bytes(plan.budgets, static_cast<std::int64_t>(i) + 1, page,
                                            row_bytes(), plan.batch);
        memory.pool_reserved_bytes = memory.pool_used_bytes;
        memory.host_tier_bytes = out.host_tier_bytes;
        memory.staging_bytes = out.staging_bytes;
        out.data.memory.push_back(memory);
    }
}

void Simulator::Impl::fill_tokens(const Plan& plan, Prediction& out) const {
    const std::int64_t last = out.data.steps.step.back();
    for (const TokenRecord& recorded : source.tokens) {
        if (recorded.step > last) continue;
        TokenRecord token;  // without quality: only the engine can measure it
        token.step = recorded.step;
        token.sequence = recorded.sequence;
        token.token_id = recorded.token_id;
        token.context_length = recorded.context_length + plan.prompt - parts.prompt;
        out.data.tokens.push_back(token);
    }
}

void Simulator::Impl::fill_estimates(RunTimes times, const Doubt& doubt, Prediction& out) const {
    std::vector<double>& steps = times.step_ns;
    const Estimate mean = estimate_mean(steps, doubt);
    const double per_step = times.tokens / static_cast<double>(steps.size()) * 1e9;
    if (mean.low > 0) {
        out.tokens_per_s = {per_step / mean.value, per_step / mean.high, per_step / mean.low};
    }
    std::sort(steps.begin(), steps.end());
    out.step_ns_median = estimate_quantile(steps, 0.5, doubt);
    out.step_ns_p95 = estimate_quantile(steps, 0.95, doubt);
    out.step_ns_p99 = estimate_quantile(steps, 0.99, doubt);
    out.step_ns_max = estimate_exact(steps.back(), doubt);
    if (steps.size() < 299) {
        out.notes.push_back(
            fmt::format("{} steps: the intervals of p99 (299 steps are needed{}) end "
                        "at the largest step",
                        steps.size(), steps.size() < 59 ? ", 59 for p95" : ""));
    }
    out.transfer_ns = estimate_exact(static_cast<double>(times.transfer_ns), doubt);
    out.exposed_ns = estimate_exact(static_cast<double>(times.exposed_ns), doubt);
    if (times.hiding) out.hiding = estimate_share(*times.hiding, doubt);
    if (times.overlap) out.overlap = estimate_share(*times.overlap, doubt);
    if (times.interference) {
        const double value = *times.interference;
        out.interference = Estimate{value, value - std::abs(value) * (1 - doubt.low()),
                                    value + std::abs(value) * (doubt.high() - 1)};
    }
}

Doubt Simulator::Impl::doubt_of(const Plan& plan, const MachineModel* machine, double model,
                                Prediction& out) const {
    Doubt doubt;
    doubt.model = model;
    if (machine != nullptr) {
        out.tag = machine->target_measured() ? Tag::kTargetSwept : Tag::kSpecOnly;
        doubt.machine = machine->target_measured() ? kTargetSweptDoubt : kSpecOnlyDoubt;
        out.notes.push_back(
            fmt::format("interval widened by {:.0f} % either way for the other "
                        "machine (assumed, not validated)",
                        100 * doubt.machine));
        out.notes.insert(out.notes.end(), machine->notes().begin(), machine->notes().end());
    }
    if (plan.batch != batch()) {
        // Products are the bulk of what a batch changes.
        const LinearFit* fit = costs->find_tokens(OpKind::kMlp);
        const bool inside =
            fit != nullptr && plan.batch >= fit->size_min && plan.batch <= fit->size_max;
        if (!inside) out.tag = Tag::kExtrapolated;
        out.notes.push_back(
            fmt::format("batch {} along a line over recorded batches of {:.0f} to {:.0f}{}",
                        plan.batch, fit ? fit->size_min : 0.0, fit ? fit->size_max : 0.0,
                        inside ? "" : ": outside of them"));
        doubt.model += fit != nullptr ? fit->residual_median : 0;
    }
    if (plan.extrapolated) {
        out.tag = Tag::kExtrapolated;
        const double doublings = std::abs(
            std::log2(static_cast<double>(plan.prompt) / static_cast<double>(parts.prompt)));
        const double share = std::min(0.5, kExtrapolationDoubt * doublings);
        doubt.machine = std::min(0.9, doubt.machine + share);
        out.notes.push_back(
            fmt::format("prompt of {} tokens extrapolated from {}: rows of every decision scaled "
                        "alike, triggers "
                        "as recorded, recall not known, interval widened by {:.0f} % (assumed)",
                        plan.prompt, parts.prompt, 100 * share));
    }
    return doubt;
}

}  // namespace hc::sim
