#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/ops.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kMaxPerThread = 4;  // groups of 8, kept in registers between the two passes
constexpr std::int64_t kMaxDim = 8LL * kThreads * kMaxPerThread;

__device__ float block_sum(float v) {
    __shared__ float sums[kThreads / 32];
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0.0f;
    for (const float s : sums) v += s;
    return v;
}

// One block a token.
__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(const Bf16* x, Bf16* residual, const Bf16* weight, std::int64_t dim, float eps,
                    Bf16* out) {
    const std::int64_t row = blockIdx.x * dim;
    float values[kMaxPerThread][8];
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < kMaxPerThread; ++i) {
        const std::int64_t at = 8 * (threadIdx.x + std::int64_t{i} * kThreads);
        if (at >= dim) break;
        load8(x + row + at, values[i]);
        if (residual != nullptr) {
            float add[8];
            load8(residual + row + at, add);
#pragma unroll
            for (int j = 0; j < 8; ++j) values[i][j] += add[j];
            store8(residual + row + at, values[i]);
        }
#pragma unroll
        for (const float v : values[i]) squares += v * v;
    }
    const float scale = rsqrtf(block_sum(squares) / static_cast<float>(dim) + eps);
#pragma unroll
    for (int i = 0; i < kMaxPerThread; ++i) {
        const std::int64_t at = 8 * (threadIdx.x + std::int64_t{i} * kThreads);
        if (at >= dim) break;
        float w[8];
        load8(weight + at, w);
#pragma unroll
        for (int j = 0; j < 8; ++j) w[j] *= values[i][j] * scale;
        store8(out + row + at, w);
    }
}

}  // namespace

cudaError_t rms_norm(const Bf16* x, Bf16* residual, const Bf16* weight, std::int32_t n,
                     std::int64_t dim, float eps, Bf16* out, cudaStream_t stream) {
    if (n < 0 || dim < 8 || dim % 8 != 0 || dim > kMaxDim) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    rms_norm_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(x, residual, weight, dim,
                                                                       eps, out);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
