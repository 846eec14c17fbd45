// hcprof simulate: what a recorded run would have been under other settings or on another machine.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/scenarios.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/trace_source.h"
#include "cli/what_if.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

/// Fits and their residuals, as predictions use them.
nlohmann::ordered_json costs_json(const sim::OpCosts& costs) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    const auto add = [&](OpKind kind, const sim::LinearFit* fit, const char* over) {
        if (fit == nullptr) return;
        const char* const kinds[] = {"line", "proportional", "constant"};
        out.push_back({{"kind", op_kind_name(kind)}, {"over", over}, {"fit", kinds[static_cast<int>(fit->kind)]},
                       {"floor_ns", fit->floor_ns}, {"slope_ns", fit->slope_ns}, {"samples", fit->samples},
                       {"size_min", fit->size_min}, {"size_max", fit->size_max},
                       {"residual_median", fit->residual_median}, {"residual_p90", fit->residual_p90}});
    };
    for (std::size_t k = 0; k < static_cast<std::size_t>(OpKind::kCount); ++k) {
        const auto kind = static_cast<OpKind>(k);
        add(kind, costs.find(kind), sim::depends_on_rows(kind) ? "rows" : "operations");
        add(kind, costs.find_tokens(kind), "tokens");
    }
    if (const sim::PairFit* fit = costs.fetch_by_runs()) {
        out.push_back({{"kind", "fetch"}, {"over", "rows and pieces"}, {"fit", "line"}, {"floor_ns", fit->floor_ns},
                       {"slope_ns", fit->row_ns}, {"slope_ns_per_piece", fit->run_ns}, {"samples", 0}, {"size_min", 0.0},
                       {"size_max", 0.0}, {"residual_median", fit->residual_median}, {"residual_p90", 0.0}});
    }
    return out;
}

struct Options {
    WhatIfOptions what_if;
    std::string output;
    bool json = false;
    bool costs = false;
};

void print_costs(const sim::OpCosts& costs) {
    Table table({"operation", "over", "fit", "floor us", "slope ns", "sizes", "samples", "residual", "p90"}, {0, 1, 2, 5});
    for (const auto& row : costs_json(costs)) {
        table.add_row({row["kind"], row["over"], row["fit"], format_number(row["floor_ns"].get<double>() * 1e-3, 2),
                       format_number(row["slope_ns"].get<double>(), 3),
                       fmt::format("{:.0f} to {:.0f}", row["size_min"].get<double>(), row["size_max"].get<double>()),
                       fmt::format("{}", row["samples"].get<std::size_t>()),
                       fmt::format("{:.1f} %", 100 * row["residual_median"].get<double>()),
                       fmt::format("{:.1f} %", 100 * row["residual_p90"].get<double>())});
    }
    fmt::print("\n{}", table.to_string(terminal_width(STDOUT_FILENO)));
}

void run(const Options& options, const Context& context) {
    if (!options.output.empty()) check_writable(options.output);
    const ScenarioGrid grid = grid_of(options.what_if);
    ProgressBar progress(context.interrupted);
    const OpenedTrace opened(options.what_if, progress);
    const sim::Simulator& simulator = opened.simulator();
    std::vector<sim::Prediction> predictions;
    const std::vector<sim::Scenario> scenarios = expand(grid);
    progress.begin("simulating", static_cast<std::int64_t>(scenarios.size()));
    for (const sim::Scenario& scenario : scenarios) {
        if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        predictions.push_back(options.output.empty() ? simulator.figures(scenario) : simulator.simulate(scenario));
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
        document["trace"] = options.what_if.trace;
        document["source_run"] = opened.source();
        document["attention_run"] = opened.attention();
        document["costs"] = costs_json(simulator.costs());
        for (const sim::Prediction& prediction : predictions) document["predictions"].push_back(to_json(prediction));
        if (!options.output.empty()) document["simulated_trace"] = options.output;
        print_json(document);
        return;
    }
    const std::vector<LabelledMetrics> recorded = read_metrics(opened.trace(), {opened.source()}, progress);
    fmt::print("{}", predictions_table(predictions, &recorded.front(), terminal_width(STDOUT_FILENO)));
    print_notes(predictions);
    if (options.costs) print_costs(simulator.costs());
    if (!options.output.empty()) fmt::print("wrote {}\n", options.output);
}

}  // namespace

void setup_simulate(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("simulate", "Predict a recorded run under other settings or on another machine");
    add_what_if_options(*command, options->what_if);
    command->add_option("-o,--output", options->output, "Write the simulated runs as a trace");
    command->add_flag("--costs", options->costs, "Show what each kind of operation costs, and how far off the fits are");
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("simulate")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
