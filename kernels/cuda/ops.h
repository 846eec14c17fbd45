/// The operators of a decode step on the device, bf16 in and out, fp32 inside. Each has a plain
/// twin in kernels/reference. All pointers are device pointers, 16-byte aligned; matrices are
/// row-major; `n` counts tokens (one per sequence in a decode step).
///
/// Launchers only enqueue on `stream`: they allocate nothing, wait for nothing, and return
/// cudaErrorInvalidValue for shapes they do not support, else what the launch returned.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// out [n, dim] = table [vocabulary, dim] row of each token of ids [n]. An id outside the table
/// gives zeros. dim % 8 == 0.
[[nodiscard]] cudaError_t embedding(const Bf16* table, std::int64_t vocabulary, std::int64_t dim,
                                    const std::int32_t* ids, std::int32_t n, Bf16* out,
                                    cudaStream_t stream);

/// The same in fp32, which holds the values exactly: the start of an fp32 residual stream.
[[nodiscard]] cudaError_t embedding_f32(const Bf16* table, std::int64_t vocabulary,
                                        std::int64_t dim, const std::int32_t* ids, std::int32_t n,
                                        float* out, cudaStream_t stream);

/// sum = x + residual (skipped when residual is null; else written back to residual, rounded),
/// out [n, dim] = sum / sqrt(mean(sum^2) + eps) * weight [dim]. dim % 8 == 0, dim <= 16384.
[[nodiscard]] cudaError_t rms_norm(const Bf16* x, Bf16* residual, const Bf16* weight,
                                   std::int32_t n, std::int64_t dim, float eps, Bf16* out,
                                   cudaStream_t stream);

/// The same over a residual stream in fp32, where many small additions are not lost to rounding:
/// residual [n, dim] += add [n, dim] (skipped when add is null), then out [n, dim] = residual /
/// sqrt(mean(residual^2) + eps) * weight [dim]. out may be null: only the addition. Equal dims.
[[nodiscard]] cudaError_t rms_norm_residual(const Bf16* add, float* residual, const Bf16* weight,
                                            std::int32_t n, std::int64_t dim, float eps, Bf16* out,
                                            cudaStream_t stream);

/// out [n, width] = silu(gate) * up, gate_up [n, 2 * width] with the gate first. width % 8 == 0.
[[nodiscard]] cudaError_t silu_mul(const Bf16* gate_up, std::int32_t n, std::int64_t width,
                                   Bf16* out, cudaStream_t stream);

/// Takes the token at positions [n] of each sequence: qkv [n, num_qo_heads + 2 * num_kv_heads,
/// head_dim], queries first, then keys, then values. Writes the rotated queries to q_out
/// [n, num_qo_heads, head_dim], and appends rotated key and value to cache at slot
/// lengths[pair], which it then increments; the page of that slot must exist.
/// inv_freq [head_dim / 2] fp32 carries theta and scaling. interleaved: pairs (2i, 2i + 1), else
/// (i, i + head_dim / 2). cache.num_pairs must be n * num_kv_heads.
[[nodiscard]] cudaError_t rope_append(const Bf16* qkv, const std::int32_t* positions,
                                      const float* inv_freq, bool interleaved, std::int32_t n,
                                      std::int32_t num_qo_heads, std::int32_t num_kv_heads,
                                      const PagedKvCache& cache, Bf16* q_out, cudaStream_t stream);

/// How a result of matmul is stored.
enum class OutType : std::uint8_t { kBf16, kF32 };

/// out [n, rows] = x [n, cols] * w [rows, cols]^T (+ bias [rows] when not null), sums in fp32.
/// For n of 1 to 8, where reading w is the cost. cols % 32 == 0.
[[nodiscard]] cudaError_t small_matmul(const Bf16* w, std::int64_t rows, std::int64_t cols,
                                       const Bf16* bias, const Bf16* x, std::int32_t n, void* out,
                                       OutType out_type, cudaStream_t stream);

}  // namespace hc::kernels::cuda
