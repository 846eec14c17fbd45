/// The window of queries of one pivot, put side by side for selection_score.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// ring [depth, ...] holds the queries of the last `depth` steps; those of the window lie in rows
/// oldest, oldest + 1, ... (mod depth). out [window, group, head_dim], oldest first: the group of
/// KV head `head`. ring_stride: elements from one row of the ring to the next. head_dim % 8 == 0.
[[nodiscard]] cudaError_t gather_query_window(const Bf16* ring, std::int64_t ring_stride,
                                              std::int32_t depth, std::int32_t window,
                                              std::int32_t oldest, std::int32_t head,
                                              std::int32_t group, std::int32_t head_dim, Bf16* out,
                                              cudaStream_t stream);

}  // namespace hc::kernels::cuda
