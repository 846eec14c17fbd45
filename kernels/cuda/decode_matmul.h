/// The matrix products of a decode step with what stands before and after them, one kernel each.
/// All pointers are device pointers, 16-byte aligned and borrowed; matrices are row-major; n
/// counts tokens, one per sequence. Twins: reference::matmul with reference::rms_norm before and
/// reference::silu_mul or reference::rope after it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// What becomes of the input.
enum class MatmulPrologue : std::uint8_t {
    kNone,     ///< x, bf16 [n, cols]
    kRmsNorm,  ///< bf16(x_f32 * norm_weight) of fp32 [n, cols] and bf16 [cols]; the sums are
               ///< divided by sqrt(mean(x_f32^2) + eps), which is the norm before the product
};

/// What becomes of the sums.
enum class MatmulEpilogue : std::uint8_t {
    kStoreBf16,   ///< out [n, rows]
    kStoreF32,    ///< out_f32 [n, rows]
    kAddF32,      ///< out_f32 [n, rows] += sums
    kSiluMul,     ///< out [n, rows / 2] = silu(gate) * up; the gate's rows of w come first
    kRopeAppend,  ///< rows of w: [num_qo_heads + 2 * num_kv_heads, head_dim], queries, keys,
                  ///< values. Queries and keys are rotated by position * inv_freq [head_dim / 2],
                  ///< elements (i, i + head_dim / 2) together; queries go to out
                  ///< [n, num_qo_heads, head_dim], key and value to slot lengths[pair] of cache,
                  ///< whose page must exist. lengths stay; cache.appended is not looked at.
};

struct DecodeMatmulArguments {
    const Bf16* w = nullptr;  ///< [rows, cols]
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::int32_t n = 0;
    /// CTAs at most; 0: one for each multiprocessor. The memory is full with fewer, so some can be
    /// left to what runs beside.
    std::int32_t max_ctas = 0;
    MatmulPrologue prologue = MatmulPrologue::kNone;
    MatmulEpilogue epilogue = MatmulEpilogue::kStoreBf16;

    const Bf16* x = nullptr;
    const float* x_f32 = nullptr;
    const Bf16* norm_weight = nullptr;
    float eps = 0.0f;

    const Bf16* bias = nullptr;  ///< [rows] or null, added to the sums first
    Bf16* out = nullptr;
    float* out_f32 = nullptr;

    // kRopeAppend alone
    const std::int32_t* positions = nullptr;  ///< [n]
    const float* inv_freq = nullptr;          ///< fp32, carries theta and scaling
    std::int32_t num_qo_heads = 0;
    std::int32_t num_kv_heads = 0;
    PagedKvCache cache;  ///< num_pairs = n * num_kv_heads
};

/// x [n, cols] * w^T with prologue and epilogue; reads 2 * rows * cols bytes of weights once. Sums
/// in fp32, always in the same order: equal input gives equal bits, with pdl and without.
///
/// For n of 0 to 8, cols % 32 == 0; kSiluMul: rows % 16 == 0; kRopeAppend: head_dim % 16 == 0.
/// There are kRmsNorm with kStoreF32, kSiluMul and kRopeAppend, and kNone with kStoreBf16,
/// kStoreF32 and kAddF32. With kRmsNorm the input must fit into shared memory: n * cols up to
/// 72,000 on an H100. cudaErrorInvalidValue for anything else.
///
/// pdl: it may start while the kernel before it ends, see launch.cuh. Until that has completed it
/// reads w, bias and norm_weight, for kRopeAppend positions, inv_freq, lengths and page lists too,
/// and writes nothing.
[[nodiscard]] cudaError_t decode_matmul(const DecodeMatmulArguments& arguments, bool pdl,
                                        cudaStream_t stream);

}  // namespace hc::kernels::cuda
