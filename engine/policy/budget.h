/// How many tokens each head keeps, and the memory that follows (algorithm.md §3).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/core/model_shape.h"
#include "engine/policy/settings.h"

namespace hc::policy {

struct Budgets {
    std::int64_t prompt = 0;                   ///< P, tokens
    std::int64_t base = 0;                     ///< mean compressed capacity; size of reference sets
    std::vector<std::int64_t> capacity;        ///< [HeadProfile::index], prompt tokens kept
    [[nodiscard]] std::int64_t total() const;  ///< tokens in all heads
};

/// Capacities of every head for a prompt of `prompt` tokens. Throws Error(kRefused) naming the
/// smallest feasible ratio when settings.ratio is below it.
///
///  - `reference` is feasible when trunc(r N) > F.
///  - `fixed` is feasible when r N > F and every compressed head keeps at least min(P, 16)
///    tokens; prompts shorter than 256 keep everything (the authors' code has no such rule, so
///    `reference` has none).
///  - Without compressed heads everything is kept, and only ratio 1 is feasible.
///
/// settings.water_fill, not the mode, decides between both capacity formulas.
[[nodiscard]] Budgets compute_budgets(const HeadProfile& profile, std::int64_t prompt,
                                      const Settings& settings);

/// Everything kept in every head: what FullKV does.
[[nodiscard]] Budgets full_budgets(std::int32_t num_layers, std::int32_t num_kv_heads,
                                   std::int64_t prompt);

/// The ratio from which on compute_budgets accepts every ratio, to 1e-6 upwards. (Left-over
/// tokens of the water filling may lift the last head over the limit a few tokens earlier.)
/// Throws Error(kRefused) when no ratio is feasible.
[[nodiscard]] double minimum_ratio(const HeadProfile& profile, std::int64_t prompt,
                                   const Settings& settings);

/// The heads whose prompt KV the host tier holds, ascending: the satellites, or (row 16,
/// `reference`) every KV head of a layer that has one. None with retrieval off.
[[nodiscard]] std::vector<HeadId> host_heads(const HeadProfile& profile, const Settings& settings);

/// Smallest, middle (mean of both, truncated, for an even count) and largest capacity of the
/// compressed heads; zeros when there is none.
struct CapacityRange {
    std::int64_t min = 0;
    std::int64_t median = 0;
    std::int64_t max = 0;
};
[[nodiscard]] CapacityRange compressed_capacities(const HeadProfile& profile,
                                                  const Budgets& budgets);

/// Bytes that a sequence takes; §3 formulas. `generated` tokens are appended to every head.
struct MemoryForecast {
    std::int64_t pool_bytes = 0;          ///< resident pages of all heads
    std::int64_t pool_token_bytes = 0;    ///< the kept prompt tokens alone
    std::int64_t host_bytes = 0;          ///< the host tier
    std::int64_t full_pool_bytes = 0;     ///< the same pool under FullKV
    std::int64_t full_refresh_bytes = 0;  ///< every satellite fetched once, whole
};
[[nodiscard]] MemoryForecast forecast_memory(const HeadProfile& profile, const Budgets& budgets,
                                             const ModelShape& shape, std::int64_t generated,
                                             std::int64_t batch, std::int64_t page_tokens,
                                             std::int64_t element_bytes, const Settings& settings);

}  // namespace hc::policy
