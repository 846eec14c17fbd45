/// Two runs side by side as a table.
#pragma once

#include <memory>
#include <vector>

#include "gui/models/column_table.h"
#include "gui/models/run_view.h"
#include "profiler/analysis/compare.h"

namespace hc::gui {

/// One line of the table: a step time, a kind of operation, a figure, or a setting.
struct DifferenceRow {
    QString what;
    QString a, b;
    QString difference;   ///< B - A, with its interval where there is one
    double relative = 0;  ///< (B - A) / A; what the column is sorted by
    QString verdict;
};

[[nodiscard]] std::vector<DifferenceRow> difference_rows(const RunView& a, const RunView& b);
[[nodiscard]] std::vector<TableColumn> difference_columns(
    std::shared_ptr<const std::vector<DifferenceRow>> rows);

}  // namespace hc::gui
