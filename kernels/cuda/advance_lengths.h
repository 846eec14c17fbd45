/// The end of a decode step: every cache has taken its token.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace hc::kernels::cuda {

/// lengths [num_lengths] += 1, of all layers at once, and positions [num_positions] += 1. Either
/// may be empty; cudaErrorInvalidValue for negative counts. Kernels load lengths before they wait
/// for others, so the kernel that follows must be launched plainly, without pdl; `pdl` says
/// whether this one may start while the kernel before it ends.
[[nodiscard]] cudaError_t advance_lengths(std::int32_t* lengths, std::int32_t num_lengths,
                                          std::int32_t* positions, std::int32_t num_positions,
                                          bool pdl, cudaStream_t stream);

}  // namespace hc::kernels::cuda
