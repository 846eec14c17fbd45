/// What a cache that is concatenated anew at every token does to the memory: all of it is read and
/// written. For the baseline that copies (algorithm.md §7, FullKV), not for our own steps.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// Copies the tokens that `cache` holds (lengths + appended, rounded up to 16) page by page to
/// `copy`, which has room for all pages of all lists: moves 2 * 4 * head_dim bytes a token.
/// max_pages: of the longest list.
[[nodiscard]] cudaError_t copy_cache(const PagedKvCache& cache, std::int32_t max_pages, Bf16* copy,
                                     cudaStream_t stream);

}  // namespace hc::kernels::cuda
