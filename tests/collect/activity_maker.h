/// CUDA activity that looks like decoding with offloaded KV cache, made from a seed.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/trace/activity.h"
#include "profiler/trace/writer.h"

namespace hc::test {

/// Fills batches step after step: launches on one stream, copies on another, the API calls of
/// both on one thread, a synchronisation and nested NVTX ranges around them. The same seed gives
/// the same rows.
class ActivityMaker {
public:
    /// Registers names, streams and launches with `writer`. Rows begin at `start_ns`.
    ActivityMaker(trace::Writer& writer, std::uint64_t seed, std::int64_t pid,
                  std::int64_t start_ns);

    /// Appends one decode step, about 100 rows.
    void add_step(trace::ActivityBatch& batch);
    [[nodiscard]] std::int64_t now_ns() const { return now_ns_; }

private:
    std::int64_t random(std::int64_t low, std::int64_t high);
    std::int64_t add_api(trace::ActivityBatch& batch, trace::StringId name);

    std::uint64_t state_;
    std::int64_t pid_, thread_;
    std::int64_t now_ns_;            // of the CPU thread
    std::int64_t gpu_ns_, copy_ns_;  // when each stream is free
    std::int64_t correlation_ = 0, step_ = 0;
    trace::StreamKey compute_, fetch_;
    std::vector<trace::LaunchId> launches_;
    trace::StringId launch_name_, copy_name_, memset_name_, sync_name_, step_name_, layer_name_;
    std::int32_t domain_;
};

}  // namespace hc::test
