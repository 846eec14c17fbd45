/// Block formats as kernels/reference/dequantize.cpp explains them. Eight neighbouring values, an
/// octet, are one thread's work: one 16-byte store. No type's octet crosses a block or a scale.
#include "kernels/cuda/dequantize.h"

#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/bf16_vector.cuh"

namespace hc::kernels::cuda {
namespace {

using Byte = std::uint8_t;

constexpr int kMaxThreads = 256;

__device__ unsigned read_u16(const Byte* p) {
    return *reinterpret_cast<const std::uint16_t*>(p);
}

__device__ float read_half(const Byte* p) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(read_u16(p))));
}

__device__ unsigned read_u32(const Byte* p) {
    return read_u16(p) | read_u16(p + 2) << 16;
}

/// Eight bytes, little-endian. Every block is an even number of bytes, so halves are aligned;
/// nothing wider is.
struct Eight {
    unsigned words[2];
    __device__ explicit Eight(const Byte* p) : words{read_u32(p), read_u32(p + 4)} {}
    [[nodiscard]] __device__ int operator[](int i) const {
        return static_cast<int>(words[i / 4] >> (8 * (i % 4)) & 0xffU);
    }
};

/// The twin rounds product and sum one by one; a fused multiply-add would not.
__device__ float scaled(float scale, int q, float add) {
    return __fadd_rn(__fmul_rn(scale, static_cast<float>(q)), add);
}

/// Q4_0, Q4_1, Q5_0 and Q5_1: scale, minimum, fifth bits, then 16 bytes of two elements each.
template <bool kMinimum, bool kFifth>
__device__ void small_octet(const Byte* row, std::int64_t octet, float (&v)[8]) {
    constexpr int kFifthAt = kMinimum ? 4 : 2;
    constexpr int kQuantsAt = kFifthAt + (kFifth ? 4 : 0);
    constexpr int kOffset = kMinimum ? 0 : kFifth ? 16 : 8;
    const Byte* block = row + octet / 4 * (kQuantsAt + 16);
    const int part = static_cast<int>(octet % 4);
    const float scale = read_half(block);
    const float minimum = kMinimum ? read_half(block + 2) : 0.0f;
    const unsigned fifth = kFifth ? read_u32(block + kFifthAt) >> (8 * part) : 0U;
    const Eight quants(block + kQuantsAt + part % 2 * 8);
    const int shift = part / 2 * 4;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const int q =
            (quants[j] >> shift & 0xf) | (kFifth ? static_cast<int>(fifth >> j & 1U) << 4 : 0);
        v[j] = scaled(scale, q - kOffset, minimum);
    }
}

__device__ void q8_0_octet(const Byte* row, std::int64_t octet, float (&v)[8]) {
    const Byte* block = row + octet / 4 * 34;
    const float scale = read_half(block);
    const Eight quants(block + 2 + octet % 4 * 8);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        v[j] = __fmul_rn(scale, static_cast<float>(static_cast<std::int8_t>(quants[j])));
    }
}

/// Q4_K and Q5_K: eight sub-blocks of 32 with a 6-bit scale and minimum each.
template <bool kFifth>
__device__ void k45_octet(const Byte* row, std::int64_t octet, float (&v)[8]) {
    constexpr int kQuantsAt = kFifth ? 48 : 16;
    const Byte* block = row + octet / 32 * (kQuantsAt + 128);
    const int sub = static_cast<int>(octet % 32) / 4;
    const int at = static_cast<int>(octet % 4) * 8;
    const Byte* packed = block + 4;
    int scale_code = 0;
    int min_code = 0;
    if (sub < 4) {
        scale_code = packed[sub] & 63;
        min_code = packed[sub + 4] & 63;
    } else {
        scale_code = (packed[sub + 4] & 0xf) | packed[sub - 4] >> 6 << 4;
        min_code = packed[sub + 4] >> 4 | packed[sub] >> 6 << 4;
    }
    const float scale = __fmul_rn(read_half(block), static_cast<float>(scale_code));
    const float minimum = __fmul_rn(read_half(block + 2), static_cast<float>(min_code));
    const Eight quants(block + kQuantsAt + sub / 2 * 32 + at);
    const int shift = sub % 2 * 4;
    if constexpr (kFifth) {
        const Eight high(block + 16 + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const int q = (quants[j] >> shift & 0xf) | (high[j] >> sub & 1) << 4;
            v[j] = scaled(scale, q, -minimum);
        }
    } else {
#pragma unroll
        for (int j = 0; j < 8; ++j) v[j] = scaled(scale, quants[j] >> shift & 0xf, -minimum);
    }
}

/// Q6_K: low nibbles, two high bits, a signed scale per 16 elements, then the scale of scales.
__device__ void q6_k_octet(const Byte* row, std::int64_t octet, float (&v)[8]) {
    const Byte* block = row + octet / 32 * 210;
    const int part = static_cast<int>(octet % 32);
    const int half = part / 16;
    const int quarter = part / 4 % 4;
    const int at = part % 4 * 8;
    const auto code = static_cast<std::int8_t>(block[192 + half * 8 + quarter * 2 + at / 16]);
    const float scale = __fmul_rn(read_half(block + 208), static_cast<float>(code));
    const Eight low(block + half * 64 + quarter % 2 * 32 + at);
    const Eight high(block + 128 + half * 32 + at);
    const int shift = quarter / 2 * 4;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const int q = (low[j] >> shift & 0xf) | (high[j] >> (2 * quarter) & 3) << 4;
        v[j] = __fmul_rn(scale, static_cast<float>(q - 32));
    }
}

template <DType kType>
__device__ void load_octet(const Byte* row, std::int64_t octet, float (&v)[8]) {
    if constexpr (kType == DType::kF32) {
        const auto* source = reinterpret_cast<const float4*>(row) + octet * 2;
        const float4 a = source[0];
        const float4 b = source[1];
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
        v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    } else if constexpr (kType == DType::kF16) {
        const uint4 bits = reinterpret_cast<const uint4*>(row)[octet];
        const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const unsigned half = words[j / 2] >> (16 * (j % 2)) & 0xffffU;
            v[j] = __half2float(__ushort_as_half(static_cast<unsigned short>(half)));
        }
    } else if constexpr (kType == DType::kQ4_0) {
        small_octet<false, false>(row, octet, v);
    } else if constexpr (kType == DType::kQ4_1) {
        small_octet<true, false>(row, octet, v);
    } else if constexpr (kType == DType::kQ5_0) {
        small_octet<false, true>(row, octet, v);
    } else if constexpr (kType == DType::kQ5_1) {
        small_octet<true, true>(row, octet, v);
    } else if constexpr (kType == DType::kQ8_0) {
        q8_0_octet(row, octet, v);
    } else if constexpr (kType == DType::kQ4_K) {
        k45_octet<false>(row, octet, v);
    } else if constexpr (kType == DType::kQ5_K) {
        k45_octet<true>(row, octet, v);
    } else {
        static_assert(kType == DType::kQ6_K);
        q6_k_octet(row, octet, v);
    }
}

struct Params {
    const Byte* blocks;
    std::int64_t row_bytes;
    std::int64_t octets;  // of a row
    int head_dim;         // of the split, 0 for none
    Bf16* out;
};

/// The stored row that output row `row` takes.
__device__ std::int64_t source_row(std::int64_t row, int head_dim) {
    if (head_dim == 0) return row;
    const std::int64_t head = row / head_dim;
    const int at = static_cast<int>(row - head * head_dim);
    const int half = head_dim / 2;
    return head * head_dim + (at < half ? 2 * at : 2 * (at - half) + 1);
}

/// A thread block per output row.
template <DType kType>
__global__ void __launch_bounds__(kMaxThreads)
    dequantize_kernel(const __grid_constant__ Params params) {
    const std::int64_t row = blockIdx.x;
    const Byte* source = params.blocks + source_row(row, params.head_dim) * params.row_bytes;
    Bf16* target = params.out + row * params.octets * 8;
    for (std::int64_t octet = threadIdx.x; octet < params.octets; octet += blockDim.x) {
        if constexpr (kType == DType::kBF16) {
            reinterpret_cast<uint4*>(target)[octet] = reinterpret_cast<const uint4*>(source)[octet];
        } else {
            float v[8];
            load_octet<kType>(source, octet, v);
            store8(target + octet * 8, v);
        }
    }
}

template <DType kType>
cudaError_t launch(const Params& params, std::int64_t rows, cudaStream_t stream) {
    const std::int64_t warps = (params.octets + 31) / 32;
    const auto threads =
        static_cast<unsigned>(32 * std::min<std::int64_t>(warps, kMaxThreads / 32));
    dequantize_kernel<kType><<<static_cast<unsigned>(rows), threads, 0, stream>>>(params);
    return cudaGetLastError();
}

bool aligned(const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

}  // namespace

cudaError_t dequantize(DType type, const void* blocks, std::int64_t rows, std::int64_t cols,
                       Bf16* out, cudaStream_t stream, HalfSplit split) {
    const BlockGeometry g = block_geometry(type);
    if (g.elements == 0 || rows < 0 || rows > INT32_MAX || cols < 0 || cols % 8 != 0 ||
        cols % g.elements != 0 || !aligned(blocks) || !aligned(out)) {
        return cudaErrorInvalidValue;
    }
    if (split.head_dim != 0 &&
        (split.head_dim < 0 || split.head_dim % 2 != 0 || split.num_heads < 0 ||
         std::int64_t{split.num_heads} * split.head_dim != rows)) {
        return cudaErrorInvalidValue;
    }
    if (rows == 0 || cols == 0) return cudaSuccess;
    const Params params{static_cast<const Byte*>(blocks), cols / g.elements * g.bytes, cols / 8,
                        split.head_dim, out};
    switch (type) {
        case DType::kF32:
            return launch<DType::kF32>(params, rows, stream);
        case DType::kF16:
            return launch<DType::kF16>(params, rows, stream);
        case DType::kBF16:
            return launch<DType::kBF16>(params, rows, stream);
        case DType::kQ4_0:
            return launch<DType::kQ4_0>(params, rows, stream);
        case DType::kQ4_1:
            return launch<DType::kQ4_1>(params, rows, stream);
        case DType::kQ5_0:
            return launch<DType::kQ5_0>(params, rows, stream);
        case DType::kQ5_1:
            return launch<DType::kQ5_1>(params, rows, stream);
        case DType::kQ8_0:
            return launch<DType::kQ8_0>(params, rows, stream);
        case DType::kQ4_K:
            return launch<DType::kQ4_K>(params, rows, stream);
        case DType::kQ5_K:
            return launch<DType::kQ5_K>(params, rows, stream);
        case DType::kQ6_K:
            return launch<DType::kQ6_K>(params, rows, stream);
    }
    return cudaErrorInvalidValue;
}

}  // namespace hc::kernels::cuda
