// hcprof tune: settings and budgets per head that reach a goal, for hcprof profile to take.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <unistd.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/goal_options.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/what_if.h"
#include "engine/config/head_file.h"
#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/policy/budget.h"
#include "simulator/search/tune.h"

namespace hc::cli {
namespace {

struct Options {
    WhatIfOptions what_if;
    GoalOptions goal;
    std::string output;
    std::string state;
    std::int64_t head_trials = 400;
    std::uint64_t seed = 1;
    int threads = 0;
    bool json = false;
};

/// Ratios from the smallest that is feasible to the largest that the trace can answer.
std::vector<double> default_ratios(const sim::Simulator& simulator) {
    const HeadProfile* heads = simulator.heads();
    if (heads == nullptr) throw_refused("the trace names no heads: record a heterocache run or a drift trace");
    const double lowest = policy::minimum_ratio(*heads, simulator.prompt_tokens(), simulator.settings());
    std::vector<double> ratios;
    for (int i = 1; i <= 100; ++i) {
        if (0.01 * i < lowest) continue;
        sim::Scenario scenario;
        scenario.ratio = i / 100.0;
        try {
            static_cast<void>(simulator.figures(scenario));
        } catch (const Error& error) {
            if (error.code() != ExitCode::kRefused) throw;
            continue;  // beyond the trace's k, say
        }
        ratios.push_back(*scenario.ratio);
    }
    if (ratios.empty()) throw_refused("the trace cannot answer any ratio: record a drift trace with a larger k");
    return ratios;
}

sim::TuneOptions tune_options(const Options& options, const sim::Simulator& simulator) {
    ScenarioGrid grid = grid_of(options.what_if);
    if (grid.ratios.empty()) grid.ratios = default_ratios(simulator);
    if (grid.thresholds.empty()) grid.thresholds = number_list("0.3:0.9:0.05", "--threshold");
    if (grid.windows.empty()) grid.windows = {3, 5, 8};
    if (grid.commit_lags.empty()) grid.commit_lags = {1, 2, 4};
    sim::TuneOptions tune;
    tune.goal = goal_of(options.goal);
    tune.grid = expand(grid);
    tune.head_trials = options.head_trials;
    tune.seed = options.seed;
    const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    tune.threads = options.threads > 0 ? options.threads : cores;
    return tune;
}

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    return out + "\"";
}

/// Options of 'hcprof profile', as 'hcprof --config FILE profile' reads them.
std::string settings_file(const Options& options, const sim::Goal& goal, const policy::Settings& settings,
                          const std::string& heads_file) {
    std::string text = fmt::format("# Written by hcprof tune: {}\n# Use: hcprof --config {} profile --text ... -o run.sqlite\n\n[profile]\n",
                                   goal_text(goal), options.output + ".toml");
    text += fmt::format("heads = {}\npolicy = \"heterocache\"\nmode = \"{}\"\nratio = {}\nthreshold = {}\nwindow = {}\ncommit-lag = {}\n",
                        quoted(heads_file), policy::mode_name(settings.mode), settings.ratio, settings.stable_threshold,
                        settings.window, settings.commit_lag);
    if (settings.sink > 0) text += fmt::format("sink = {}\n", settings.sink);
    if (settings.recent > 0) text += fmt::format("recent = {}\n", settings.recent);
    if (!settings.retrieval) text += "no-retrieval = true\n";
    return text;
}

policy::Settings settings_of(const sim::Simulator& simulator, const sim::Scenario& scenario) {
    policy::Settings settings = simulator.settings();
    if (scenario.ratio) settings.ratio = *scenario.ratio;
    if (scenario.stable_threshold) settings.stable_threshold = *scenario.stable_threshold;
    if (scenario.window) settings.window = *scenario.window;
    if (scenario.commit_lag) settings.commit_lag = *scenario.commit_lag;
    if (scenario.retrieval) settings.retrieval = *scenario.retrieval;
    return settings;
}

std::vector<std::string> row_of(const std::string& label, const sim::Figures& f, const sim::Goal& goal) {
    const auto recall = f.recall ? fmt::format("{:.3f}-{:.3f}", f.recall->low, f.recall->high) : std::string("-");
    return {label, format_ns(f.step_median_ns.value), format_ns(f.step_p99_ns.value), metric_text(sim::Metric::kMemory, f),
            metric_text(sim::Metric::kHiding, f), recall, goal.missed(f) == 0 ? "yes" : "no", f.tag};
}

nlohmann::ordered_json json_of(const sim::Candidate& candidate, const sim::Goal& goal) {
    sim::Point point;
    point.key = std::string(32, '0');
    point.trace = point.key;
    point.question = sim::question_json(candidate.scenario);
    point.figures = candidate.figures;
    nlohmann::ordered_json out = nlohmann::ordered_json::parse(sim::line_of(point));
    out.erase("key");
    out.erase("trace");
    out["keeps_limits"] = goal.missed(candidate.figures) == 0;
    return out;
}

void print(const sim::TuneResult& result, const sim::Goal& goal) {
    Table table({"", "step median", "step p99", "memory", "hiding", "recall", "keeps limits", "origin"}, {0, 7});
    constexpr std::size_t kShown = 5;
    for (std::size_t i = 0; i < std::min(kShown, result.ranking.size()); ++i) {
        const sim::Candidate& point = result.points[result.ranking[i]];
        table.add_row(row_of(point.scenario.label, point.figures, goal));
    }
    table.add_row(row_of(result.heads_changed ? "chosen, with shares per head" : "chosen", result.best.figures, goal));
    fmt::print("{}\n{} points ({} refused), {} of them beaten by no other in goal, memory and recall\n{}", goal_text(goal),
               result.points.size(), result.refused, result.front.size(), table.to_string(terminal_width(STDOUT_FILENO)));
}

void run(const Options& options, const Context& context) {
    const std::string heads_file = options.output + ".heads.json";
    const std::string settings = options.output + ".toml";
    const std::string front = options.output + ".front.jsonl";
    const std::string state = options.state.empty() ? options.output + ".points.jsonl" : options.state;
    for (const std::string& file : {heads_file, settings, front, state}) check_writable(file);
    ProgressBar progress(context.interrupted);
    const OpenedTrace opened(options.what_if, progress);
    const sim::Simulator& simulator = opened.simulator();
    const sim::TuneOptions tune = tune_options(options, simulator);
    sim::ResultFile results(state);
    const sim::TuneResult result = sim::tune(simulator, opened.identity(), tune, results, progress);

    const sim::Scenario& chosen = result.best.scenario;
    if (chosen.policy == "fullkv") throw_refused("full attention is the best of the points asked about: there is nothing to set");
    const HeadProfile& heads = chosen.heads ? *chosen.heads : *simulator.heads();
    config::write_head_file(heads_file, heads, simulator.source().run.model_name);
    write_file_atomically(settings, settings_file(options, tune.goal, settings_of(simulator, chosen), heads_file));
    std::string lines;
    for (const std::size_t i : result.front) lines += json_of(result.points[i], tune.goal).dump() + "\n";
    write_file_atomically(front, lines);
    if (options.json) {
        nlohmann::ordered_json document;
        document["goal"] = goal_text(tune.goal);
        document["points"] = result.points.size();
        document["refused"] = result.refused;
        document["chosen"] = json_of(result.best, tune.goal);
        document["shares_per_head"] = result.heads_changed;
        for (std::size_t i = 0; i < std::min<std::size_t>(5, result.ranking.size()); ++i) {
            document["first"].push_back(json_of(result.points[result.ranking[i]], tune.goal));
        }
        document["files"] = {heads_file, settings, front};
        print_json(document);
    } else {
        print(result, tune.goal);
        fmt::print("wrote {}, {}, {}\n", heads_file, settings, front);
    }
    if (!result.keeps_limits) {
        throw_refused("no point keeps every limit: the files hold the one that misses them least");
    }
}

}  // namespace

void setup_tune(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("tune", "Find settings and budgets per head that reach a goal");
    add_what_if_options(*command, options->what_if);
    add_goal_options(*command, options->goal);
    command->add_option("--head-trials", options->head_trials, "Questions about shares of the budget among heads; 0: none")
        ->check(CLI::Range(0, 1000000))->capture_default_str();
    command->add_option("--seed", options->seed, "Of the search among heads")->capture_default_str();
    command->add_option("--threads", options->threads, "Threads (default: every core)")->check(CLI::Range(0, 1024));
    command->add_option("--state", options->state, "Answers so far, to go on from (default: OUTPUT.points.jsonl)");
    command->add_option("-o,--output", options->output, "Writes OUTPUT.heads.json, OUTPUT.toml and OUTPUT.front.jsonl")->required();
    command->add_flag("--json", options->json, "Print as JSON");
    command->footer(std::string(help_text("tune")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
