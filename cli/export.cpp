// hcprof export: a trace's runs in the formats of other viewers.
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
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

struct Options {
    std::string trace;
    std::string chrome;
    trace::RunId run = -1;
};

void run(const Options& options, const Context& context) {
    check_writable(options.chrome);
    std::error_code error;
    if (std::filesystem::equivalent(options.trace, options.chrome, error)) {
        throw_usage(fmt::format("--chrome names the trace '{}' itself, which it would replace",
                                options.trace));
    }
    ProgressBar progress(context.interrupted);
    const trace::Trace trace(options.trace);
    if (const std::string warning = trace.warning(); !warning.empty()) print_warning(warning);
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

}  // namespace

void setup_export(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("export", "Write a trace's runs for another viewer");
    command->add_option("trace", options->trace, "Trace file (.sqlite)")->required();
    command
        ->add_option("--chrome", options->chrome, "Write Chrome trace events (JSON) to this file")
        ->required();
    command->add_option("--run", options->run, "Only this run")->check(CLI::NonNegativeNumber);
    command->footer(std::string(help_text("export")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
