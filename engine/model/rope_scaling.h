/// Frequency scaling of rotary embeddings as divisors per frequency.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/model_shape.h"

namespace hc::model {

/// Llama-3 scaling, [head_dim/2]: long wavelengths are stretched by the factor, short ones stay,
/// those between blend smoothly.
[[nodiscard]] std::vector<float> llama3_rope_factors(const RopeScaling& scaling, double rope_theta,
                                                     std::int64_t head_dim);

}  // namespace hc::model
