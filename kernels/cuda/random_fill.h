/// Seeded random values in device memory: weights and KV of shapes that have no model behind them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// out [count]: close to normal, mean 0, deviation `deviation`; element i depends on seed and i
/// alone. Writes 2 * count bytes.
[[nodiscard]] cudaError_t random_fill(Bf16* out, std::int64_t count, std::uint64_t seed,
                                      float deviation, cudaStream_t stream);

/// The same for KV pages that are listed: page p of `pages` [.., 2 * page_size * head_dim] for
/// every p of page_indices [num_pages].
[[nodiscard]] cudaError_t random_fill_pages(Bf16* pages, const std::int32_t* page_indices,
                                            std::int64_t num_pages, std::int64_t page_elements,
                                            std::uint64_t seed, cudaStream_t stream);

}  // namespace hc::kernels::cuda
