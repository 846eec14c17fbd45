/// A new run as tasks of the event engine, before it has times.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "simulator/replay/event_engine.h"
#include "simulator/replay/new_costs.h"
#include "simulator/replay/timeline.h"

namespace hc::sim {

struct FetchTasks {
    TaskId fetch = -1;
    TaskId commit = -1;
    TaskId first_use = -1;
    std::int64_t submit_ns = 0;
};

struct TimelineTasks {
    EventEngine engine;
    StreamId decode = 0;
    StreamId worker = 0;
    std::vector<NewOp> ops;               ///< [task] an operation's index is its task's
    std::vector<std::size_t> first_task;  ///< [step] first task added for it
    std::vector<TaskId> check_tasks;      ///< [check decision]
    std::vector<FetchTasks> fetch_tasks;  ///< [fetch decision]
    double doubt_ns = 0;                  ///< changed time, times the residual of what changed it
    std::int64_t attention_rows_min = std::numeric_limits<std::int64_t>::max();
    std::int64_t attention_rows_max = 0;  ///< 0: attention as recorded
};

/// Throws Error(kRefused) when something happens whose cost was never recorded.
[[nodiscard]] TimelineTasks build_tasks(const TimelineInput& input);

}  // namespace hc::sim
