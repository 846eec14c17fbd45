/// Kernels that do one thing, so that its limit can be measured.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hc::probe::cuda {

/// Does nothing: what a launch costs.
[[nodiscard]] cudaError_t launch_nothing(cudaStream_t stream);

/// Reads `bytes` (a multiple of 16) of device memory once, in `blocks` blocks. `out` [1] is written
/// in a case that does not occur.
[[nodiscard]] cudaError_t read_once(const void* data, std::int64_t bytes, int blocks,
                                    std::uint32_t* out, cudaStream_t stream);

}  // namespace hc::probe::cuda
