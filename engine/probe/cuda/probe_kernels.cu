#include "engine/probe/cuda/probe_kernels.h"

namespace hc::probe::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kLoads = 8;  // of 16 bytes, under way per thread

__global__ void nothing_kernel() {}

__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* __restrict__ data, std::int64_t count, std::uint32_t* out) {
    const std::int64_t threads = std::int64_t{gridDim.x} * kThreads;
    std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
    std::uint32_t mixed = 0;
    for (; at + (kLoads - 1) * threads < count; at += kLoads * threads) {
        uint4 loaded[kLoads];
#pragma unroll
        for (int i = 0; i < kLoads; ++i) loaded[i] = __ldcs(data + at + i * threads);
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
            mixed ^= loaded[i].x ^ loaded[i].y ^ loaded[i].z ^ loaded[i].w;
        }
    }
    for (; at < count; at += threads) {
        const uint4 loaded = data[at];
        mixed ^= loaded.x ^ loaded.y ^ loaded.z ^ loaded.w;
    }
    // Never true for random data in practice; without a use the compiler would drop the loads.
    if (mixed == 0x7f4a7c15u) *out = mixed;
}

}  // namespace

cudaError_t launch_nothing(cudaStream_t stream) {
    nothing_kernel<<<1, 32, 0, stream>>>();
    return cudaGetLastError();
}

cudaError_t read_once(const void* data, std::int64_t bytes, int blocks, std::uint32_t* out,
                      cudaStream_t stream) {
    if (bytes < 0 || bytes % 16 != 0 || blocks < 1) return cudaErrorInvalidValue;
    read_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
        static_cast<const uint4*>(data), bytes / 16, out);
    return cudaGetLastError();
}

}  // namespace hc::probe::cuda
