#include "cli/report_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/format.h"
#include "engine/core/error.h"
#include "profiler/analysis/load_activity.h"
#include "profiler/analysis/sums.h"

namespace hc::cli {
namespace {

RunReport read_run(const trace::Trace& trace, const trace::Run& run,
                   const std::vector<trace::Value>& values, bool keep_columns, Progress& progress) {
    RunReport report;
    report.data = trace.read(run.id, {.operations = true, .attention = false}, progress);
    std::optional<trace::RunData> attention;
    if (run.attention_run >= 0) {
        attention =
            trace.read(run.attention_run, {.operations = false, .attention = true}, progress);
    }
    report.metrics = {run_label(run), run,
                      analysis::run_metrics(report.data, attention ? &*attention : nullptr)};
    report.steps = analysis::step_table(report.data);
    report.retrievals = analysis::retrieval_table(report.data);
    report.retrieval_totals = analysis::retrieval_totals(report.retrievals);
    report.limits = analysis::find_limits(values, run.id);
    if (!keep_columns) report.data = {};
    return report;
}

/// Names of ranges that are there, for whoever asked for one that is not.
std::string known_ranges(const analysis::Activity& activity) {
    std::vector<std::string> names;
    for (const analysis::RangeTotal& total : analysis::range_totals(activity)) {
        if (names.size() == 8) {
            names.emplace_back("...");
            break;
        }
        names.push_back(activity.name(total.name));
    }
    return names.empty() ? "it holds no NVTX ranges"
                         : fmt::format("it has {}", fmt::join(names, ", "));
}

void add_activity(const trace::Trace& trace, const std::vector<trace::Value>& values,
                  const ReportRequest& request, ReportData& report, Progress& progress) {
    analysis::Activity activity = analysis::load_activity(trace, progress);
    if (activity.events() == 0) {
        if (!request.range.empty()) {
            throw_refused(fmt::format("--range {}: trace '{}' holds no CUDA activity",
                                      request.range, report.path));
        }
        return;
    }
    ActivityReport& part = report.activity.emplace();
    part.activity = std::move(activity);
    trace::RunId run_id = -1;  // whose machine this is, and whose operations made the launches
    for (const RunReport& run : report.runs) {
        if (run.metrics.run.origin != trace::Origin::kRecorded) continue;
        if (run_id < 0) run_id = run.metrics.run.id;
        const auto bytes = analysis::kernel_bytes(
            part.activity, trace::read_op_launches(report.path, run.metrics.run.id));
        for (const auto& [name, found] : bytes) {
            analysis::KernelBytes& sum = part.kernel_bytes[name];
            sum.kernels += found.kernels;
            analysis::add_wrapping(sum.bytes, found.bytes);
            analysis::add_wrapping(sum.time_ns, found.time_ns);
        }
    }
    part.limits = analysis::find_limits(values, run_id);
    const analysis::LaunchIndex launches(part.activity);
    part.devices = analysis::device_times(part.activity, launches,
                                          {.transfer_kernels = request.transfer_kernels});
    const std::vector<bool> moves_data =
        analysis::transfer_kernels(part.activity, request.transfer_kernels);
    if (!request.range.empty()) {
        const std::vector<analysis::HostRange> ranges =
            analysis::ranges_named(part.activity, request.range);
        if (ranges.empty()) {
            throw_refused(fmt::format("--range: trace '{}' holds no NVTX range '{}', {}",
                                      report.path, request.range, known_ranges(part.activity)));
        }
        part.range = request.range;
        part.ranges = analysis::range_work(part.activity, launches, ranges, moves_data);
    }
    for (RunReport& run : report.runs) {
        // Steps and calls are both timed by the host, and the steps of a run do not overlap.
        if (run.metrics.run.backend != "cuda" ||
            run.metrics.run.origin != trace::Origin::kRecorded) {
            continue;
        }
        std::vector<analysis::HostRange> steps;
        for (const analysis::StepRow& s : run.steps) steps.push_back({s.start_ns, s.end_ns, -1});
        run.step_work = analysis::range_work(part.activity, launches, steps, moves_data);
    }
}

}  // namespace

ReportData read_report(const std::string& path, const ReportRequest& request, Progress& progress) {
    const trace::Trace trace(path);
    ReportData report;
    report.path = path;
    report.warning = trace.warning();
    report.lost = analysis::lost_records(trace);
    report.command_line = trace.meta("command_line").value_or("");
    report.start_utc = trace.meta("start_utc").value_or("");
    report.streams = trace.streams();
    for (const trace::RunId id : request.runs) {
        static_cast<void>(trace.run(id));  // refuses an unknown one
    }
    const std::vector<trace::Value> values = trace.values();
    for (const trace::Run& run : trace.runs()) {
        const bool wanted =
            request.runs.empty() ||
            std::find(request.runs.begin(), request.runs.end(), run.id) != request.runs.end();
        if (!wanted) continue;
        report.runs.push_back(read_run(trace, run, values, request.keep_columns, progress));
    }
    add_activity(trace, values, request, report, progress);
    return report;
}

std::string lost_text(const ReportData& data) {
    std::vector<std::string> parts;
    for (const auto& [cause, count] : data.lost) {
        parts.push_back(fmt::format("{} {}", format_count(count), cause));
    }
    return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace hc::cli
