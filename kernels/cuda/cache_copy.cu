#include <algorithm>

#include "kernels/cuda/cache_copy.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kInFlight = 8;

// A block a page.
__global__ void __launch_bounds__(kThreads)
    copy_cache_kernel(const __grid_constant__ PagedKvCache cache, Bf16* copy) {
    const int pair = static_cast<int>(blockIdx.y);
    const int entry = static_cast<int>(blockIdx.x);
    const int held = cache.lengths[pair] + cache.appended - entry * cache.page_size;
    if (held <= 0) return;
    const std::int64_t half = static_cast<std::int64_t>(cache.page_size) * cache.head_dim / 8;
    const std::int64_t page = cache.page_indices[cache.page_indptr[pair] + entry];
    const std::int64_t slot = static_cast<std::int64_t>(pair) * gridDim.x + entry;
    const auto* source = reinterpret_cast<const uint4*>(cache.pages) + 2 * half * page;
    auto* target = reinterpret_cast<uint4*>(copy) + 2 * half * slot;
    const int tokens = min(cache.page_size, (held + 15) / 16 * 16);
    const std::int64_t used = static_cast<std::int64_t>(tokens) * cache.head_dim / 8;
    for (int part = 0; part < 2; ++part) {
        for (std::int64_t i = threadIdx.x; i < used; i += kInFlight * kThreads) {
            uint4 v[kInFlight];
#pragma unroll
            for (int j = 0; j < kInFlight; ++j) {
                if (i + j * kThreads < used) v[j] = __ldcs(source + part * half + i + j * kThreads);
            }
#pragma unroll
            for (int j = 0; j < kInFlight; ++j) {
                if (i + j * kThreads < used) __stcs(target + part * half + i + j * kThreads, v[j]);
            }
        }
    }
}

}  // namespace

cudaError_t copy_cache(const PagedKvCache& cache, std::int32_t max_pages, Bf16* copy,
                       cudaStream_t stream) {
    if (cache.head_dim < 8 || cache.head_dim % 8 != 0 || cache.page_size % 16 != 0 ||
        max_pages < 0 || cache.num_pairs < 0 || cache.num_pairs > 65535) {
        return cudaErrorInvalidValue;
    }
    if (max_pages == 0 || cache.num_pairs == 0) return cudaSuccess;
    const dim3 grid(static_cast<unsigned>(max_pages), static_cast<unsigned>(cache.num_pairs));
    copy_cache_kernel<<<grid, kThreads, 0, stream>>>(cache, copy);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
