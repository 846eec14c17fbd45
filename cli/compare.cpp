// hcprof compare: what became faster or slower between two runs, and whether the steps can tell.
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/core/error.h"
#include "profiler/analysis/compare.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
    std::string a, b;
    std::optional<double> fail_if_slower;  ///< percent
    bool json = false;
};

/// One of the two arguments: FILE or FILE:RUN.
struct Side {
    std::string name;  ///< "A", "B"
    trace::Trace trace;
    std::vector<trace::Run> runs;  ///< the one that was named, else those with decode steps
};

/// One pair of runs and what came of it.
struct Pair {
    analysis::RunSummary a, b;
    std::string label_a, label_b;
    analysis::Comparison comparison;
};

using RunPair = std::pair<trace::Run, trace::Run>;

struct Pairing {
    std::vector<RunPair> pairs;
    std::vector<std::string> left_over;  ///< runs without a partner, as people read them
};

std::string describe(const std::string& side, const trace::Run& run) {
    return fmt::format("{} run {} ({})", side, run.id, run_label(run));
}

/// The run in FILE:RUN. A file that has such a name as it stands is meant as it stands.
std::optional<trace::RunId> split_run(std::string& argument) {
    std::error_code error;
    const std::size_t colon = argument.rfind(':');
    if (colon == std::string::npos || std::filesystem::exists(argument, error)) return std::nullopt;
    const char* const first = argument.data() + colon + 1;
    const char* const last = argument.data() + argument.size();
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (first == last || !std::all_of(first, last, digit)) return std::nullopt;
    trace::RunId run = 0;
    if (std::from_chars(first, last, run).ec != std::errc()) {
        throw_usage(fmt::format("'{}': no run has that number", argument));
    }
    argument.resize(colon);
    return run;
}

Side open_side(const std::string& name, std::string argument, Progress& progress) {
    const std::optional<trace::RunId> named = split_run(argument);
    Side side{name, trace::Trace(argument), {}};
    if (const std::string warning = side.trace.warning(); !warning.empty()) {
        print_warning(fmt::format("{}: {}", argument, warning));
    }
    if (named) {
        side.runs.push_back(side.trace.run(*named));
        return side;
    }
    for (const trace::Run& run : side.trace.runs()) {
        const trace::RunData data =
            side.trace.read(run.id, {.operations = false, .attention = false}, progress);
        const auto& phases = data.steps.phase;
        if (std::find(phases.begin(), phases.end(), Phase::kDecode) != phases.end()) {
            side.runs.push_back(run);
        }
    }
    if (side.runs.empty()) {
        throw_refused(fmt::format("{} holds no run with decode steps", argument));
    }
    return side;
}

/// Where one side has a single run, its partner is the first of its label, else the first of all.
const trace::Run& partner(const trace::Run& run, const std::vector<trace::Run>& others) {
    const std::string label = run_label(run);
    const auto same = std::find_if(others.begin(), others.end(),
                                   [&](const trace::Run& r) { return run_label(r) == label; });
    return same == others.end() ? others.front() : *same;
}

Pairing pair_runs(const Side& a, const Side& b) {
    Pairing pairing;
    if (a.runs.size() == 1) {
        pairing.pairs.emplace_back(a.runs.front(), partner(a.runs.front(), b.runs));
        return pairing;
    }
    if (b.runs.size() == 1) {
        pairing.pairs.emplace_back(partner(b.runs.front(), a.runs), b.runs.front());
        return pairing;
    }
    // Runs of one label meet in their order.
    std::vector<trace::Run> rest = b.runs;
    for (const trace::Run& run : a.runs) {
        const std::string label = run_label(run);
        const auto same = std::find_if(rest.begin(), rest.end(),
                                       [&](const trace::Run& r) { return run_label(r) == label; });
        if (same == rest.end()) {
            pairing.left_over.push_back(describe(a.name, run));
        } else {
            pairing.pairs.emplace_back(run, *same);
            rest.erase(same);
        }
    }
    for (const trace::Run& run : rest) pairing.left_over.push_back(describe(b.name, run));
    if (pairing.pairs.empty()) {
        throw_refused(fmt::format("no label is in both traces ({}): name one run of each, FILE:RUN",
                                  fmt::join(pairing.left_over, ", ")));
    }
    return pairing;
}

Pair compare_pair(const Side& a, const Side& b, const RunPair& runs, Progress& progress) {
    // One run's columns at a time: they are what is large.
    const auto summary = [&](const Side& side, const trace::Run& run) {
        return analysis::summarise(
            side.trace.read(run.id, {.operations = true, .attention = false}, progress));
    };
    Pair pair{summary(a, runs.first),
              summary(b, runs.second),
              run_label(runs.first),
              run_label(runs.second),
              {}};
    pair.comparison = analysis::compare_runs(pair.a, pair.b);
    return pair;
}

std::string signed_percent(std::optional<double> share) {
    return share ? fmt::format("{:+.1f} %", *share * 100) : std::string("-");
}

bool in_both(const analysis::TimeDifference& time) {
    return time.count_a > 0 && time.count_b > 0;
}

/// In percent of A's median.
std::string interval_text(const analysis::TimeDifference& time) {
    if (!time.interval) return "-";
    const std::optional<double> low = time.relative(time.interval->low);
    const std::optional<double> high = time.relative(time.interval->high);
    if (!low || !high) return "-";
    return fmt::format("[{:+.1f}, {:+.1f}] %", *low * 100, *high * 100);
}

std::string times_table(const analysis::Comparison& comparison, int width) {
    Table table({"median per step", "A", "B", "difference", "95 % over steps", "B was"}, {0, 5});
    const auto row = [&](std::string name, const analysis::TimeDifference& time) {
        const auto cell = [](std::size_t count, double ns) {
            return count > 0 ? format_ns(ns) : std::string("-");
        };
        const bool told = time.verdict != analysis::Verdict::kNone;
        table.add_row({std::move(name), cell(time.count_a, time.median_a),
                       cell(time.count_b, time.median_b),
                       signed_percent(time.relative(time.difference)), interval_text(time),
                       told ? std::string(analysis::verdict_name(time.verdict)) : "-"});
    };
    row("step", comparison.step);
    for (const analysis::KindDifference& kind : comparison.by_kind) {
        row(std::string(op_kind_name(kind.kind)), kind.time);
    }
    return table.to_string(width);
}

std::string figure_text(analysis::FigureUnit unit, double value) {
    switch (unit) {
        case analysis::FigureUnit::kNs:
            return format_ns(value);
        case analysis::FigureUnit::kBytes:
            return format_bytes(value);
        case analysis::FigureUnit::kShare:
            return format_percent(value);
        case analysis::FigureUnit::kCount:
            break;
    }
    return format_number(value, 2);
}

std::string figures_table(const analysis::Comparison& comparison, int width) {
    Table table({"no interval", "A", "B", "difference"});
    for (const analysis::FigureDifference& f : comparison.figures) {
        // A share is not a thing to take a share of.
        const bool share = f.unit == analysis::FigureUnit::kShare;
        std::string difference = "-";
        if (share) {
            difference = fmt::format("{:+.1f} points", (f.b - f.a) * 100);
        } else if (f.a > 0) {
            difference = signed_percent((f.b - f.a) / f.a);
        }
        table.add_row(
            {std::string(f.title), figure_text(f.unit, f.a), figure_text(f.unit, f.b), difference});
    }
    return table.to_string(width);
}

void print_pair(const Pair& pair, int width) {
    const auto head = [](const char* side, const analysis::RunSummary& run,
                         const std::string& label) {
        fmt::print("{}: run {} ({}), {} decode steps\n", side, run.run.id, label,
                   format_count(static_cast<std::int64_t>(run.step_ns.size())));
    };
    head("A", pair.a, pair.label_a);
    head("B", pair.b, pair.label_b);
    std::vector<std::string> unlike;
    for (const analysis::SettingDifference& s : pair.comparison.settings) {
        unlike.push_back(fmt::format("{} ({}, {})", s.what, s.a, s.b));
    }
    if (!unlike.empty()) {
        fmt::print("warning: A and B are not alike: {}\n", fmt::join(unlike, ", "));
    }
    if (!pair.comparison.step.interval) {
        fmt::print("fewer than {} decode steps on one side: no difference can be told\n",
                   analysis::kSamplesMin);
    }
    fmt::print("\n{}", times_table(pair.comparison, width));
    if (!pair.comparison.figures.empty()) {
        fmt::print("\n{}", figures_table(pair.comparison, width));
    }
}

Json to_json(const analysis::TimeDifference& time) {
    Json j;
    j["count_a"] = time.count_a;
    j["count_b"] = time.count_b;
    const auto optional = [](bool known, double value) {
        return known ? Json(value) : Json(nullptr);
    };
    j["median_a"] = optional(time.count_a > 0, time.median_a);
    j["median_b"] = optional(time.count_b > 0, time.median_b);
    j["difference"] = optional(in_both(time), time.difference);
    const std::optional<double> relative = time.relative(time.difference);
    j["difference_percent"] = optional(relative.has_value(), relative.value_or(0) * 100);
    j["interval"] = nullptr;
    if (time.interval) {
        j["interval"] = {{"low", time.interval->low}, {"high", time.interval->high}};
    }
    j["verdict"] = std::string(analysis::verdict_name(time.verdict));
    return j;
}

Json to_json(const Pair& pair) {
    const auto run = [](const analysis::RunSummary& summary, const std::string& label) -> Json {
        return {{"run", summary.run.id},
                {"label", label},
                {"backend", summary.run.backend},
                {"machine", summary.machine},
                {"decode_steps", summary.step_ns.size()}};
    };
    Json j;
    j["a"] = run(pair.a, pair.label_a);
    j["b"] = run(pair.b, pair.label_b);
    j["not_alike"] = Json::array();
    for (const analysis::SettingDifference& s : pair.comparison.settings) {
        j["not_alike"].push_back({{"what", s.what}, {"a", s.a}, {"b", s.b}});
    }
    j["step_ns"] = to_json(pair.comparison.step);
    j["operations"] = Json::array();
    for (const analysis::KindDifference& kind : pair.comparison.by_kind) {
        Json entry;
        entry["kind"] = std::string(op_kind_name(kind.kind));
        entry["mean_per_step_a"] = kind.mean_a;
        entry["mean_per_step_b"] = kind.mean_b;
        entry["ns"] = to_json(kind.time);
        j["operations"].push_back(std::move(entry));
    }
    j["figures"] = Json::object();
    for (const analysis::FigureDifference& f : pair.comparison.figures) {
        j["figures"][std::string(f.name)] = {{"a", f.a}, {"b", f.b}};
    }
    return j;
}

/// After the output, so that a failed gate still shows what it saw. A gate that cannot judge must
/// not look like one that passed.
void refuse_slower(const std::vector<Pair>& pairs, double percent) {
    for (const Pair& pair : pairs) {
        const analysis::TimeDifference& step = pair.comparison.step;
        const std::string runs =
            fmt::format("{} to {}", describe("A", pair.a.run), describe("B", pair.b.run));
        const std::optional<double> relative = step.relative(step.difference);
        if (!step.interval || !relative) {
            throw_refused(
                fmt::format("--fail-if-slower cannot judge {}: {} and {} decode steps, "
                            "at least {} are needed",
                            runs, step.count_a, step.count_b, analysis::kSamplesMin));
        }
        if (step.verdict == analysis::Verdict::kSlower && *relative * 100 > percent) {
            throw_refused(
                fmt::format("{}: step median {} became {} ({}, 95 % interval {}), "
                            "more than --fail-if-slower {}",
                            runs, format_ns(step.median_a), format_ns(step.median_b),
                            signed_percent(relative), interval_text(step), percent));
        }
    }
}

void print_document(const Options& options, const std::vector<Pair>& pairs,
                    const std::vector<std::string>& left_over) {
    Json document;
    document["a"] = options.a;
    document["b"] = options.b;
    document["method"] = {{"statistic", "difference of medians, B - A"},
                          {"interval", "95 % percentile bootstrap over decode steps"},
                          {"covers", "steps of these recordings, not what differs between starts"},
                          {"resamples", analysis::kResamples}};
    document["pairs"] = Json::array();
    for (const Pair& pair : pairs) document["pairs"].push_back(to_json(pair));
    document["without_partner"] = left_over;
    print_json(document);
}

void run(const Options& options, const Context& context) {
    if (options.fail_if_slower && !(*options.fail_if_slower >= 0)) {  // NaN too
        throw_usage(fmt::format("--fail-if-slower {}: expected a percentage from 0",
                                *options.fail_if_slower));
    }
    std::vector<Pair> pairs;
    std::vector<std::string> left_over;
    {
        ProgressBar progress(context.interrupted);
        const Side a = open_side("A", options.a, progress);
        const Side b = open_side("B", options.b, progress);
        Pairing pairing = pair_runs(a, b);
        for (const RunPair& runs : pairing.pairs) {
            pairs.push_back(compare_pair(a, b, runs, progress));
        }
        left_over = std::move(pairing.left_over);
    }
    if (options.json) {
        print_document(options, pairs, left_over);
    } else {
        fmt::print("A is {}\nB is {}\n", options.a, options.b);
        const int width = terminal_width(STDOUT_FILENO);
        for (const Pair& pair : pairs) {
            fmt::print("\n");
            print_pair(pair, width);
        }
        // Said with every answer: the same program started twice can differ by more than this.
        fmt::print(
            "\nIntervals cover the steps of these two recordings. Two starts of one program often "
            "differ by\nmore than that: record it twice and compare, before you blame a change.\n");
        if (!left_over.empty()) fmt::print("\nwithout a partner: {}\n", fmt::join(left_over, ", "));
    }
    if (options.fail_if_slower) refuse_slower(pairs, *options.fail_if_slower);
}

}  // namespace

void setup_compare(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("compare", "Compare two runs: what became faster or slower");
    command->add_option("a", options->a, "Trace file (.sqlite), or FILE:RUN")->required();
    command->add_option("b", options->b, "Trace file to compare with it, or FILE:RUN")->required();
    command->add_option("--fail-if-slower", options->fail_if_slower,
                        "Exit with 5 when B's median step is slower by more than this percentage");
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("compare")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
