/// Plain twins of every operator of the CPU engine: the meaning, in straight loops, fp32 (sums
/// in double where said). Nothing here is fast.
///
/// All matrices are row-major. `n` counts tokens.
#pragma once

#include <cstdint>
#include <span>

#include "engine/core/dtype.h"
#include "kernels/types/arguments.h"

namespace hc::kernels::reference {

/// One row of a weight matrix as fp32: out [cols].
void dequantize_row(const WeightView& w, std::int64_t row, float* out);

/// y[n, w.rows] = x[n, w.cols] * w^T (+ bias [w.rows] when not null); sums in double.
void matmul(const WeightView& w, const float* bias, const float* x, std::int64_t n, float* y);

/// y[n, dim] = x / sqrt(mean(x^2) + eps) * weight [dim].
void rms_norm(const float* x, const float* weight, std::int64_t n, std::int64_t dim, float eps, float* y);

/// Rotates heads in place: x [num_heads, head_dim] of the token at `position`.
/// inv_freq [head_dim/2] already carries theta and scaling. interleaved: pairs (2i, 2i+1),
/// else (i, i + head_dim/2).
void rope(float* x, std::int64_t num_heads, std::int64_t head_dim, std::int64_t position,
          const float* inv_freq, bool interleaved);

/// y[i] = silu(gate[i]) * up[i].
void silu_mul(const float* gate, const float* up, std::int64_t count, float* y);

/// Decode attention of one KV head: q [group, head_dim], out [group, head_dim];
/// softmax(q k / sqrt(head_dim)) v over all kv.length tokens. length 0 gives zeros.
/// `probs`, when not null, receives the softmax rows [group, kv.length].
void decode_attention(const PagedKv& kv, const float* q, std::int64_t group, float* out, float* probs);

/// Causal attention of one KV head over a chunk: query i [group, head_dim] of the chunk sits at
/// position kv.length - n + i and sees all tokens up to itself. q and out are
/// [n, num_qo_heads, head_dim] with this head's group first at q; q_stride = floats per token.
void prefill_attention(const PagedKv& kv, const float* q, std::int64_t n, std::int64_t group,
                       std::int64_t q_stride, float* out);

/// Selection score of algorithm.md §4 over the first `prompt` tokens of kv: per query head
/// softmax(q k / sqrt(head_dim)), mean filter of `pool_width`, then maximum over the group:
/// out [prompt]. With `half_precision` QK is not scaled before it is rounded to fp16, and scaled
/// product, softmax and pooled value are each rounded to fp16 (row 9).
void selection_score(const PagedKv& kv, std::int64_t prompt, const float* q, std::int64_t group,
                     std::int32_t pool_width, bool half_precision, float* out);

}  // namespace hc::kernels::reference
