#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/ops.h"

namespace hc::kernels::cuda {
namespace {

__device__ float to_float(Bf16 bits) {
    return __uint_as_float(unsigned{bits} << 16);
}

__device__ Bf16 to_bf16(float v) {
    return static_cast<Bf16>(pack2(v, 0.0f));
}

struct Params {
    const Bf16* qkv;
    const std::int32_t* positions;
    const float* inv_freq;
    PagedKvCache cache;
    Bf16* q_out;
    int num_qo_heads;
    int num_kv_heads;
    bool interleaved;
};

// One pair of elements of a head, rotated by the angle of its frequency.
__device__ void rotate(const Params& params, const Bf16* head, int position, int i, Bf16* target) {
    const int half = params.cache.head_dim / 2;
    const int a = params.interleaved ? 2 * i : i;
    const int b = params.interleaved ? 2 * i + 1 : i + half;
    // The product is rounded as the twin's is; sincosf reduces large angles exactly.
    const float angle = static_cast<float>(position) * params.inv_freq[i];
    float sine = 0.0f;
    float cosine = 0.0f;
    sincosf(angle, &sine, &cosine);
    const float x = to_float(head[a]);
    const float y = to_float(head[b]);
    target[a] = to_bf16(x * cosine - y * sine);
    target[b] = to_bf16(x * sine + y * cosine);
}

// A block per (head, sequence): query heads first, then KV heads, which append. One thread per
// rotated pair of elements.
__global__ void rope_append_kernel(const __grid_constant__ Params params) {
    const int dim = params.cache.head_dim;
    const int head = blockIdx.x;
    const long long sequence = blockIdx.y;
    const int i = threadIdx.x;
    const int position = params.positions[sequence];
    const Bf16* token =
        params.qkv + sequence * (params.num_qo_heads + 2 * params.num_kv_heads) * dim;
    if (head < params.num_qo_heads) {
        rotate(params, token + head * dim, position, i,
               params.q_out + (sequence * params.num_qo_heads + head) * dim);
        return;
    }
    const int kv_head = head - params.num_qo_heads;
    const long long pair = sequence * params.num_kv_heads + kv_head;
    const int slot = params.cache.lengths[pair];
    __syncthreads();  // all have read the length
    if (i == 0) params.cache.lengths[pair] = slot + 1;
    const int page_size = params.cache.page_size;
    const long long page =
        params.cache.page_indices[params.cache.page_indptr[pair] + slot / page_size];
    Bf16* key = params.cache.pages + (page * 2 * page_size + slot % page_size) * dim;
    Bf16* value = key + static_cast<long long>(page_size) * dim;
    rotate(params, token + head * dim, position, i, key);
    const Bf16* source = token + (head + params.num_kv_heads) * dim;
    value[i] = source[i];
    value[i + dim / 2] = source[i + dim / 2];
}

}  // namespace

cudaError_t rope_append(const Bf16* qkv, const std::int32_t* positions, const float* inv_freq,
                        bool interleaved, std::int32_t n, std::int32_t num_qo_heads,
                        std::int32_t num_kv_heads, const PagedKvCache& cache, Bf16* q_out,
                        cudaStream_t stream) {
    const bool valid = n >= 0 && n <= 65535 && num_qo_heads >= 1 && num_kv_heads >= 1 &&
                       cache.num_pairs == n * num_kv_heads && cache.page_size >= 1 &&
                       cache.head_dim >= 2 && cache.head_dim % 2 == 0 && cache.head_dim <= 512;
    if (!valid) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    const Params params{qkv,   positions,    inv_freq,     cache,
                        q_out, num_qo_heads, num_kv_heads, interleaved};
    const dim3 grid(static_cast<unsigned>(num_qo_heads + num_kv_heads), static_cast<unsigned>(n));
    rope_append_kernel<<<grid, static_cast<unsigned>(cache.head_dim / 2), 0, stream>>>(params);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
