/// All that `hcprof report` says of a trace, before it is put into a form.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cli/output.h"
#include "engine/core/progress.h"
#include "profiler/analysis/activity_tables.h"
#include "profiler/analysis/device_time.h"
#include "profiler/analysis/kernel_bytes.h"
#include "profiler/analysis/limits.h"
#include "profiler/analysis/range_work.h"
#include "profiler/analysis/step_table.h"
#include "profiler/trace/reader.h"

namespace hc::cli {

struct ReportRequest {
    std::vector<trace::RunId> runs;             ///< empty: all
    std::string range;                          ///< NVTX range to take apart; empty: none
    std::vector<std::string> transfer_kernels;  ///< parts of kernel names that move data
    bool keep_columns = false;                  ///< for pictures: RunReport::data stays
};

struct RunReport {
    LabelledMetrics metrics;
    std::vector<analysis::StepRow> steps;
    /// Kernels and copies of each step, parallel to `steps`; empty without CUDA activity.
    std::vector<analysis::RangeWork> step_work;
    std::vector<analysis::RetrievalRow> retrievals;
    analysis::RetrievalTotals retrieval_totals;
    analysis::Limits limits;
    trace::RunData data;  ///< operations only with keep_columns
};

struct ActivityReport {
    analysis::Activity activity;
    std::vector<analysis::DeviceTime> devices;
    std::vector<analysis::RangeWork> ranges;  ///< of ReportRequest::range
    std::string range;
    std::unordered_map<analysis::NameIndex, analysis::KernelBytes> kernel_bytes;
    analysis::Limits limits;
};

struct ReportData {
    std::string path;
    std::string warning;
    std::vector<std::pair<std::string, std::int64_t>> lost;
    std::string command_line, start_utc;  ///< of the recording, "" where not known
    std::vector<trace::Stream> streams;
    std::vector<RunReport> runs;
    std::optional<ActivityReport> activity;
};

/// Throws what reading throws; Error(kRefused) for a run or a range that the trace does not hold.
[[nodiscard]] ReportData read_report(const std::string& path, const ReportRequest& request,
                                     Progress& progress);

/// "12,345 dropped, 3 writer", "" without losses.
[[nodiscard]] std::string lost_text(const ReportData& data);

}  // namespace hc::cli
