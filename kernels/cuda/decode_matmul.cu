// A product whose cost is reading the weights once: everything serves to keep loads in flight.
// - One CTA a multiprocessor takes a run of tiles of 16 weight rows. Its warps share the columns
//   of a tile, 64 at a time in turn, so that together they read long pieces of each row; each has
//   a ring of stages of its own, filled by cp.async, also across the end of a tile. They meet once
//   a tile, for the sum.
// - The rings are filled before the kernel waits for the one before it, which covers that one's
//   end, the start of this one and the way of the activations.
// - The tensor cores do the sums: 16 weight rows by up to 8 tokens. Which of 32 columns a lane
//   calls which k does not matter as long as weights and activations agree, so a lane takes 8
//   neighbouring ones, 16 bytes, which feed two instructions.
#include "kernels/cuda/bf16_vector.cuh"
#include "kernels/cuda/decode_matmul.h"
#include "kernels/cuda/decode_matmul_parts.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_core.cuh"

namespace hc::kernels::cuda {
namespace {

using namespace matmul;

// What the end of a tile needs besides the sums, for rows first + i and second + i.
struct Extra {
    float bias[2];
    float value[2];  // kAddF32: what is added to. kRopeAppend: sine and cosine
};

template <MatmulEpilogue kEpilogue>
__device__ inline Extra load_extra(const Params& p, int tile, int i, int token) {
    Extra extra{};
    const TileRows t = tile_rows<kEpilogue>(p, tile);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const long long row = (half == 0 ? t.first : t.second) + i;
        if (row >= p.rows) continue;
        if (p.bias != nullptr) {
            extra.bias[half] = __uint_as_float(unsigned{__ldg(p.bias + row)} << 16);
        }
        if constexpr (kEpilogue == MatmulEpilogue::kAddF32) {
            extra.value[half] = __ldcg(p.out_f32 + token * p.rows + row);
        }
    }
    if constexpr (kEpilogue == MatmulEpilogue::kRopeAppend) {
        if (tile / p.tiles_per_head < p.num_qo_heads + p.num_kv_heads) {
            // The product is rounded as the twin's is; sincosf reduces large angles exactly.
            const float angle = static_cast<float>(p.positions[token]) *
                                p.inv_freq[tile % p.tiles_per_head * 8 + i];
            sincosf(angle, &extra.value[0], &extra.value[1]);
        }
    }
    return extra;
}

__device__ inline Bf16 to_bf16(float v) {
    return static_cast<Bf16>(pack2(v, 0.0f));
}

__device__ inline void store_rotated(const Params& p, int tile, int i, int token, float a, float b,
                                     const Extra& extra, const long long* slots) {
    const int dim = p.cache.head_dim;
    const int head = tile / p.tiles_per_head;
    const int part = tile % p.tiles_per_head;
    const int kv_head = head - p.num_qo_heads;
    if (kv_head >= p.num_kv_heads) {
        const int pair = token * p.num_kv_heads + kv_head - p.num_kv_heads;
        Bf16* value = p.cache.pages + slots[pair] + static_cast<long long>(p.cache.page_size) * dim;
        value[16 * part + i] = to_bf16(a);
        value[16 * part + 8 + i] = to_bf16(b);
        return;
    }
    Bf16* target = kv_head < 0
                       ? p.out + (static_cast<long long>(token) * p.num_qo_heads + head) * dim
                       : p.cache.pages + slots[token * p.num_kv_heads + kv_head];
    const float sine = extra.value[0];
    const float cosine = extra.value[1];
    target[8 * part + i] = to_bf16(a * cosine - b * sine);
    target[8 * part + dim / 2 + i] = to_bf16(a * sine + b * cosine);
}

// v: finished sums of rows first + i and second + i.
template <MatmulEpilogue kEpilogue>
__device__ inline void store_sums(const Params& p, int tile, int i, int token, const float (&v)[2],
                                  const Extra& extra, const long long* slots) {
    if constexpr (kEpilogue == MatmulEpilogue::kRopeAppend) {
        store_rotated(p, tile, i, token, v[0], v[1], extra, slots);
    } else if constexpr (kEpilogue == MatmulEpilogue::kSiluMul) {
        const long long at = token * (p.rows / 2) + 8LL * tile + i;
        p.out[at] = to_bf16(v[0] / (1.0f + __expf(-v[0])) * v[1]);
    } else {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const long long row = 16LL * tile + 8 * half + i;
            if (row >= p.rows) continue;
            const long long at = token * p.rows + row;
            if constexpr (kEpilogue == MatmulEpilogue::kStoreBf16) {
                p.out[at] = to_bf16(v[half]);
            } else {
                p.out_f32[at] = v[half] + extra.value[half];
            }
        }
    }
}

__device__ inline uint4 load_shared(const unsigned char* p) {
    return *reinterpret_cast<const uint4*>(p);
}

// Two 16 x 16 by 16 x 8 products of one lane's chunks.
__device__ inline void multiply_chunks(float (&acc)[4], const uint4& top, const uint4& low,
                                       const uint4& x) {
    const unsigned even[4] = {top.x, low.x, top.y, low.y};
    const unsigned odd[4] = {top.z, low.z, top.w, low.w};
    multiply_add(acc, even, x.x, x.y);
    multiply_add(acc, odd, x.z, x.w);
}

// Fetches activations of the stages whose weights are under way, as groups of their own behind
// those of the weights: waiting for the kStages-th last group fits both.
template <MatmulEpilogue kEpilogue>
__device__ inline void fetch_first_x(const Params& p, int begin, int end, unsigned ring) {
    WeightStream<kEpilogue> same(p, begin, end);
#pragma unroll
    for (int i = 0; i < kStages; ++i) {
        if (!same.done()) fetch_x(p, same.step, ring + i * kStageBytes<true>);
        commit_copies();
        same.advance();
    }
}

// A warp's steps of one tile. `use`: the stage of its next step.
template <MatmulEpilogue kEpilogue, bool kCarried>
__device__ inline void multiply_tile(const Params& p, float (&acc)[4], unsigned char* ring,
                                     const unsigned char* x_shared, int& use,
                                     WeightStream<kEpilogue>& ahead) {
    const int lane = threadIdx.x % 32;
    const unsigned ring_address = shared_address(ring);
    const unsigned offset = read_offset(lane / 4);
    const int token = min(lane / 4, p.n - 1);  // columns of the product beyond n go nowhere
    const unsigned x_offset = kCarried ? kWeightBytes + read_offset(token) : 0;
    const unsigned char* const x_row = x_shared + token * p.layout.x_stride + lane % 4 * 16;
    for (int step = static_cast<int>(threadIdx.x) / 32; step < p.steps; step += kWarps) {
        wait_copies<kStages - 1>();
        __syncwarp();
        const unsigned char* const stage = ring + use * kStageBytes<kCarried>;
        uint4 top[2], low[2], x[2];
#pragma unroll
        for (unsigned half = 0; half < 2; ++half) {
            top[half] = load_shared(stage + (offset ^ (64 * half)));
            low[half] = load_shared(stage + (offset ^ (64 * half)) + 8 * kStepBytes);
            x[half] = kCarried ? load_shared(stage + (x_offset ^ (64 * half)))
                               : load_shared(x_row + step * kStepBytes + 64 * half);
        }
        __syncwarp();  // all lanes have read the stage, which is filled again
        if (!ahead.done()) {
            const unsigned target = ring_address + use * kStageBytes<kCarried>;
            ahead.fetch(target);
            if constexpr (kCarried) fetch_x(p, ahead.step, target);
            ahead.advance();
        }
        commit_copies();
        multiply_chunks(acc, top[0], low[0], x[0]);
        multiply_chunks(acc, top[1], low[1], x[1]);
        use = use + 1 == kStages ? 0 : use + 1;
    }
}

// A warp's sums [n, kSumStride].
__device__ inline void put_sums(const Params& p, const float (&acc)[4], float* target) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int token = lane % 4 * 2 + i % 2;
        if (token < p.n) target[token * kSumStride + lane / 4 + 8 * (i / 2)] = acc[i];
    }
}

template <MatmulPrologue kPrologue, MatmulEpilogue kEpilogue, bool kCarried>
__global__ void __launch_bounds__(kThreads, 3)
    decode_matmul_kernel(const __grid_constant__ Params p) {
    extern __shared__ __align__(128) unsigned char shared[];
    constexpr bool kNorm = kPrologue == MatmulPrologue::kRmsNorm;
    constexpr bool kAppend = kEpilogue == MatmulEpilogue::kRopeAppend;
    const int warp = threadIdx.x / 32;
    unsigned char* const ring = shared + warp * kStages * kStageBytes<kCarried>;
    unsigned char* const x_shared = shared + p.layout.x;
    float* const sums = reinterpret_cast<float*>(shared + p.layout.sums);
    float* const squares = reinterpret_cast<float*>(shared + p.layout.squares);
    long long* const slots = reinterpret_cast<long long*>(shared + p.layout.slots);
    const long long tiles = p.tiles;
    const int begin = static_cast<int>(tiles * blockIdx.x / gridDim.x);
    const int end = static_cast<int>(tiles * (blockIdx.x + 1) / gridDim.x);
    // The threads that end a tile: rows first + i and second + i of one token.
    const bool ends = threadIdx.x < 8u * p.n;
    const int i = threadIdx.x % 8;
    const int token = threadIdx.x / 8;

    // At once: what starts a kernel that waits takes longer than the last loads do (measured: 2.6
    // of 22 us for qkv), and while it waits it holds no more than its own ring.
    grid_release();
    WeightStream<kEpilogue> ahead(p, begin, end);
#pragma unroll
    for (int k = 0; k < kStages; ++k) {
        ahead.fetch(shared_address(ring) + k * kStageBytes<kCarried>);
        commit_copies();  // an empty group too keeps the count
        ahead.advance();
    }
    if constexpr (kNorm) load_norm_weight(p, x_shared);
    Extra extra{};
    if constexpr (kAppend) {
        if ((end - 1) / p.tiles_per_head >= p.num_qo_heads) find_slots(p, slots);
        if (ends) extra = load_extra<kEpilogue>(p, begin, i, token);
    }
    grid_wait();
    if constexpr (kCarried) {
        fetch_first_x<kEpilogue>(p, begin, end, shared_address(ring));
    } else if constexpr (kNorm) {
        load_normed_x(p, x_shared, squares);
    } else {
        load_x(p, x_shared);
    }
    __syncthreads();
    const float scale = kNorm && ends ? norm_scale(p, squares, token) : 1.0f;

    int use = 0;
    for (int tile = begin; tile < end; ++tile) {
        // Under way while the tile's weights come; the first one's angles before all waiting.
        if (ends && !(kAppend && tile == begin)) {
            extra = load_extra<kEpilogue>(p, tile, i, token);
        }
        float acc[4] = {};
        multiply_tile<kEpilogue, kCarried>(p, acc, ring, x_shared, use, ahead);
        float* const tile_sums = sums + (tile - begin) % 2 * kWarps * p.n * kSumStride;
        put_sums(p, acc, tile_sums + warp * p.n * kSumStride);
        // Once a tile: whoever writes these sums again has passed the next one, after this reading.
        __syncthreads();
        if (!ends) continue;
        float v[2] = {};
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
            const float* part = tile_sums + (w * p.n + token) * kSumStride + i;
            v[0] += part[0];
            v[1] += part[8];
        }
        v[0] = v[0] * scale + extra.bias[0];
        v[1] = v[1] * scale + extra.bias[1];
        store_sums<kEpilogue>(p, tile, i, token, v, extra, slots);
    }
}

using Kernel = void (*)(Params);

template <bool kCarried>
Kernel choose_plain(MatmulEpilogue epilogue) {
    constexpr auto kNone = MatmulPrologue::kNone;
    switch (epilogue) {
        case MatmulEpilogue::kStoreBf16:
            return decode_matmul_kernel<kNone, MatmulEpilogue::kStoreBf16, kCarried>;
        case MatmulEpilogue::kStoreF32:
            return decode_matmul_kernel<kNone, MatmulEpilogue::kStoreF32, kCarried>;
        case MatmulEpilogue::kAddF32:
            return decode_matmul_kernel<kNone, MatmulEpilogue::kAddF32, kCarried>;
        default:
            return nullptr;
    }
}

Kernel choose(MatmulPrologue prologue, MatmulEpilogue epilogue, bool carried) {
    constexpr auto kNorm = MatmulPrologue::kRmsNorm;
    if (prologue == MatmulPrologue::kNone) {
        return carried ? choose_plain<true>(epilogue) : choose_plain<false>(epilogue);
    }
    if (prologue != kNorm || carried) return nullptr;
    switch (epilogue) {
        case MatmulEpilogue::kStoreF32:
            return decode_matmul_kernel<kNorm, MatmulEpilogue::kStoreF32, false>;
        case MatmulEpilogue::kSiluMul:
            return decode_matmul_kernel<kNorm, MatmulEpilogue::kSiluMul, false>;
        case MatmulEpilogue::kRopeAppend:
            return decode_matmul_kernel<kNorm, MatmulEpilogue::kRopeAppend, false>;
        default:
            return nullptr;
    }
}

bool valid(const DecodeMatmulArguments& a) {
    if (a.n < 0 || a.n > kMaxTokens || a.rows < 1 || a.rows > std::int64_t{1} << 30 ||
        a.cols < 32 || a.cols % 32 != 0 || a.cols > 1 << 20) {
        return false;
    }
    if (a.epilogue == MatmulEpilogue::kSiluMul) return a.rows % 16 == 0;
    if (a.epilogue != MatmulEpilogue::kRopeAppend) return true;
    const PagedKvCache& cache = a.cache;
    return a.num_qo_heads >= 1 && a.num_kv_heads >= 1 && cache.head_dim >= 16 &&
           cache.head_dim % 16 == 0 && cache.page_size >= 1 &&
           cache.num_pairs == a.n * a.num_kv_heads &&
           a.rows == (a.num_qo_heads + std::int64_t{2} * a.num_kv_heads) * cache.head_dim;
}

Layout lay_out(const DecodeMatmulArguments& a, int steps, bool carried) {
    Layout layout{};
    layout.x_stride = steps * kStepBytes + 64;
    layout.x = kWarps * kStages * (carried ? kStageBytes<true> : kStageBytes<false>);
    layout.sums = layout.x + (carried ? 0 : a.n * layout.x_stride);
    layout.squares = layout.sums + 2 * kWarps * a.n * kSumStride * 4;
    layout.slots = layout.squares + kWarps * a.n * 4;
    const bool append = a.epilogue == MatmulEpilogue::kRopeAppend;
    layout.end = layout.slots + (append ? a.cache.num_pairs * 8 : 0);
    return layout;
}

}  // namespace

cudaError_t decode_matmul(const DecodeMatmulArguments& a, bool pdl, cudaStream_t stream) {
    if (!valid(a)) return cudaErrorInvalidValue;
    if (a.n == 0) return cudaSuccess;
    if (a.max_ctas < 0) return cudaErrorInvalidValue;
    DeviceLimits limits;
    if (const cudaError_t e = device_limits(limits); e != cudaSuccess) return e;
    const bool norm = a.prologue == MatmulPrologue::kRmsNorm;
    const int steps = static_cast<int>((a.cols + kStepColumns - 1) / kStepColumns);
    Layout layout = lay_out(a, steps, false);
    const bool carried =
        !norm && (2 * a.n * a.cols > kMaxResidentBytes || layout.end > limits.smem_bytes);
    if (carried) layout = lay_out(a, steps, true);
    const Kernel kernel = choose(a.prologue, a.epilogue, carried);
    if (kernel == nullptr || layout.end > limits.smem_bytes) return cudaErrorInvalidValue;
    if (const cudaError_t e = allow_shared_memory(kernel, limits); e != cudaSuccess) return e;
    Params p{};
    p.w = a.w;
    p.bias = a.bias;
    p.x = norm ? static_cast<const void*>(a.x_f32) : a.x;
    p.norm_weight = a.norm_weight;
    p.out = a.out;
    p.out_f32 = a.out_f32;
    p.positions = a.positions;
    p.inv_freq = a.inv_freq;
    p.cache = a.cache;
    p.layout = layout;
    p.rows = a.rows;
    p.cols = static_cast<int>(a.cols);
    p.n = a.n;
    p.steps = steps;
    p.tiles = static_cast<int>((a.rows + kTileRows - 1) / kTileRows);
    p.tiles_per_head = a.cache.head_dim / kTileRows;
    p.num_qo_heads = a.num_qo_heads;
    p.num_kv_heads = a.num_kv_heads;
    p.eps = a.eps;
    const int most = a.max_ctas > 0 && a.max_ctas < limits.sms ? a.max_ctas : limits.sms;
    const auto ctas = static_cast<unsigned>(p.tiles < most ? p.tiles : most);
    return launch(kernel, {ctas, kThreads, static_cast<std::size_t>(layout.end)}, pdl, stream, p);
}

}  // namespace hc::kernels::cuda
