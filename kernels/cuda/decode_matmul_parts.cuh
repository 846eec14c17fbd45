/// What decode_matmul does before it multiplies: which weights a warp takes and where they lie in
/// shared memory, the activations, and the slots of new keys and values. For decode_matmul.cu
/// alone.
#pragma once

#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/decode_matmul.h"
#include "kernels/cuda/tensor_core.cuh"

namespace hc::kernels::cuda::matmul {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kMaxTokens = 8;
constexpr int kTileRows = 16;
constexpr int kStepColumns = 64;
constexpr int kStepBytes = 2 * kStepColumns;  // of one row
// A multiprocessor's share of the bandwidth times the latency under load is some 25 KiB; 64 KiB
// bridge the meetings, and leave room for the next kernel's CTA.
constexpr int kStages = 4;
constexpr int kWeightBytes = kTileRows * kStepBytes;  // of a stage
constexpr int kSumStride = 20;                        // floats per token: writes meet no bank twice
// Activations beyond that pass through the rings with the weights, once a tile.
constexpr std::int64_t kMaxResidentBytes = 100 * 1024;

template <bool kCarried>
constexpr int kStageBytes = kWeightBytes + (kCarried ? kMaxTokens * kStepBytes : 0);

// Places in shared memory behind the rings, in bytes.
struct Layout {
    int x;         // bf16 [n, x_stride / 2], when resident
    int x_stride;  // bytes; odd multiples of 64, so that neighbouring tokens lie in other banks
    int sums;      // float [2, kWarps, n, kSumStride]: tiles take turns
    int squares;   // float [kWarps, n]
    int slots;     // long long [n * num_kv_heads]
    int end;
};

struct Params {
    const Bf16* w;
    const Bf16* bias;
    const void* x;  // Bf16 or, to be normed, float
    const Bf16* norm_weight;
    Bf16* out;
    float* out_f32;
    const std::int32_t* positions;
    const float* inv_freq;
    PagedKvCache cache;
    Layout layout;
    long long rows;
    int cols;
    int n;
    int steps;  // of 64 columns, the last may be half
    int tiles;
    int tiles_per_head;
    int num_qo_heads;
    int num_kv_heads;
    float eps;
};

// A tile takes eight weight rows from `first` on and eight from `second` on.
struct TileRows {
    long long first;
    long long second;
};

template <MatmulEpilogue kEpilogue>
__device__ inline TileRows tile_rows(const Params& p, int tile) {
    if constexpr (kEpilogue == MatmulEpilogue::kSiluMul) {
        return {8LL * tile, p.rows / 2 + 8LL * tile};
    } else if constexpr (kEpilogue == MatmulEpilogue::kRopeAppend) {
        const int head = tile / p.tiles_per_head;
        const int part = tile % p.tiles_per_head;
        const int dim = p.cache.head_dim;
        const long long base = static_cast<long long>(head) * dim;
        if (head < p.num_qo_heads + p.num_kv_heads) {  // the two elements that turn together
            return {base + 8 * part, base + dim / 2 + 8 * part};
        }
        return {base + 16 * part, base + 16 * part + 8};
    } else {
        return {16LL * tile, 16LL * tile + 8};
    }
}

// Where a lane's 16-byte chunk of a stage lies when rows lane / 8 are copied. Odd rows have their
// halves swapped: a quarter warp reads four chunks of two rows, which so lie in different banks.
__device__ inline unsigned copy_offset() {
    const int row = threadIdx.x % 32 / 8;
    const int chunk = threadIdx.x % 8;
    return static_cast<unsigned>(row * kStepBytes + ((chunk ^ ((row & 1) << 2)) << 4));
}

// Where a lane reads its chunk of `row` in the first 32 columns; XOR 64 gives the second 32.
__device__ inline unsigned read_offset(int row) {
    const int chunk = threadIdx.x % 4;
    return static_cast<unsigned>(row * kStepBytes + ((chunk ^ ((row & 1) << 2)) << 4));
}

// The pieces of weights that a warp takes, in order: of every tile the steps warp, warp + 8, ...
template <MatmulEpilogue kEpilogue>
struct WeightStream {
    const Params& p;
    int end;
    int tile;
    int step;
    const Bf16* rows[4];  // this lane's chunk of rows lane / 8 + 4 j of the tile

    __device__ WeightStream(const Params& params, int begin, int end_in)
        : p(params), end(end_in), tile(begin), step(static_cast<int>(threadIdx.x) / 32), rows{} {
        if (step >= p.steps) tile = end;
        enter_tile();
    }
    __device__ bool done() const { return tile >= end; }
    __device__ void enter_tile() {
        if (done()) return;
        const TileRows t = tile_rows<kEpilogue>(p, tile);
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            // Rows beyond the last read the last; they are not stored.
            const long long row = (j < 2 ? t.first : t.second) + lane / 8 + 4 * (j % 2);
            rows[j] = p.w + min(row, p.rows - 1) * p.cols + lane % 8 * 8;
        }
    }
    __device__ void fetch(unsigned stage) const {
        if (done()) return;
        const int column = step * kStepColumns;
        const bool in = column + static_cast<int>(threadIdx.x) % 8 * 8 < p.cols;
        const unsigned target = stage + copy_offset();
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            copy16_async(target + j * 4 * kStepBytes, in ? rows[j] + column : p.w, in);
        }
    }
    __device__ void advance() {
        step += kWarps;
        if (step < p.steps) return;
        step = static_cast<int>(threadIdx.x) / 32;
        if (done()) return;
        ++tile;
        enter_tile();
    }
};

// Copies a step of the activations behind the weights of a stage.
__device__ inline void fetch_x(const Params& p, int step, unsigned stage) {
    const Bf16* x = static_cast<const Bf16*>(p.x);
    const int lane = threadIdx.x % 32;
    const int column = step * kStepColumns + lane % 8 * 8;
    const bool in = column < p.cols;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
        const int token = lane / 8 + 4 * j;
        if (token >= p.n) continue;
        copy16_async(stage + kWeightBytes + copy_offset() + j * 4 * kStepBytes,
                     in ? x + static_cast<long long>(token) * p.cols + column : x, in);
    }
}

// x to shared memory, zeros behind its end. Eight loads in flight a thread.
__device__ inline void load_x(const Params& p, unsigned char* target) {
    constexpr int kBatch = 8;
    const uint4* x = static_cast<const uint4*>(p.x);
    const int groups = p.cols / 8;
    const int count = p.n * groups;
    for (int first = threadIdx.x; first < count; first += kBatch * kThreads) {
        uint4 v[kBatch];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
            const int at = first + b * kThreads;
            if (at < count) v[b] = __ldcg(x + at);
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
            const int at = first + b * kThreads;
            if (at >= count) break;
            const int token = at / groups;
            *reinterpret_cast<uint4*>(target + token * p.layout.x_stride +
                                      16 * (at - token * groups)) = v[b];
        }
    }
    const int tail = p.steps * 8 - groups;  // 0 or 4
    if (static_cast<int>(threadIdx.x) < p.n * tail) {
        const int token = threadIdx.x / tail;
        const int group = groups + static_cast<int>(threadIdx.x) % tail;
        *reinterpret_cast<uint4*>(target + token * p.layout.x_stride + 16 * group) =
            make_uint4(0, 0, 0, 0);
    }
}

// The n tokens in groups of 8 columns, up to the end of the last step: item k of a thread is
// column group threadIdx.x + kThreads * (k % chunks) of token k / chunks.
struct Items {
    int chunks;  // per token and thread
    int count;
    int groups;  // per token
    __device__ explicit Items(const Params& p)
        : chunks((p.steps * 8 + kThreads - 1) / kThreads),
          count(p.n * chunks),
          groups(p.steps * 8) {}
    __device__ int token(int k) const {
        return static_cast<int>(static_cast<unsigned>(k) / static_cast<unsigned>(chunks));
    }
    __device__ int group(int k) const {
        return static_cast<int>(threadIdx.x) + kThreads * (k - token(k) * chunks);
    }
};

// The norm's weights wait in the row of the last token, which is the last to be written, each
// group by the thread that has put its weights there. Zeros behind the end.
__device__ inline void load_norm_weight(const Params& p, unsigned char* target) {
    const int groups = p.steps * 8;
#pragma unroll 2
    for (int group = threadIdx.x; group < groups; group += kThreads) {
        uint4 v = make_uint4(0, 0, 0, 0);
        if (8 * group < p.cols) {
            v = __ldg(reinterpret_cast<const uint4*>(p.norm_weight + 8 * group));
        }
        *reinterpret_cast<uint4*>(target + (p.n - 1) * p.layout.x_stride + 16 * group) = v;
    }
}

// bf16(x * weight) to shared memory, and this warp's sums of x^2 to squares [kWarps, n].
__device__ inline void load_normed_x(const Params& p, unsigned char* target, float* squares) {
    const float* x = static_cast<const float*>(p.x);
    const Items items(p);
    const int lane = threadIdx.x % 32;
    const unsigned char* weights = target + (p.n - 1) * p.layout.x_stride;
    constexpr int kBatch = 4;  // eight loads in flight a thread
    float sum = 0.0f;
    for (int first = 0; first < items.count; first += kBatch) {
        float4 v[kBatch][2];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
            const int k = first + b;
            const int column = 8 * items.group(k);
            v[b][0] = v[b][1] = make_float4(0, 0, 0, 0);
            if (k < items.count && column < p.cols) {
                const auto* source = reinterpret_cast<const float4*>(
                    x + static_cast<long long>(items.token(k)) * p.cols + column);
                v[b][0] = __ldcg(source);
                v[b][1] = __ldcg(source + 1);
            }
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
            const int k = first + b;
            if (k >= items.count) break;
            const int token = items.token(k);
            const int group = items.group(k);
            const float4& low = v[b][0];
            const float4& high = v[b][1];
            if (group < items.groups) {
                float w[8];
                unpack8(*reinterpret_cast<const uint4*>(weights + 16 * group), w);
                sum += low.x * low.x + low.y * low.y + low.z * low.z + low.w * low.w +
                       high.x * high.x + high.y * high.y + high.z * high.z + high.w * high.w;
                *reinterpret_cast<uint4*>(target + token * p.layout.x_stride + 16 * group) =
                    make_uint4(pack2(low.x * w[0], low.y * w[1]), pack2(low.z * w[2], low.w * w[3]),
                               pack2(high.x * w[4], high.y * w[5]),
                               pack2(high.z * w[6], high.w * w[7]));
            }
            if ((k + 1) % items.chunks != 0) continue;
            for (int step = 16; step > 0; step /= 2) {
                sum += __shfl_xor_sync(0xffffffffu, sum, step);
            }
            if (lane == 0) squares[threadIdx.x / 32 * p.n + token] = sum;
            sum = 0.0f;
        }
    }
}

// 1 / sqrt(mean(x^2) + eps) of a token.
__device__ inline float norm_scale(const Params& p, const float* squares, int token) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += squares[w * p.n + token];
    return rsqrtf(sum / static_cast<float>(p.cols) + p.eps);
}

// The element of cache.pages where each pair's new key begins.
__device__ inline void find_slots(const Params& p, long long* slots) {
    const PagedKvCache& cache = p.cache;
    for (int pair = threadIdx.x; pair < cache.num_pairs; pair += kThreads) {
        const int slot = cache.lengths[pair];
        const long long page = cache.page_indices[cache.page_indptr[pair] + slot / cache.page_size];
        slots[pair] = (page * 2 * cache.page_size + slot % cache.page_size) * cache.head_dim;
    }
}

}  // namespace hc::kernels::cuda::matmul
