/// A recorded run taken apart: what every decode step did besides the policy, and separately
/// what checks, fetches and commits cost where they happened.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "engine/config/settings_json.h"
#include "profiler/trace/columns.h"

namespace hc::sim {

/// An operation as recorded, with times that can be put together anew.
struct RecordedOp {
    OpKind kind{};
    std::int32_t layer = -1;
    std::int64_t gap_ns = 0;   ///< after the operation before it on the decode thread
    std::int64_t work_ns = 0;  ///< without waiting, and as long as it would take alone
    std::int64_t rows = 0;
    std::int64_t bytes_read = 0;
    std::int64_t bytes_written = 0;
    std::int64_t flops = 0;
};

/// A decode step without checks, fetches and commits.
struct RecordedStep {
    std::int64_t step = 0;
    std::int32_t batch = 1;
    std::int64_t pause_ns = 0;  ///< between the end of the step before and its start
    std::int64_t tail_ns = 0;   ///< after its last operation
    std::vector<RecordedOp> ops;
};

/// The drift operations of one layer in one step, and the operation that they follow.
struct RecordedCheck {
    std::int64_t step = 0;
    std::int32_t layer = 0;
    OpKind anchor = OpKind::kAttention;
    std::int32_t anchor_layer = 0;
    std::int32_t anchor_occurrence = 0;  ///< of that kind and layer within the step, from 0
    std::vector<RecordedOp> ops;
};

struct RecordedFetch {
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    std::int32_t pivot = 0;
    std::int64_t step = 0;  ///< of its check
    std::int64_t rows = 0;
    std::int64_t runs = 0;  ///< contiguous pieces
    std::int64_t bytes = 0;
    std::int64_t submit_ns = 0;   ///< from the end of the check's operation until it was queued
    std::int64_t latency_ns = 0;  ///< from queued, with the worker free, until it started
    std::int64_t work_ns = 0;
    bool committed = false;
    std::int64_t commit_gap_ns = 0;
    std::int64_t commit_work_ns = 0;  ///< without waiting
};

/// (sequence, layer, pivot, step of the check)
using FetchKey = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int64_t>;

struct SourceRun {
    config::RunParameters parameters;
    ModelShape shape;
    bool heterocache = false;
    std::int64_t prompt = 0;
    std::int64_t step_offset = 0;  ///< number of the first decode step, minus 1 (several prompts)
    std::vector<RecordedStep> steps;    ///< decode steps, ascending
    std::vector<RecordedCheck> checks;  ///< by layer, then step
    std::map<FetchKey, RecordedFetch> fetches;
};

/// Takes `data` apart. `interference` is the factor by which computation beside a transfer was
/// slower (OpCosts); it is taken out here, and the event engine puts it back. Throws
/// Error(kRefused) when the run has no decode steps or operations, Error(kInput) for broken
/// parameters.
[[nodiscard]] SourceRun take_apart(const trace::RunData& data, double interference);

}  // namespace hc::sim
