// Decode attention moves every byte of the KV cache once and does little with it, so everything
// here serves to keep loads in flight:
// - All pairs' tokens, in tiles of 16, form one line that is cut into equal shares, one per CTA;
//   unequal lengths balance by themselves. A pair that spans CTAs is merged by the last to finish.
// - The warps of a CTA take its tiles in turn and never wait for each other until a pair ends;
//   each has its own stages of shared memory, filled by cp.async, also across the end of a pair.
// - Query heads are the 16 rows of a tensor-core tile. Groups of up to 8 use the upper half and
//   skip the lower half's arithmetic; the tensor cores have time to spare, so smaller tiles than
//   that would bring nothing.
#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/tensor_core.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kTile = 16;  // tokens
constexpr int kMaxPairs = 2048;
constexpr int kMaxCtas = 256;    // weights of that many parts of 16 rows fill the merge's 16 KiB
constexpr int kRows = 16;        // query heads, padded
constexpr float kNone = -1e30f;  // below every score; finite, so that differences are numbers

// kHalves: 1 for groups of up to 8, 2 for up to 16.
template <int kHeadDim, int kHalves>
struct Shape {
    static constexpr int kWarps = kHeadDim == 256 ? 4 : 8;
    static constexpr int kThreads = 32 * kWarps;
    static constexpr int kStages = kHeadDim == 64 ? 4 : 2;
    static constexpr int kRowBytes = 2 * kHeadDim;
    static constexpr int kStageBytes = 2 * kTile * kRowBytes;
    static constexpr int kBlocks = kHeadDim / 8;  // of 8 columns
    // The merge of a CTA's warps goes through 16 KiB at a time.
    static constexpr int kUsedRows = 8 * kHalves;
    static constexpr int kMergeColumns =
        16384 / (4 * kWarps * kUsedRows) < kHeadDim ? 16384 / (4 * kWarps * kUsedRows) : kHeadDim;
    static constexpr int kMergePasses = (kHeadDim + kMergeColumns - 1) / kMergeColumns;
    static constexpr int kStatBytes = 4 * 2 * kWarps * kRows;
    static constexpr int kFixedBytes = kWarps * kStages * kStageBytes + 16384 + kStatBytes;
};

struct Params {
    PagedKvCache cache;
    const Bf16* q;
    Bf16* out;
    float* partial_out;     // [slots, group, head_dim]
    float2* partial_stats;  // [slots, group] maximum (of base-2 scores) and sum
    unsigned* counters;     // [num_pairs]
    int group;
    float scale;  // log2(e) / sqrt(head_dim)
};

// A place on the line of tiles.
struct Cursor {
    int pair = 0;
    __device__ void advance(const int* first_tile, int tile) {
        while (tile >= first_tile[pair + 1]) ++pair;
    }
};

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

// first_tile [num_pairs + 1]: running sum of tiles per pair. All threads; ends synchronised.
template <int kThreads>
__device__ void sum_tiles(const PagedKvCache& cache, int* first_tile, int* warp_sums) {
    const int n = cache.num_pairs;
    const int per_thread = (n + kThreads - 1) / kThreads;
    const int begin = min(n, static_cast<int>(threadIdx.x) * per_thread);
    const int end = min(n, begin + per_thread);
    int own = 0;
    for (int i = begin; i < end; ++i) own += (cache.lengths[i] + kTile - 1) / kTile;
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
        first_tile[i] = before;
        before += (cache.lengths[i] + kTile - 1) / kTile;
    }
    if (begin < n && end == n) first_tile[n] = before;
    __syncthreads();
}

// Starts copying keys and values of one tile into a stage.
template <int kHeadDim>
__device__ inline void fetch_tile(const PagedKvCache& cache, int pair, int tile_in_pair,
                                  unsigned stage) {
    constexpr int kChunks = kHeadDim / 8;
    const int lane = threadIdx.x % 32;
    const int first = tile_in_pair * kTile;
    const int page_entry = first / cache.page_size;
    const long long page = cache.page_indices[cache.page_indptr[pair] + page_entry];
    const Bf16* keys =
        cache.pages + (page * 2 * cache.page_size + first % cache.page_size) * kHeadDim;
    const Bf16* values = keys + static_cast<long long>(cache.page_size) * kHeadDim;
    const int valid = cache.lengths[pair] - first;
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

// The queries of a pair as fragments, rows beyond the group zero.
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
                r < group ? *reinterpret_cast<const unsigned*>(q + r * kHeadDim + c) : 0u;
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

// Joins the warps of a CTA. All threads; ends synchronised.
template <int kHeadDim, int kHalves>
__device__ void join_warps(WarpState<kHeadDim, kHalves>& state, int group, float* buffer,
                           float* stats, const Target& target) {
    using S = Shape<kHeadDim, kHalves>;
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    float* tops = stats;
    float* sums = stats + S::kWarps * kRows;
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
        float sum = state.sum[half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (lane % 4 == 0) {
            tops[warp * kRows + lane / 4 + 8 * half] = state.top[half];
            sums[warp * kRows + lane / 4 + 8 * half] = sum;
        }
    }
    __syncthreads();
    float factor[2] = {};
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
        float top = kNone;
        for (int w = 0; w < S::kWarps; ++w) top = fmaxf(top, tops[w * kRows + lane / 4 + 8 * half]);
        factor[half] = exp2f(state.top[half] - top);
    }
    constexpr int kPassBlocks = S::kMergeColumns / 8;
#pragma unroll
    for (int pass = 0; pass < S::kMergePasses; ++pass) {
#pragma unroll
        for (int n = 0; n < kPassBlocks; ++n) {
            const int block = pass * kPassBlocks + n;
            if (block >= S::kBlocks) break;
#pragma unroll
            for (int half = 0; half < kHalves; ++half) {
                float* row =
                    buffer + (warp * S::kUsedRows + lane / 4 + 8 * half) * S::kMergeColumns;
                *reinterpret_cast<float2*>(row + 8 * n + lane % 4 * 2) =
                    make_float2(state.out[block][2 * half] * factor[half],
                                state.out[block][2 * half + 1] * factor[half]);
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < group * S::kMergeColumns; i += S::kThreads) {
            const int row = i / S::kMergeColumns;
            const int column = i % S::kMergeColumns;
            const int at = pass * S::kMergeColumns + column;
            if (at >= kHeadDim) continue;
            float v = 0.0f;
            for (int w = 0; w < S::kWarps; ++w) {
                v += buffer[(w * S::kUsedRows + row) * S::kMergeColumns + column];
            }
            float top = kNone;
            for (int w = 0; w < S::kWarps; ++w) top = fmaxf(top, tops[w * kRows + row]);
            float sum = 0.0f;
            for (int w = 0; w < S::kWarps; ++w) {
                sum += sums[w * kRows + row] * exp2f(tops[w * kRows + row] - top);
            }
            if (target.out != nullptr) {
                target.out[row * kHeadDim + at] = static_cast<Bf16>(pack2(v / sum, 0.0f));
            } else {
                target.partial[row * kHeadDim + at] = v;
                if (at == 0) target.stats[row] = make_float2(top, sum);
            }
        }
        __syncthreads();
    }
}

// Weights of `count` partial results in the merged one, [group, count], from their stats. A warp
// a row.
template <int kThreads>
__device__ void weigh_parts(const float2* stats, int group, int count, float* weights) {
    const int lane = threadIdx.x % 32;
    for (int row = static_cast<int>(threadIdx.x) / 32; row < group; row += kThreads / 32) {
        float top = kNone;
        float sum = 0.0f;
        for (int c = lane; c < count; c += 32) {
            const float2 stat = __ldcg(&stats[c * group + row]);
            const float higher = fmaxf(top, stat.x);
            sum = sum * exp2f(top - higher) + stat.y * exp2f(stat.x - higher);
            top = higher;
            weights[row * count + c] = stat.x;
        }
        float row_top = top;
        for (int step = 16; step > 0; step /= 2) {
            row_top = fmaxf(row_top, __shfl_xor_sync(0xffffffffu, row_top, step));
        }
        sum *= exp2f(top - row_top);
        for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        for (int c = lane; c < count; c += 32) {
            weights[row * count + c] = exp2f(weights[row * count + c] - row_top) / sum;
        }
    }
}

__device__ inline void add_scaled(float4& sum, const float4& v, float weight) {
    sum.x += v.x * weight;
    sum.y += v.y * weight;
    sum.z += v.z * weight;
    sum.w += v.w * weight;
}

// Joins the partial results of `count` CTAs, the slots from `slot` on. Four columns a thread;
// where threads are left, several share the columns' parts. All threads.
template <int kThreads>
__device__ void join_ctas(const Params& params, int pair, int head_dim, long long slot, int count,
                          float* buffer) {
    constexpr int kBatch = 10;  // loads in flight: L2 takes long, the sums nothing
    const int group = params.group;
    weigh_parts<kThreads>(params.partial_stats + slot * group, group, count, buffer);
    __syncthreads();
    const int quads = group * head_dim / 4;
    const int shares = quads < kThreads ? kThreads / quads : 1;
    // Groups that leave threads over have at most 8 rows, whose weights fill half of the buffer.
    float4* sums = reinterpret_cast<float4*>(buffer + 2048);
    const float* parts = params.partial_out + slot * group * head_dim;
    const long long stride = static_cast<long long>(group) * head_dim;
    for (int i = threadIdx.x; i < quads * shares; i += kThreads) {
        const int quad = i % quads;
        const float* weights = buffer + quad * 4 / head_dim * count;
        float4 sum = make_float4(0, 0, 0, 0);
        for (int first = i / quads; first < count; first += kBatch * shares) {
            float4 part[kBatch];
#pragma unroll
            for (int j = 0; j < kBatch; ++j) {
                const int c = min(first + j * shares, count - 1);
                part[j] = __ldcg(reinterpret_cast<const float4*>(parts + c * stride) + quad);
            }
#pragma unroll
            for (int j = 0; j < kBatch; ++j) {
                const int c = first + j * shares;
                if (c < count) add_scaled(sum, part[j], weights[c]);
            }
        }
        if (shares > 1) {
            sums[i] = sum;
        } else {
            *reinterpret_cast<uint2*>(params.out + pair * stride + 4 * quad) =
                make_uint2(pack2(sum.x, sum.y), pack2(sum.z, sum.w));
        }
    }
    if (shares == 1) return;
    __syncthreads();
    for (int quad = threadIdx.x; quad < quads; quad += kThreads) {
        float4 sum = make_float4(0, 0, 0, 0);
        for (int s = 0; s < shares; ++s) add_scaled(sum, sums[s * quads + quad], 1.0f);
        *reinterpret_cast<uint2*>(params.out + pair * stride + 4 * quad) =
            make_uint2(pack2(sum.x, sum.y), pack2(sum.z, sum.w));
    }
}

// Ends a CTA's share of a pair: joins its warps, and when it is the last CTA of the pair, those.
template <int kHeadDim, int kHalves>
__device__ void finish_pair(const Params& params, WarpState<kHeadDim, kHalves>& state, int pair,
                            const int* first_tile, long long total, int ctas, float* buffer,
                            float* stats, int* is_last) {
    using S = Shape<kHeadDim, kHalves>;
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
    join_warps<kHeadDim, kHalves>(state, params.group, buffer, stats, target);
    if (count == 1) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        const unsigned before = atomicAdd(&params.counters[pair], 1u);
        *is_last = before + 1 == static_cast<unsigned>(count);
        if (*is_last) params.counters[pair] = 0;
    }
    __syncthreads();
    if (*is_last) {
        __threadfence();
        join_ctas<S::kThreads>(params, pair, kHeadDim, first_cta + pair, count, buffer);
    }
    __syncthreads();
}

template <int kHeadDim, int kHalves>
__global__ void __launch_bounds__(Shape<kHeadDim, kHalves>::kThreads, 1)
    decode_attention_kernel(const __grid_constant__ Params params) {
    using S = Shape<kHeadDim, kHalves>;
    extern __shared__ __align__(128) unsigned char shared[];
    float* buffer = reinterpret_cast<float*>(shared + S::kWarps * S::kStages * S::kStageBytes);
    float* stats = buffer + 4096;
    int* first_tile = reinterpret_cast<int*>(shared + S::kFixedBytes);
    __shared__ int warp_sums[S::kWarps];
    __shared__ int is_last;

    const PagedKvCache& cache = params.cache;
    sum_tiles<S::kThreads>(cache, first_tile, warp_sums);
    for (int pair = blockIdx.x; pair < cache.num_pairs; pair += gridDim.x) {
        if (first_tile[pair] != first_tile[pair + 1]) continue;
        Bf16* out = params.out + static_cast<long long>(pair) * params.group * kHeadDim;
        for (int i = threadIdx.x; i < params.group * kHeadDim; i += S::kThreads) out[i] = 0;
    }
    const long long total = first_tile[cache.num_pairs];
    // A share of fewer tiles than warps would only add partial results.
    const int ctas = static_cast<int>(
        min(static_cast<long long>(gridDim.x), (total + S::kWarps - 1) / S::kWarps));
    const int cta = blockIdx.x;
    if (cta >= ctas) return;
    const int begin = static_cast<int>(share_start(total, ctas, cta));
    const int end = static_cast<int>(share_start(total, ctas, cta + 1));

    const int warp = threadIdx.x / 32;
    const unsigned stages = shared_address(shared) + warp * S::kStages * S::kStageBytes;
    Cursor ahead;
    int next = begin + warp;
    int fill = 0;
    const auto fetch = [&] {
        if (next < end) {
            ahead.advance(first_tile, next);
            fetch_tile<kHeadDim>(cache, ahead.pair, next - first_tile[ahead.pair],
                                 stages + fill * S::kStageBytes);
        }
        commit_copies();  // an empty group too keeps the count
        next += S::kWarps;
        fill = fill + 1 == S::kStages ? 0 : fill + 1;
    };
#pragma unroll
    for (int i = 0; i < S::kStages - 1; ++i) fetch();

    WarpState<kHeadDim, kHalves> state;
    unsigned q[kHeadDim / 16][4];
    int tile = begin + warp;
    int use = 0;
    Cursor now;
    now.advance(first_tile, begin);
    while (true) {
        const int pair_end = min(end, first_tile[now.pair + 1]);
        const int length = cache.lengths[now.pair];
        state.clear();
        load_queries<kHeadDim>(
            params.q + static_cast<long long>(now.pair) * params.group * kHeadDim, params.group, q);
        for (; tile < pair_end; tile += S::kWarps) {
            __syncwarp();  // all lanes have read the stage that is filled next
            fetch();
            wait_copies<S::kStages - 1>();
            __syncwarp();
            attend_tile<kHeadDim, kHalves>(state, q, stages + use * S::kStageBytes,
                                           length - (tile - first_tile[now.pair]) * kTile,
                                           params.scale);
            use = use + 1 == S::kStages ? 0 : use + 1;
        }
        finish_pair<kHeadDim, kHalves>(params, state, now.pair, first_tile, total, ctas, buffer,
                                       stats, &is_last);
        if (pair_end == end) break;
        now.advance(first_tile, pair_end);
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
            S::kFixedBytes + sizeof(int) * (static_cast<std::size_t>(num_pairs) + 1)};
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
                                  DecodeAttentionPlan& plan) {
    const Variant v = choose(head_dim, group, num_pairs);
    if (v.kernel == nullptr) return cudaErrorInvalidValue;
    int device = 0;
    if (const cudaError_t e = cudaGetDevice(&device); e != cudaSuccess) return e;
    int sms = 0;
    if (const cudaError_t e = cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device);
        e != cudaSuccess) {
        return e;
    }
    const auto smem = static_cast<int>(v.smem_bytes);
    if (const cudaError_t e =
            cudaFuncSetAttribute(v.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
        e != cudaSuccess) {
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
    plan.num_ctas = sms < kMaxCtas ? sms : kMaxCtas;
    plan.smem_bytes = v.smem_bytes;
    const std::size_t slots = static_cast<std::size_t>(plan.num_ctas) + num_pairs;
    plan.workspace_bytes = slots * group * (4u * head_dim + sizeof(float2)) +
                           sizeof(unsigned) * static_cast<std::size_t>(num_pairs);
    return cudaSuccess;
}

cudaError_t decode_attention(const DecodeAttentionPlan& plan, const PagedKvCache& cache,
                             const Bf16* q, Bf16* out, void* workspace, cudaStream_t stream) {
    const Variant v = choose(plan.head_dim, plan.group, plan.num_pairs);
    if (v.kernel == nullptr || cache.num_pairs != plan.num_pairs ||
        cache.head_dim != plan.head_dim || cache.page_size < kTile ||
        cache.page_size % kTile != 0) {
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
    params.scale = 1.4426950408889634f / sqrtf(static_cast<float>(plan.head_dim));
    v.kernel<<<static_cast<unsigned>(plan.num_ctas), static_cast<unsigned>(v.threads),
               plan.smem_bytes, stream>>>(params);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
