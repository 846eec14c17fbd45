/// Reads the CUDA activity of a trace, two tables at a time.
#pragma once

#include "engine/core/progress.h"
#include "gui/models/activity_lanes.h"
#include "profiler/trace/reader.h"

namespace hc::gui {

/// Throws what trace::Trace throws.
[[nodiscard]] ActivityCollector read_activity(const trace::Trace& trace, Progress& progress);

}  // namespace hc::gui
