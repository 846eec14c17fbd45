/// Causal attention of a chunk of one sequence's tokens over its paged KV cache. Twin:
/// reference::prefill_attention.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// The chunk's own keys and values are in the cache already: lengths[pair] >= n counts them.
struct PrefillAttentionArguments {
    PagedKvCache cache;         ///< of one sequence: num_pairs = num_kv_heads
    const Bf16* q = nullptr;    ///< [n, num_qo_heads, head_dim], 16-byte aligned
    std::int64_t q_stride = 0;  ///< elements from token to token, a multiple of 8
    Bf16* out = nullptr;        ///< as q
    std::int64_t out_stride = 0;
    std::int32_t n = 0;             ///< tokens of the chunk; 0 does nothing
    std::int32_t num_qo_heads = 0;  ///< a multiple of num_kv_heads, at most 16 times as many
};

/// out = softmax(q k / sqrt(head_dim)) v, where query i of the chunk sees the slots
/// [0, lengths[pair] - n + i] of its KV head. Heads may differ in length; lengths are read on the
/// device alone. 4 * head_dim operations per query head, query and slot seen; fp32 sums and
/// softmax, weights rounded to bf16. Equal input gives equal bits.
/// cudaErrorInvalidValue for shapes, strides or alignments other than said.
[[nodiscard]] cudaError_t prefill_attention(const PrefillAttentionArguments& arguments,
                                            cudaStream_t stream);

}  // namespace hc::kernels::cuda
