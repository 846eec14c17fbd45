#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 128;

// One block a token; moves 4 bytes an element.
__global__ void embedding_kernel(const Bf16* table, std::int64_t vocabulary, std::int64_t dim,
                                 const std::int32_t* ids, Bf16* out) {
    const std::int64_t id = ids[blockIdx.x];
    const bool known = id >= 0 && id < vocabulary;
    const auto* row = reinterpret_cast<const uint4*>(table + (known ? id : 0) * dim);
    auto* target = reinterpret_cast<uint4*>(out + blockIdx.x * dim);
    for (std::int64_t i = threadIdx.x; i < dim / 8; i += kThreads) {
        target[i] = known ? row[i] : make_uint4(0, 0, 0, 0);
    }
}

// As above, but 6 bytes an element.
__global__ void embedding_f32_kernel(const Bf16* table, std::int64_t vocabulary, std::int64_t dim,
                                     const std::int32_t* ids, float* out) {
    const std::int64_t id = ids[blockIdx.x];
    const bool known = id >= 0 && id < vocabulary;
    const Bf16* row = table + (known ? id : 0) * dim;
    auto* target = reinterpret_cast<float4*>(out + blockIdx.x * dim);
    for (std::int64_t i = threadIdx.x; i < dim / 8; i += kThreads) {
        float v[8] = {};
        if (known) load8(row + i * 8, v);
        target[2 * i] = make_float4(v[0], v[1], v[2], v[3]);
        target[2 * i + 1] = make_float4(v[4], v[5], v[6], v[7]);
    }
}

}  // namespace

cudaError_t embedding(const Bf16* table, std::int64_t vocabulary, std::int64_t dim,
                      const std::int32_t* ids, std::int32_t n, Bf16* out, cudaStream_t stream) {
    if (n < 0 || vocabulary < 1 || dim < 8 || dim % 8 != 0) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    run_beside_others(embedding_kernel);
    embedding_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(table, vocabulary, dim, ids,
                                                                        out);
    return cudaGetLastError();
}

cudaError_t embedding_f32(const Bf16* table, std::int64_t vocabulary, std::int64_t dim,
                          const std::int32_t* ids, std::int32_t n, float* out,
                          cudaStream_t stream) {
    if (n < 0 || vocabulary < 1 || dim < 8 || dim % 8 != 0) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    run_beside_others(embedding_f32_kernel);
    embedding_f32_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(table, vocabulary, dim,
                                                                            ids, out);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
