/// What the CUDA backend is told beyond EngineOptions: baselines and what stands in for a model.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/runtime/synthetic_drift.h"

namespace hc::cuda {

using runtime::parse_synthetic_drift;
using runtime::SyntheticDrift;
using runtime::to_string;

struct CudaOptions {
    std::optional<SyntheticDrift> drift;
    /// No prompt is computed: KV and kept sets are seeded random ones of the sizes that the policy
    /// gives, so that a long context stands in seconds. Logits mean nothing then.
    bool synthetic_prefill = false;
    /// The published FullKV concatenates its cache at every token; this copies it likewise.
    bool copy_cache_each_token = false;
    /// Steps as CUDA graphs. Off where operations are recorded one by one, or to debug.
    bool graphs = true;
    /// Kernels of a step start while the ones before them end (compute capability 9.0).
    bool dependent_launch = true;
    /// Waits after every kernel and names it when it fails (HCPROF_CUDA_SYNC=1 sets it).
    bool synchronous_kernels = false;
    std::int32_t gather_blocks = 12;  ///< few fill the link, more disturb
    std::int32_t gather_threads = 256;
    /// Multiprocessors that attention leaves to the gather; the memory is full without them.
    std::int32_t spare_sms = 0;
    bool cluster_top_k = true;  ///< top-k of a row by a cluster of CTAs that own their SMs
    /// Rows of a run from which on the copy engine takes it instead of the gather kernel.
    std::int32_t copy_engine_rows = 512;
    /// Staging of fetches under way; 0: twice the largest that a star can need.
    std::int64_t staging_bytes = 0;
    std::uint64_t seed = 1;
    int device = 0;
};

}  // namespace hc::cuda
