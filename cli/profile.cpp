// hcprof profile: record runs of the engine into a trace.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/backend.h"
#include "cli/command.h"
#include "cli/experiment.h"
#include "cli/format.h"
#include "cli/heads_source.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/run_options.h"
#include "cli/terminal.h"
#include "cli/trace_source.h"
#include "engine/config/head_file.h"
#include "engine/core/error.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

struct Options {
    ModelOptions model;
    TextSource text;
    PolicyOptions policy;
    std::vector<std::string> policies{"heterocache"};
    std::string heads;
    std::string output;
    std::int64_t generate = 128;
    std::string continuation;
    std::string drift_trace;
    bool wants_drift_trace = false;
    runtime::Sampling sampling;
    std::int32_t batch = 1;
    bool show_text = false;
    bool json = false;
};

HeadProfile open_heads(const Options& options, const model::Model& model) {
    if (options.heads.empty()) {
        throw_usage("--heads is needed for a heterocache run or a drift trace (make one with: hcprof calibrate)");
    }
    HeadProfile profile = config::read_head_file(options.heads);
    check_profile_fits(profile, model, options.heads);
    return profile;
}

bool wants(const Options& options, const std::string& policy) {
    return std::find(options.policies.begin(), options.policies.end(), policy) != options.policies.end();
}

void print(const Options& options, const Context& context) {
    ProgressBar progress(context.interrupted);
    const trace::Trace trace(options.output);
    const std::vector<LabelledMetrics> runs = read_metrics(trace, {}, progress);
    if (options.json) {
        nlohmann::ordered_json document;
        document["trace"] = options.output;
        for (const LabelledMetrics& r : runs) document["runs"].push_back(to_json(r.metrics, r.run));
        print_json(document);
        return;
    }
    fmt::print("{}\nwrote {}\n", metrics_table(runs, terminal_width(STDOUT_FILENO)), options.output);
}

void record(const Options& options, const model::Model& model, const HeadProfile* profile,
            std::span<const model::TokenId> prompt, std::span<const model::TokenId> continuation,
            const Context& context) {
    ProgressBar progress(context.interrupted);
    trace::WriterOptions writer_options;
    writer_options.command_line = context.command_line;
    trace::Writer writer(options.output, writer_options);
    add_machine_values(writer, engine_options(options.model), progress);
    runtime::GenerateOptions generate;
    generate.max_tokens = options.generate;
    generate.sampling = options.sampling;
    generate.forced = continuation;
    Experiment experiment(model, prompt, engine_options(options.model), generate, writer, progress);
    const policy::Settings settings =
        policy_settings(options.policy, profile != nullptr ? profile->stable_threshold : 0.5);

    std::optional<RunOutcome> reference;
    RunOutcome last;
    if (wants(options, "fullkv")) {
        RunPlan plan;
        plan.policy = "fullkv";
        plan.title = "full attention";
        plan.batch = options.batch;
        last = experiment.run(plan, nullptr, false);
    }
    if (options.wants_drift_trace) {
        RunPlan plan;
        plan.policy = "fullkv";
        plan.settings = settings;
        plan.profile = profile;
        plan.drift_trace = parse_drift_trace(options.drift_trace);
        plan.title = "drift trace";
        reference = experiment.run(plan, last.run >= 0 ? &last : nullptr, true);
        last = *reference;
    }
    if (wants(options, "heterocache") || wants(options, "oracle")) {
        for (const std::string& policy : {std::string("heterocache"), std::string("oracle")}) {
            if (!wants(options, policy)) continue;
            RunPlan plan;
            plan.policy = policy;
            plan.settings = settings;
            plan.profile = profile;
            plan.title = policy;
            plan.batch = options.batch;
            last = experiment.run(plan, reference ? &*reference : nullptr, false);
        }
    }
    add_recall(writer, options.output, progress);
    writer.finish();
    if (options.show_text && model.tokenizer != nullptr) fmt::print("{}\n", model.tokenizer->decode(last.generated.tokens));
}

void run(Options options, const Context& context) {
    check_writable(options.output);
    if (options.batch > 1 && (options.wants_drift_trace || !options.continuation.empty() || wants(options, "oracle"))) {
        throw_usage("--batch is for timing: it goes with neither --drift-trace, --continuation nor the oracle");
    }
    const model::Model model = open_model(options.model);
    std::optional<HeadProfile> profile;
    if (wants(options, "heterocache") || wants(options, "oracle") || options.wants_drift_trace) {
        profile = open_heads(options, model);
    }
    std::vector<model::TokenId> continuation;
    if (!options.continuation.empty()) {
        if (model.tokenizer == nullptr) throw_usage("--continuation needs a model with a tokenizer, " + model.name + " has none");
        continuation = model.tokenizer->encode(read_text_file(options.continuation), false, false);
        if (continuation.empty()) throw_input(fmt::format("continuation '{}' is empty", options.continuation));
        options.generate = std::min(options.generate, static_cast<std::int64_t>(continuation.size()));
        continuation.resize(static_cast<std::size_t>(options.generate));
    }
    options.text.reserve_tokens = options.generate;
    const std::vector<model::TokenId> prompt = prompt_tokens(model, options.text);
    const runtime::EngineOptions engine = engine_options(options.model);
    check_runnable(model, engine);
    const std::string synthetic = synthetic_parts(model, engine);
    if (!synthetic.empty()) print_warning("synthetic: " + synthetic + "; times are real, tokens and quality mean nothing");
    if (!options.json && options.model.backend == "auto" && is_terminal(STDERR_FILENO)) {
        fmt::print(stderr, "hcprof: backend {} (auto), {} tokens of prompt\n", backend_name(engine.backend),
                   format_count(static_cast<std::int64_t>(prompt.size())));
    }
    record(options, model, profile ? &*profile : nullptr, prompt, continuation, context);
    print(options, context);
}

}  // namespace

void setup_profile(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("profile", "Record runs of the engine into a trace");
    add_model_options(*command, options->model);
    add_text_options(*command, options->text);
    command->add_option("--heads", options->heads, "Head file of this model (hcprof calibrate)");
    command->add_option("--policy", options->policies, "fullkv, heterocache, oracle; several are recorded into one file")
        ->check(CLI::IsMember({"fullkv", "heterocache", "oracle"}))->delimiter(',')->capture_default_str();
    add_policy_options(*command, options->policy);
    command->add_option("--generate", options->generate, "Tokens to generate")
        ->check(CLI::Range(1, 1000000))->capture_default_str();
    command->add_option("--batch", options->batch, "Sequences that decode together, each the text from another place on")
        ->check(CLI::Range(1, 4096))->capture_default_str();
    command->add_option("--continuation", options->continuation,
                        "Feed this text's tokens instead of generated ones: perplexity of a text under each policy");
    CLI::Option* drift = command->add_option("--drift-trace", options->drift_trace,
        "Add a full-attention pass whose attention is recorded, with forced tokens for the runs after it: "
        "k=SHARE,every=STEPS (default k=0.5,every=5)")->expected(0, 1);
    command->add_option("--temperature", options->sampling.temperature, "0: greedy")->check(CLI::NonNegativeNumber);
    command->add_option("--top-k", options->sampling.top_k, "Sample among the k best tokens")->check(CLI::NonNegativeNumber);
    command->add_option("--top-p", options->sampling.top_p, "Sample among the best tokens of this probability")->check(CLI::Range(0.0, 1.0));
    command->add_option("--seed", options->sampling.seed, "Seed of sampling");
    command->add_flag("--show-text", options->show_text, "Print the generated text");
    command->add_option("-o,--output", options->output, "Trace to write (.sqlite)")->required();
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("profile")));
    command->callback([options, drift, &context] {
        options->wants_drift_trace = drift->count() > 0;
        run(*options, context);
    });
}

}  // namespace hc::cli
