#include "kernels/cuda/query_window.h"

#include "kernels/cuda/launch.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    gather_query_window_kernel(const Bf16* ring, std::int64_t ring_stride, int depth, int oldest,
                               std::int64_t offset, int row_elements, Bf16* out) {
    const int row = (oldest + static_cast<int>(blockIdx.x)) % depth;
    const auto* source = reinterpret_cast<const uint4*>(ring + row * ring_stride + offset);
    auto* target =
        reinterpret_cast<uint4*>(out + static_cast<std::int64_t>(blockIdx.x) * row_elements);
    for (int i = threadIdx.x; i < row_elements / 8; i += kThreads) target[i] = source[i];
}

}  // namespace

cudaError_t gather_query_window(const Bf16* ring, std::int64_t ring_stride, std::int32_t depth,
                                std::int32_t window, std::int32_t oldest, std::int32_t head,
                                std::int32_t group, std::int32_t head_dim, Bf16* out,
                                cudaStream_t stream) {
    if (window < 1 || window > depth || oldest < 0 || oldest >= depth || head < 0 || group < 1 ||
        head_dim < 8 || head_dim % 8 != 0 || ring_stride % 8 != 0) {
        return cudaErrorInvalidValue;
    }
    run_beside_others(gather_query_window_kernel);
    gather_query_window_kernel<<<static_cast<unsigned>(window), kThreads, 0, stream>>>(
        ring, ring_stride, depth, oldest, static_cast<std::int64_t>(head) * group * head_dim,
        group * head_dim, out);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
