// Prefill attention is bound by the tensor cores, so everything here serves to keep them fed:
// - The rows of a CTA are (query, head of the group) pairs of one KV head: keys and values are
//   fetched once for the whole group, and a short chunk still fills its tiles.
// - A warp holds two tiles of 16 rows, so that each fragment of keys and values read from shared
//   memory feeds two instructions; with one, shared memory would be the limit.
// - Keys and values pass through a ring of half tiles filled by cp.async. Two CTAs of four warps
//   fit on a multiprocessor: one computes weights while the other multiplies.
// - Row tiles that see most start first, and those of one KV head are neighbours in the grid: they
//   read the same keys at about the same time, from L2.
#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/prefill_attention.h"
#include "kernels/cuda/tensor_core.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kTile = 64;  // tokens
constexpr int kMaxGroup = 16;
constexpr std::int32_t kMaxTokens = 1 << 26;  // rows are counted in 32 bits
constexpr float kNone = -1e30f;  // below every score; finite, so that differences are numbers
// The maximum a row's weights refer to may be this much too low (base-2 logarithm): it moves
// seldom then, and weights of up to 2^8 lose nothing.
constexpr float kSlack = 8.0f;

template <int kHeadDim>
struct Shape {
    static constexpr int kWarps = kHeadDim == 256 ? 8 : 4;
    static constexpr int kThreads = 32 * kWarps;
    static constexpr int kCtasPerSm = kHeadDim == 256 ? 1 : kHeadDim == 64 ? 3 : 2;
    static constexpr int kRowTiles = kHeadDim == 256 ? 1 : 2;  // a warp's; more have no registers
    static constexpr int kWarpRows = 16 * kRowTiles;
    static constexpr int kRows = kWarps * kWarpRows;
    static constexpr int kChunks = kHeadDim / 8;  // of 16 bytes
    static constexpr int kRowBytes = 2 * kHeadDim;
    static constexpr int kSlotBytes = kTile * kRowBytes;
    static constexpr int kQueryBytes = kRows * kRowBytes;
    static constexpr int kSmemBytes = kQueryBytes + 3 * kSlotBytes;
};

struct Params {
    PagedKvCache cache;
    const Bf16* q;
    Bf16* out;
    long long q_stride;
    long long out_stride;
    int n;
    int group;
    float scale;  // log2(e) / sqrt(head_dim)
    float slack;  // kSlack in units of a score
};

// 2^x; results below 2^-126 are 0, which no sum of terms with a 1 among them notices.
__device__ inline float exp2_flushed(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// XOR of the 16-byte chunk with the row, so that eight rows of one column lie in different banks.
// A row of head_dim 96 is 12 chunks: only its two low bits may be swapped, and rows alternate
// between two halves of the banks already.
template <int kHeadDim>
__device__ inline unsigned swizzled(int row, int chunk) {
    const int flip = kHeadDim == 96 ? (row >> 1) & 3 : row & 7;
    return static_cast<unsigned>(row * 2 * kHeadDim + ((chunk ^ flip) << 4));
}

// From the place of chunk 0 or 1 of a row to that of the same chunk `step` pairs of chunks on: what
// swizzled() gives, but one instruction. Places of 16 rows on differ by 16 rows' bytes.
template <int kHeadDim>
__device__ inline unsigned advanced(unsigned place, int step) {
    constexpr int kSpan = kHeadDim == 96 ? 64 : 128;  // bytes among which chunks are swapped
    return (place ^ static_cast<unsigned>(32 * step % kSpan)) + 32 * step / kSpan * kSpan;
}

// A warp's share of the tiles of keys and values, in the order in which they are fetched. Its rows
// of a tile lie in one page, as pages hold a multiple of 16 tokens.
template <int kHeadDim>
struct TileStream {
    using S = Shape<kHeadDim>;
    static constexpr int kRows = kTile / S::kWarps;

    const Bf16* pages;
    const std::int32_t* entry;  // of the list of pages: where the next rows lie
    const Bf16* keys;           // the rows fetched last
    int page_size;
    int page;    // *entry, loaded ahead
    int offset;  // of the next rows in that page
    int left;    // tokens from the next rows on; none or fewer: nothing may be read

    __device__ TileStream(const PagedKvCache& cache, int pair, int length)
        : pages(cache.pages), page_size(cache.page_size) {
        const int first = static_cast<int>(threadIdx.x) / 32 * kRows;
        entry = cache.page_indices + cache.page_indptr[pair] + first / page_size;
        offset = first % page_size;
        left = length - first;
        page = left > 0 ? *entry : 0;
    }

    __device__ void fetch_keys(unsigned slot) {
        keys = pages + (page * 2ll * page_size + offset) * kHeadDim;
        copy(keys, left, slot);
        left -= kTile;
        offset += kTile;
        while (offset >= page_size) {
            offset -= page_size;
            ++entry;
        }
        page = left > 0 ? *entry : 0;
    }

    __device__ void fetch_values(unsigned slot) const {
        copy(keys + static_cast<long long>(page_size) * kHeadDim, left + kTile, slot);
    }

    // Where copy i of a lane goes, relative to the warp's rows: swizzled(), from the place of copy
    // 0 by one instruction where lanes share whole rows.
    __device__ static unsigned target(unsigned place, int i) {
        if constexpr (32 % S::kChunks == 0) {
            constexpr int kStep = 32 / S::kChunks;  // rows
            return (place ^ static_cast<unsigned>((kStep * i & 7) << 4)) + kStep * i * S::kRowBytes;
        } else {
            const int at = i * 32 + static_cast<int>(threadIdx.x) % 32;
            return swizzled<kHeadDim>(at / S::kChunks, at % S::kChunks);
        }
    }

    __device__ void copy(const Bf16* source, int valid, unsigned slot) const {
        const int lane = threadIdx.x % 32;
        slot += static_cast<int>(threadIdx.x) / 32 * kRows * S::kRowBytes;
        const unsigned place = swizzled<kHeadDim>(lane / S::kChunks, lane % S::kChunks);
        const Bf16* lane_source = source + 8 * lane;
        if (valid >= kRows) {
#pragma unroll
            for (int i = 0; i < kRows * S::kChunks / 32; ++i) {
                copy16_async(slot + target(place, i), lane_source + 256 * i, true);
            }
            return;
        }
#pragma unroll 1
        for (int i = 0; i < kRows * S::kChunks / 32; ++i) {
            const int row = (i * 32 + lane) / S::kChunks;
            const bool in = row < valid;  // what lies beyond may be anything, also NaN
            copy16_async(slot + target(place, i), in ? lane_source + 256 * i : pages, in);
        }
    }
};

// Three slots between TileStream and the warps, through which keys and values pass in turn: while
// one is read, the next is full or under way, and the third is filled.
template <int kHeadDim>
struct Ring {
    using S = Shape<kHeadDim>;
    TileStream<kHeadDim> stream;
    unsigned slots;  // shared address
    int use = 0;     // the slot read now

    __device__ void start(bool any) {
        if (any) stream.fetch_keys(slots);
        commit_copies();
        if (any) stream.fetch_values(slots + S::kSlotBytes);
        commit_copies();
    }

    // The slot with the next keys (else values). What was got before has been read, and makes
    // place for those of the next tile, if there is one. All threads.
    template <bool kKeys>
    __device__ unsigned next(bool has_more) {
        wait_copies<1>();
        __syncthreads();
        const unsigned slot = slots + use * S::kSlotBytes;
        const unsigned free = use == 0 ? slot + 2 * S::kSlotBytes : slot - S::kSlotBytes;
        use = use == 2 ? 0 : use + 1;
        if (has_more) {
            if constexpr (kKeys) {
                stream.fetch_keys(free);
            } else {
                stream.fetch_values(free);
            }
        }
        commit_copies();  // an empty group too keeps the count
        return slot;
    }
};

// The running softmax of one warp. Of row tile t, a lane has the rows lane / 4 and lane / 4 + 8.
template <int kHeadDim>
struct WarpState {
    static constexpr int kRowTiles = Shape<kHeadDim>::kRowTiles;
    float out[kRowTiles][kHeadDim / 8][4];
    float top[kRowTiles][2];  // what weights refer to: no more than slack below the maximum
    float sum[kRowTiles][2];  // this lane's part of it

    __device__ void clear() {
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
            for (auto& block : out[t]) block[0] = block[1] = block[2] = block[3] = 0.0f;
            top[t][0] = top[t][1] = kNone;
            sum[t][0] = sum[t][1] = 0.0f;
        }
    }
};

// Of row tile t and the tokens 8 b on, as the tensor cores leave them.
template <int kHeadDim>
using Scores = float[Shape<kHeadDim>::kRowTiles][kTile / 8][4];
// Of row tile t and the tokens 16 j on, as the tensor cores take them.
template <int kHeadDim>
using Weights = unsigned[Shape<kHeadDim>::kRowTiles][kTile / 16][4];

// Starts copying the rows of a warp; zeros beyond the last.
template <int kHeadDim>
__device__ void fetch_queries(const Params& params, int pair, int first_row, unsigned shared) {
    using S = Shape<kHeadDim>;
    const int lane = threadIdx.x % 32;
    const int rows = params.n * params.group;
#pragma unroll 4
    for (int i = 0; i < S::kWarpRows * S::kChunks / 32; ++i) {
        const int at = i * 32 + lane;
        const int chunk = at % S::kChunks;
        const int row = first_row + at / S::kChunks;
        const bool in = row < rows;
        const int token = row / params.group;
        const int head = pair * params.group + row % params.group;
        const Bf16* source =
            params.q + token * params.q_stride + static_cast<long long>(head) * kHeadDim;
        copy16_async(shared + swizzled<kHeadDim>(at / S::kChunks, chunk),
                     in ? source + 8 * chunk : params.q, in);
    }
}

template <int kHeadDim>
__device__ inline void multiply_keys(unsigned queries, unsigned slot, Scores<kHeadDim>& score) {
    using S = Shape<kHeadDim>;
    const int lane = threadIdx.x % 32;
    queries += swizzled<kHeadDim>(lane & 15, lane >> 4);
    const unsigned keys =
        slot + swizzled<kHeadDim>((lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
#pragma unroll
    for (int k = 0; k < kHeadDim / 16; ++k) {
        unsigned q[S::kRowTiles][4];
#pragma unroll
        for (int t = 0; t < S::kRowTiles; ++t) {
            load_matrices(q[t], advanced<kHeadDim>(queries, k) + t * 16 * S::kRowBytes);
        }
#pragma unroll
        for (int j = 0; j < kTile / 16; ++j) {
            unsigned b[4];
            load_matrices(b, advanced<kHeadDim>(keys, k) + j * 16 * S::kRowBytes);
#pragma unroll
            for (int t = 0; t < S::kRowTiles; ++t) {
                multiply_add(score[t][2 * j], q[t], b[0], b[1]);
                multiply_add(score[t][2 * j + 1], q[t], b[2], b[3]);
            }
        }
    }
}

// Hides what a row does not see: row 0 of the chunk sees `seen` tokens of this tile or beyond (none
// or fewer: before it), the rows of the next token one more.
template <int kHeadDim>
__device__ inline void mask_scores(int first_row, int group, int seen, Scores<kHeadDim>& score) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < Shape<kHeadDim>::kRowTiles; ++t) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first_row + 16 * t + 8 * half + lane / 4;
            const int end = seen + row / group - lane % 4 * 2;
#pragma unroll
            for (int b = 0; b < kTile / 8; ++b) {
                if (8 * b >= end) score[t][b][2 * half] = kNone;
                if (8 * b + 1 >= end) score[t][b][2 * half + 1] = kNone;
            }
        }
    }
}

// Scores to weights; moves what the state refers to where a score exceeds it by more than slack.
template <int kHeadDim>
__device__ inline void weigh(const Params& params, Scores<kHeadDim>& score,
                             WarpState<kHeadDim>& state, Weights<kHeadDim>& weights) {
    constexpr int kRowTiles = Shape<kHeadDim>::kRowTiles;
    bool moved = false;
    float factor[kRowTiles][2];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = kNone;
#pragma unroll
            for (const auto& s : score[t]) top = fmaxf(top, fmaxf(s[2 * half], s[2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
            float& reference = state.top[t][half];
            factor[t][half] = 1.0f;
            if (top > reference + params.slack) {
                factor[t][half] = exp2_flushed((reference - top) * params.scale);
                reference = top;
                moved = true;
            }
            const float shift = -reference * params.scale;
            float sum = 0.0f;
#pragma unroll
            for (auto& s : score[t]) {
                s[2 * half] = exp2_flushed(fmaf(s[2 * half], params.scale, shift));
                s[2 * half + 1] = exp2_flushed(fmaf(s[2 * half + 1], params.scale, shift));
                sum += s[2 * half] + s[2 * half + 1];
            }
            state.sum[t][half] = state.sum[t][half] * factor[t][half] + sum;
        }
#pragma unroll
        for (int i = 0; i < kTile / 4; ++i) {  // two tokens of one row
            const float* pair = &score[t][i / 2][i % 2 * 2];
            weights[t][i / 4][i % 4] = pack2(pair[0], pair[1]);
        }
    }
    if (!__any_sync(0xffffffffu, moved)) return;  // the usual case after the first tiles
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
        for (auto& block : state.out[t]) {
#pragma unroll
            for (int i = 0; i < 4; ++i) block[i] *= factor[t][i / 2];
        }
    }
}

template <int kHeadDim>
__device__ inline void add_values(const Weights<kHeadDim>& weights, unsigned slot,
                                  WarpState<kHeadDim>& state) {
    using S = Shape<kHeadDim>;
    const int lane = threadIdx.x % 32;
    const unsigned values = slot + swizzled<kHeadDim>(lane & 15, lane >> 4);
#pragma unroll
    for (int j = 0; j < kTile / 16; ++j) {
#pragma unroll
        for (int d = 0; d < kHeadDim / 16; ++d) {
            unsigned b[4];
            load_matrices_transposed(b, advanced<kHeadDim>(values, d) + j * 16 * S::kRowBytes);
#pragma unroll
            for (int t = 0; t < S::kRowTiles; ++t) {
                multiply_add(state.out[t][2 * d], weights[t][j], b[0], b[1]);
                multiply_add(state.out[t][2 * d + 1], weights[t][j], b[2], b[3]);
            }
        }
    }
}

// Writes the rows of a warp, by way of the shared memory of its queries so that stores are wide.
template <int kHeadDim>
__device__ void write_out(const Params& params, const WarpState<kHeadDim>& state, int pair,
                          int first_row, unsigned char* shared) {
    using S = Shape<kHeadDim>;
    const int lane = threadIdx.x % 32;
    const int rows = params.n * params.group;
    __syncwarp();  // all lanes have read the queries
#pragma unroll
    for (int t = 0; t < S::kRowTiles; ++t) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float sum = state.sum[t][half];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const float factor = 1.0f / sum;
            const int row = 16 * t + 8 * half + lane / 4;
#pragma unroll
            for (int b = 0; b < kHeadDim / 8; ++b) {
                const float* v = &state.out[t][b][2 * half];
                *reinterpret_cast<unsigned*>(shared + swizzled<kHeadDim>(row, b) + lane % 4 * 4) =
                    pack2(v[0] * factor, v[1] * factor);
            }
        }
    }
    __syncwarp();
#pragma unroll 4
    for (int i = 0; i < S::kWarpRows * S::kChunks / 32; ++i) {
        const int at = i * 32 + lane;
        const int chunk = at % S::kChunks;
        const int row = first_row + at / S::kChunks;
        if (row >= rows) continue;
        const int token = row / params.group;
        const int head = pair * params.group + row % params.group;
        Bf16* target =
            params.out + token * params.out_stride + static_cast<long long>(head) * kHeadDim;
        *reinterpret_cast<uint4*>(target + 8 * chunk) =
            *reinterpret_cast<const uint4*>(shared + swizzled<kHeadDim>(at / S::kChunks, chunk));
    }
}

template <int kHeadDim>
__global__ void __launch_bounds__(Shape<kHeadDim>::kThreads, Shape<kHeadDim>::kCtasPerSm)
    prefill_attention_kernel(const __grid_constant__ Params params) {
    using S = Shape<kHeadDim>;
    extern __shared__ __align__(128) unsigned char shared[];
    const int warp = threadIdx.x / 32;
    const int pair = blockIdx.y;
    const int cta_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * S::kRows;
    const int first_row = cta_row + warp * S::kWarpRows;
    const int last_row = min(cta_row + S::kRows, params.n * params.group) - 1;
    const int length = params.cache.lengths[pair];
    const int seen_by_first = length - params.n + 1;  // tokens that row 0 of the chunk sees
    const int seen_by_all = seen_by_first + cta_row / params.group;
    const int tiles = (seen_by_first + last_row / params.group + kTile - 1) / kTile;

    unsigned char* own_rows = shared + warp * S::kWarpRows * S::kRowBytes;
    const unsigned queries = shared_address(own_rows);
    fetch_queries<kHeadDim>(params, pair, first_row, queries);
    Ring<kHeadDim> ring{TileStream<kHeadDim>(params.cache, pair, length),
                        shared_address(shared) + S::kQueryBytes};
    ring.start(tiles > 0);  // the queries go with the first keys

    WarpState<kHeadDim> state;
    state.clear();
    for (int tile = 0; tile < tiles; ++tile) {
        const bool has_more = tile + 1 < tiles;
        Scores<kHeadDim> score = {};
        multiply_keys<kHeadDim>(queries, ring.template next<true>(has_more), score);
        if ((tile + 1) * kTile > seen_by_all) {
            mask_scores<kHeadDim>(first_row, params.group, seen_by_first - tile * kTile, score);
        }
        Weights<kHeadDim> weights;
        weigh<kHeadDim>(params, score, state, weights);
        add_values<kHeadDim>(weights, ring.template next<false>(has_more), state);
    }
    write_out<kHeadDim>(params, state, pair, first_row, own_rows);
}

template <int kHeadDim>
cudaError_t launch(const Params& params, cudaStream_t stream) {
    using S = Shape<kHeadDim>;
    if (const cudaError_t e =
            cudaFuncSetAttribute(prefill_attention_kernel<kHeadDim>,
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSmemBytes);
        e != cudaSuccess) {
        return e;
    }
    const int tiles = (params.n * params.group + S::kRows - 1) / S::kRows;
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(params.cache.num_pairs));
    prefill_attention_kernel<kHeadDim><<<grid, S::kThreads, S::kSmemBytes, stream>>>(params);
    return cudaGetLastError();
}

bool is_aligned(const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

bool is_valid(const PrefillAttentionArguments& a) {
    const std::int32_t heads = a.cache.num_pairs;
    if (a.n < 0 || a.n > kMaxTokens || heads < 1 || heads > 65535) return false;
    if (a.num_qo_heads < heads || a.num_qo_heads % heads != 0) return false;
    if (a.num_qo_heads / heads > kMaxGroup) return false;
    if (a.cache.page_size < 16 || a.cache.page_size % 16 != 0) return false;
    const std::int64_t width = std::int64_t{a.num_qo_heads} * a.cache.head_dim;
    if (a.q_stride < width || a.q_stride % 8 != 0) return false;
    if (a.out_stride < width || a.out_stride % 8 != 0) return false;
    return is_aligned(a.cache.pages) && is_aligned(a.q) && is_aligned(a.out);
}

}  // namespace

cudaError_t prefill_attention(const PrefillAttentionArguments& arguments, cudaStream_t stream) {
    if (!is_valid(arguments)) return cudaErrorInvalidValue;
    const std::int32_t head_dim = arguments.cache.head_dim;
    Params params{};
    params.cache = arguments.cache;
    params.q = arguments.q;
    params.out = arguments.out;
    params.q_stride = arguments.q_stride;
    params.out_stride = arguments.out_stride;
    params.n = arguments.n;
    params.group = arguments.num_qo_heads / arguments.cache.num_pairs;
    params.scale = 1.4426950408889634f / sqrtf(static_cast<float>(head_dim));
    params.slack = kSlack / params.scale;
    if (head_dim != 64 && head_dim != 96 && head_dim != 128 && head_dim != 256) {
        return cudaErrorInvalidValue;
    }
    if (arguments.n == 0) return cudaSuccess;
    switch (head_dim) {
        case 64:
            return launch<64>(params, stream);
        case 96:
            return launch<96>(params, stream);
        case 128:
            return launch<128>(params, stream);
        default:
            return launch<256>(params, stream);
    }
}

}  // namespace hc::kernels::cuda
