/// Rotation and append of a prefill chunk: what rope_append does for one token of many sequences,
/// for many tokens of one. Twin: reference::rope.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// Takes the n tokens at positions first_position .. first_position + n - 1 of one sequence: row i
/// of qkv [n, qkv_stride] (stride in elements) holds [num_qo_heads + 2 * num_kv_heads, head_dim],
/// queries first, then keys, then values. Writes the rotated queries to q_out [n, num_qo_heads,
/// head_dim] and puts rotated key and value of token i at slot lengths[pair] - n + i: the caller
/// has added the chunk to the lengths already, and the pages must exist. A slot below 0 is not
/// written.
///
/// `cache` shows this sequence alone: num_pairs is num_kv_heads. inv_freq [head_dim / 2] fp32
/// carries theta and scaling; rotation pairs (i, i + head_dim / 2). All pointers are device
/// pointers; qkv, q_out and the pages 16-byte aligned. Moves 4 * n * (num_qo_heads + 2 *
/// num_kv_heads) * head_dim bytes. cudaErrorInvalidValue unless head_dim is a multiple of 16 up to
/// 256 and qkv_stride one of 8 that holds a row.
[[nodiscard]] cudaError_t rope_append_prefill(const Bf16* qkv, std::int64_t qkv_stride,
                                              std::int64_t first_position, const float* inv_freq,
                                              std::int32_t n, std::int32_t num_qo_heads,
                                              std::int32_t num_kv_heads, const PagedKvCache& cache,
                                              Bf16* q_out, cudaStream_t stream);

}  // namespace hc::kernels::cuda
