#include "kernels/cuda/selection_score.h"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kLogitThreads = 128;
constexpr int kLogitWarps = kLogitThreads / 32;
constexpr int kMaxLogitBlocks = 528;  // four for each of Hopper's 132 multiprocessors
constexpr int kTileRows = 16;         // rows of one mma.m16n8k16
constexpr float kLog2E = 1.4426950408889634F;
constexpr int kPoolThreads = 256;
constexpr int kPoolTile = 4 * kPoolThreads;
constexpr int kPoolHalo = 8;  // at least kMaxPoolWidth - 1, a multiple of 4

/// Running softmax denominator: sum of 2^(x - max). Logits carry log2(e), as the hardware's
/// exponential is of base 2.
struct Partial {
    float max;
    float sum;
};

/// 2^x; results below 2^-126 are 0, which no sum of terms with a 1 among them notices.
__device__ float exp2_flushed(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ Partial merge(Partial a, Partial b) {
    const float max = fmaxf(a.max, b.max);
    if (max == -INFINITY) return {max, 0.0F};  // both empty: inf - inf would be NaN
    return {max, a.sum * exp2_flushed(a.max - max) + b.sum * exp2_flushed(b.max - max)};
}

/// Row tiles, an even number of them.
__host__ __device__ int padded_tiles(int rows) {
    return (rows + 2 * kTileRows - 1) / (2 * kTileRows) * 2;
}

struct LogitParameters {
    const uint4* queries;
    const uint4* pages;
    const std::int32_t* page_indices;
    float* logits;      // [rows, logit_stride]
    Partial* partials;  // [rows, kMaxLogitBlocks]
    std::int64_t logit_stride;
    int page_size;
    int prompt;
    int rows;     // window * group
    float scale;  // log2(e) / sqrt(D)
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

/// The pages of a lane's keys first + n * 8 + lane / 4. Asked for a step ahead of the keys: loads
/// of a multiprocessor return in order, so an index asked for just before would wait for all keys
/// that are under way.
template <int kKeyTiles>
__device__ void load_pages(const LogitParameters& p, int first, std::int32_t (&pages)[kKeyTiles]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
        const int position = min(first + n * 8 + lane / 4, p.prompt - 1);
        pages[n] = __ldg(p.page_indices + position / p.page_size);
    }
}

template <int kDim, int kKeyTiles>
__device__ void load_keys(const LogitParameters& p, int first,
                          const std::int32_t (&pages)[kKeyTiles],
                          uint4 (&keys)[kKeyTiles][kDim / 32]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
        const int position = min(first + n * 8 + lane / 4, p.prompt - 1);
        const int slot = position % p.page_size;
        const std::int64_t token = static_cast<std::int64_t>(pages[n]) * 2 * p.page_size + slot;
        const uint4* key = p.pages + token * (kDim / 8) + lane % 4;
#pragma unroll
        for (int w = 0; w < kDim / 32; ++w) keys[n][w] = __ldcs(key + w * 4);
    }
}

/// One lane's share of one row: stores the logits and adds them to the lane's own partial.
template <int kKeyTiles, bool kWhole>
__device__ void finish_row(const LogitParameters& p, const float (&c)[kKeyTiles][4], int which,
                           int row, int first, Partial* slot) {
    const int position = first + 2 * static_cast<int>(threadIdx.x % 4);
    float* out = p.logits + row * p.logit_stride + position;
    float x[2 * kKeyTiles];
    Partial partial = *slot;
    const float old_max = partial.max;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
        x[2 * n] = c[n][which * 2] * p.scale;
        x[2 * n + 1] = c[n][which * 2 + 1] * p.scale;
        // The stride is a multiple of 4, so a pair that begins inside the prompt fits its row.
        if ((kWhole || position + n * 8 < p.prompt) && row < p.rows) {
            *reinterpret_cast<float2*>(out + n * 8) = make_float2(x[2 * n], x[2 * n + 1]);
        }
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            if (!kWhole && position + n * 8 + j >= p.prompt) x[2 * n + j] = -INFINITY;
            partial.max = fmaxf(partial.max, x[2 * n + j]);
        }
    }
    if (partial.max == -INFINITY) return;  // nothing yet, and inf - inf would be NaN
    partial.sum *= exp2_flushed(old_max - partial.max);
#pragma unroll
    for (int i = 0; i < 2 * kKeyTiles; ++i) partial.sum += exp2_flushed(x[i] - partial.max);
    *slot = partial;
}

/// Writes the block's partial of each row; `partials` is [warps, tiles, 2, lanes].
__device__ void write_partials(const LogitParameters& p, int tiles, const Partial* partials) {
    for (int row = threadIdx.x; row < p.rows; row += kLogitThreads) {
        const int first = (row / kTileRows * 2 + row % kTileRows / 8) * 32 + row % 8 * 4;
        Partial total{-INFINITY, 0.0F};
        for (int w = 0; w < kLogitWarps; ++w) {
            for (int i = 0; i < 4; ++i) total = merge(total, partials[w * tiles * 64 + first + i]);
        }
        p.partials[row * kMaxLogitBlocks + blockIdx.x] = total;
    }
}

/// logits = queries * keys^T / sqrt(D) with every key read once: a warp holds 8 * kKeyTiles keys
/// in registers and runs all query rows over them, two tiles at a time; the next keys are on
/// their way while the last two tiles are finished. Memory-bound: prompt * kDim * 2 bytes.
template <int kDim, int kKeyTiles>
__global__ void __launch_bounds__(kLogitThreads, 4) logit_kernel(LogitParameters p) {
    constexpr int kWords = kDim / 32;  // 16-byte loads of one lane for one key
    constexpr int kKeys = 8 * kKeyTiles;
    extern __shared__ uint4 fragments[];
    const int tiles = padded_tiles(p.rows);
    auto* partials = reinterpret_cast<Partial*>(fragments + tiles * (kDim / 16) * 32);
    stage_queries<kDim>(p, tiles, fragments);
    for (int i = threadIdx.x; i < kLogitWarps * tiles * 64; i += kLogitThreads) {
        partials[i] = {-INFINITY, 0.0F};
    }
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    Partial* own = partials + warp * tiles * 64 + lane;
    const int step = static_cast<int>(gridDim.x) * kLogitWarps * kKeys;
    int first = (static_cast<int>(blockIdx.x) * kLogitWarps + warp) * kKeys;
    uint4 keys[kKeyTiles][kWords];
    std::int32_t pages[kKeyTiles];
    if (first < p.prompt) {
        load_pages<kKeyTiles>(p, first, pages);
        load_keys<kDim, kKeyTiles>(p, first, pages, keys);
        load_pages<kKeyTiles>(p, first + step, pages);
    }
    __syncthreads();
    for (; first < p.prompt; first += step) {
        for (int tile = 0; tile < tiles; tile += 2) {
            float c[2][kKeyTiles][4] = {};
#pragma unroll
            for (int w = 0; w < kWords; ++w) {
#pragma unroll
                for (int t = 0; t < 2; ++t) {
                    const uint4* a = fragments + ((tile + t) * kWords + w) * 64 + lane;
                    const uint4 low = a[0];
                    const uint4 high = a[32];
#pragma unroll
                    for (int n = 0; n < kKeyTiles; ++n) {
                        multiply_add(c[t][n], low, keys[n][w].x, keys[n][w].y);
                        multiply_add(c[t][n], high, keys[n][w].z, keys[n][w].w);
                    }
                }
            }
            if (tile + 2 == tiles && first + step < p.prompt) {
                load_keys<kDim, kKeyTiles>(p, first + step, pages, keys);
                load_pages<kKeyTiles>(p, first + 2 * step, pages);
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int row = (tile + i / 2) * kTileRows + lane / 4 + i % 2 * 8;
                Partial* slot = own + (tile * 2 + i) * 32;
                if (tile * kTileRows + i * 8 >= p.rows) continue;  // padding, for the whole warp
                if (first + kKeys <= p.prompt) {
                    finish_row<kKeyTiles, true>(p, c[i / 2], i % 2, row, first, slot);
                } else {
                    finish_row<kKeyTiles, false>(p, c[i / 2], i % 2, row, first, slot);
                }
            }
        }
    }
    __syncthreads();
    write_partials(p, tiles, partials);
}

struct PoolParameters {
    const float* logits;
    const Partial* partials;  // [rows, kMaxLogitBlocks], num_partials of each
    float* scores;
    std::int64_t logit_stride;
    std::int64_t score_stride;
    int num_partials;
    int prompt;
    int group;
    int rows;
    int width;  // min(pool_width, prompt)
};

/// The whole row's maximum and sum; one warp a row, which has all its loads on their way at once.
__device__ void merge_partials(const PoolParameters& p, int window, Partial* merged) {
    constexpr int kOwn = (kMaxLogitBlocks + 31) / 32;
    const int lane = threadIdx.x % 32;
    for (int g = threadIdx.x / 32; g < p.group; g += kPoolThreads / 32) {
        const Partial* partials = p.partials + (window * p.group + g) * kMaxLogitBlocks;
        Partial own[kOwn];
        float max = -INFINITY;
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
            const int at = lane + i * 32;
            own[i] = at < p.num_partials ? partials[at] : Partial{-INFINITY, 0.0F};
            max = fmaxf(max, own[i].max);
        }
        for (int offset = 16; offset > 0; offset /= 2) {
            max = fmaxf(max, __shfl_xor_sync(~0U, max, offset));
        }
        float sum = 0.0F;
#pragma unroll
        for (int i = 0; i < kOwn; ++i) sum += own[i].sum * exp2_flushed(own[i].max - max);
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0U, sum, offset);
        if (lane == 0) merged[g] = {max, sum};
    }
    __syncthreads();
}

constexpr int kStagedUnits = (kPoolTile + 2 * kPoolHalo) / 4;
constexpr int kOwnUnits = (kStagedUnits + kPoolThreads - 1) / kPoolThreads;

/// A thread's share of one query head's logits over the block's positions and its halo; outside
/// the prompt minus infinity, whose probability is 0: the filter's padding.
__device__ void load_logits(const PoolParameters& p, int row, int first, float4 (&x)[kOwnUnits]) {
    const float* logits = p.logits + row * p.logit_stride;
#pragma unroll
    for (int i = 0; i < kOwnUnits; ++i) {
        const int unit = static_cast<int>(threadIdx.x) + i * kPoolThreads;
        const int position = first - kPoolHalo + unit * 4;
        x[i] = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
        if (unit < kStagedUnits && position >= 0 && position < p.prompt) {
            x[i] = *reinterpret_cast<const float4*>(logits + position);
            if (position + 1 >= p.prompt) x[i].y = -INFINITY;
            if (position + 2 >= p.prompt) x[i].z = -INFINITY;
            if (position + 3 >= p.prompt) x[i].w = -INFINITY;
        }
    }
}

__device__ void stage_probabilities(const float4 (&x)[kOwnUnits], Partial total, float* staged) {
    const float inverse = 1.0F / total.sum;
#pragma unroll
    for (int i = 0; i < kOwnUnits; ++i) {
        const int unit = static_cast<int>(threadIdx.x) + i * kPoolThreads;
        if (unit >= kStagedUnits) break;
        reinterpret_cast<float4*>(staged)[unit] =
            make_float4(exp2f(x[i].x - total.max) * inverse, exp2f(x[i].y - total.max) * inverse,
                        exp2f(x[i].z - total.max) * inverse, exp2f(x[i].w - total.max) * inverse);
    }
}

/// kWidth 0: the width is p.width.
template <int kWidth>
__global__ void __launch_bounds__(kPoolThreads, 5) pool_kernel(PoolParameters p) {
    __shared__ Partial merged[kMaxGroup];
    __shared__ __align__(16) float staged[2][kPoolTile + 2 * kPoolHalo];
    const int window = static_cast<int>(blockIdx.y);
    const int first = static_cast<int>(blockIdx.x) * kPoolTile;
    const int width = kWidth > 0 ? kWidth : p.width;
    const auto divisor = static_cast<float>(width);
    float4 logits[kOwnUnits];
    load_logits(p, window * p.group, first, logits);
    merge_partials(p, window, merged);
    float best[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    for (int g = 0; g < p.group; ++g) {
        float* row = staged[g % 2];  // the other half may still be read for the head before
        stage_probabilities(logits, merged[g], row);
        __syncthreads();
        if (g + 1 < p.group) load_logits(p, window * p.group + g + 1, first, logits);
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
    const auto tiles = static_cast<std::size_t>(padded_tiles(p.rows));
    const std::size_t shared =
        tiles * (kDim / 16) * 32 * sizeof(uint4) + kLogitWarps * tiles * 64 * sizeof(Partial);
    if (shared > 48 * 1024) {
        const cudaError_t error = cudaFuncSetAttribute(logit_kernel<kDim, kKeyTiles>,
                                                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       static_cast<int>(shared));
        if (error != cudaSuccess) return error;
    }
    run_beside_others(logit_kernel<kDim, kKeyTiles>);
    logit_kernel<kDim, kKeyTiles><<<blocks, kLogitThreads, shared, stream>>>(p);
    return cudaGetLastError();
}

cudaError_t launch_logits(const LogitParameters& p, std::int32_t head_dim, int& blocks,
                          cudaStream_t stream) {
    const int keys = (head_dim == 64 ? 32 : 16) * kLogitWarps;  // of one block
    blocks = std::min(kMaxLogitBlocks, (p.prompt + keys - 1) / keys);
    switch (head_dim) {
        case 64:
            return launch_logits<64, 4>(p, blocks, stream);
        case 96:
            return launch_logits<96, 2>(p, blocks, stream);
        case 128:
            return launch_logits<128, 2>(p, blocks, stream);
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
                                kLog2E / sqrtf(static_cast<float>(a.head_dim))};
    int blocks = 0;
    const cudaError_t error = launch_logits(logit, a.head_dim, blocks, stream);
    if (error != cudaSuccess) return error;
    const PoolParameters pool{logits, partials, a.scores, stride, a.score_stride,
                              blocks, a.prompt, a.group,  rows,   std::min(a.pool_width, a.prompt)};
    const dim3 grid((a.prompt + kPoolTile - 1) / kPoolTile, a.window);
    if (pool.width == 5) {
        run_beside_others(pool_kernel<5>);
        pool_kernel<5><<<grid, kPoolThreads, 0, stream>>>(pool);
    } else {
        run_beside_others(pool_kernel<0>);
        pool_kernel<0><<<grid, kPoolThreads, 0, stream>>>(pool);
    }
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
