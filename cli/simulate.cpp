// hcprof simulate: what a recorded run would have been under other settings or on another machine.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/scenarios.h"
#include "cli/terminal.h"
#include "cli/trace_source.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

struct Options {
    std::string trace;
    trace::RunId run = -1;
    ScenarioGrid grid;
    bool no_retrieval = false;
    std::string output;
    bool json = false;
};

void run(const Options& options, const Context& context) {
    if (!options.output.empty()) check_writable(options.output);
    ProgressBar progress(context.interrupted);
    const trace::Trace trace(options.trace);
    if (const std::string warning = trace.warning(); !warning.empty()) print_warning(warning);
    auto [source, attention] = sim::Simulator::default_runs(trace);
    if (options.run >= 0) {
        source = options.run;
        if (trace.run(source).attention_run >= 0) attention = trace.run(source).attention_run;
    }
    const sim::Simulator simulator(trace, source, attention, progress);
    ScenarioGrid grid = options.grid;
    if (options.no_retrieval) grid.retrieval = false;
    std::vector<sim::Prediction> predictions;
    const std::vector<sim::Scenario> scenarios = expand(grid);
    progress.begin("simulating", static_cast<std::int64_t>(scenarios.size()));
    for (const sim::Scenario& scenario : scenarios) {
        if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        predictions.push_back(simulator.simulate(scenario));
        progress.update(static_cast<std::int64_t>(predictions.size()));
    }
    progress.end();

    if (!options.output.empty()) {
        trace::WriterOptions writer_options;
        writer_options.command_line = context.command_line;
        trace::Writer writer(options.output, writer_options);
        for (const sim::Prediction& prediction : predictions) static_cast<void>(sim::write_prediction(writer, prediction));
        writer.finish();
    }
    if (options.json) {
        nlohmann::ordered_json document;
        document["trace"] = options.trace;
        document["source_run"] = source;
        document["attention_run"] = attention;
        for (const sim::Prediction& prediction : predictions) document["predictions"].push_back(to_json(prediction));
        if (!options.output.empty()) document["simulated_trace"] = options.output;
        print_json(document);
        return;
    }
    const std::vector<LabelledMetrics> recorded = read_metrics(trace, {source}, progress);
    fmt::print("{}", predictions_table(predictions, &recorded.front(), terminal_width(STDOUT_FILENO)));
    print_notes(predictions);
    if (!options.output.empty()) fmt::print("wrote {}\n", options.output);
}

}  // namespace

void setup_simulate(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("simulate", "Predict a recorded run under other settings or on another machine");
    command->add_option("trace", options->trace, "Trace file (.sqlite) with a drift trace")->required();
    command->add_option("--run", options->run, "Run to start from (default: the last heterocache run)");
    command->add_option("--ratio", options->grid.ratios, "Fractions of KV kept; several make a table")->delimiter(',');
    command->add_option("--threshold", options->grid.thresholds, "Stable thresholds")->delimiter(',')->check(CLI::Range(0.0, 1.0));
    command->add_option("--window", options->grid.windows, "Steps per drift check")->delimiter(',')->check(CLI::PositiveNumber);
    command->add_option("--commit-lag", options->grid.commit_lags, "Steps from trigger to commit")->delimiter(',')->check(CLI::NonNegativeNumber);
    command->add_option("--prompt-tokens", options->grid.prompt_tokens, "Other prompt lengths (longer ones are extrapolated)")
        ->delimiter(',')->check(CLI::PositiveNumber);
    command->add_option("--policy", options->grid.policies, "fullkv, heterocache")->delimiter(',')->check(CLI::IsMember({"fullkv", "heterocache"}));
    command->add_option("--on", options->grid.machines, "Machines: ids of 'hcprof hardware list' or files")->delimiter(',');
    command->add_flag("--no-retrieval", options->no_retrieval, "Without drift checks and fetches");
    command->add_option("-o,--output", options->output, "Write the simulated runs as a trace");
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("simulate")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
