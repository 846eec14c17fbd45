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

__device__ void load8_f32(const float* source, float (&out)[8]) {
    const float4 a = reinterpret_cast<const float4*>(source)[0];
    const float4 b = reinterpret_cast<const float4*>(source)[1];
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

__device__ void store8_f32(float* target, const float (&v)[8]) {
    reinterpret_cast<float4*>(target)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(target)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

// One block a token; `add` or `out` may be null, not both.
__global__ void __launch_bounds__(kThreads)
    rms_norm_residual_kernel(const Bf16* add, float* residual, const Bf16* weight, std::int64_t dim,
                             float eps, Bf16* out) {
    const std::int64_t row = blockIdx.x * dim;
    float values[kMaxPerThread][8];
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < kMaxPerThread; ++i) {
        const std::int64_t at = 8 * (threadIdx.x + std::int64_t{i} * kThreads);
        if (at >= dim) break;
        load8_f32(residual + row + at, values[i]);
        if (add != nullptr) {
            float more[8];
            load8(add + row + at, more);
#pragma unroll
            for (int j = 0; j < 8; ++j) values[i][j] += more[j];
            store8_f32(residual + row + at, values[i]);
        }
#pragma unroll
        for (const float v : values[i]) squares += v * v;
    }
    if (out == nullptr) return;  // the whole grid
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

cudaError_t rms_norm_residual(const Bf16* add, float* residual, const Bf16* weight, std::int32_t n,
                              std::int64_t dim, float eps, Bf16* out, cudaStream_t stream) {
    if (n < 0 || dim < 8 || dim % 8 != 0 || dim > kMaxDim) return cudaErrorInvalidValue;
    if (n == 0 || (add == nullptr && out == nullptr)) return cudaSuccess;
    rms_norm_residual_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(
        add, residual, weight, dim, eps, out);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
