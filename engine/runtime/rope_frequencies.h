/// The rotation angles of RoPE, with whatever scaling the model asks for.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/model_shape.h"

namespace hc::runtime {

/// Inverse frequencies [head_dim/2]. `factors` (a divisor per frequency) wins over
/// shape.rope_scaling, because loaders put all scaling there. Throws Error(kInput) when its
/// length is neither 0 nor head_dim/2.
[[nodiscard]] std::vector<float> rope_frequencies(const ModelShape& shape,
                                                  std::span<const float> factors);

/// cos and sin of `count` positions from `first` on: each [count, inv_freq.size()].
void rope_angles(std::span<const float> inv_freq, std::int64_t first, std::int64_t count,
                 float* cos_table, float* sin_table);

}  // namespace hc::runtime
