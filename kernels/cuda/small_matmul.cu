// A product whose cost is reading the weights once. The tensor cores do the sums: 16 weight rows
// by up to 8 tokens. Fragments come straight from global memory, 16 bytes a lane: which of the
// 32 columns a lane calls which k does not matter as long as weights and activations agree, so a
// lane takes 8 neighbouring columns, which feed two instructions.
#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/tensor_core.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kMaxTokens = 8;
constexpr int kRows = 16;
constexpr int kStep = 32;  // columns

struct Params {
    const Bf16* w;
    const Bf16* bias;
    const Bf16* x;
    void* out;
    std::int64_t rows;
    int cols;
    int n;
    OutType out_type;
};

// Weights pass once: they take no place in L1, where the activations stay.
__device__ inline uint4 load_stream(const Bf16* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

// 16 rows a CTA; its warps share the columns, kDepth steps at a time in flight.
template <int kDepth>
__global__ void __launch_bounds__(kThreads) small_matmul_kernel(const __grid_constant__ Params p) {
    __shared__ float sums[kWarps][kRows][kMaxTokens];
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int token = lane / 4;
    const std::int64_t first_row = blockIdx.x * std::int64_t{kRows};
    const Bf16* w[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        // Rows beyond the last read the last; they are not stored.
        const std::int64_t row = min(first_row + lane / 4 + 8 * i, p.rows - 1);
        w[i] = p.w + row * p.cols + lane % 4 * 8;
    }
    const Bf16* x = p.x + static_cast<std::int64_t>(token) * p.cols + lane % 4 * 8;
    const bool has_token = token < p.n;
    float acc[4] = {};
    for (int k = warp * kStep * kDepth; k < p.cols; k += kWarps * kStep * kDepth) {
        uint4 a[kDepth][2];
        uint4 b[kDepth];
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
            const bool in = k + d * kStep < p.cols;
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                a[d][i] = in ? load_stream(w[i] + k + d * kStep) : make_uint4(0, 0, 0, 0);
            }
        }
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
            const bool in = k + d * kStep < p.cols && has_token;
            b[d] = in ? __ldg(reinterpret_cast<const uint4*>(x + k + d * kStep))
                      : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
            const uint4& top = a[d][0];
            const uint4& low = a[d][1];
            const unsigned even[4] = {top.x, low.x, top.y, low.y};
            const unsigned odd[4] = {top.z, low.z, top.w, low.w};
            multiply_add(acc, even, b[d].x, b[d].y);
            multiply_add(acc, odd, b[d].z, b[d].w);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        sums[warp][lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2] = acc[i];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kRows * p.n; i += kThreads) {
        const int r = i % kRows;
        const int t = i / kRows;
        const std::int64_t row = first_row + r;
        if (row >= p.rows) continue;
        float v = p.bias != nullptr ? __uint_as_float(unsigned{p.bias[row]} << 16) : 0.0f;
#pragma unroll
        for (int s = 0; s < kWarps; ++s) v += sums[s][r][t];
        const std::int64_t at = t * p.rows + row;
        if (p.out_type == OutType::kF32) {
            static_cast<float*>(p.out)[at] = v;
        } else {
            static_cast<Bf16*>(p.out)[at] = static_cast<Bf16>(pack2(v, 0.0f));
        }
    }
}

}  // namespace

cudaError_t small_matmul(const Bf16* w, std::int64_t rows, std::int64_t cols, const Bf16* bias,
                         const Bf16* x, std::int32_t n, void* out, OutType out_type,
                         cudaStream_t stream) {
    const bool valid = rows >= 1 && cols >= kStep && cols % kStep == 0 && cols <= 1 << 24 &&
                       n >= 0 && n <= kMaxTokens;
    if (!valid) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    const Params params{w, bias, x, out, rows, static_cast<int>(cols), n, out_type};
    const auto blocks = static_cast<unsigned>((rows + 15) / 16);
    // Few rows leave few CTAs a multiprocessor, each of which then keeps more in flight.
    if (rows < 65536) {
        small_matmul_kernel<8><<<blocks, kThreads, 0, stream>>>(params);
    } else {
        small_matmul_kernel<4><<<blocks, kThreads, 0, stream>>>(params);
    }
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
