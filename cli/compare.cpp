// hcprof compare: what became faster or slower between two programs, each recorded once or several
// times, and whether that can be told.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/compare_output.h"
#include "cli/format.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "engine/core/error.h"
#include "profiler/analysis/load_activity.h"
#include "profiler/analysis/welch.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

struct Options {
    std::vector<std::string> traces;
    std::vector<std::string> with;
    std::string range;
    std::optional<double> fail_if_slower;  ///< percent
    std::size_t top = 10;
    bool json = false;
};

/// One argument: FILE or FILE:RUN.
struct Recording {
    std::string file;
    trace::Trace trace;
    bool named = false;            ///< the user named the run
    std::vector<trace::Run> runs;  ///< the one that was named, else those with decode steps
    bool has_activity = false;
};

using RunPair = std::pair<trace::Run, trace::Run>;

struct Pairing {
    std::vector<RunPair> pairs;
    std::vector<std::string> left_over;  ///< runs without a partner, as people read them
};

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

Recording open_recording(std::string argument, Progress& progress) {
    const std::optional<trace::RunId> named = split_run(argument);
    Recording recording{argument, trace::Trace(argument), named.has_value(), {}, false};
    if (const std::string warning = recording.trace.warning(); !warning.empty()) {
        print_warning(fmt::format("{}: {}", argument, warning));
    }
    recording.has_activity = recording.trace.activity_counts().total() > 0;
    if (named) {
        recording.runs.push_back(recording.trace.run(*named));
        return recording;
    }
    for (const trace::Run& run : recording.trace.runs()) {
        const trace::RunData data =
            recording.trace.read(run.id, {.operations = false, .attention = false}, progress);
        const auto& phases = data.steps.phase;
        if (std::find(phases.begin(), phases.end(), Phase::kDecode) != phases.end()) {
            recording.runs.push_back(run);
        }
    }
    if (recording.runs.empty() && !recording.has_activity) {
        throw_refused(
            fmt::format("{} holds no run with decode steps and no CUDA activity", argument));
    }
    return recording;
}

std::vector<Recording> open_side(const std::vector<std::string>& arguments, Progress& progress) {
    std::vector<Recording> side;
    for (const std::string& argument : arguments) {
        side.push_back(open_recording(argument, progress));
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

Pairing pair_runs(const Recording& a, const Recording& b) {
    Pairing pairing;
    if (a.runs.empty() || b.runs.empty()) return pairing;
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
            pairing.left_over.push_back(describe_run("A", run));
        } else {
            pairing.pairs.emplace_back(run, *same);
            rest.erase(same);
        }
    }
    for (const trace::Run& run : rest) pairing.left_over.push_back(describe_run("B", run));
    if (pairing.pairs.empty()) {
        throw_refused(fmt::format("no label is in both traces ({}): name one run of each, FILE:RUN",
                                  fmt::join(pairing.left_over, ", ")));
    }
    return pairing;
}

/// The run of another recording of the same side that stands for `run` of the first: of equal
/// label, and as many of that label before it.
trace::Run counterpart(const trace::Run& run, const Recording& first, const Recording& other) {
    if (other.named) return other.runs.front();
    const std::string label = run_label(run);
    std::size_t before = 0;
    for (const trace::Run& r : first.runs) {
        if (r.id == run.id) break;
        before += run_label(r) == label ? 1U : 0U;
    }
    for (const trace::Run& r : other.runs) {
        if (run_label(r) != label) continue;
        if (before-- == 0) return r;
    }
    throw_refused(fmt::format("{} holds no run '{}' with decode steps like {}: name one, FILE:RUN",
                              other.file, label, first.file));
}

ComparedRuns compare_runs(const std::vector<Recording>& a, const std::vector<Recording>& b,
                          const RunPair& runs, Progress& progress) {
    ComparedRuns compared;
    // One run's columns at a time: they are what is large.
    const auto summaries = [&](const std::vector<Recording>& side, const trace::Run& run) {
        std::vector<analysis::RunSummary> result;
        for (const Recording& recording : side) {
            const trace::Run its = counterpart(run, side.front(), recording);
            result.push_back(analysis::summarise(
                recording.trace.read(its.id, {.operations = true, .attention = false}, progress)));
        }
        return result;
    };
    compared.a = summaries(a, runs.first);
    compared.b = summaries(b, runs.second);
    compared.label_a = run_label(runs.first);
    compared.label_b = run_label(runs.second);
    compared.comparison = analysis::compare_runs(std::span<const analysis::RunSummary>(compared.a),
                                                 std::span<const analysis::RunSummary>(compared.b));
    return compared;
}

std::vector<analysis::ActivitySummary> activities(const std::vector<Recording>& side,
                                                  const std::string& range, bool keep_samples,
                                                  Progress& progress) {
    std::vector<analysis::ActivitySummary> result;
    for (const Recording& recording : side) {
        result.push_back(analysis::summarise_activity(
            analysis::load_activity(recording.trace, progress), range, keep_samples));
        if (!range.empty() && result.back().range_ns.empty()) {
            throw_refused(
                fmt::format("--range: trace '{}' holds no NVTX range '{}'", recording.file, range));
        }
    }
    return result;
}

bool all_have_activity(const std::vector<Recording>& side) {
    return std::all_of(side.begin(), side.end(),
                       [](const Recording& recording) { return recording.has_activity; });
}

CompareAnswer compare(const Options& options, Progress& progress) {
    CompareAnswer answer;
    answer.range = options.range;
    if (options.with.empty()) {
        answer.files_a = {options.traces[0]};
        answer.files_b = {options.traces[1]};
    } else {
        answer.files_a = options.traces;
        answer.files_b = options.with;
    }
    const std::vector<Recording> a = open_side(answer.files_a, progress);
    const std::vector<Recording> b = open_side(answer.files_b, progress);
    Pairing pairing = pair_runs(a.front(), b.front());
    for (const RunPair& runs : pairing.pairs) {
        answer.runs.push_back(compare_runs(a, b, runs, progress));
    }
    answer.left_over = std::move(pairing.left_over);
    const bool active = all_have_activity(a) && all_have_activity(b);
    if (answer.runs.empty() && !active) {
        throw_refused(
            fmt::format("{} and {} have nothing to compare: decode steps or CUDA "
                        "activity on both sides are needed",
                        fmt::join(answer.files_a, ", "), fmt::join(answer.files_b, ", ")));
    }
    if (!active && !options.range.empty()) {
        throw_refused(
            fmt::format("--range {}: not every trace holds CUDA activity", options.range));
    }
    if (active) {
        const bool single = answer.is_single();
        answer.activity =
            analysis::compare_activity(activities(a, options.range, single, progress),
                                       activities(b, options.range, single, progress));
    }
    return answer;
}

/// After the output, so that a failed gate still shows what it saw. A gate that cannot judge must
/// not pass.
void refuse_slower(const std::string& what, const analysis::TimeDifference& time, double percent) {
    const std::optional<double> relative = time.relative(time.difference);
    if (time.basis != analysis::Basis::kBetween || !relative) {
        throw_refused(
            fmt::format("--fail-if-slower cannot judge {}: {} and {} recordings, at "
                        "least {} a side are needed (A1 A2 A3 --with B1 B2 B3)",
                        what, time.recordings_a, time.recordings_b, analysis::kRecordingsMin));
    }
    if (time.verdict == analysis::Verdict::kSlower && *relative * 100 > percent) {
        throw_refused(
            fmt::format("{}: median {} became {} ({}, 95 % between recordings {}), more "
                        "than --fail-if-slower {}",
                        what, format_ns(time.median_a), format_ns(time.median_b),
                        signed_percent(relative), interval_percent(time), percent));
    }
}

void apply_gate(const CompareAnswer& answer, double percent) {
    for (const ComparedRuns& runs : answer.runs) {
        refuse_slower(fmt::format("{} to {}", describe_run("A", runs.a.front().run),
                                  describe_run("B", runs.b.front().run)),
                      runs.comparison.step, percent);
    }
    if (!answer.range.empty()) {
        refuse_slower(fmt::format("range '{}'", answer.range), answer.activity->range, percent);
    } else if (answer.runs.empty()) {
        throw_refused(
            "--fail-if-slower cannot judge traces without decode steps: name an NVTX "
            "range with --range");
    }
}

void check_options(const Options& options) {
    if (options.fail_if_slower && !(*options.fail_if_slower >= 0)) {  // NaN too
        throw_usage(fmt::format("--fail-if-slower {}: expected a percentage from 0",
                                *options.fail_if_slower));
    }
    if (options.with.empty() && options.traces.size() != 2) {
        throw_usage(
            fmt::format("expected two traces, found {} (several a side: A1 A2 A3 --with B1 "
                        "B2 B3; see hcprof compare --help)",
                        options.traces.size()));
    }
}

void run(const Options& options, const Context& context) {
    check_options(options);
    const CompareAnswer answer = [&] {
        ProgressBar progress(context.interrupted);
        return compare(options, progress);
    }();
    if (options.json) {
        print_answer_json(answer);
    } else {
        print_answer(answer, options.top, terminal_width(STDOUT_FILENO));
    }
    if (options.fail_if_slower) apply_gate(answer, *options.fail_if_slower);
}

}  // namespace

void setup_compare(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("compare", "Compare two programs: what became faster or slower");
    command
        ->add_option("traces", options->traces,
                     "Two trace files A and B (.sqlite, or FILE:RUN); all of A with --with")
        ->required();
    command->add_option("--with", options->with, "Recordings of B, each a file or FILE:RUN");
    command->add_option("--range", options->range,
                        "Compare the time of the NVTX ranges of this name");
    command->add_option("--fail-if-slower", options->fail_if_slower,
                        "Exit with 5 when B's median step is slower by more than this percentage");
    command->add_option("--top", options->top, "Rows of the tables by name; 0: all")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("compare")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
