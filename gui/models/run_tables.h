/// The columns of the tables under the timeline.
#pragma once

#include <memory>
#include <vector>

#include "gui/models/column_table.h"
#include "gui/models/range_statistics.h"
#include "gui/models/run_view.h"
#include "gui/models/search.h"

namespace hc::gui {

/// The functions keep the view alive: a table may outlive the run's other users by a moment.
using RunViewPtr = std::shared_ptr<const RunView>;

[[nodiscard]] std::vector<TableColumn> step_columns(const RunViewPtr& view);
[[nodiscard]] std::vector<TableColumn> check_columns(const RunViewPtr& view);
[[nodiscard]] std::vector<TableColumn> fetch_columns(const RunViewPtr& view);
using RangeStatisticsPtr = std::shared_ptr<const RangeStatistics>;
[[nodiscard]] std::vector<TableColumn> statistics_columns(const RunViewPtr& view,
                                                          const RangeStatisticsPtr& statistics);
/// Rows are hits, lane by lane.
[[nodiscard]] std::vector<TableColumn> hit_columns(const RunViewPtr& view,
                                                   const SearchHitsPtr& hits);

}  // namespace hc::gui
