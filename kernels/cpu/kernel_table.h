/// The seam between what is asked of the CPU and how one instruction level does it: a table of
/// functions per level, filled by level_*.cpp from the shared bodies (*.inc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/core/dtype.h"
#include "kernels/types/arguments.h"

namespace hc::kernels::cpu {

/// How a panel of repacked weights stores its codes (packed_weight.h has the layout). A weight
/// is scale * (code - zero point) or scale * code + minimum.
enum class PackKind : std::uint8_t {
    kU4Zero,  ///< 4 bits, zero point 8
    kU4Min,   ///< 4 bits, minimum
    kU7Zero,  ///< 8 bits, code <= 127, zero point 16
    kU7Min,   ///< 8 bits, code <= 127, minimum
    kU8Zero,  ///< 8 bits, code <= 255, zero point 128
};

[[nodiscard]] constexpr bool pack_has_min(PackKind kind) {
    return kind == PackKind::kU4Min || kind == PackKind::kU7Min;
}
[[nodiscard]] constexpr int pack_zero_point(PackKind kind) {
    switch (kind) {
        case PackKind::kU4Zero:
            return 8;
        case PackKind::kU7Zero:
            return 16;
        case PackKind::kU8Zero:
            return 128;
        case PackKind::kU4Min:
        case PackKind::kU7Min:
            return 0;
    }
    return 0;
}
/// Elements of a block along a row, for weights and activations alike.
inline constexpr std::int64_t kBlock = 32;
/// Rows that a panel interleaves.
inline constexpr std::int64_t kPanelRows = 16;
[[nodiscard]] constexpr std::int64_t pack_code_bytes(PackKind kind) {
    const bool four = kind == PackKind::kU4Zero || kind == PackKind::kU4Min;
    return kPanelRows * kBlock / (four ? 2 : 1);
}
/// Codes, then 16 scales as halves, then (with a minimum) 16 minima as halves.
[[nodiscard]] constexpr std::int64_t pack_block_bytes(PackKind kind) {
    return pack_code_bytes(kind) + kPanelRows * (pack_has_min(kind) ? 4 : 2);
}

/// One weight panel times one panel of quantised tokens: out [tokens, 16].
struct Int8Panel {
    const std::byte* weights = nullptr;  ///< [blocks] of pack_block_bytes
    std::int64_t blocks = 0;
    const std::int32_t* codes = nullptr;  ///< [blocks * 8, tokens], four int8 each
    const float* scales = nullptr;        ///< [blocks, tokens]
    const float* sums = nullptr;          ///< [blocks, tokens], scale * sum of codes
    float* out = nullptr;
    std::int64_t out_stride = 0;
};

/// One tile of fp32 rows times one panel of tokens: out [tokens, fp32_rows].
struct Fp32Panel {
    const float* weights = nullptr;  ///< [depth, fp32_rows]
    std::int64_t depth = 0;
    const float* x = nullptr;  ///< [depth, tokens]
    float* out = nullptr;
    std::int64_t out_stride = 0;
};

struct KernelTable {
    std::int64_t fp32_rows = 0;    ///< rows of an fp32 tile
    std::int64_t fp32_tokens = 0;  ///< most tokens of an fp32 panel
    std::int64_t int8_tokens = 0;  ///< most tokens of an int8 panel

    void (*dequantize_row)(const WeightView& w, std::int64_t row, float* out) = nullptr;
    float (*dot)(const float* a, const float* b, std::int64_t count) = nullptr;
    /// dst[c * dst_stride + r] = src[r * src_stride + c].
    void (*transpose)(const float* src, std::int64_t src_stride, std::int64_t rows,
                      std::int64_t cols, float* dst, std::int64_t dst_stride) = nullptr;
    void (*fp32_panel)(std::int64_t tokens, const Fp32Panel& panel) = nullptr;
    void (*quantize_panel)(const float* x, std::int64_t x_stride, std::int64_t tokens,
                           std::int64_t cols, std::int32_t* codes, float* scales,
                           float* sums) = nullptr;
    void (*int8_panel)(PackKind kind, std::int64_t tokens, const Int8Panel& panel) = nullptr;

    void (*add)(float* x, const float* y, std::int64_t count) = nullptr;
    void (*silu_mul)(const float* gate, const float* up, std::int64_t count, float* y) = nullptr;
    void (*rms_norm)(const float* x, const float* weight, std::int64_t n, std::int64_t dim,
                     float eps, float* y) = nullptr;
    void (*rope_table)(float* x, std::int64_t num_heads, std::int64_t head_dim, const float* cos,
                       const float* sin, bool interleaved) = nullptr;
    void (*store_kv)(const float* src, std::int64_t count, KvType type, std::byte* dst) = nullptr;

    void (*decode_attention)(const PagedKv& kv, const float* q, std::int64_t group, float* out,
                             float* scratch, float* probs) = nullptr;
    void (*decode_attention_piece)(const PagedKv& kv, std::int64_t begin, std::int64_t end,
                                   const float* q, std::int64_t group, float* out, float* max,
                                   float* sum, float* scratch) = nullptr;
    void (*prefill_attention)(const PagedKv& kv, const float* q, std::int64_t n, std::int64_t group,
                              std::int64_t q_stride, float* out, float* scratch) = nullptr;
    std::int64_t (*prefill_attention_scratch)(std::int64_t head_dim) = nullptr;
    void (*selection_score)(const PagedKv& kv, std::int64_t prompt, const float* q,
                            std::int64_t group, std::int32_t pool_width, bool half_precision,
                            float* out, float* scratch) = nullptr;
};

}  // namespace hc::kernels::cpu
