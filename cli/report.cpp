// hcprof report: what a trace's runs and its CUDA activity were like.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/report_data.h"
#include "cli/report_forms.h"
#include "cli/terminal.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

constexpr std::array<const char*, 9> kSections = {
    "overview", "operations", "steps", "retrievals", "idle", "ranges", "kernels", "copies", "api"};

struct Options {
    std::string trace;
    ReportRequest request;
    std::vector<std::string> sections;
    bool operations = false, steps = false, retrievals = false;
    std::size_t top = 10;
    bool json = false;
    std::string csv, html;
};

Sections wanted_sections(const Options& options) {
    Sections sections;
    for (const std::string& name : options.sections) {
        if (name == "all") {
            sections.names.insert(kSections.begin(), kSections.end());
        } else if (std::find(kSections.begin(), kSections.end(), name) != kSections.end()) {
            sections.names.insert(name);
        } else {
            throw_usage(fmt::format("--section {}: expected all or one of {}", name,
                                    fmt::join(kSections, ", ")));
        }
    }
    if (sections.names.empty()) {
        if (options.json || !options.csv.empty()) {
            sections.names.insert(kSections.begin(), kSections.end());
        } else {
            sections.names = {"overview", "idle", "kernels", "copies", "api"};
        }
    }
    if (options.operations) sections.names.insert("operations");
    if (options.steps) sections.names.insert("steps");
    if (options.retrievals) sections.names.insert("retrievals");
    if (!options.request.range.empty()) sections.names.insert("ranges");
    return sections;
}

void run(Options& options, const Context& context) {
    const Sections sections = wanted_sections(options);
    if (!options.html.empty()) {
        check_writable(options.html);
        std::error_code error;
        if (std::filesystem::equivalent(options.trace, options.html, error)) {
            throw_usage(fmt::format("--html names the trace '{}' itself, which it would replace",
                                    options.trace));
        }
        options.request.keep_columns = true;
    }
    const ReportData data = [&] {
        ProgressBar progress(context.interrupted);
        return read_report(options.trace, options.request, progress);
    }();
    if (!data.warning.empty()) print_warning(data.warning);
    if (!options.html.empty()) write_report_html(data, options.html);
    std::size_t tables = 0;
    if (!options.csv.empty()) tables = write_report_csv(data, sections, options.csv);
    if (options.json) {
        print_report_json(data, sections);
        return;
    }
    if (options.html.empty() && options.csv.empty()) {
        print_report(data, {sections, options.top, terminal_width(STDOUT_FILENO)});
        return;
    }
    if (!options.html.empty()) fmt::print("{}: the report as a page\n", options.html);
    if (!options.csv.empty()) fmt::print("{}: {} tables\n", options.csv, tables);
}

}  // namespace

void setup_report(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("report", "Print what a trace's runs were like");
    command->add_option("trace", options->trace, "Trace file (.sqlite)")->required();
    command->add_option("--run", options->request.runs, "Only these runs")->delimiter(',');
    command
        ->add_option("--section", options->sections,
                     "Only these parts: overview, operations, steps, retrievals, idle, ranges, "
                     "kernels, copies, api, all")
        ->delimiter(',');
    command->add_flag("--operations", options->operations,
                      "Add time, bytes and rates by kind of operation");
    command->add_flag("--steps", options->steps, "Add the slowest decode steps");
    command->add_flag("--retrievals", options->retrievals,
                      "Add each retrieval with the step that triggered and the one that used it");
    command->add_option("--range", options->request.range,
                        "Take apart every NVTX range of this name (an iteration, say)");
    command
        ->add_option("--transfer-kernels", options->request.transfer_kernels,
                     "Kernels whose names hold one of these words move data: they count as "
                     "transfers, not as computation")
        ->delimiter(',');
    command->add_option("--top", options->top, "Rows of each table; 0: all")->capture_default_str();
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->add_option("--csv", options->csv, "Write one CSV file a table into this folder");
    command->add_option("--html", options->html, "Write one page with pictures to this file");
    command->footer(std::string(help_text("report")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
