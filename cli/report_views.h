/// What the pictures of a report's page show, taken from its data.
#pragma once

#include <vector>

#include "cli/report_charts.h"

namespace hc::cli {

[[nodiscard]] DurationSeries step_durations(const RunReport& run);
[[nodiscard]] DurationSeries range_durations(const ActivityReport& report);
/// Kinds by decode step, the eight that take most and the rest as one.
[[nodiscard]] StackedSeries step_kinds(const RunReport& run);

/// The decode steps of median and of longest duration as strips; fewer where there are fewer.
/// Needs RunReport::data.
[[nodiscard]] std::vector<Strip> step_strips(const RunReport& run, const ReportData& report);
/// The instances of the chosen range of median and of longest duration, on the device.
[[nodiscard]] std::vector<Strip> range_strips(const ActivityReport& report);
/// Everything that ran on the devices.
[[nodiscard]] Strip whole_strip(const ActivityReport& report);

}  // namespace hc::cli
