/// The columns of the tables under the timeline.
#pragma once

#include <memory>
#include <vector>

#include "gui/models/column_table.h"
#include "gui/models/run_view.h"

namespace hc::gui {

/// The functions keep the view alive: a table may outlive the run's other users by a moment.
using RunViewPtr = std::shared_ptr<const RunView>;

[[nodiscard]] std::vector<TableColumn> step_columns(const RunViewPtr& view);
[[nodiscard]] std::vector<TableColumn> check_columns(const RunViewPtr& view);
[[nodiscard]] std::vector<TableColumn> fetch_columns(const RunViewPtr& view);

}  // namespace hc::gui
