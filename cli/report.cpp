// hcprof report: what a trace's runs were like.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/help_texts.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/trace_source.h"

namespace hc::cli {
namespace {

struct Options {
    std::string trace;
    std::vector<trace::RunId> runs;
    bool operations = false;
    bool json = false;
};

std::string operations_table(const LabelledMetrics& run, int width) {
    Table table({"operation", "count", "total", "share", "median", "GB/s", "GFLOP/s"});
    double all = 0;
    for (const analysis::OpKindTotal& kind : run.metrics.by_kind) all += static_cast<double>(kind.total_ns);
    for (const analysis::OpKindTotal& kind : run.metrics.by_kind) {
        const double ns = static_cast<double>(kind.total_ns);
        const auto rate = [ns](std::int64_t amount) {
            return amount > 0 && ns > 0 ? format_number(static_cast<double>(amount) / ns, 1) : std::string("-");
        };
        table.add_row({std::string(op_kind_name(kind.kind)), format_count(kind.count), format_ns(ns),
                       format_percent(all > 0 ? ns / all : 0), format_ns(kind.median_ns), rate(kind.bytes),
                       rate(kind.flops)});
    }
    return table.to_string(width);
}

void run(const Options& options, const Context& context) {
    ProgressBar progress(context.interrupted);
    const trace::Trace trace(options.trace);
    if (const std::string warning = trace.warning(); !warning.empty()) print_warning(warning);
    const std::vector<LabelledMetrics> runs = read_metrics(trace, options.runs, progress);
    if (options.json) {
        nlohmann::ordered_json document;
        document["trace"] = options.trace;
        document["warning"] = trace.warning();
        document["runs"] = nlohmann::ordered_json::array();
        for (const LabelledMetrics& r : runs) document["runs"].push_back(to_json(r.metrics, r.run));
        print_json(document);
        return;
    }
    if (runs.empty()) {
        fmt::print("{} holds no engine run\n", options.trace);
        return;
    }
    const int width = terminal_width(STDOUT_FILENO);
    const trace::Run& first = runs.front().run;
    fmt::print("{}: {}, {} tokens of prompt, backend {}\n\n", options.trace, first.model_name,
               format_count(first.prompt_tokens), first.backend);
    fmt::print("{}", metrics_table(runs, width));
    if (options.operations) {
        for (const LabelledMetrics& r : runs) fmt::print("\n{} (run {}), decode steps\n{}", r.label, r.run.id, operations_table(r, width));
    }
}

}  // namespace

void setup_report(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("report", "Print what a trace's runs were like");
    command->add_option("trace", options->trace, "Trace file (.sqlite)")->required();
    command->add_option("--run", options->runs, "Only these runs")->delimiter(',');
    command->add_flag("--operations", options->operations, "Add time, bytes and rates by kind of operation");
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("report")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
