/// A kernel that only reads: the bandwidth that everything else is held against.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hc::cuda::bench {

/// Reads `bytes` (a multiple of 16) of device memory once, in `blocks` blocks. `out` [1] is written
/// in a case that does not occur.
[[nodiscard]] cudaError_t read_memory(const void* data, std::int64_t bytes, int blocks,
                                      std::uint32_t* out, cudaStream_t stream);

}  // namespace hc::cuda::bench
