#include "cli/what_if.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "cli/output.h"
#include "engine/core/error.h"
#include "engine/runtime/synthetic_drift.h"

namespace hc::cli {
namespace {

constexpr std::size_t kMostNumbers = 100'000;

double number(std::string_view text, const std::string& option) {
    double value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
        throw_usage(fmt::format("{}: '{:.40}' is no number; expected numbers with commas, or FROM:TO:STEP", option, text));
    }
    return value;
}

void add_range(std::string_view part, const std::string& option, std::vector<double>& out) {
    const std::size_t first = part.find(':');
    const std::size_t second = part.find(':', first + 1);
    if (second == std::string_view::npos) throw_usage(fmt::format("{}: '{:.40}', expected FROM:TO:STEP", option, part));
    const double from = number(part.substr(0, first), option);
    const double to = number(part.substr(first + 1, second - first - 1), option);
    const double step = number(part.substr(second + 1), option);
    if (!(step > 0) || !(to >= from) || (to - from) / step > static_cast<double>(kMostNumbers)) {
        throw_usage(fmt::format("{}: '{:.60}', expected FROM <= TO, a STEP above 0 and at most {} numbers", option, part, kMostNumbers));
    }
    const auto count = static_cast<std::size_t>((to - from) / step + 1e-9) + 1;
    // From the start each time, and rounded, so that 0.1 steps give the numbers that people type.
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(std::round((from + step * static_cast<double>(i)) * 1e9) / 1e9);
    }
}

template <typename Integer>
std::vector<Integer> whole_numbers(const std::string& text, const std::string& option, double lowest) {
    std::vector<Integer> out;
    for (const double value : number_list(text, option)) {
        if (!(value >= lowest && value <= 1e9) || value != std::floor(value)) {
            throw_usage(fmt::format("{}: {} is no whole number of at least {}", option, value, lowest));
        }
        out.push_back(static_cast<Integer>(value));
    }
    return out;
}

}  // namespace

void add_what_if_options(CLI::App& command, WhatIfOptions& options) {
    command.add_option("trace", options.trace, "Trace file (.sqlite) with a drift trace, or of told drift")->required();
    command.add_option("--run", options.run, "Run to start from (default: the last heterocache run)");
    command.add_option("--ratio", options.ratios, "Fractions of KV kept: numbers with commas, or FROM:TO:STEP");
    command.add_option("--threshold", options.thresholds, "Stable thresholds, likewise");
    command.add_option("--window", options.windows, "Steps per drift check, likewise");
    command.add_option("--commit-lag", options.commit_lags, "Steps from trigger to commit, likewise");
    command.add_option("--prompt-tokens", options.prompt_tokens, "Other prompt lengths, likewise (extrapolated)");
    command.add_option("--batch", options.batches, "Sequences per step, likewise (needs runs of several batch sizes)");
    command.add_option("--policy", options.policies, "fullkv, heterocache")->delimiter(',')->check(CLI::IsMember({"fullkv", "heterocache"}));
    command.add_option("--on", options.machines, "Machines: ids of 'hcprof hardware list' or files")->delimiter(',');
    command.add_flag("--no-retrieval", options.no_retrieval, "Without drift checks and fetches");
    command.add_option("--drift", options.drift, "Other told drift, where the recording's was told: synthetic:rate=SHARE,new=SHARE,run=TOKENS,seed=N");
    command.add_option("--costs-from", options.cost_traces, "More traces of the same model: what operations cost at other sizes and batches")->delimiter(',');
    command.add_option("--source-machine", options.source_machine, "The machine of the recording, where the trace does not tell: id or file");
}

std::vector<double> number_list(const std::string& text, const std::string& option) {
    std::vector<double> out;
    if (text.empty()) return out;
    std::string_view rest = text;
    for (;;) {
        const std::size_t comma = rest.find(',');
        const std::string_view part = rest.substr(0, comma);
        if (part.find(':') != std::string_view::npos) {
            add_range(part, option, out);
        } else {
            out.push_back(number(part, option));
        }
        if (out.size() > kMostNumbers) throw_usage(fmt::format("{}: more than {} numbers", option, kMostNumbers));
        if (comma == std::string_view::npos) return out;
        rest.remove_prefix(comma + 1);
    }
}

ScenarioGrid grid_of(const WhatIfOptions& options) {
    ScenarioGrid grid;
    grid.ratios = number_list(options.ratios, "--ratio");
    grid.thresholds = number_list(options.thresholds, "--threshold");
    for (const double threshold : grid.thresholds) {
        if (!(threshold >= 0 && threshold <= 1)) throw_usage(fmt::format("--threshold {}: expected 0 to 1", threshold));
    }
    grid.windows = whole_numbers<std::int32_t>(options.windows, "--window", 1);
    grid.commit_lags = whole_numbers<std::int32_t>(options.commit_lags, "--commit-lag", 0);
    grid.prompt_tokens = whole_numbers<std::int64_t>(options.prompt_tokens, "--prompt-tokens", 1);
    grid.batches = whole_numbers<std::int32_t>(options.batches, "--batch", 1);
    grid.policies = options.policies;
    grid.machines = options.machines;
    if (options.no_retrieval) grid.retrieval = false;
    if (!options.drift.empty()) {
        const runtime::SyntheticDrift drift = runtime::parse_synthetic_drift(options.drift);
        grid.drift = sim::ToldDrift{drift.rate, drift.new_rows, drift.run, drift.seed};
    }
    return grid;
}

OpenedTrace::OpenedTrace(const WhatIfOptions& options, Progress& progress) : options_(options) {
    traces_.push_back(std::make_unique<trace::Trace>(options.trace));
    for (const std::string& more : options.cost_traces) traces_.push_back(std::make_unique<trace::Trace>(more));
    for (const auto& opened : traces_) {
        if (const std::string warning = opened->warning(); !warning.empty()) print_warning(warning);
    }
    std::tie(source_, attention_) = sim::Simulator::default_runs(trace());
    if (options.run >= 0) {
        source_ = options.run;
        const trace::RunId judged_by = trace().run(source_).attention_run;
        if (judged_by >= 0) attention_ = judged_by;
    }
    sim::SimulatorExtras extras;
    for (std::size_t i = 1; i < traces_.size(); ++i) extras.cost_traces.push_back(traces_[i].get());
    if (!options.source_machine.empty()) extras.source_values = sim::find_machine(options.source_machine).values;
    simulator_ = std::make_unique<sim::Simulator>(trace(), source_, attention_, progress, extras);
}

sim::Identity OpenedTrace::identity() const {
    sim::Identity identity;
    identity.trace = sim::hash_of_file(options_.trace);
    identity.rest = fmt::format("run {} judged by {}", source_, attention_);
    for (const std::string& more : options_.cost_traces) identity.rest += ", costs " + sim::hash_of_file(more);
    if (!options_.source_machine.empty()) {
        identity.rest += ", machine " + sim::hash_of_text(sim::to_json(sim::find_machine(options_.source_machine)));
    }
    return identity;
}

}  // namespace hc::cli
