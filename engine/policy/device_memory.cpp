#include "engine/policy/device_memory.h"

#include <algorithm>

#include "engine/core/error.h"

namespace hc::policy {
namespace {

constexpr std::int64_t kElement = 2;                          // bf16
constexpr std::int64_t kGranularity = std::int64_t{2} << 20;  // of memory that grows in place
// Partial sums of a selection score per query: kernels/cuda/selection_score.h.
constexpr std::int64_t kScorePartials = 264 * 8;

std::int64_t rounded(std::int64_t value, std::int64_t to) {
    return (value + to - 1) / to * to;
}

std::int64_t words(std::int64_t prompt) {
    return (prompt + 31) / 32;
}

std::int64_t q_rows(const ModelShape& shape) {
    return shape.num_qo_heads * shape.head_dim;
}

std::int64_t qkv_rows(const ModelShape& shape) {
    return q_rows(shape) + 2 * shape.num_kv_heads * shape.head_dim;
}

bool retrieves(const HeadProfile* profile, const Settings& settings) {
    return profile != nullptr && settings.retrieval;
}

std::int64_t largest_capacity(const HeadProfile& profile, const Budgets& budgets,
                              std::int32_t layer, const Star& star) {
    std::int64_t largest = 0;
    for (const std::int32_t member : star.members) {
        largest = std::max(largest, budgets.capacity[profile.index({layer, member})]);
    }
    return largest;
}

std::int64_t largest_star(const HeadProfile& profile) {
    std::size_t members = 0;
    for (const std::vector<Star>& stars : profile.stars) {
        for (const Star& star : stars) members = std::max(members, star.members.size());
    }
    return static_cast<std::int64_t>(members);
}

std::int64_t pages_of(std::int64_t tokens, std::int64_t page) {
    return (tokens + page - 1) / page;
}

/// Pages that all heads hold in the end, and those that only a prompt under way needs besides.
struct Pages {
    std::int64_t kept = 0;
    std::int64_t transient = 0;
};

Pages count_pages(const DeviceMemoryQuestion& q, const Budgets& budgets) {
    Pages pages;
    for (const std::int64_t capacity : budgets.capacity) {
        pages.kept += pages_of(capacity + q.generated, q.page_tokens);
    }
    if (q.profile == nullptr || q.synthetic_prefill) return pages;
    for (std::int32_t layer = 0; layer < q.profile->num_layers; ++layer) {
        std::int64_t compressed = 0;
        for (std::int32_t head = 0; head < q.profile->num_kv_heads; ++head) {
            compressed += is_full(q.profile->role({layer, head})) ? 0 : 1;
        }
        pages.transient = std::max(pages.transient, compressed * pages_of(q.prompt, q.page_tokens));
    }
    return pages;
}

std::int64_t drift_scratch_bytes(const DeviceMemoryQuestion& q, const Budgets& budgets) {
    const std::int64_t stride = rounded(q.prompt, 4);
    const std::int64_t rows = q.settings.window * q.shape.group();
    const std::int64_t members = largest_star(*q.profile);
    std::int64_t largest = 0;
    for (std::int32_t layer = 0; layer < q.profile->num_layers; ++layer) {
        for (const Star& star : q.profile->stars[static_cast<std::size_t>(layer)]) {
            largest = std::max(largest, largest_capacity(*q.profile, budgets, layer, star));
        }
    }
    const std::int64_t run_stride = std::min(largest, (q.prompt + 1) / 2);
    const std::int64_t score_rows = std::max<std::int64_t>(q.settings.window, q.shape.num_kv_heads);
    return rows * (stride * 4 + kScorePartials) + score_rows * stride * 4 +
           members * (stride * 4 + run_stride * 12 + 2 * words(q.prompt) * 4);
}

}  // namespace

std::int64_t device_weight_bytes(const ModelShape& shape) {
    const auto part = [](std::int64_t elements) { return aligned_bytes(kElement * elements); };
    std::int64_t layer = 2 * part(shape.hidden) + part(qkv_rows(shape) * shape.hidden) +
                         part(shape.hidden * q_rows(shape)) + part(2 * shape.mlp * shape.hidden) +
                         part(shape.hidden * shape.mlp);
    if (shape.qkv_bias) layer += part(qkv_rows(shape));
    const std::int64_t tables = shape.tied_embeddings ? 1 : 2;
    return shape.num_layers * layer + tables * part(shape.vocab * shape.hidden) +
           part(shape.hidden);
}

std::int64_t prefill_workspace_bytes(const ModelShape& shape, std::int64_t chunk,
                                     std::int64_t stream_rows) {
    const auto bf16 = [&](std::int64_t columns) {
        return aligned_bytes(kElement * chunk * columns);
    };
    return aligned_bytes(4 * stream_rows * shape.hidden) + aligned_bytes(4 * stream_rows) +
           2 * bf16(shape.hidden) + bf16(qkv_rows(shape)) + 2 * bf16(q_rows(shape)) +
           bf16(2 * shape.mlp) + bf16(shape.mlp);
}

std::int64_t step_memory_bytes(const ModelShape& shape, std::int64_t batch) {
    return 2 * aligned_bytes(4 * batch) + 2 * aligned_bytes(8 * batch) + aligned_bytes(4 * batch) +
           aligned_bytes(4 * batch * shape.hidden) +
           aligned_bytes(kElement * batch * q_rows(shape)) +
           aligned_bytes(kElement * batch * shape.mlp) + aligned_bytes(4 * batch * shape.vocab);
}

std::int64_t drift_memory_bytes(const HeadProfile& profile, const Budgets& budgets,
                                const Settings& settings) {
    if (!settings.retrieval) return 0;
    const std::int64_t bitmap = aligned_bytes(4 * words(budgets.prompt));
    std::int64_t bytes = aligned_bytes(4 * settings.window);
    bytes += profile.count(HeadRole::kPivot) * bitmap;
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
            const auto members = static_cast<std::int64_t>(star.members.size());
            if (members == 0) continue;
            const std::int64_t stride = rounded(largest_capacity(profile, budgets, layer, star), 4);
            bytes += aligned_bytes(4 * budgets.prompt);                       // last scores
            bytes += 3 * aligned_bytes(members * 4 * words(budgets.prompt));  // wanted and deltas
            bytes += 2 * aligned_bytes(members * stride * 4);                 // positions, slots
            bytes += 2 * aligned_bytes(members * 4);                          // counts, capacities
            for (const std::int32_t member : star.members) {
                const std::int64_t capacity = budgets.capacity[profile.index({layer, member})];
                bytes += bitmap + aligned_bytes(4 * capacity);
            }
        }
    }
    return bytes;
}

std::int64_t largest_star_rows(const HeadProfile& profile, const Budgets& budgets) {
    std::int64_t most = 0;
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
            std::int64_t rows = 0;
            for (const std::int32_t member : star.members) {
                rows += budgets.capacity[profile.index({layer, member})];
            }
            most = std::max(most, rows);
        }
    }
    return most;
}

std::int64_t default_staging_bytes(const HeadProfile& profile, const Budgets& budgets,
                                   const ModelShape& shape, const Settings& settings,
                                   std::int64_t batch) {
    if (!settings.retrieval) return 0;
    const std::int64_t star = largest_star_rows(profile, budgets) * 2 * kElement * shape.head_dim;
    // The largest fetch always fits beside another; each sequence and step of lag adds a half,
    // which is what a trigger a step brings when half of its rows are new.
    return rounded(2 * star + batch * settings.commit_lag * star / 2, kGranularity);
}

DeviceMemoryForecast forecast_device_memory(const DeviceMemoryQuestion& q) {
    HC_CHECK(q.batch >= 1);
    const ModelShape& shape = q.shape;
    const bool compressed = q.profile != nullptr;
    const Budgets budgets =
        compressed ? compute_budgets(*q.profile, q.prompt, q.settings)
                   : full_budgets(static_cast<std::int32_t>(shape.num_layers),
                                  static_cast<std::int32_t>(shape.num_kv_heads), q.prompt);
    const Pages pages = count_pages(q, budgets);
    const std::int64_t page_bytes = 2 * kElement * shape.head_dim * q.page_tokens;
    DeviceMemoryForecast out;
    const auto add = [&](const char* name, std::int64_t bytes) {
        if (bytes > 0) out.device.push_back({name, bytes});
    };
    add("weights", device_weight_bytes(shape));
    add("KV pool", rounded((q.batch * pages.kept + pages.transient) * page_bytes, kGranularity));
    const std::int64_t list =
        shape.num_layers * shape.num_kv_heads * (pages_of(q.prompt + q.generated, q.page_tokens));
    add("page lists", rounded(q.batch * list * 4, kGranularity));
    if (!q.synthetic_prefill) {
        const std::int64_t chunk = std::min(q.prefill_chunk, q.prompt);
        add("prefill workspace",
            prefill_workspace_bytes(shape, chunk, compressed ? q.prompt : chunk));
    }
    add("step", step_memory_bytes(shape, q.batch));
    if (q.copy_cache_each_token) {
        add("cache copy", shape.num_kv_heads * q.batch *
                              pages_of(q.prompt + q.generated, q.page_tokens) * page_bytes);
    }
    if (retrieves(q.profile, q.settings)) {
        add("drift sets", q.batch * drift_memory_bytes(*q.profile, budgets, q.settings));
        add("drift scratch", drift_scratch_bytes(q, budgets));
        add("staging", q.staging_bytes > 0 ? rounded(q.staging_bytes, kGranularity)
                                           : default_staging_bytes(*q.profile, budgets, shape,
                                                                   q.settings, q.batch));
    }
    if (compressed) {
        out.host_tier_bytes = q.batch * q.prompt * 2 * kElement * shape.head_dim *
                              static_cast<std::int64_t>(host_heads(*q.profile, q.settings).size());
    }
    return out;
}

LargestThatFits largest_that_fits(const DeviceMemoryQuestion& question, std::int64_t device_bytes,
                                  std::int64_t host_bytes) {
    const auto fits = [&](const DeviceMemoryQuestion& q) {
        try {
            const DeviceMemoryForecast forecast = forecast_device_memory(q);
            return forecast.device_bytes() <= device_bytes &&
                   forecast.host_tier_bytes <= host_bytes;
        } catch (const Error&) {
            return false;  // a ratio that the policy refuses
        }
    };
    LargestThatFits largest;
    DeviceMemoryQuestion q = question;
    for (q.batch = 1; q.batch <= 4096 && fits(q); ++q.batch) largest.batch = q.batch;
    if (question.profile == nullptr) return largest;
    q.batch = 1;
    for (int percent = 100; percent >= 1; --percent) {
        q.settings.ratio = percent / 100.0;
        if (fits(q)) {
            largest.ratio = q.settings.ratio;
            break;
        }
    }
    return largest;
}

}  // namespace hc::policy
