/// Attention of one query token per sequence over its paged KV cache. Twin:
/// reference::decode_attention.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// How a launch is cut, decided once per shape; lengths may differ at every launch.
struct DecodeAttentionPlan {
    std::int32_t group = 0;  ///< query heads per KV head
    std::int32_t head_dim = 0;
    std::int32_t num_pairs = 0;
    std::int32_t num_ctas = 0;  ///< one grid that fills the device
    std::size_t smem_bytes = 0;
    /// Partial results and counters. Zero it once; every launch leaves the counters at zero.
    /// Launches that share a workspace must be in one stream.
    std::size_t workspace_bytes = 0;
};

/// For the current device, with at most max_ctas CTAs (0: one for each multiprocessor).
/// cudaErrorInvalidValue unless head_dim is 64, 96, 128 or 256, group 1 to 16 and num_pairs 1 to
/// 2048.
[[nodiscard]] cudaError_t plan_decode_attention(std::int32_t num_pairs, std::int32_t group,
                                                std::int32_t head_dim, DecodeAttentionPlan& plan,
                                                std::int32_t max_ctas = 0);

/// out [num_pairs, group, head_dim] = softmax(q k / sqrt(head_dim)) v for q of the same shape,
/// over the lengths[pair] + cache.appended tokens of every pair; no tokens give zeros. Reads
/// 4 * head_dim * sum(lengths) bytes of KV once. Work is cut into equal shares of tokens
/// whatever the lengths are; partial results merge exactly (up to rounding in fp32) and always
/// in the same order, so equal input gives equal bits.
///
/// pdl: it may start while the kernel before it ends, see launch.cuh. Until that has completed it
/// reads lengths, page lists and all KV but tiles of 16 tokens that hold one of the last
/// `appended` (at least 1) tokens of a pair; kernels before it in the stream may write q and those.
[[nodiscard]] cudaError_t decode_attention(const DecodeAttentionPlan& plan,
                                           const PagedKvCache& cache, const Bf16* q, Bf16* out,
                                           void* workspace, cudaStream_t stream, bool pdl = false);

}  // namespace hc::kernels::cuda
