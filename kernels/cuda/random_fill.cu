#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/random_fill.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kBlocks = 1056;  // eight for each of Hopper's multiprocessors

__device__ std::uint64_t mix(std::uint64_t h) {
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return h ^ (h >> 31);
}

// The sum of four bytes of a hash is close to normal with deviation 147.8.
__device__ float normal(std::uint64_t seed, std::uint64_t i) {
    const std::uint64_t h = mix((i + 1) * 0x9e3779b97f4a7c15ull + seed);
    float sum = -510.0f;
#pragma unroll
    for (int b = 0; b < 4; ++b) sum += static_cast<float>((h >> (8 * b + 16)) & 255);
    return sum * (1.0f / 147.8f);
}

__device__ void fill8(Bf16* out, std::uint64_t seed, std::uint64_t first, float deviation) {
    float v[8];
#pragma unroll
    for (unsigned j = 0; j < 8; ++j) v[j] = normal(seed, first + j) * deviation;
    store8(out, v);
}

__global__ void __launch_bounds__(kThreads)
    fill_kernel(Bf16* out, std::int64_t count, std::uint64_t seed, float deviation) {
    const std::int64_t step = std::int64_t{8} * gridDim.x * kThreads;
    for (std::int64_t i = 8 * (blockIdx.x * std::int64_t{kThreads} + threadIdx.x); i < count;
         i += step) {
        if (i + 8 <= count) {
            fill8(out + i, seed, static_cast<std::uint64_t>(i), deviation);
            continue;
        }
        for (std::int64_t j = i; j < count; ++j) {
            out[j] = static_cast<Bf16>(
                pack2(normal(seed, static_cast<std::uint64_t>(j)) * deviation, 0.0f));
        }
    }
}

__global__ void __launch_bounds__(kThreads)
    fill_pages_kernel(Bf16* pages, const std::int32_t* page_indices, std::int64_t page_elements,
                      std::uint64_t seed) {
    const std::int64_t page = page_indices[blockIdx.x];
    for (std::int64_t i = 8 * static_cast<std::int64_t>(threadIdx.x); i < page_elements;
         i += 8 * kThreads) {
        const auto at = static_cast<std::uint64_t>(blockIdx.x * page_elements + i);
        fill8(pages + page * page_elements + i, seed, at, 1.0f);
    }
}

}  // namespace

cudaError_t random_fill(Bf16* out, std::int64_t count, std::uint64_t seed, float deviation,
                        cudaStream_t stream) {
    if (count < 0) return cudaErrorInvalidValue;
    if (count == 0) return cudaSuccess;
    fill_kernel<<<kBlocks, kThreads, 0, stream>>>(out, count, seed, deviation);
    return cudaGetLastError();
}

cudaError_t random_fill_pages(Bf16* pages, const std::int32_t* page_indices, std::int64_t num_pages,
                              std::int64_t page_elements, std::uint64_t seed, cudaStream_t stream) {
    if (num_pages < 0 || page_elements < 8 || page_elements % 8 != 0) return cudaErrorInvalidValue;
    if (num_pages == 0) return cudaSuccess;
    fill_pages_kernel<<<static_cast<unsigned>(num_pages), kThreads, 0, stream>>>(
        pages, page_indices, page_elements, seed);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
