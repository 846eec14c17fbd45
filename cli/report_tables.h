/// The tables of a report. Keys of tables and columns are stable: docs/report.md lists them.
#pragma once

#include <optional>
#include <vector>

#include "cli/data_table.h"
#include "cli/report_data.h"

namespace hc::cli {

// Of one engine run.
[[nodiscard]] DataTable operations_table(const RunReport& run);
[[nodiscard]] DataTable steps_table(const RunReport& run);
[[nodiscard]] DataTable retrievals_table(const RunReport& run);
/// Name and value, a line each.
[[nodiscard]] DataTable retrieval_totals_table(const RunReport& run);

// Of the CUDA activity.
[[nodiscard]] DataTable devices_table(const ActivityReport& report);
[[nodiscard]] DataTable idle_table(const ActivityReport& report);
[[nodiscard]] DataTable gaps_table(const ActivityReport& report);
[[nodiscard]] DataTable kernels_table(const ActivityReport& report);
[[nodiscard]] DataTable copies_table(const ActivityReport& report);
[[nodiscard]] DataTable copy_sizes_table(const ActivityReport& report);
[[nodiscard]] DataTable memsets_table(const ActivityReport& report);
[[nodiscard]] DataTable api_table(const ActivityReport& report);
[[nodiscard]] DataTable syncs_table(const ActivityReport& report);
[[nodiscard]] DataTable nvtx_table(const ActivityReport& report);
[[nodiscard]] DataTable ranges_table(const ActivityReport& report);

/// What a kernel reached of the machine's memory read rate; nullopt where its bytes or the rate are
/// not known.
[[nodiscard]] std::optional<double> kernel_share_of_limit(const ActivityReport& report,
                                                          analysis::NameIndex name);

/// Rows of the step table with the longest steps first, decode steps only.
[[nodiscard]] DataTable slowest_steps(const DataTable& steps);

}  // namespace hc::cli
