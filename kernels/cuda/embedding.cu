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

}  // namespace

cudaError_t embedding(const Bf16* table, std::int64_t vocabulary, std::int64_t dim,
                      const std::int32_t* ids, std::int32_t n, Bf16* out, cudaStream_t stream) {
    if (n < 0 || vocabulary < 1 || dim < 8 || dim % 8 != 0) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    embedding_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(table, vocabulary, dim, ids,
                                                                        out);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
