#include "kernels/cuda/selection_score.h"

#include <algorithm>
#include <cstdint>

namespace hc::kernels::cuda {
namespace {

constexpr int kLogitThreads = 256;
constexpr int kLogitWarps = kLogitThreads / 32;
constexpr int kMaxLogitBlocks = 264;  // two for each of Hopper's 132 multiprocessors
constexpr int kTileRows = 16;         // rows of one mma.m16n8k16
constexpr int kPoolThreads = 256;
constexpr int kPoolTile = 4 * kPoolThreads;
constexpr int kPoolHalo = 8;  // at least kMaxPoolWidth - 1, a multiple of 4

/// Running softmax denominator: sum of exp(x - max).
struct Partial {
    float max;
    float sum;
};

__device__ Partial merge(Partial a, Partial b) {
    const float max = fmaxf(a.max, b.max);
    if (max == -INFINITY) return {max, 0.0F};  // both empty: inf - inf would be NaN
    return {max, a.sum * __expf(a.max - max) + b.sum * __expf(b.max - max)};
}

struct LogitParameters {
    const uint4* queries;
    const uint4* pages;
    const std::int32_t* page_indices;
    float* logits;      // [rows, logit_stride]
    Partial* partials;  // [gridDim.x, rows]
    std::int64_t logit_stride;
    int page_size;
    int prompt;
    int rows;  // window * group
    float scale;
};

__device__ void multiply_add(float (&c)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

/// Puts the queries into shared memory in the order in which lanes feed them to the tensor
/// cores: [row tile][32 dims][half][lane] of one A fragment. Within 32 dims a quad's lane c takes
/// dims 8c .. 8c+7, not the instruction's own order: a product does not care in which order its
/// terms are summed, and so a lane's share of a key is one 16-byte load.
template <int kDim>
__device__ void stage_queries(const LogitParameters& p, int tiles, uint4* fragments) {
    const auto* source = reinterpret_cast<const std::uint32_t*>(p.queries);
    const int count = tiles * (kDim / 16) * 32;
    for (int i = threadIdx.x; i < count; i += kLogitThreads) {
        const int lane = i % 32;
        const int half = (i / 32) % 2;
        const int block = (i / 64) % (kDim / 32);
        const int row = i / (kDim * 2) * kTileRows + lane / 4;
        const int word = (block * 32 + (lane % 4) * 8 + half * 4) / 2;
        const auto load = [&](int r, int w) {
            return r < p.rows ? source[static_cast<std::int64_t>(r) * (kDim / 2) + w] : 0U;
        };
        fragments[i] = {load(row, word), load(row + 8, word), load(row, word + 1),
                        load(row + 8, word + 1)};
    }
}

/// Adds a warp's tile of one row to that row's running partial, which this warp alone owns.
__device__ void add_to_partial(Partial* slot, float max, float sum, bool writes) {
    for (int offset = 1; offset < 4; offset *= 2) {
        const Partial other{__shfl_xor_sync(~0U, max, offset), __shfl_xor_sync(~0U, sum, offset)};
        const Partial both = merge({max, sum}, other);
        max = both.max;
        sum = both.sum;
    }
    if (writes) *slot = merge(*slot, {max, sum});
}

/// One warp's share of one row: stores the logits, returns their partial in max and sum.
template <int kKeyTiles>
__device__ Partial store_row(const LogitParameters& p, const float (&c)[kKeyTiles][4], int which,
                             int row, int first) {
    const int column = 2 * (threadIdx.x % 4);
    float max = -INFINITY;
    for (int n = 0; n < kKeyTiles; ++n) {
        for (int j = 0; j < 2; ++j) {
            if (first + n * 8 + column + j < p.prompt)
                max = fmaxf(max, c[n][which * 2 + j] * p.scale);
        }
    }
    float sum = 0.0F;
    float* out = p.logits + row * p.logit_stride + first + column;
    for (int n = 0; n < kKeyTiles; ++n) {
        const float x = c[n][which * 2] * p.scale;
        const float y = c[n][which * 2 + 1] * p.scale;
        const int position = first + n * 8 + column;
        if (position < p.prompt) sum += __expf(x - max);
        if (position + 1 < p.prompt) sum += __expf(y - max);
        // The stride is a multiple of 4, so a pair that begins inside the prompt fits its row.
        if (position < p.prompt && row < p.rows) {
            *reinterpret_cast<float2*>(out + n * 8) = make_float2(x, y);
        }
    }
    return {max, sum};
}

/// logits = queries * keys^T / sqrt(D) with every key read once: a warp holds 8 * kKeyTiles keys
/// in registers and runs all query rows over them. Memory-bound: prompt * kDim * 2 bytes.
template <int kDim, int kKeyTiles>
__global__ void __launch_bounds__(kLogitThreads) logit_kernel(LogitParameters p) {
    constexpr int kWords = kDim / 32;  // 16-byte loads of one lane for one key
    constexpr int kKeys = 8 * kKeyTiles;
    extern __shared__ uint4 fragments[];
    const int tiles = (p.rows + kTileRows - 1) / kTileRows;
    const int padded = tiles * kTileRows;
    auto* partials = reinterpret_cast<Partial*>(fragments + tiles * (kDim / 16) * 32);
    stage_queries<kDim>(p, tiles, fragments);
    for (int i = threadIdx.x; i < kLogitWarps * padded; i += kLogitThreads) {
        partials[i] = {-INFINITY, 0.0F};
    }
    __syncthreads();

    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int step = static_cast<int>(gridDim.x) * kLogitWarps * kKeys;
    for (int first = (static_cast<int>(blockIdx.x) * kLogitWarps + warp) * kKeys; first < p.prompt;
         first += step) {
        uint4 keys[kKeyTiles][kWords];
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
            const int position = min(first + n * 8 + lane / 4, p.prompt - 1);
            const int page = position / p.page_size;
            const int slot = position - page * p.page_size;
            const std::int64_t token =
                static_cast<std::int64_t>(p.page_indices[page]) * 2 * p.page_size + slot;
            const uint4* key = p.pages + token * (kDim / 8) + lane % 4;
#pragma unroll
            for (int w = 0; w < kWords; ++w) keys[n][w] = __ldcs(key + w * 4);
        }
        for (int tile = 0; tile < tiles; ++tile) {
            float c[kKeyTiles][4] = {};
#pragma unroll
            for (int w = 0; w < kWords; ++w) {
                const uint4* a = fragments + (tile * kWords + w) * 64 + lane;
                const uint4 low = a[0];
                const uint4 high = a[32];
#pragma unroll
                for (int n = 0; n < kKeyTiles; ++n) {
                    multiply_add(c[n], low, keys[n][w].x, keys[n][w].y);
                    multiply_add(c[n], high, keys[n][w].z, keys[n][w].w);
                }
            }
#pragma unroll
            for (int which = 0; which < 2; ++which) {
                const int row = tile * kTileRows + lane / 4 + which * 8;
                const Partial own = store_row<kKeyTiles>(p, c, which, row, first);
                add_to_partial(partials + warp * padded + row, own.max, own.sum, lane % 4 == 0);
            }
        }
    }
    __syncthreads();
    for (int row = threadIdx.x; row < p.rows; row += kLogitThreads) {
        Partial total = partials[row];
        for (int w = 1; w < kLogitWarps; ++w) total = merge(total, partials[w * padded + row]);
        p.partials[static_cast<std::int64_t>(blockIdx.x) * p.rows + row] = total;
    }
}

struct PoolParameters {
    const float* logits;
    const Partial* partials;  // [num_partials, window * group]
    float* scores;
    std::int64_t logit_stride;
    std::int64_t score_stride;
    int num_partials;
    int prompt;
    int group;
    int rows;
    int width;  // min(pool_width, prompt)
};

/// The whole row's maximum and sum; one warp a row.
__device__ void merge_partials(const PoolParameters& p, int window, Partial* merged) {
    const int lane = threadIdx.x % 32;
    for (int g = threadIdx.x / 32; g < p.group; g += kPoolThreads / 32) {
        Partial total{-INFINITY, 0.0F};
        for (int i = lane; i < p.num_partials; i += 32) {
            total = merge(total,
                          p.partials[static_cast<std::int64_t>(i) * p.rows + window * p.group + g]);
        }
        for (int offset = 16; offset > 0; offset /= 2) {
            total = merge(total, {__shfl_xor_sync(~0U, total.max, offset),
                                  __shfl_xor_sync(~0U, total.sum, offset)});
        }
        if (lane == 0) merged[g] = total;
    }
    __syncthreads();
}

/// Probabilities of one query head over the block's positions and its halo, zero outside the
/// prompt: the filter's padding.
__device__ void stage_probabilities(const PoolParameters& p, const float* logits, Partial total,
                                    int first, float* staged) {
    const float inverse = 1.0F / total.sum;
    for (int i = threadIdx.x; i < (kPoolTile + 2 * kPoolHalo) / 4; i += kPoolThreads) {
        const int position = first - kPoolHalo + i * 4;
        float4 x = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
        if (position >= 0 && position < p.prompt) {
            x = *reinterpret_cast<const float4*>(logits + position);
            if (position + 1 >= p.prompt) x.y = -INFINITY;
            if (position + 2 >= p.prompt) x.z = -INFINITY;
            if (position + 3 >= p.prompt) x.w = -INFINITY;
        }
        reinterpret_cast<float4*>(staged)[i] =
            make_float4(__expf(x.x - total.max) * inverse, __expf(x.y - total.max) * inverse,
                        __expf(x.z - total.max) * inverse, __expf(x.w - total.max) * inverse);
    }
}

/// kWidth 0: the width is p.width.
template <int kWidth>
__global__ void __launch_bounds__(kPoolThreads) pool_kernel(PoolParameters p) {
    __shared__ Partial merged[kMaxGroup];
    __shared__ __align__(16) float staged[2][kPoolTile + 2 * kPoolHalo];
    const int window = static_cast<int>(blockIdx.y);
    const int first = static_cast<int>(blockIdx.x) * kPoolTile;
    const int width = kWidth > 0 ? kWidth : p.width;
    const auto divisor = static_cast<float>(width);
    merge_partials(p, window, merged);
    float best[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    for (int g = 0; g < p.group; ++g) {
        float* row = staged[g % 2];  // the other half may still be read for the head before
        stage_probabilities(p, p.logits + (window * p.group + g) * p.logit_stride, merged[g], first,
                            row);
        __syncthreads();
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float* at = row + kPoolHalo + threadIdx.x * 4 + j - width / 2;
            float sum = 0.0F;
            for (int i = 0; i < width; ++i) sum += at[i];  // left to right, as the twin
            best[j] = fmaxf(best[j], sum / divisor);
        }
    }
    const int position = first + static_cast<int>(threadIdx.x) * 4;
    float* out = p.scores + window * p.score_stride;
    for (int j = 0; j < 4; ++j) {
        if (position + j < p.prompt) out[position + j] = best[j];
    }
}

std::int64_t padded_stride(std::int32_t prompt) {
    return (static_cast<std::int64_t>(prompt) + 3) / 4 * 4;
}

template <int kDim, int kKeyTiles>
cudaError_t launch_logits(const LogitParameters& p, int blocks, cudaStream_t stream) {
    const int tiles = (p.rows + kTileRows - 1) / kTileRows;
    const std::size_t shared =
        static_cast<std::size_t>(tiles) * (kDim / 16) * 32 * sizeof(uint4) +
        static_cast<std::size_t>(kLogitWarps * tiles * kTileRows) * sizeof(Partial);
    if (shared > 48 * 1024) {
        const cudaError_t error = cudaFuncSetAttribute(logit_kernel<kDim, kKeyTiles>,
                                                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       static_cast<int>(shared));
        if (error != cudaSuccess) return error;
    }
    logit_kernel<kDim, kKeyTiles><<<blocks, kLogitThreads, shared, stream>>>(p);
    return cudaGetLastError();
}

int logit_blocks(std::int32_t prompt, int keys_of_a_block) {
    return std::min(kMaxLogitBlocks, (prompt + keys_of_a_block - 1) / keys_of_a_block);
}

cudaError_t launch_logits(const LogitParameters& p, std::int32_t head_dim, int& blocks,
                          cudaStream_t stream) {
    const int keys = head_dim == 256 ? 16 : 32;  // of one warp: 64 registers of keys at most
    blocks = logit_blocks(p.prompt, keys * kLogitWarps);
    switch (head_dim) {
        case 64:
            return launch_logits<64, 4>(p, blocks, stream);
        case 96:
            return launch_logits<96, 4>(p, blocks, stream);
        case 128:
            return launch_logits<128, 4>(p, blocks, stream);
        case 256:
            return launch_logits<256, 2>(p, blocks, stream);
        default:
            return cudaErrorInvalidValue;
    }
}

bool valid(const SelectionScoreArguments& a) {
    return a.prompt >= 0 && a.prompt <= (1 << 30) && a.page_size >= 1 && a.window >= 1 &&
           a.window <= kMaxWindow && a.group >= 1 && a.group <= kMaxGroup && a.pool_width >= 1 &&
           a.pool_width <= kMaxPoolWidth && a.score_stride >= a.prompt;
}

}  // namespace

std::size_t selection_score_workspace_bytes(std::int32_t window, std::int32_t group,
                                            std::int32_t prompt) {
    const auto rows = static_cast<std::size_t>(window) * static_cast<std::size_t>(group);
    const auto stride = static_cast<std::size_t>(padded_stride(std::max(prompt, 0)));
    return rows * (stride * sizeof(float) + kMaxLogitBlocks * sizeof(Partial));
}

cudaError_t selection_score(const SelectionScoreArguments& a, cudaStream_t stream) {
    if (!valid(a)) return cudaErrorInvalidValue;
    if (a.prompt == 0) return cudaSuccess;
    const int rows = a.window * a.group;
    const std::int64_t stride = padded_stride(a.prompt);
    auto* logits = static_cast<float*>(a.workspace);
    auto* partials = reinterpret_cast<Partial*>(logits + rows * stride);
    const LogitParameters logit{reinterpret_cast<const uint4*>(a.queries),
                                reinterpret_cast<const uint4*>(a.pages),
                                a.page_indices,
                                logits,
                                partials,
                                stride,
                                a.page_size,
                                a.prompt,
                                rows,
                                1.0F / sqrtf(static_cast<float>(a.head_dim))};
    int blocks = 0;
    const cudaError_t error = launch_logits(logit, a.head_dim, blocks, stream);
    if (error != cudaSuccess) return error;
    const PoolParameters pool{logits, partials, a.scores, stride, a.score_stride,
                              blocks, a.prompt, a.group,  rows,   std::min(a.pool_width, a.prompt)};
    const dim3 grid((a.prompt + kPoolTile - 1) / kPoolTile, a.window);
    if (pool.width == 5) {
        pool_kernel<5><<<grid, kPoolThreads, 0, stream>>>(pool);
    } else {
        pool_kernel<0><<<grid, kPoolThreads, 0, stream>>>(pool);
    }
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
