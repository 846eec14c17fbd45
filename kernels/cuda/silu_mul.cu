#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/ops.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// Moves 6 bytes an element.
__global__ void silu_mul_kernel(const Bf16* gate_up, std::int64_t width, Bf16* out) {
    const std::int64_t column = 8 * (blockIdx.x * std::int64_t{kThreads} + threadIdx.x);
    if (column >= width) return;
    const Bf16* row = gate_up + 2 * width * blockIdx.y;
    float gate[8];
    float up[8];
    load8(row + column, gate);
    load8(row + width + column, up);
#pragma unroll
    for (int i = 0; i < 8; ++i) gate[i] = gate[i] / (1.0f + __expf(-gate[i])) * up[i];
    store8(out + width * blockIdx.y + column, gate);
}

}  // namespace

cudaError_t silu_mul(const Bf16* gate_up, std::int32_t n, std::int64_t width, Bf16* out,
                     cudaStream_t stream) {
    if (n < 0 || width < 0 || width % 8 != 0) return cudaErrorInvalidValue;
    if (n == 0 || width == 0) return cudaSuccess;
    const dim3 grid(static_cast<unsigned>((width / 8 + kThreads - 1) / kThreads),
                    static_cast<unsigned>(n));
    silu_mul_kernel<<<grid, kThreads, 0, stream>>>(gate_up, width, out);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
