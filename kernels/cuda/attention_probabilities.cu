#include "kernels/cuda/attention_probabilities.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/bf16_vector.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kMaxGroup = 16;
constexpr int kMaxHeadDim = 256;
constexpr int kMaxRows = 65535;  // the grid's second dimension
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxParts = 64;  // blocks that share the tokens of a pair
constexpr int kInFlight = 4;   // rows of KV that a lane loads before it uses them

/// Denominator of a part of a row: sum of e^(x - max).
struct Partial {
    float max;
    float sum;
};

struct Shape {
    PagedKvCache cache;
    int group;
    int extra;
    std::int64_t row_stride;

    [[nodiscard]] __device__ int tokens(int pair) const {
        const std::int64_t held = std::int64_t{cache.lengths[pair]} + extra;
        return static_cast<int>(held < row_stride ? held : row_stride);
    }
    /// The key of a slot; its value lies page_size rows on.
    [[nodiscard]] __device__ const Bf16* key(int pair, int slot) const {
        const int in_list = slot / cache.page_size;
        const std::int64_t page = cache.page_indices[cache.page_indptr[pair] + in_list];
        return cache.pages +
               (page * 2 * cache.page_size + (slot - in_list * cache.page_size)) * cache.head_dim;
    }
    [[nodiscard]] __device__ const Bf16* value(int pair, int slot) const {
        return key(pair, slot) + std::int64_t{cache.page_size} * cache.head_dim;
    }
};

/// A team of lanes reads one row of KV, 16 bytes a lane: the power of two that holds head_dim / 8.
__host__ __device__ int team_lanes(int head_dim) {
    int lanes = 1;
    while (lanes * 8 < head_dim) lanes *= 2;
    return lanes;
}

/// The tokens [begin, end) of a part.
struct Part {
    int begin;
    int end;
    __device__ Part(int tokens, int part, int parts) {
        const int size = (tokens + parts - 1) / parts;
        begin = min(part * size, tokens);
        end = min(begin + size, tokens);
    }
};

__device__ float warp_max(float v) {
    for (int offset = 16; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(~0U, v, offset));
    return v;
}

__device__ float warp_sum(float v) {
    for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(~0U, v, offset);
    return v;
}

/// Writes the logits of a part; every team has kInFlight keys in hand, each used by all queries.
__device__ void write_logits(const Shape& shape, int pair, Part part, const float* queries,
                             float* rows) {
    const int dim = shape.cache.head_dim;
    const int team = team_lanes(dim);
    const int lane = static_cast<int>(threadIdx.x) % team;
    const bool has_dims = lane * 8 < dim;
    const int teams = kThreads / team;
    const int own = static_cast<int>(threadIdx.x) / team;
    const float scale = 1.0f / sqrtf(static_cast<float>(dim));
    // All lanes of a warp stay in the loop together, as they shuffle.
    for (int first = part.begin; first < part.end; first += teams * kInFlight) {
        uint4 keys[kInFlight];
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            const int slot = first + i * teams + own;
            keys[i] = slot < part.end && has_dims
                          ? reinterpret_cast<const uint4*>(shape.key(pair, slot))[lane]
                          : make_uint4(0, 0, 0, 0);
        }
        for (int g = 0; g < shape.group; ++g) {
            const float* query = queries + g * dim + lane * 8;
            float q[8];
#pragma unroll
            for (int j = 0; j < 8; ++j) q[j] = has_dims ? query[j] : 0.0f;
#pragma unroll
            for (int i = 0; i < kInFlight; ++i) {
                float k[8];
                unpack8(keys[i], k);
                float dot = 0.0f;
#pragma unroll
                for (int j = 0; j < 8; ++j) dot += q[j] * k[j];
                for (int offset = team / 2; offset > 0; offset /= 2) {
                    dot += __shfl_xor_sync(~0U, dot, offset);
                }
                const int slot = first + i * teams + own;
                if (lane == 0 && slot < part.end) rows[g * shape.row_stride + slot] = dot * scale;
            }
        }
    }
}

__global__ void __launch_bounds__(kThreads)
    logits_kernel(const __grid_constant__ Shape shape, const Bf16* q, float* all_rows,
                  Partial* partials) {
    __shared__ float queries[kMaxGroup * kMaxHeadDim];
    const int pair = static_cast<int>(blockIdx.y);
    const int count = shape.group * shape.cache.head_dim;
    for (int i = threadIdx.x; i < count / 8; i += kThreads) {
        float v[8];
        load8(q + static_cast<std::int64_t>(pair) * count + i * 8, v);
#pragma unroll
        for (int j = 0; j < 8; ++j) queries[i * 8 + j] = v[j];
    }
    __syncthreads();
    const Part part(shape.tokens(pair), static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
    float* rows = all_rows + static_cast<std::int64_t>(pair) * shape.group * shape.row_stride;
    write_logits(shape, pair, part, queries, rows);
    __syncthreads();  // the block's logits are there for all its warps
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int g = static_cast<int>(threadIdx.x) / 32; g < shape.group; g += kWarps) {
        const float* row = rows + g * shape.row_stride;
        float max = -INFINITY;
        for (int t = part.begin + lane; t < part.end; t += 32) max = fmaxf(max, row[t]);
        max = warp_max(max);
        float sum = 0.0f;
        for (int t = part.begin + lane; t < part.end; t += 32) sum += expf(row[t] - max);
        sum = warp_sum(sum);
        if (lane == 0) {
            partials[(static_cast<std::int64_t>(pair) * shape.group + g) * kMaxParts + blockIdx.x] =
                {max, sum};
        }
    }
}

/// Divides each part of each row by the whole row's denominator.
__global__ void __launch_bounds__(kThreads)
    normalise_kernel(const __grid_constant__ Shape shape, float* rows, const Partial* partials) {
    __shared__ Partial whole;
    const int parts = static_cast<int>(gridDim.x);
    const int row_index = static_cast<int>(blockIdx.y);
    if (threadIdx.x < 32) {
        const Partial* own = partials + static_cast<std::int64_t>(row_index) * kMaxParts;
        float max = -INFINITY;
        for (int i = threadIdx.x; i < parts; i += 32) max = fmaxf(max, own[i].max);
        max = warp_max(max);
        float sum = 0.0f;
        for (int i = threadIdx.x; i < parts; i += 32) {
            // An empty part has no maximum: -inf - -inf would be NaN.
            if (own[i].sum > 0.0f) sum += own[i].sum * expf(own[i].max - max);
        }
        sum = warp_sum(sum);
        if (threadIdx.x == 0) whole = {max, sum};
    }
    __syncthreads();
    const Partial total = whole;
    const Part part(shape.tokens(row_index / shape.group), static_cast<int>(blockIdx.x), parts);
    float* row = rows + row_index * shape.row_stride;
    for (int t = part.begin + static_cast<int>(threadIdx.x); t < part.end; t += kThreads) {
        row[t] = expf(row[t] - total.max) / total.sum;
    }
}

constexpr int kValueThreads = 512;
constexpr int kValueWarps = kValueThreads / 32;
constexpr int kQueries = 4;  // of a group that one block serves: their sums stay in registers

/// Sums of one lane: eight dims of each query, and the weights.
struct Sums {
    float values[kQueries][8];
    float weights[kQueries];
};

/// The slots of word `word` that take part.
__device__ std::uint32_t taking_part(const std::uint32_t* bitmap, int word, int prompt,
                                     int tokens) {
    const auto below = [word](int end) {  // ones for the slots before `end`
        const int left = end - word * 32;
        return left >= 32 ? ~0U : left <= 0 ? 0U : (1U << left) - 1;
    };
    const std::uint32_t in_prompt = below(prompt);
    const std::uint32_t chosen = in_prompt != 0 ? bitmap[word] & in_prompt : 0U;
    return (chosen | ~in_prompt) & below(tokens);
}

struct ValueParams {
    Shape shape;
    const float* rows;
    const std::uint32_t* bitmaps;
    int words;
    int prompt;
    const std::uint8_t* take;
    Bf16* out;
};

/// Adds the slots of `left` of one word; a team each, with kInFlight values in hand.
__device__ void add_word(const ValueParams& p, int pair, int queries, const float* rows, int word,
                         std::uint32_t left, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % team_lanes(p.shape.cache.head_dim);
    const bool has_dims = lane * 8 < p.shape.cache.head_dim;
    while (left != 0) {
        int slots[kInFlight];
        uint4 bits[kInFlight];
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            slots[i] = left != 0 ? word * 32 + __ffs(static_cast<int>(left)) - 1 : -1;
            left &= left - 1;  // 0 stays 0
            bits[i] = slots[i] >= 0 && has_dims
                          ? reinterpret_cast<const uint4*>(p.shape.value(pair, slots[i]))[lane]
                          : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            float v[8];
            unpack8(bits[i], v);
#pragma unroll
            for (int g = 0; g < kQueries; ++g) {
                const float weight =
                    slots[i] >= 0 && g < queries ? rows[g * p.shape.row_stride + slots[i]] : 0.0f;
                sums.weights[g] += weight;
#pragma unroll
                for (int j = 0; j < 8; ++j) sums.values[g][j] += weight * v[j];
            }
        }
    }
}

/// Sums the teams of each warp, so that its first team holds the warp's.
__device__ void sum_teams(Sums& sums, int team) {
    for (int offset = team; offset < 32; offset *= 2) {
#pragma unroll
        for (int g = 0; g < kQueries; ++g) {
            sums.weights[g] += __shfl_xor_sync(~0U, sums.weights[g], offset);
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                sums.values[g][j] += __shfl_xor_sync(~0U, sums.values[g][j], offset);
            }
        }
    }
}

/// A block per (pair, kQueries queries); teams take words in turn.
__global__ void __launch_bounds__(kValueThreads)
    weighted_values_kernel(const __grid_constant__ ValueParams p) {
    __shared__ float values[kValueWarps][kMaxHeadDim];
    __shared__ float weights[kValueWarps];
    const int pair = static_cast<int>(blockIdx.y);
    if (p.take != nullptr && p.take[pair] == 0) return;
    const int dim = p.shape.cache.head_dim;
    const int team = team_lanes(dim);
    const int first_query = static_cast<int>(blockIdx.x) * kQueries;
    const int queries = min(p.shape.group - first_query, kQueries);
    const std::int64_t first_row = static_cast<std::int64_t>(pair) * p.shape.group + first_query;
    const float* rows = p.rows + first_row * p.shape.row_stride;
    const std::uint32_t* bitmap = p.bitmaps + static_cast<std::int64_t>(pair) * p.words;
    const int tokens = p.shape.tokens(pair);
    Sums sums{};
    for (int word = static_cast<int>(threadIdx.x) / team; word * 32 < tokens;
         word += kValueThreads / team) {
        add_word(p, pair, queries, rows, word, taking_part(bitmap, word, p.prompt, tokens), sums);
    }
    __syncwarp();
    sum_teams(sums, team);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
    for (int g = 0; g < kQueries; ++g) {
        if (g >= queries) break;
        if (lane * 8 < dim) {  // the warp's first team
#pragma unroll
            for (int j = 0; j < 8; ++j) values[warp][lane * 8 + j] = sums.values[g][j];
        }
        if (lane == 0) weights[warp] = sums.weights[g];
        __syncthreads();
        if (threadIdx.x < dim / 2) {
            float low = 0.0f;
            float high = 0.0f;
            float weight = 0.0f;
            for (int w = 0; w < kValueWarps; ++w) {
                low += values[w][2 * threadIdx.x];
                high += values[w][2 * threadIdx.x + 1];
                weight += weights[w];
            }
            const bool some = weight > 0.0f;
            auto* out = reinterpret_cast<unsigned*>(p.out + (first_row + g) * dim);
            out[threadIdx.x] = some ? pack2(low / weight, high / weight) : 0U;
        }
        __syncthreads();  // before the next query's sums
    }
}

__global__ void __launch_bounds__(kThreads)
    group_sum_kernel(const float* rows, std::int64_t row_stride, int group, int prompt, float* sums,
                     std::int64_t sum_stride) {
    const int p = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    if (p >= prompt) return;
    const std::int64_t pair = blockIdx.y;
    const float* column = rows + pair * group * row_stride + p;
    float sum = 0.0f;
    for (int g = 0; g < group; ++g) sum += column[g * row_stride];
    sums[pair * sum_stride + p] = sum;
}

bool valid_shape(const Shape& s) {
    return s.cache.num_pairs >= 0 && s.cache.num_pairs <= kMaxRows && s.group >= 1 &&
           s.group <= kMaxGroup && s.cache.num_pairs * s.group <= kMaxRows && s.extra >= 0 &&
           s.row_stride >= 0 && s.cache.page_size >= 1 && s.cache.head_dim >= 8 &&
           s.cache.head_dim % 8 == 0 && s.cache.head_dim <= kMaxHeadDim;
}

}  // namespace

std::size_t attention_probabilities_workspace_bytes(std::int32_t num_pairs, std::int32_t group) {
    return static_cast<std::size_t>(std::max(num_pairs, 0)) *
           static_cast<std::size_t>(std::max(group, 0)) * kMaxParts * sizeof(Partial);
}

cudaError_t attention_probabilities(const PagedKvCache& cache, const Bf16* q, std::int32_t group,
                                    std::int32_t extra, float* rows, std::int64_t row_stride,
                                    float* workspace, cudaStream_t stream) {
    const Shape shape{cache, group, extra, row_stride};
    if (!valid_shape(shape)) return cudaErrorInvalidValue;
    if (cache.num_pairs == 0 || row_stride == 0) return cudaSuccess;
    auto* partials = reinterpret_cast<Partial*>(workspace);
    // A part of fewer tokens than the block has threads is not worth a block.
    const std::int64_t useful = (row_stride + kThreads - 1) / kThreads;
    const auto parts = static_cast<unsigned>(std::min<std::int64_t>(useful, kMaxParts));
    const auto pairs = static_cast<unsigned>(cache.num_pairs);
    logits_kernel<<<dim3(parts, pairs), kThreads, 0, stream>>>(shape, q, rows, partials);
    normalise_kernel<<<dim3(parts, pairs * static_cast<unsigned>(group)), kThreads, 0, stream>>>(
        shape, rows, partials);
    return cudaGetLastError();
}

cudaError_t weighted_values(const PagedKvCache& cache, std::int32_t extra, const float* rows,
                            std::int64_t row_stride, std::int32_t group,
                            const std::uint32_t* bitmaps, std::int32_t words, std::int32_t prompt,
                            const std::uint8_t* take, Bf16* out, cudaStream_t stream) {
    const Shape shape{cache, group, extra, row_stride};
    if (!valid_shape(shape) || prompt < 0 || std::int64_t{words} * 32 < prompt) {
        return cudaErrorInvalidValue;
    }
    if (cache.num_pairs == 0) return cudaSuccess;
    const ValueParams params{shape, rows, bitmaps, words, prompt, take, out};
    const dim3 grid(static_cast<unsigned>((group + kQueries - 1) / kQueries),
                    static_cast<unsigned>(cache.num_pairs));
    weighted_values_kernel<<<grid, kValueThreads, 0, stream>>>(params);
    return cudaGetLastError();
}

cudaError_t group_sum(const float* rows, std::int64_t row_stride, std::int32_t num_pairs,
                      std::int32_t group, std::int32_t prompt, float* sums, std::int64_t sum_stride,
                      cudaStream_t stream) {
    if (num_pairs < 0 || num_pairs > kMaxRows || group < 1 || group > kMaxGroup || prompt < 0 ||
        row_stride < prompt || sum_stride < prompt) {
        return cudaErrorInvalidValue;
    }
    if (num_pairs == 0 || prompt == 0) return cudaSuccess;
    const dim3 grid(static_cast<unsigned>((prompt + kThreads - 1) / kThreads),
                    static_cast<unsigned>(num_pairs));
    group_sum_kernel<<<grid, kThreads, 0, stream>>>(rows, row_stride, group, prompt, sums,
                                                    sum_stride);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
