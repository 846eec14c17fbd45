/// Attention in the open: whole softmax rows of one query token per sequence, and what follows
/// from them. For drift traces, calibration and the oracle; decode_attention.h is the fast way when
/// nobody looks at the weights.
///
/// `group` query heads share a KV head, 1 to 16; head_dim is a multiple of 8 up to 256; at most
/// 65,535 pairs and rows (pairs * group). All pointers are device pointers; bf16 ones 16-byte
/// aligned. A pair holds lengths[pair] + extra tokens: `extra` of 1 is for a token appended after
/// the lengths were last written. Results do not depend on timing. No host sync.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

[[nodiscard]] std::size_t attention_probabilities_workspace_bytes(std::int32_t num_pairs,
                                                                  std::int32_t group);

/// rows [num_pairs, group, row_stride] fp32 = softmax(q k / sqrt(head_dim)) of q [num_pairs, group,
/// head_dim] over all tokens of the pair; what lies past them stays as it was. row_stride must hold
/// the longest pair: tokens past it are left out. `workspace` is
/// attention_probabilities_workspace_bytes(), 16-byte aligned, not cleared. Reads 2 * head_dim *
/// tokens bytes of keys once and writes 4 * group * tokens, twice. Two kernels. Twin:
/// reference::decode_attention.
[[nodiscard]] cudaError_t attention_probabilities(const PagedKvCache& cache, const Bf16* q,
                                                  std::int32_t group, std::int32_t extra,
                                                  float* rows, std::int64_t row_stride,
                                                  float* workspace, cudaStream_t stream);

/// out [num_pairs, group, head_dim] = sum p v / sum p over the slots that take part: of those below
/// `prompt` the ones whose bit in bitmaps [num_pairs, words] is set, of the others all. `rows` as
/// attention_probabilities wrote them. No slot, or no weight: zeros. Pairs whose byte in take
/// [num_pairs] is 0 are left untouched; null takes all. Reads 2 * head_dim bytes of each value that
/// takes part once per four queries of the group; a block per pair and four queries, so a few long
/// pairs do not fill a device.
[[nodiscard]] cudaError_t weighted_values(const PagedKvCache& cache, std::int32_t extra,
                                          const float* rows, std::int64_t row_stride,
                                          std::int32_t group, const std::uint32_t* bitmaps,
                                          std::int32_t words, std::int32_t prompt,
                                          const std::uint8_t* take, Bf16* out, cudaStream_t stream);

/// sums [num_pairs, sum_stride] = the first `prompt` probabilities of each pair summed over its
/// group, from the first query head to the last, bit for bit what a plain loop gives.
[[nodiscard]] cudaError_t group_sum(const float* rows, std::int64_t row_stride,
                                    std::int32_t num_pairs, std::int32_t group, std::int32_t prompt,
                                    float* sums, std::int64_t sum_stride, cudaStream_t stream);

}  // namespace hc::kernels::cuda
