#include "simulator/replay/simulator.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "simulator/replay/simulator_impl.h"

namespace hc::sim {
namespace {

std::string describe(const trace::RunData& data) {
    return fmt::format("run {}", data.run.id);
}

/// The run taken apart, when its times say something about the source's: no oracle, same
/// precision and threads; a drift trace (whose pass is disturbed by the capture) on request.
std::optional<SourceRun> comparable(const trace::RunData& other, const trace::RunData& source,
                                    const config::RunParameters& source_parameters,
                                    bool drift_trace) {
    if (other.run.origin != trace::Origin::kRecorded || other.run.backend != source.run.backend ||
        other.run.model_hash != source.run.model_hash) {
        return std::nullopt;
    }
    const config::RunParameters parameters = config::run_parameters_from_json(
        other.run.parameters_json, describe(other) + " parameters");
    if (parameters.precision != source_parameters.precision ||
        parameters.threads != source_parameters.threads ||
        parameters.drift_keep.has_value() != drift_trace || parameters.oracle) {
        return std::nullopt;
    }
    try {
        return take_apart(other, 0);
    } catch (const Error& error) {
        // A run without operations cannot help, and need not.
        if (error.code() != ExitCode::kRefused) throw;
        return std::nullopt;
    }
}

}  // namespace

// ---- construction ----

void Simulator::Impl::prepare_costs(const std::vector<trace::RunData>& others) {
    parts = take_apart(source, 0);
    std::vector<const trace::RunData*> fitted = {&source};
    const trace::RunData* with_checks = nullptr;
    const auto add = [&](bool drift_traces) {
        for (const trace::RunData& other : others) {
            const auto taken = comparable(other, source, parts.parameters, drift_traces);
            if (!taken) continue;
            fitted.push_back(&other);
            if (!taken->checks.empty()) with_checks = &other;
        }
    };
    add(false);
    if (fitted.size() == 1) add(true);  // better than one size of attention
    costs.emplace(fitted);
    // Again, with the slowdown beside transfers taken out.
    if (costs->interference() > 0) parts = take_apart(source, costs->interference());
    if (with_checks != nullptr) {
        donor = take_apart(*with_checks, costs->interference());
        donor_run = with_checks->run;
    }
    patterns.emplace(parts);
}

void Simulator::Impl::prepare_told(const trace::Run& run, const config::RunParameters& parameters) {
    if (run.drift != "synthetic" || told) return;
    told = told_drift(parameters.synthetic, fmt::format("run {}", run.id));
}

void Simulator::Impl::prepare_policy() {
    const trace::RunData& judge = judged_by();
    const config::RunParameters captured = config::run_parameters_from_json(
        judge.run.parameters_json, describe(judge) + " parameters");
    profile = parts.heterocache ? parts.parameters.profile : captured.profile;
    if (!profile) profile = parts.parameters.profile;
    base_settings = parts.heterocache ? parts.parameters.settings : captured.settings;
    prepare_told(source.run, parts.parameters);
    if (donor && !parts.heterocache) {
        prepare_told(donor_run, donor->parameters);
        if (!profile) {
            profile = donor->parameters.profile;
            base_settings = donor->parameters.settings;
        }
    }
    if (profile && (profile->num_layers != parts.shape.num_layers ||
                    profile->num_kv_heads != parts.shape.num_kv_heads)) {
        throw_input(fmt::format("{}: a head profile of {} x {} heads for a model of {} x {}",
                                describe(source), profile->num_layers, profile->num_kv_heads,
                                parts.shape.num_layers, parts.shape.num_kv_heads));
    }
    if (judge.run.prompt_tokens != source.run.prompt_tokens) {
        throw_refused(fmt::format("{} has a prompt of {} tokens and its drift trace, {}, one of {}",
                                  describe(source), source.run.prompt_tokens, describe(judge),
                                  judge.run.prompt_tokens));
    }
    try {
        scores.emplace(judge, static_cast<std::int32_t>(parts.shape.num_layers),
                       static_cast<std::int32_t>(parts.shape.num_kv_heads));
        probabilities.emplace(judge, static_cast<std::int32_t>(parts.shape.num_layers),
                              static_cast<std::int32_t>(parts.shape.num_kv_heads));
    } catch (const Error& error) {
        // FullKV can be simulated without; everything else repeats this line.
        if (error.code() != ExitCode::kRefused) throw;
        no_scores = error.what();
    }
    if (told && donor && donor->parameters.profile) {
        donor_budgets = policy::compute_budgets(*donor->parameters.profile, donor->prompt,
                                                donor->parameters.settings);
    }
    recorded_budgets =
        parts.heterocache
            ? policy::compute_budgets(*profile, parts.prompt, parts.parameters.settings)
            : policy::full_budgets(static_cast<std::int32_t>(parts.shape.num_layers),
                                   static_cast<std::int32_t>(parts.shape.num_kv_heads),
                                   parts.prompt);
}

void Simulator::Impl::prepare(std::vector<trace::RunData> others) {
    if (source.run.origin != trace::Origin::kRecorded) {
        throw_refused(describe(source) + " is itself simulated: start from a recorded run");
    }
    prepare_costs(others);
    prepare_policy();
}

Simulator::Simulator(const trace::Trace& trace, trace::RunId source, trace::RunId attention,
                     Progress& progress, const SimulatorExtras& extras)
    : impl_(std::make_unique<Impl>()) {
    const trace::Run& run = trace.run(source);
    impl_->attention_is_source = source == attention;
    impl_->source =
        trace.read(source, {.operations = true, .attention = source == attention}, progress);
    if (source != attention) {
        impl_->attention =
            trace.read(attention, {.operations = false, .attention = true}, progress);
    }
    std::vector<trace::RunData> others;
    for (const trace::Run& other : trace.runs()) {
        if (other.id == source || other.origin != trace::Origin::kRecorded ||
            other.model_hash != run.model_hash) {
            continue;
        }
        others.push_back(trace.read(other.id, {.operations = true, .attention = false}, progress));
    }
    for (const trace::Trace* more : extras.cost_traces) {
        for (const trace::Run& other : more->runs()) {
            if (other.origin != trace::Origin::kRecorded || other.model_hash != run.model_hash) {
                continue;
            }
            others.push_back(
                more->read(other.id, {.operations = true, .attention = false}, progress));
        }
    }
    impl_->values = extras.source_values;
    for (trace::Value& value : trace.values()) {
        const bool ours = value.run == source || value.machine == impl_->source.machine.name;
        if (ours) impl_->values.push_back(std::move(value));
    }
    impl_->prepare(std::move(others));
}

Simulator::Simulator(trace::RunData source, trace::RunData attention,
                     std::vector<trace::RunData> others, std::vector<trace::Value> values)
    : impl_(std::make_unique<Impl>()) {
    impl_->source = std::move(source);
    impl_->attention = std::move(attention);
    impl_->values = std::move(values);
    impl_->prepare(std::move(others));
}

Simulator::~Simulator() = default;
Simulator::Simulator(Simulator&&) noexcept = default;

const trace::RunData& Simulator::source() const {
    return impl_->source;
}
const trace::RunData& Simulator::attention() const {
    return impl_->judged_by();
}

const HeadProfile* Simulator::heads() const {
    return impl_->profile ? &*impl_->profile : nullptr;
}
const policy::Settings& Simulator::settings() const {
    return impl_->base_settings;
}
std::int64_t Simulator::depth() const {
    return impl_->scores ? impl_->scores->depth() : 0;
}
std::int64_t Simulator::prompt_tokens() const {
    return impl_->parts.prompt;
}

std::vector<std::vector<double>> Simulator::recall_curves(
    std::span<const std::int64_t> capacities) const {
    std::vector<std::vector<double>> curves;
    if (!impl_->scores || !impl_->profile) return curves;
    const HeadProfile& profile = *impl_->profile;
    curves.resize(profile.size());
    PrefixMasses masses(impl_->scores->prompt());
    const std::int64_t step = impl_->scores->prompt_step(0);
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
            const HeadId id{layer, head};
            if (is_full(profile.role(id))) continue;
            const auto& rows = impl_->probabilities->of(0, id);
            const std::span<const Position> ranked = impl_->scores->row(0, id, step);
            if (rows.empty() || ranked.empty()) continue;
            std::vector<double>& curve = curves[profile.index(id)];
            for (const std::int64_t capacity : capacities) {
                double sum = 0;
                const std::int64_t count =
                    std::clamp<std::int64_t>(capacity, 0, static_cast<std::int64_t>(ranked.size()));
                for (const AttentionRecord* row : rows) {
                    sum += masses.of(ranked, count, *row).known + row->mass_generated;
                }
                curve.push_back(sum / static_cast<double>(rows.size()));
            }
        }
    }
    return curves;
}

const OpCosts& Simulator::costs() const {
    return *impl_->costs;
}

Question Simulator::Impl::ask(const Scenario& scenario, Prediction& out) const {
    out.scenario = scenario;
    Question question;
    if (scenario.machine) {
        question.machine.emplace(*scenario.machine, values, source.run.backend,
                                 source.machine.name);
    }
    question.plan = plan(scenario);
    question.steps = replayable_steps(question.plan, out);
    out.steps = static_cast<std::int64_t>(question.steps);
    return question;
}

Prediction Simulator::simulate(const Scenario& scenario) const {
    const Impl& impl = *impl_;
    Prediction out;
    const Question question = impl.ask(scenario, out);
    const Plan& plan = question.plan;
    std::shared_ptr<const JudgedDecisions> judged;
    const Decisions* decisions = nullptr;
    if (plan.heterocache) {
        judged = impl.decide(plan, impl.parts.steps[question.steps - 1].step);
        decisions = &judged->decisions;
        if (!plan.extrapolated) out.recall = judged->recall;
        impl.note_decisions(plan, out);
    }
    Timeline timeline =
        build_timeline(impl.timeline_input(plan, decisions, question.on(), question.steps));
    impl.fill_run(plan, out);
    impl.fill_tables(scenario, plan, out);
    out.data.steps = std::move(timeline.steps);
    out.data.ops = std::move(timeline.ops);
    out.data.edges = std::move(timeline.edges);
    out.notes.insert(out.notes.end(), timeline.notes.begin(), timeline.notes.end());
    if (decisions != nullptr) impl.fill_decisions(plan, *decisions, timeline, out);
    impl.fill_memory(plan, out);
    impl.fill_tokens(plan, out);
    const analysis::RunMetrics metrics = analysis::run_metrics(out.data, nullptr);
    if (!plan.heterocache) out.recall = metrics.recall;  // everything is kept
    RunTimes times;
    for (std::size_t i = 0; i < out.data.steps.size(); ++i) {
        times.step_ns.push_back(
            static_cast<double>(out.data.steps.end_ns[i] - out.data.steps.start_ns[i]));
        times.tokens += out.data.steps.batch[i];
    }
    times.transfer_ns = metrics.transfer.transfer_ns;
    times.exposed_ns = metrics.transfer.exposed_ns;
    times.hiding = metrics.transfer.hiding;
    times.overlap = metrics.transfer.overlap;
    times.interference = metrics.transfer.interference;
    const Doubt doubt = impl.doubt_of(plan, question.on(), timeline.uncertainty, out);
    impl.fill_estimates(std::move(times), doubt, out);
    return out;
}

Prediction Simulator::figures(const Scenario& scenario) const {
    const Impl& impl = *impl_;
    Prediction out;
    const Question question = impl.ask(scenario, out);
    const Plan& plan = question.plan;
    FigureDecisions decisions;
    if (plan.heterocache) {
        decisions = impl.decide_figures(plan, impl.parts.steps[question.steps - 1].step);
        out.recall = decisions.recall;
        impl.note_decisions(plan, out);
    } else {
        out.recall = analysis::RecallInterval{1, 1};
    }
    const TimelineInput input = impl.timeline_input(plan, nullptr, question.on(), question.steps);
    TimelineFigures figures =
        figure_timeline(input, plan.heterocache ? &decisions : nullptr, *impl.patterns);
    impl.fill_run(plan, out);
    out.notes.insert(out.notes.end(), figures.notes.begin(), figures.notes.end());
    out.checks = static_cast<std::int64_t>(decisions.checks.size());
    for (const FigureCheck& check : decisions.checks) out.triggers += check.triggered ? 1 : 0;
    out.fetches = static_cast<std::int64_t>(decisions.fetches.size());
    out.rows_fetched = figures.fetched_rows;
    out.fetch_bytes = figures.fetched_bytes;
    out.staging_bytes = figures.largest_fetch_bytes;
    impl.fill_memory_figures(plan, question.steps, out);
    RunTimes times;
    times.step_ns = std::move(figures.step_ns);
    for (std::size_t i = 0; i < question.steps; ++i) times.tokens += input.source.steps[i].batch;
    times.transfer_ns = figures.transfer_ns;
    times.exposed_ns = figures.exposed_ns;
    if (figures.transfer_ns > 0) {
        const auto transfer = static_cast<double>(figures.transfer_ns);
        times.hiding = 1 - static_cast<double>(figures.exposed_ns) / transfer;
        times.overlap = static_cast<double>(figures.overlap_ns) / transfer;
    }
    if (figures.beside_alone_ns > 0) {
        times.interference = figures.beside_ns / figures.beside_alone_ns - 1;
    }
    const Doubt doubt = impl.doubt_of(plan, question.on(), figures.uncertainty, out);
    impl.fill_estimates(std::move(times), doubt, out);
    return out;
}

std::pair<trace::RunId, trace::RunId> Simulator::default_runs(const trace::Trace& trace) {
    const trace::Run* source = nullptr;
    const trace::Run* with_drift = nullptr;
    for (const trace::Run& run : trace.runs()) {
        if (run.origin != trace::Origin::kRecorded) continue;
        const config::RunParameters parameters = config::run_parameters_from_json(
            run.parameters_json, fmt::format("run {} parameters", run.id));
        if (parameters.drift_keep) with_drift = &run;
        if (parameters.oracle) continue;
        const bool better =
            source == nullptr || run.policy == "heterocache" || source->policy != "heterocache";
        if (better && !(parameters.drift_keep && source != nullptr)) source = &run;
    }
    if (source == nullptr) {
        throw_refused(trace.path().string() + ": no recorded run to simulate from");
    }
    if (source->attention_run >= 0) return {source->id, source->attention_run};
    return {source->id, with_drift != nullptr ? with_drift->id : source->id};
}

std::string_view tag_name(Tag tag) {
    switch (tag) {
        case Tag::kMeasured:
            return "measured";
        case Tag::kTargetSwept:
            return "target-swept";
        case Tag::kSpecOnly:
            return "spec-only";
        case Tag::kExtrapolated:
            return "extrapolated";
    }
    return "unknown";
}

}  // namespace hc::sim
