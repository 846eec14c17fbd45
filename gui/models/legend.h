/// Which colours a run uses, and for what.
#pragma once

#include <QString>
#include <QStringList>
#include <vector>

#include "gui/models/run_view.h"

namespace hc::gui {

struct LegendEntry {
    Hue hue = Hue::kOther;
    QString text;  ///< names that share the colour, joined
};

/// What matters first: slow steps, operations by the decode time they take, stages of fetches.
/// Ordinary steps and the prefill are told by their labels.
[[nodiscard]] std::vector<LegendEntry> legend_of(const RunView& view);

}  // namespace hc::gui
