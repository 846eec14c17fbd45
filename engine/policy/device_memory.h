/// What the CUDA backend allocates for a model and its sequences, before it does: `hcprof budget`
/// and the engine use this one rule, and a device test holds it against what was allocated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/core/model_shape.h"
#include "engine/policy/budget.h"
#include "engine/policy/settings.h"

namespace hc::policy {

/// Parts of an allocation begin at multiples of this.
inline constexpr std::int64_t kDeviceAlignment = 256;
[[nodiscard]] constexpr std::int64_t aligned_bytes(std::int64_t bytes) {
    return (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

/// All weights in bf16, each part aligned.
[[nodiscard]] std::int64_t device_weight_bytes(const ModelShape& shape);

/// Buffers of a prompt's chunk of tokens, with `stream_rows` rows of the residual stream.
[[nodiscard]] std::int64_t prefill_workspace_bytes(const ModelShape& shape, std::int64_t chunk,
                                                   std::int64_t stream_rows);

/// Buffers of a decode step of `batch` sequences; the sampler's own workspace is not in it.
[[nodiscard]] std::int64_t step_memory_bytes(const ModelShape& shape, std::int64_t batch);

/// Sets, slots and lists of one sequence's stars.
[[nodiscard]] std::int64_t drift_memory_bytes(const HeadProfile& profile, const Budgets& budgets,
                                              const Settings& settings);

/// Rows that a star may have to fetch at most, the largest of all stars.
[[nodiscard]] std::int64_t largest_star_rows(const HeadProfile& profile, const Budgets& budgets);

/// What is asked.
struct DeviceMemoryQuestion {
    ModelShape shape;
    const HeadProfile* profile = nullptr;  ///< null: FullKV
    Settings settings;
    std::int64_t prompt = 0;
    std::int64_t generated = 128;  ///< tokens reserved behind each prompt
    std::int64_t batch = 1;
    std::int64_t page_tokens = 256;
    std::int64_t prefill_chunk = 4096;
    std::int64_t staging_bytes = 0;  ///< 0: the default
    bool synthetic_prefill = false;
    bool copy_cache_each_token = false;
};

/// One line of the answer.
struct DeviceMemoryPart {
    std::string name;  ///< as MemoryLedger counts it
    std::int64_t bytes = 0;
};

struct DeviceMemoryForecast {
    std::vector<DeviceMemoryPart> device;
    std::int64_t host_tier_bytes = 0;
    [[nodiscard]] std::int64_t device_bytes() const {
        std::int64_t sum = 0;
        for (const DeviceMemoryPart& part : device) sum += part.bytes;
        return sum;
    }
    [[nodiscard]] std::int64_t of(const std::string& name) const {
        for (const DeviceMemoryPart& part : device) {
            if (part.name == name) return part.bytes;
        }
        return 0;
    }
};

/// Throws as compute_budgets does for a ratio that is not feasible.
[[nodiscard]] DeviceMemoryForecast forecast_device_memory(const DeviceMemoryQuestion& question);

/// Default size of the staging ring for `batch` sequences: room for the fetches that a commit lag
/// keeps under way.
[[nodiscard]] std::int64_t default_staging_bytes(const HeadProfile& profile, const Budgets& budgets,
                                                 const ModelShape& shape, const Settings& settings,
                                                 std::int64_t batch);

/// The largest batch, and for batch 1 the largest ratio (to 0.01), that `device_bytes` and
/// `host_bytes` hold; 0 where none does.
struct LargestThatFits {
    std::int64_t batch = 0;
    double ratio = 0;
};
[[nodiscard]] LargestThatFits largest_that_fits(const DeviceMemoryQuestion& question,
                                                std::int64_t device_bytes, std::int64_t host_bytes);

}  // namespace hc::policy
