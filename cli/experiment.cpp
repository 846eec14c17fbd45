#include "cli/experiment.h"

#include <fmt/format.h>

#include "cli/backend.h"
#include "cli/batch_generation.h"
#include "cli/machine_values.h"
#include "cli/run_options.h"
#include "engine/config/settings_json.h"
#include "engine/core/error.h"
#include "engine/probe/probe.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

double parse_number(const std::string& text, const std::string& whole) {
    std::size_t used = 0;
    double value = 0;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size()) {
        throw_usage(fmt::format("--drift-trace '{}': '{}' is no number", whole, text));
    }
    return value;
}

}  // namespace

DriftTracePlan parse_drift_trace(const std::string& text) {
    DriftTracePlan plan;
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        const std::string pair = text.substr(at, comma - at);
        at = comma + 1;
        const std::size_t equals = pair.find('=');
        const std::string key = pair.substr(0, equals);
        if (equals == std::string::npos || (key != "k" && key != "every")) {
            throw_usage(fmt::format("--drift-trace '{}': expected k=SHARE,every=STEPS", text));
        }
        const double value = parse_number(pair.substr(equals + 1), text);
        if (key == "k") {
            if (!(value > 0 && value <= 1)) throw_usage(fmt::format("--drift-trace k={}: expected a share in (0, 1]", value));
            plan.keep = value;
        } else {
            if (!(value >= 1 && value <= 1e6)) throw_usage(fmt::format("--drift-trace every={}: expected at least 1", value));
            plan.every = static_cast<std::int32_t>(value);
        }
    }
    return plan;
}

Experiment::Experiment(const model::Model& model, std::span<const model::TokenId> prompt,
                       const runtime::EngineOptions& engine_options, const runtime::GenerateOptions& generate,
                       trace::Writer& writer, Progress& progress)
    : model_(model),
      prompt_(prompt),
      engine_options_(engine_options),
      generate_(generate),
      writer_(writer),
      progress_(progress) {}

trace::Run Experiment::describe(const RunPlan& plan, const RunOutcome* reference) const {
    trace::Run run;
    run.policy = plan.policy;
    run.backend = backend_name(engine_options_.backend);
    run.attention_run = reference != nullptr && reference->has_attention ? reference->run : -1;
    config::RunParameters parameters;
    parameters.settings = plan.settings;
    if (plan.profile != nullptr) parameters.profile = *plan.profile;
    const bool device = engine_options_.backend == runtime::Backend::kCuda;
    const bool fp32 = engine_options_.precision == kernels::cpu::Precision::kFp32;
    parameters.precision = device ? "bf16" : fp32 ? "fp32" : "fast";
    parameters.synthetic = synthetic_parts(model_, engine_options_);
    parameters.threads = engine_options_.threads;
    parameters.page_size = engine_options_.page_size;
    parameters.element_bytes = fp32 && !device ? 4 : 2;
    parameters.oracle = plan.policy == "oracle";
    if (plan.drift_trace) {
        parameters.drift_keep = plan.drift_trace->keep;
        parameters.drift_every = plan.drift_trace->every;
    }
    run.parameters_json = config::to_json(parameters);
    if (plan.policy == "heterocache") {
        run.mode = std::string(policy::mode_name(plan.settings.mode));
        run.window = plan.settings.window;
        run.commit_lag = plan.settings.commit_lag;
    }
    run.model_name = model_.name;
    run.model_hash = model_.hash;
    run.shape_json = config::to_json(model_.shape);
    if (model_.shape_only) run.weights = "random";
    if (engine_options_.synthetic_prefill) run.prefill = "synthetic";
    if (engine_options_.drift) run.drift = engine_options_.drift->told.empty() ? "synthetic" : "trace";
    run.tokens = reference != nullptr || !generate_.forced.empty() ? "forced" : "sampled";
    run.prompt_tokens = static_cast<std::int64_t>(prompt_.size());
    run.batch = plan.batch;
    run.seed = generate_.sampling.seed;
    return run;
}

RunOutcome Experiment::run(const RunPlan& plan, const RunOutcome* reference, bool keep_logits) {
    const RunMachine facts = run_machine(engine_options_.backend);
    trace::Machine machine;
    machine.name = facts.name;
    machine.num_sms = facts.num_sms;
    machine.memory_bytes = facts.memory_bytes;

    RunOutcome outcome;
    outcome.run = writer_.begin_run(describe(plan, reference), machine);
    trace::RunRecorder recorder(writer_, outcome.run);
    runtime::Engine engine = make_engine(model_, engine_options_, &recorder);

    runtime::SequenceOptions sequence_options;
    sequence_options.reserve_generated = generate_.max_tokens;
    if (plan.policy == "heterocache") {
        sequence_options.heterocache = true;
        sequence_options.settings = plan.settings;
        sequence_options.profile = plan.profile;
    }
    if (plan.batch > 1) {
        std::vector<runtime::SequenceId> sequences;
        for (std::int32_t i = 0; i < plan.batch; ++i) sequences.push_back(engine.add_sequence(sequence_options));
        progress_.begin(plan.title, static_cast<std::int64_t>(prompt_.size()) * plan.batch + generate_.max_tokens);
        generate_batch(engine, sequences, prompt_, generate_.max_tokens, &recorder, progress_);
        engine.finish();
        progress_.end();
        return outcome;
    }
    const runtime::SequenceId sequence = engine.add_sequence(sequence_options);
    if (plan.policy == "oracle") engine.use_oracle(sequence, *plan.profile, plan.settings);
    if (plan.drift_trace) {
        runtime::AttentionCapture capture;
        capture.keep = plan.drift_trace->keep;
        capture.every = plan.drift_trace->every;
        capture.profile = plan.profile;
        capture.settings = plan.settings;
        engine.capture_attention(sequence, capture);
    }

    runtime::GenerateOptions generate = generate_;
    if (reference != nullptr) {
        generate.forced = reference->generated.tokens;
        generate.reference_logits = reference->logits;
    }
    outcome.has_attention = plan.drift_trace.has_value();
    if (keep_logits) generate.keep_logits = &outcome.logits;
    progress_.begin(plan.title, static_cast<std::int64_t>(prompt_.size()) + generate.max_tokens);
    outcome.generated = runtime::generate(engine, sequence, prompt_, generate, &recorder, progress_);
    engine.finish();
    progress_.end();
    return outcome;
}

void add_machine_values(trace::Writer& writer, const runtime::EngineOptions& engine, Progress& progress) {
    const auto add = [&](const sim::MachineSpec& machine) {
        for (const trace::Value& value : machine.values) writer.add_value(value);
    };
    add(measured_machine(probe::Effort::kQuick, engine.threads, progress));
    if (engine.backend == runtime::Backend::kCuda) add(measured_gpu(probe::Effort::kQuick, progress));
}

void add_recall(trace::Writer& writer, const std::string& trace_path, Progress& progress) {
    writer.flush();
    const trace::Trace trace(trace_path);
    for (const trace::Run& run : trace.runs()) {
        if (run.attention_run < 0) continue;
        const trace::RunData data = trace.read(run.id, {.operations = false, .attention = false}, progress);
        const trace::RunData attention =
            trace.read(run.attention_run, {.operations = false, .attention = true}, progress);
        writer.add_recall(run.id, analysis::run_recall(data, attention));
    }
}

}  // namespace hc::cli
