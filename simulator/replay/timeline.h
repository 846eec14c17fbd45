/// Puts a run together again: recorded operations, the checks, fetches and commits of other
/// decisions, and times from the event engine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/trace/columns.h"
#include "simulator/cost/op_costs.h"
#include "simulator/cost/roofline.h"
#include "simulator/replay/policy_replay.h"
#include "simulator/replay/source_run.h"

namespace hc::sim {

struct TimelineInput {
    const SourceRun& source;
    /// Another recorded run whose checks, fetches and commits serve where the source has none;
    /// may be null.
    const SourceRun* donor = nullptr;
    const OpCosts& costs;
    const Decisions* decisions = nullptr;   ///< null: FullKV
    const MachineModel* machine = nullptr;  ///< null: the machine of the recording
    policy::Settings settings = {};         ///< with decisions
    /// Attention rows per sequence that each layer has more (less) than recorded.
    std::vector<std::int64_t> attention_rows_delta = {};
    double window_scale = 1;     ///< queries per check, new / recorded
    double prompt_scale = 1;     ///< prompt tokens, new / recorded
    std::int64_t row_bytes = 0;  ///< K and V of one token in one head
    std::size_t num_steps = 0;   ///< decode steps of the source to replay
};

struct Timeline {
    trace::Steps steps;
    trace::Ops ops;  ///< by step, then start; ids ascend
    trace::Edges edges;
    std::vector<std::int64_t> check_ops;  ///< op id of each decision's check
    std::vector<FetchRecord> fetches;     ///< of each fetch decision
    /// Expected error of all steps together, as a share of their time: what was changed against
    /// the recording, times the median residual of the cost that changed it.
    double uncertainty = 0;
    std::vector<std::string> notes;
};

/// What a reader must know of how attention's cost was found; `rows_max` 0: it is as recorded.
[[nodiscard]] std::vector<std::string> attention_notes(const OpCosts& costs, std::int64_t rows_min,
                                                       std::int64_t rows_max);

/// Throws Error(kRefused) when something happens in the new run whose cost was never recorded.
[[nodiscard]] Timeline build_timeline(const TimelineInput& input);

}  // namespace hc::sim
