// A report as text.
#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/report_forms.h"
#include "cli/report_tables.h"

namespace hc::cli {
namespace {

void print_table(const DataTable& table, const TextOptions& options) {
    if (table.rows.empty()) return;
    fmt::print("\n{}\n{}", table.title, to_text(table, options.width, options.top));
    if (!table.note.empty()) fmt::print("{}", wrapped(table.note, std::min(options.width, 100)));
}

void print_runs(const ReportData& data, const TextOptions& options) {
    const Sections& wanted = options.sections;
    if (wanted.holds("overview")) {
        const trace::Run& first = data.runs.front().metrics.run;
        fmt::print("{}: {}, {} tokens of prompt, backend {}\n\n", data.path, first.model_name,
                   format_count(first.prompt_tokens), first.backend);
        std::vector<LabelledMetrics> metrics;
        for (const RunReport& run : data.runs) metrics.push_back(run.metrics);
        fmt::print("{}", metrics_table(metrics, options.width));
    }
    for (const RunReport& run : data.runs) {
        if (wanted.holds("operations")) print_table(operations_table(run), options);
        if (wanted.holds("steps")) print_table(slowest_steps(steps_table(run)), options);
        if (run.retrievals.empty()) continue;
        if (wanted.holds("retrievals")) {
            print_table(retrieval_totals_table(run), options);
            print_table(retrievals_table(run), options);
        }
    }
}

void print_activity(const ReportData& data, const TextOptions& options) {
    const ActivityReport& report = *data.activity;
    const Sections& wanted = options.sections;
    if (wanted.holds("overview")) {
        fmt::print("{}{}: {} CUDA events on {} {}\n", data.runs.empty() ? "" : "\n", data.path,
                   format_count(report.activity.events()), report.devices.size(),
                   report.devices.size() == 1 ? "device" : "devices");
        print_table(devices_table(report), options);
    }
    if (wanted.holds("idle")) {
        print_table(idle_table(report), options);
        print_table(gaps_table(report), options);
    }
    if (wanted.holds("ranges")) {
        print_table(nvtx_table(report), options);
        if (!report.range.empty()) print_table(ranges_table(report), options);
    }
    if (wanted.holds("kernels")) print_table(kernels_table(report), options);
    if (wanted.holds("copies")) {
        print_table(copies_table(report), options);
        print_table(copy_sizes_table(report), options);
        print_table(memsets_table(report), options);
    }
    if (wanted.holds("api")) {
        print_table(api_table(report), options);
        print_table(syncs_table(report), options);
    }
}

}  // namespace

void print_report(const ReportData& data, const TextOptions& options) {
    if (!data.lost.empty()) {
        fmt::print("RECORDS ARE MISSING: {}. Counts and sums are too low, gaps too long.\n\n",
                   lost_text(data));
    }
    if (data.runs.empty() && !data.activity) {
        fmt::print("{} holds no engine run and no CUDA activity\n", data.path);
        return;
    }
    if (!data.runs.empty()) print_runs(data, options);
    if (data.activity) print_activity(data, options);
}

}  // namespace hc::cli
