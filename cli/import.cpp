// hcprof import: an Nsight Systems SQLite export made into a trace.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "engine/core/error.h"
#include "profiler/formats/nsys_import.h"

namespace hc::cli {
namespace {

struct Options {
    std::string input;
    std::string output;
    bool json = false;
};

void print_result(const Options& options, const formats::ImportResult& result) {
    const nlohmann::ordered_json json = {
        {"output", options.output},  {"schema_version", result.schema_version},
        {"kernels", result.kernels}, {"memcpys", result.memcpys},
        {"memsets", result.memsets}, {"apis", result.apis},
        {"syncs", result.syncs},     {"nvtx", result.nvtx},
        {"skipped", result.skipped}, {"warnings", result.warnings}};
    cli::print_json(json);
}

void run(const Options& options, const Context& context) {
    check_writable(options.output);
    ProgressBar progress(context.interrupted);
    const formats::ImportResult result =
        formats::import_nsys(options.input, options.output, context.command_line, progress);
    for (const std::string& warning : result.warnings) print_warning(warning);
    if (options.json) return print_result(options, result);
    fmt::print(
        "{}: {} kernels, {} copies, {} memsets, {} API calls, {} synchronisations, {} NVTX "
        "events\n",
        options.output, result.kernels, result.memcpys, result.memsets, result.apis, result.syncs,
        result.nvtx);
}

}  // namespace

void setup_import(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("import", "Make a trace of an Nsight Systems SQLite export");
    command->add_option("export", options->input, "File of nsys export --type sqlite")->required();
    command->add_option("-o,--output", options->output, "Trace to write (.sqlite)")->required();
    command->add_flag("--json", options->json, "Print what was imported as JSON");
    command->footer(std::string(help_text("import")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
