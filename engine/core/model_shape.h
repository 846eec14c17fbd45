/// The sizes of a decoder model; what every room needs to know of it.
#pragma once

#include <cstdint>
#include <string>

namespace hc {

/// Llama-3 style frequency scaling of RoPE (algorithm.md §1). `factor` 1 means none.
struct RopeScaling {
    double factor = 1.0;
    double low_freq_factor = 1.0;
    double high_freq_factor = 4.0;
    std::int64_t original_context = 8192;
    [[nodiscard]] bool operator==(const RopeScaling&) const = default;
};

struct ModelShape {
    std::string architecture;  ///< "llama" or "qwen2"
    std::int64_t num_layers = 0;
    std::int64_t hidden = 0;
    std::int64_t num_qo_heads = 0;
    std::int64_t num_kv_heads = 0;
    std::int64_t head_dim = 0;
    std::int64_t mlp = 0;
    std::int64_t vocab = 0;
    std::int64_t context = 0;  ///< longest sequence that the model was made for, tokens
    double rms_eps = 1e-5;
    double rope_theta = 10000.0;
    RopeScaling rope_scaling;
    bool qkv_bias = false;
    bool tied_embeddings = false;

    /// Query heads per KV head; query head q belongs to KV head q / group().
    [[nodiscard]] std::int64_t group() const { return num_qo_heads / num_kv_heads; }
    [[nodiscard]] std::int64_t num_kv_heads_total() const { return num_layers * num_kv_heads; }
    [[nodiscard]] bool operator==(const ModelShape&) const = default;
};

}  // namespace hc
