#include "kernels/cuda/rope_append_prefill.h"

#include <cstdint>

#include "kernels/cuda/bf16_vector.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxHeadDim = 256;

struct Params {
    const Bf16* qkv;
    std::int64_t qkv_stride;
    std::int64_t first_position;
    const float* inv_freq;
    PagedKvCache cache;
    Bf16* q_out;
    int n;
    int num_qo_heads;
    int num_kv_heads;
};

/// Where key (and page_size rows on, value) of token i go; null for a slot that does not exist.
__device__ Bf16* key_row(const Params& params, int pair, int i) {
    const PagedKvCache& cache = params.cache;
    const int slot = cache.lengths[pair] - params.n + i;
    if (slot < 0) return nullptr;
    const int in_list = slot / cache.page_size;
    const std::int64_t page = cache.page_indices[cache.page_indptr[pair] + in_list];
    return cache.pages +
           (page * 2 * cache.page_size + (slot - in_list * cache.page_size)) * cache.head_dim;
}

/// Elements at .. at + 7 of both halves of a head.
__device__ void rotate8(const Bf16* head, int at, int half, const float* cosines,
                        const float* sines, Bf16* target) {
    float x[8];
    float y[8];
    load8(head + at, x);
    load8(head + at + half, y);
    float first[8];
    float second[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const float c = cosines[at + j];
        const float s = sines[at + j];
        first[j] = x[j] * c - y[j] * s;
        second[j] = x[j] * s + y[j] * c;
    }
    store8(target + at, first);
    store8(target + at + half, second);
}

/// A block per token: its heads share the angles.
__global__ void __launch_bounds__(kThreads)
    rope_append_prefill_kernel(const __grid_constant__ Params params) {
    __shared__ float cosines[kMaxHeadDim / 2];
    __shared__ float sines[kMaxHeadDim / 2];
    const int dim = params.cache.head_dim;
    const int half = dim / 2;
    const int token = static_cast<int>(blockIdx.x);
    const auto position = static_cast<float>(params.first_position + token);
    for (int i = threadIdx.x; i < half; i += kThreads) {
        // The product is rounded as the twin's is; sincosf reduces large angles exactly.
        sincosf(position * params.inv_freq[i], &sines[i], &cosines[i]);
    }
    __syncthreads();
    const Bf16* row = params.qkv + token * params.qkv_stride;
    const int units = half / 8;  // pairs of eight elements of a head
    const int rotated = params.num_qo_heads + params.num_kv_heads;
    for (int item = threadIdx.x; item < rotated * units; item += kThreads) {
        const int head = item / units;
        const int at = (item - head * units) * 8;
        const std::int64_t q_row = std::int64_t{token} * params.num_qo_heads + head;
        Bf16* target = head < params.num_qo_heads
                           ? params.q_out + q_row * dim
                           : key_row(params, head - params.num_qo_heads, token);
        if (target != nullptr) rotate8(row + head * dim, at, half, cosines, sines, target);
    }
    const auto* values = reinterpret_cast<const uint4*>(row + rotated * dim);
    for (int item = threadIdx.x; item < params.num_kv_heads * 2 * units; item += kThreads) {
        const int head = item / (2 * units);
        const int at = item - head * 2 * units;
        Bf16* key = key_row(params, head, token);
        if (key == nullptr) continue;
        auto* target =
            reinterpret_cast<uint4*>(key + static_cast<std::int64_t>(params.cache.page_size) * dim);
        target[at] = values[item];
    }
}

}  // namespace

cudaError_t rope_append_prefill(const Bf16* qkv, std::int64_t qkv_stride,
                                std::int64_t first_position, const float* inv_freq, std::int32_t n,
                                std::int32_t num_qo_heads, std::int32_t num_kv_heads,
                                const PagedKvCache& cache, Bf16* q_out, cudaStream_t stream) {
    const bool valid = n >= 0 && first_position >= 0 && num_qo_heads >= 1 && num_kv_heads >= 1 &&
                       num_qo_heads <= 65536 && num_kv_heads <= 65536 &&
                       cache.num_pairs == num_kv_heads && cache.page_size >= 1 &&
                       cache.head_dim >= 16 && cache.head_dim % 16 == 0 &&
                       cache.head_dim <= kMaxHeadDim && qkv_stride % 8 == 0 &&
                       qkv_stride >= (num_qo_heads + 2 * num_kv_heads) * cache.head_dim;
    if (!valid) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    const Params params{qkv,   qkv_stride, first_position, inv_freq,    cache,
                        q_out, n,          num_qo_heads,   num_kv_heads};
    rope_append_prefill_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(params);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
