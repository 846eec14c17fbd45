// hcprof export: a trace in the formats of other viewers.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "engine/core/error.h"
#include "profiler/formats/chrome_export.h"
#include "profiler/formats/nsys_export.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

struct Options {
    std::string trace;
    std::string chrome;
    std::string nsys;
    trace::RunId run = -1;
};

/// Neither a file that cannot be written nor the trace itself.
void check_output(const Options& options, const std::string& option, const std::string& path) {
    check_writable(path);
    std::error_code error;
    if (std::filesystem::equivalent(options.trace, path, error)) {
        throw_usage(fmt::format("{} names the trace '{}' itself, which it would replace", option,
                                options.trace));
    }
}

void export_chrome(const Options& options, const trace::Trace& trace, Progress& progress) {
    if (trace.runs().empty()) {
        throw_refused(fmt::format("'{}' holds no engine run to export", options.trace));
    }
    if (options.run >= 0) static_cast<void>(trace.run(options.run));  // refuses an unknown one
    formats::ChromeExport out(options.chrome);
    int count = 0;
    for (const trace::Run& run : trace.runs()) {
        if (options.run >= 0 && run.id != options.run) continue;
        const trace::RunData data =
            trace.read(run.id, {.operations = true, .attention = false}, progress);
        out.add_run(data, trace.streams(), run_label(run), progress);
        ++count;
    }
    out.finish();
    fmt::print("{}: {} {}, {} events\n", options.chrome, count, count == 1 ? "run" : "runs",
               out.num_events());
}

void run(const Options& options, const Context& context) {
    if (options.chrome.empty() && options.nsys.empty()) {
        throw_usage("export needs --chrome FILE or --nsys FILE");
    }
    if (options.chrome.empty() && options.run >= 0) {
        throw_usage("--run goes with --chrome: --nsys writes everything that the trace holds");
    }
    if (!options.chrome.empty()) check_output(options, "--chrome", options.chrome);
    if (!options.nsys.empty()) check_output(options, "--nsys", options.nsys);
    std::error_code error;
    if (!options.nsys.empty() && std::filesystem::weakly_canonical(options.nsys, error) ==
                                     std::filesystem::weakly_canonical(options.chrome, error)) {
        throw_usage(fmt::format("--chrome and --nsys both name '{}'", options.nsys));
    }
    ProgressBar progress(context.interrupted);
    const trace::Trace trace(options.trace);
    if (const std::string warning = trace.warning(); !warning.empty()) print_warning(warning);
    if (!options.chrome.empty()) export_chrome(options, trace, progress);
    if (!options.nsys.empty()) {
        const std::int64_t rows = formats::export_nsys(trace, options.nsys, progress);
        fmt::print("{}: {} events\n", options.nsys, rows);
    }
}

}  // namespace

void setup_export(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("export", "Write a trace for other viewers and tools");
    command->add_option("trace", options->trace, "Trace file (.sqlite)")->required();
    command->add_option("--chrome", options->chrome,
                        "Write Chrome trace events (JSON) to this file");
    command->add_option("--nsys", options->nsys,
                        "Write the tables of an Nsight Systems export (SQLite) to this file");
    command->add_option("--run", options->run, "Only this run")->check(CLI::NonNegativeNumber);
    command->footer(std::string(help_text("export")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
