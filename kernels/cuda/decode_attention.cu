// Decode attention moves every byte of the KV cache once and does little with it, so everything
// here serves to keep loads in flight:
// - All pairs' tokens, in tiles of 16, form one line that is cut into equal shares, one per CTA;
//   unequal lengths balance by themselves. A pair that spans CTAs is merged by the last to finish.
// - The warps of a CTA take its tiles in turn and never wait for each other until a pair ends;
//   each has its own stages of shared memory, filled by cp.async, also across the end of a pair.
//   Between two tiles one stage of every warp is free: results are merged there.
// - What a launch costs beside the bytes is a chain of latencies. Tables are loaded in one go, the
//   page of a tile is looked up while the tile before it is worked on, and as much of this as an
//   earlier kernel cannot change happens before the wait for it.
// - Query heads are the 16 rows of a tensor-core tile. Groups of up to 8 use the upper half and
//   skip the lower half's arithmetic; the tensor cores have time to spare, so smaller tiles than
//   that would bring nothing.
#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_core.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kTile = 16;  // tokens
constexpr int kMaxPairs = 2048;
constexpr int kMaxCtas = 256;    // a row's weights of that many parts are 1 KiB, see Scratch
constexpr int kRows = 16;        // query heads, padded
constexpr float kNone = -1e30f;  // below every score; finite, so that differences are numbers

// kHalves: 1 for groups of up to 8, 2 for up to 16.
template <int kHeadDim, int kHalves>
struct Shape {
    static constexpr int kWarps = kHeadDim == 256 ? 4 : 8;
    static constexpr int kThreads = 32 * kWarps;
    // Leaves as many as a CTA of decode_matmul needs, which may start beside this one.
    static constexpr int kMaxRegisters = kWarps == 8 ? 168 : 255;
    static constexpr int kStages = kHeadDim == 64 ? 4 : 2;
    static constexpr int kRowBytes = 2 * kHeadDim;
    static constexpr int kStageBytes = 2 * kTile * kRowBytes;
    static constexpr int kBlocks = kHeadDim / 8;  // of 8 columns
    static constexpr int kStatBytes = 4 * 2 * kWarps * kRows;
    static constexpr int kFixedBytes = kWarps * kStages * kStageBytes + kStatBytes;
    // Rows of fp32 results of one warp, or the merge's weights and sums, go into a free stage.
    static_assert(8 * kHalves * kHeadDim * 4 <= kStageBytes);
    static_assert(kRows / kWarps * 4 * kMaxCtas + 32 * 16 <= kStageBytes);
};

struct Params {
    PagedKvCache cache;
    const Bf16* q;
    Bf16* out;
    float* partial_out;     // [slots, group, head_dim]
    float2* partial_stats;  // [slots, group] maximum (of base-2 scores) and sum
    unsigned* counters;     // [num_pairs]
    int group;
    int fresh;    // tokens at a pair's end that kernels of the same step write
    float scale;  // log2(e) / sqrt(head_dim)
};

// Tables in shared memory, [num_pairs] each, and running sums of tiles, [num_pairs + 1].
struct Tables {
    int* first_tile;
    int* lengths;  // with what is appended
    int* indptr;
};

constexpr std::size_t table_bytes(std::size_t num_pairs) {
    return sizeof(int) * (3 * num_pairs + 1);
}

__device__ inline Tables tables_behind(unsigned char* memory, int num_pairs) {
    int* const lengths = reinterpret_cast<int*>(memory);
    return {lengths + 2 * num_pairs, lengths, lengths + num_pairs};
}

// XOR of the 16-byte chunk with the row, so that eight rows of one column lie in different banks.
// A row of head_dim 96 is 12 chunks: only its two low bits may be swapped, and rows alternate
// between two halves of the banks already.
template <int kHeadDim>
__device__ inline unsigned swizzled(int row, int chunk) {
    const int flip = kHeadDim == 96 ? (row >> 1) & 3 : row & 7;
    return static_cast<unsigned>(row * 2 * kHeadDim + ((chunk ^ flip) << 4));
}

__device__ inline long long share_start(long long total, int ctas, int cta) {
    return total * cta / ctas;
}

// The CTA whose share holds `tile`.
__device__ inline int share_of(long long total, int ctas, long long tile) {
    return static_cast<int>(((tile + 1) * ctas - 1) / total);
}

// All threads; ends synchronised.
template <int kThreads>
__device__ void fill_tables(const PagedKvCache& cache, const Tables& tables, int* warp_sums) {
    const int n = cache.num_pairs;
    for (int i = threadIdx.x; i < n; i += kThreads) {
        const int length = cache.lengths[i];
        const int first = cache.page_indptr[i];  // both under way together
        tables.lengths[i] = length + cache.appended;
        tables.indptr[i] = first;
    }
    __syncthreads();
    const int per_thread = (n + kThreads - 1) / kThreads;
    const int begin = min(n, static_cast<int>(threadIdx.x) * per_thread);
    const int end = min(n, begin + per_thread);
    int own = 0;
    for (int i = begin; i < end; ++i) own += (tables.lengths[i] + kTile - 1) / kTile;
    int sum = own;
    const int lane = threadIdx.x % 32;
    for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, sum, step);
        if (lane >= step) sum += other;
    }
    if (lane == 31) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads();
    int before = sum - own;
    for (int w = 0; w < static_cast<int>(threadIdx.x) / 32; ++w) before += warp_sums[w];
    for (int i = begin; i < end; ++i) {
        tables.first_tile[i] = before;
        before += (tables.lengths[i] + kTile - 1) / kTile;
    }
    if (begin < n && end == n) tables.first_tile[n] = before;
    __syncthreads();
}

// The tile that a warp fetches next, its page looked up.
struct NextTile {
    int tile;  // on the line
    int pair = 0;
    int in_pair = 0;
    int page = 0;

    __device__ void look_up(const PagedKvCache& cache, const Tables& tables, int end) {
        if (tile >= end) return;
        while (tile >= tables.first_tile[pair + 1]) ++pair;
        in_pair = tile - tables.first_tile[pair];
        page = __ldg(cache.page_indices + tables.indptr[pair] + in_pair * kTile / cache.page_size);
    }
};

// Starts copying keys and values of one tile into a stage.
template <int kHeadDim>
__device__ inline void fetch_tile(const PagedKvCache& cache, const NextTile& next, int length,
                                  unsigned stage) {
    constexpr int kChunks = kHeadDim / 8;
    const int lane = threadIdx.x % 32;
    const int first = next.in_pair * kTile;
    const long long page = next.page;
    const Bf16* keys =
        cache.pages + (page * 2 * cache.page_size + first % cache.page_size) * kHeadDim;
    const Bf16* values = keys + static_cast<long long>(cache.page_size) * kHeadDim;
    const int valid = length - first;
#pragma unroll
    for (int i = 0; i < kTile * kChunks / 32; ++i) {
        const int at = i * 32 + lane;
        const int row = at / kChunks;
        const int chunk = at % kChunks;
        const unsigned target = stage + swizzled<kHeadDim>(row, chunk);
        const bool in = row < valid;  // what lies beyond may be anything, also NaN
        copy16_async(target, keys + (in ? 8 * at : 0), in);
        copy16_async(target + kTile * 2 * kHeadDim, values + (in ? 8 * at : 0), in);
    }
}

// The running softmax of one warp: rows lane / 4 and lane / 4 + 8.
template <int kHeadDim, int kHalves>
struct WarpState {
    float out[kHeadDim / 8][4];
    float top[2];
    float sum[2];  // this lane's part of it

    __device__ void clear() {
#pragma unroll
        for (auto& block : out) block[0] = block[1] = block[2] = block[3] = 0.0f;
        top[0] = top[1] = kNone;
        sum[0] = sum[1] = 0.0f;
    }
};

// The queries of a pair as fragments, rows beyond the group zero. Through L2: the kernel before
// has written them.
template <int kHeadDim>
__device__ inline void load_queries(const Bf16* q, int group,
                                    unsigned (&fragment)[kHeadDim / 16][4]) {
    const int row = threadIdx.x % 32 / 4;
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int k = 0; k < kHeadDim / 16; ++k) {
#pragma unroll
        for (int part = 0; part < 4; ++part) {
            const int r = row + 8 * (part & 1);
            const int c = 16 * k + 8 * (part >> 1) + column;
            fragment[k][part] =
                r < group ? __ldcg(reinterpret_cast<const unsigned*>(q + r * kHeadDim + c)) : 0u;
        }
    }
}

// One tile: scores, softmax, weighted values.
template <int kHeadDim, int kHalves>
__device__ inline void attend_tile(WarpState<kHeadDim, kHalves>& state,
                                   const unsigned (&q)[kHeadDim / 16][4], unsigned stage, int valid,
                                   float scale) {
    const int lane = threadIdx.x % 32;
    float score[2][4] = {};
    const int key_row = (lane & 7) + ((lane >> 4) << 3);
#pragma unroll
    for (int k = 0; k < kHeadDim / 16; ++k) {
        unsigned b[4];
        load_matrices(b, stage + swizzled<kHeadDim>(key_row, 2 * k + ((lane >> 3) & 1)));
        multiply_add(score[0], q[k], b[0], b[1]);
        multiply_add(score[1], q[k], b[2], b[3]);
    }
    unsigned p[4] = {};
    bool moved = false;
    float factor[2] = {1.0f, 1.0f};
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
        float s[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int token = 8 * (i / 2) + lane % 4 * 2 + i % 2;
            s[i] = token < valid ? score[i / 2][2 * half + i % 2] * scale : kNone;
        }
        float top = fmaxf(fmaxf(s[0], s[1]), fmaxf(s[2], s[3]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        if (top > state.top[half]) {
            factor[half] = exp2f(state.top[half] - top);
            state.top[half] = top;
            moved = true;
        }
        float sum = 0.0f;
#pragma unroll
        for (float& v : s) {
            v = exp2f(v - state.top[half]);
            sum += v;
        }
        state.sum[half] = state.sum[half] * factor[half] + sum;
        p[half] = pack2(s[0], s[1]);
        p[half + 2] = pack2(s[2], s[3]);
    }
    if (__any_sync(0xffffffffu, moved)) {  // seldom, once the largest score has been met
#pragma unroll
        for (auto& block : state.out) {
#pragma unroll
            for (int i = 0; i < 2 * kHalves; ++i) block[i] *= factor[i / 2];
        }
    }
    const unsigned values = stage + kTile * 2 * kHeadDim;
#pragma unroll
    for (int n = 0; n < kHeadDim / 16; ++n) {
        unsigned b[4];
        load_matrices_transposed(b, values + swizzled<kHeadDim>(lane & 15, 2 * n + (lane >> 4)));
        multiply_add(state.out[2 * n], p, b[0], b[1]);
        multiply_add(state.out[2 * n + 1], p, b[2], b[3]);
    }
}

// Where the result of a CTA's share of a pair goes.
struct Target {
    Bf16* out;       // final, [group, head_dim], when the CTA holds the whole pair
    float* partial;  // else [group, head_dim]
    float2* stats;   // [group]
};

// The free stages of a CTA's warps as memory for merging.
template <int kHeadDim, int kHalves>
struct Scratch {
    using S = Shape<kHeadDim, kHalves>;
    unsigned char* stages;
    int* free_stage;  // [kWarps]
    float* tops;      // [kWarps, kRows] statistics of the warps
    float* sums;

    __device__ float* of_warp(int warp) const {
        return reinterpret_cast<float*>(stages +
                                        (warp * S::kStages + free_stage[warp]) * S::kStageBytes);
    }
    // Weights of the parts of one row in the merge of CTAs, [kMaxCtas].
    __device__ float* weights(int row) const {
        return of_warp(row % S::kWarps) + row / S::kWarps * kMaxCtas;
    }
    // A place of each thread behind the weights.
    __device__ float4& sum_of(int thread) const {
        return reinterpret_cast<float4*>(of_warp(thread / 32) +
                                         kRows / S::kWarps * kMaxCtas)[thread % 32];
    }
};

// Where element `column` of `row` lies among a warp's results: blocks of 8 columns are turned by
// the row, so that the rows of one column lie in different banks.
template <int kHeadDim>
__device__ inline int turned(int row, int column) {
    int block = column / 8 + (row & 7);
    if (block >= kHeadDim / 8) block -= kHeadDim / 8;
    return row * kHeadDim + block * 8 + column % 8;
}

// Joins the warps of a CTA, each of which has put its results into its free stage. All threads.
template <int kHeadDim, int kHalves>
__device__ void join_warps(const WarpState<kHeadDim, kHalves>& state, int group, int free_stage,
                           const Scratch<kHeadDim, kHalves>& scratch, const Target& target) {
    using S = Shape<kHeadDim, kHalves>;
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (lane == 0) scratch.free_stage[warp] = free_stage;
    __syncwarp();  // also: all lanes have read the stage
    float* const own = scratch.of_warp(warp);
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
        const int row = lane / 4 + 8 * half;
        float sum = state.sum[half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (lane % 4 == 0) {
            scratch.tops[warp * kRows + row] = state.top[half];
            scratch.sums[warp * kRows + row] = sum;
        }
#pragma unroll
        for (int n = 0; n < S::kBlocks; ++n) {
            *reinterpret_cast<float2*>(own + turned<kHeadDim>(row, 8 * n + lane % 4 * 2)) =
                make_float2(state.out[n][2 * half], state.out[n][2 * half + 1]);
        }
    }
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < group * kHeadDim / 2; i += S::kThreads) {
        const int row = i / (kHeadDim / 2);
        const int column = i % (kHeadDim / 2) * 2;
        float tops[S::kWarps];
        float top = kNone;
#pragma unroll
        for (int w = 0; w < S::kWarps; ++w) {
            tops[w] = scratch.tops[w * kRows + row];
            top = fmaxf(top, tops[w]);
        }
        float sum = 0.0f;
        float2 out = make_float2(0.0f, 0.0f);
#pragma unroll
        for (int w = 0; w < S::kWarps; ++w) {
            const float factor = exp2f(tops[w] - top);
            const float2 v = *reinterpret_cast<const float2*>(scratch.of_warp(w) +
                                                              turned<kHeadDim>(row, column));
            sum += scratch.sums[w * kRows + row] * factor;
            out.x += v.x * factor;
            out.y += v.y * factor;
        }
        if (target.out != nullptr) {
            *reinterpret_cast<unsigned*>(target.out + row * kHeadDim + column) =
                pack2(out.x / sum, out.y / sum);
        } else {
            *reinterpret_cast<float2*>(target.partial + row * kHeadDim + column) = out;
            if (column == 0) target.stats[row] = make_float2(top, sum);
        }
    }
}

// Weights of `count` partial results in the merged one, from their stats. A warp a row.
template <int kHeadDim, int kHalves>
__device__ void weigh_parts(const float2* stats, int group, int count,
                            const Scratch<kHeadDim, kHalves>& scratch) {
    constexpr int kWarps = Shape<kHeadDim, kHalves>::kWarps;
    const int lane = threadIdx.x % 32;
    for (int row = static_cast<int>(threadIdx.x) / 32; row < group; row += kWarps) {
        float* const weights = scratch.weights(row);
        float top = kNone;
        float sum = 0.0f;
        for (int c = lane; c < count; c += 32) {
            const float2 stat = __ldcg(&stats[c * group + row]);
            const float higher = fmaxf(top, stat.x);
            sum = sum * exp2f(top - higher) + stat.y * exp2f(stat.x - higher);
            top = higher;
            weights[c] = stat.x;
        }
        float row_top = top;
        for (int step = 16; step > 0; step /= 2) {
            row_top = fmaxf(row_top, __shfl_xor_sync(0xffffffffu, row_top, step));
        }
        sum *= exp2f(top - row_top);
        for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        for (int c = lane; c < count; c += 32) weights[c] = exp2f(weights[c] - row_top) / sum;
    }
}

__device__ inline void add_scaled(float4& sum, const float4& v, float weight) {
    sum.x += v.x * weight;
    sum.y += v.y * weight;
    sum.z += v.z * weight;
    sum.w += v.w * weight;
}

constexpr int kPartBatch = 16;  // loads in flight: L2 takes long, the sums nothing

// Parts first, first + step, ... of one quad of columns.
__device__ inline void load_parts(float4 (&part)[kPartBatch], const float* quad_of_first_part,
                                  long long stride, int first, int step, int count) {
#pragma unroll
    for (int j = 0; j < kPartBatch; ++j) {
        const int c = min(first + j * step, count - 1);
        part[j] = __ldcg(reinterpret_cast<const float4*>(quad_of_first_part + c * stride));
    }
}

__device__ inline void store_quad(Bf16* out, const float4& v) {
    *reinterpret_cast<uint2*>(out) = make_uint2(pack2(v.x, v.y), pack2(v.z, v.w));
}

// Joins the partial results of `count` CTAs, the slots from `slot` on. Four columns a thread;
// where threads are left, several share the columns' parts. All threads.
template <int kHeadDim, int kHalves>
__device__ void join_ctas(const Params& params, int pair, long long slot, int count,
                          const Scratch<kHeadDim, kHalves>& scratch) {
    constexpr int kThreads = Shape<kHeadDim, kHalves>::kThreads;
    const int group = params.group;
    const int quads = group * kHeadDim / 4;
    const int shares = quads < kThreads ? kThreads / quads : 1;
    const long long stride = static_cast<long long>(group) * kHeadDim;
    const float* parts = params.partial_out + slot * stride;
    Bf16* out = params.out + pair * stride;
    float4 part[kPartBatch];
    const int tid = static_cast<int>(threadIdx.x);
    // The first loads do not wait for the weights. Threads to spare load as well, so that nothing
    // of `part` lives outside.
    load_parts(part, parts + tid % quads * 4, stride, tid / quads, shares, count);
    weigh_parts<kHeadDim, kHalves>(params.partial_stats + slot * group, group, count, scratch);
    __syncthreads();
#pragma unroll 1
    for (int i = tid; i < quads * shares; i += kThreads) {
        const int quad = i % quads;
        const float* weights = scratch.weights(quad * 4 / kHeadDim);
        float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 1
        for (int first = i / quads; first < count; first += kPartBatch * shares) {
            if (i != tid || first != i / quads) {
                load_parts(part, parts + quad * 4, stride, first, shares, count);
            }
#pragma unroll
            for (int j = 0; j < kPartBatch; ++j) {
                const int c = first + j * shares;
                if (c < count) add_scaled(sum, part[j], weights[c]);
            }
        }
        if (shares > 1) {
            scratch.sum_of(i) = sum;
        } else {
            store_quad(out + 4 * quad, sum);
        }
    }
    if (shares == 1) return;
    __syncthreads();
    if (tid >= quads) return;
    float4 sum = make_float4(0, 0, 0, 0);
    for (int s = 0; s < shares; ++s) add_scaled(sum, scratch.sum_of(s * quads + tid), 1.0f);
    store_quad(out + 4 * tid, sum);
}

// Counts a CTA's part of a pair as written and says whether it was the last of `count`. All
// threads. One thread publishes for all: the barrier puts their writes before its atomic, the
// second barrier their reads after it.
__device__ inline bool is_last_part(unsigned* counter, int count, int* is_last) {
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned before = 0;
        asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
                     : "=r"(before)
                     : "l"(counter)
                     : "memory");
        *is_last = before + 1 == static_cast<unsigned>(count);
        if (*is_last) *counter = 0;
    }
    __syncthreads();
    return *is_last != 0;
}

// Ends a CTA's share of a pair: joins its warps, and when it is the last CTA of the pair, those.
// All threads; ends synchronised.
template <int kHeadDim, int kHalves>
__device__ void finish_pair(const Params& params, const WarpState<kHeadDim, kHalves>& state,
                            int pair, const int* first_tile, long long total, int ctas,
                            int free_stage, const Scratch<kHeadDim, kHalves>& scratch,
                            int* is_last) {
    const int cta = blockIdx.x;
    const int first_cta = share_of(total, ctas, first_tile[pair]);
    const int count = share_of(total, ctas, first_tile[pair + 1] - 1) - first_cta + 1;
    // From one share of a pair to the next, CTA or pair grows: their sum names a slot.
    const long long slot = cta + pair;
    Target target{};
    if (count == 1) {
        target.out = params.out + static_cast<long long>(pair) * params.group * kHeadDim;
    } else {
        target.partial = params.partial_out + slot * params.group * kHeadDim;
        target.stats = params.partial_stats + slot * params.group;
    }
    join_warps<kHeadDim, kHalves>(state, params.group, free_stage, scratch, target);
    if (count > 1 && is_last_part(&params.counters[pair], count, is_last)) {
        join_ctas<kHeadDim, kHalves>(params, pair, first_cta + pair, count, scratch);
    }
    __syncthreads();
}

// Pairs without a token.
template <int kHeadDim, int kThreads>
__device__ void clear_empty_pairs(const Params& params, const int* first_tile) {
    for (int pair = blockIdx.x; pair < params.cache.num_pairs; pair += gridDim.x) {
        if (first_tile[pair] != first_tile[pair + 1]) continue;
        Bf16* out = params.out + static_cast<long long>(pair) * params.group * kHeadDim;
        for (int i = threadIdx.x; i < params.group * kHeadDim; i += kThreads) out[i] = 0;
    }
}

template <int kHeadDim, int kHalves>
__global__ void __maxnreg__((Shape<kHeadDim, kHalves>::kMaxRegisters))
    decode_attention_kernel(const __grid_constant__ Params params) {
    using S = Shape<kHeadDim, kHalves>;
    extern __shared__ __align__(128) unsigned char shared[];
    __shared__ int warp_sums[S::kWarps];
    __shared__ int free_stages[S::kWarps];
    __shared__ int is_last;
    const PagedKvCache& cache = params.cache;
    const Tables tables = tables_behind(shared + S::kFixedBytes, cache.num_pairs);
    float* const stats = reinterpret_cast<float*>(shared + S::kWarps * S::kStages * S::kStageBytes);
    const Scratch<kHeadDim, kHalves> scratch{shared, free_stages, stats, stats + S::kWarps * kRows};

    fill_tables<S::kThreads>(cache, tables, warp_sums);
    const int* const first_tile = tables.first_tile;
    const long long total = first_tile[cache.num_pairs];
    // A share of fewer tiles than warps would only add partial results.
    const int ctas = static_cast<int>(
        min(static_cast<long long>(gridDim.x), (total + S::kWarps - 1) / S::kWarps));
    const int cta = blockIdx.x;
    if (cta >= ctas) {
        grid_wait();
        clear_empty_pairs<kHeadDim, S::kThreads>(params, first_tile);
        return;
    }
    const int begin = static_cast<int>(share_start(total, ctas, cta));
    const int end = static_cast<int>(share_start(total, ctas, cta + 1));

    const int warp = threadIdx.x / 32;
    const unsigned stages = shared_address(shared) + warp * S::kStages * S::kStageBytes;
    NextTile next{begin + warp};
    next.look_up(cache, tables, end);
    int fill = 0;  // the stage that is free between two tiles
    const auto fetch = [&](bool may_be_early) {
        if (next.tile < end) {
            const int length = tables.lengths[next.pair];
            // The kernels before write a pair's last tokens.
            if (may_be_early && (next.in_pair + 1) * kTile > length - params.fresh) grid_wait();
            fetch_tile<kHeadDim>(cache, next, length, stages + fill * S::kStageBytes);
            next.tile += S::kWarps;
            next.look_up(cache, tables, end);
            if (next.tile >= end) grid_release();
        }
        commit_copies();  // an empty group too keeps the count
        fill = fill + 1 == S::kStages ? 0 : fill + 1;
    };
#pragma unroll
    for (int i = 0; i < S::kStages - 1; ++i) fetch(true);
    grid_wait();
    clear_empty_pairs<kHeadDim, S::kThreads>(params, first_tile);

    WarpState<kHeadDim, kHalves> state;
    unsigned q[kHeadDim / 16][4];
    int tile = begin + warp;
    int use = 0;
    int pair = 0;
    int pair_end = begin;
    while (pair_end < end) {
        while (pair_end >= first_tile[pair + 1]) ++pair;
        pair_end = min(end, first_tile[pair + 1]);
        const int length = tables.lengths[pair];
        state.clear();
        load_queries<kHeadDim>(params.q + static_cast<long long>(pair) * params.group * kHeadDim,
                               params.group, q);
        for (; tile < pair_end; tile += S::kWarps) {
            __syncwarp();  // all lanes have read the stage that is filled next
            fetch(false);
            wait_copies<S::kStages - 1>();
            __syncwarp();
            attend_tile<kHeadDim, kHalves>(state, q, stages + use * S::kStageBytes,
                                           length - (tile - first_tile[pair]) * kTile,
                                           params.scale);
            use = use + 1 == S::kStages ? 0 : use + 1;
        }
        finish_pair<kHeadDim, kHalves>(params, state, pair, first_tile, total, ctas, fill, scratch,
                                       &is_last);
    }
}

using Kernel = void (*)(Params);

struct Variant {
    Kernel kernel = nullptr;
    int threads = 0;
    std::size_t smem_bytes = 0;
};

template <int kHeadDim, int kHalves>
Variant variant(std::int32_t num_pairs) {
    using S = Shape<kHeadDim, kHalves>;
    return {decode_attention_kernel<kHeadDim, kHalves>, S::kThreads,
            S::kFixedBytes + table_bytes(static_cast<std::size_t>(num_pairs))};
}

template <int kHeadDim>
Variant variant_of_group(std::int32_t group, std::int32_t num_pairs) {
    return group <= 8 ? variant<kHeadDim, 1>(num_pairs) : variant<kHeadDim, 2>(num_pairs);
}

Variant choose(std::int32_t head_dim, std::int32_t group, std::int32_t num_pairs) {
    if (group < 1 || group > kRows || num_pairs < 1 || num_pairs > kMaxPairs) return {};
    switch (head_dim) {
        case 64:
            return variant_of_group<64>(group, num_pairs);
        case 96:
            return variant_of_group<96>(group, num_pairs);
        case 128:
            return variant_of_group<128>(group, num_pairs);
        case 256:
            return variant_of_group<256>(group, num_pairs);
        default:
            return {};
    }
}

}  // namespace

cudaError_t plan_decode_attention(std::int32_t num_pairs, std::int32_t group, std::int32_t head_dim,
                                  DecodeAttentionPlan& plan, std::int32_t max_ctas) {
    const Variant v = choose(head_dim, group, num_pairs);
    if (v.kernel == nullptr || max_ctas < 0) return cudaErrorInvalidValue;
    DeviceLimits limits;
    if (const cudaError_t e = device_limits(limits); e != cudaSuccess) return e;
    // What the kernel declares itself is less than 1 KiB.
    if (const cudaError_t e = allow_shared_memory(v.kernel, limits, 1024); e != cudaSuccess) {
        return e;
    }
    int per_sm = 0;
    if (const cudaError_t e = cudaOccupancyMaxActiveBlocksPerMultiprocessor(
            &per_sm, v.kernel, v.threads, v.smem_bytes);
        e != cudaSuccess) {
        return e;
    }
    if (per_sm < 1) return cudaErrorInvalidConfiguration;
    plan.group = group;
    plan.head_dim = head_dim;
    plan.num_pairs = num_pairs;
    // One each: fewer partial results, and its stages suffice.
    const int most = max_ctas > 0 && max_ctas < limits.sms ? max_ctas : limits.sms;
    plan.num_ctas = most < kMaxCtas ? most : kMaxCtas;
    plan.smem_bytes = v.smem_bytes;
    const std::size_t slots = static_cast<std::size_t>(plan.num_ctas) + num_pairs;
    plan.workspace_bytes = slots * group * (4u * head_dim + sizeof(float2)) +
                           sizeof(unsigned) * static_cast<std::size_t>(num_pairs);
    return cudaSuccess;
}

cudaError_t decode_attention(const DecodeAttentionPlan& plan, const PagedKvCache& cache,
                             const Bf16* q, Bf16* out, void* workspace, cudaStream_t stream,
                             bool pdl) {
    const Variant v = choose(plan.head_dim, plan.group, plan.num_pairs);
    if (v.kernel == nullptr || cache.num_pairs != plan.num_pairs ||
        cache.head_dim != plan.head_dim || cache.page_size < kTile ||
        cache.page_size % kTile != 0 || cache.appended < 0) {
        return cudaErrorInvalidValue;
    }
    const std::size_t slots = static_cast<std::size_t>(plan.num_ctas) + plan.num_pairs;
    Params params{};
    params.cache = cache;
    params.q = q;
    params.out = out;
    params.partial_out = static_cast<float*>(workspace);
    params.partial_stats =
        reinterpret_cast<float2*>(params.partial_out + slots * plan.group * plan.head_dim);
    params.counters = reinterpret_cast<unsigned*>(params.partial_stats + slots * plan.group);
    params.group = plan.group;
    params.fresh = cache.appended > 1 ? cache.appended : 1;
    params.scale = 1.4426950408889634f / sqrtf(static_cast<float>(plan.head_dim));
    return launch(
        v.kernel,
        {static_cast<unsigned>(plan.num_ctas), static_cast<unsigned>(v.threads), plan.smem_bytes},
        pdl, stream, params);
}

}  // namespace hc::kernels::cuda
