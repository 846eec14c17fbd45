#include "kernels/cuda/sample.h"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace hc::kernels::cuda {
namespace {

using Mass = unsigned long long;  // what atomics and shuffles call 64 bits

constexpr int kMaxRows = 65535;  // the grid's second dimension

/// Unsigned integers in the order of the floats; adding 0 makes the two zeros equal.
__device__ std::uint32_t order_key(float value) {
    const std::uint32_t bits = __float_as_uint(__fadd_rn(value, 0.0F));
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// --- greedy ---------------------------------------------------------------------------------

constexpr int kGreedyThreads = 256;
constexpr int kGreedyRounds = 16;
constexpr int kGreedySegment = kGreedyThreads * kGreedyRounds;  // values of one block

int greedy_blocks(std::int32_t vocab) {
    return (vocab + kGreedySegment - 1) / kGreedySegment;
}

/// Larger is better: the logit, then the lower id. Every candidate is above 0.
__device__ Mass rank_of(float logit, int id) {
    return static_cast<Mass>(order_key(logit)) << 32 | ~static_cast<std::uint32_t>(id);
}

__device__ Mass block_best(Mass best) {
    __shared__ Mass warps[kGreedyThreads / 32];
    for (int offset = 16; offset > 0; offset /= 2) {
        best = max(best, __shfl_xor_sync(~0U, best, offset));
    }
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
    __syncthreads();
    for (const Mass other : warps) best = max(best, other);
    return best;
}

__global__ void __launch_bounds__(kGreedyThreads)
    segment_best_kernel(const float* logits, std::int64_t stride, int vocab, Mass* partials) {
    const float* row = logits + blockIdx.y * stride;
    const int first = static_cast<int>(blockIdx.x) * kGreedySegment + static_cast<int>(threadIdx.x);
    Mass best = 0;
#pragma unroll
    for (int i = 0; i < kGreedyRounds; ++i) {
        const int id = first + i * kGreedyThreads;
        if (id < vocab) best = max(best, rank_of(row[id], id));
    }
    best = block_best(best);
    if (threadIdx.x == 0) {
        partials[static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = best;
    }
}

__global__ void __launch_bounds__(kGreedyThreads)
    row_best_kernel(const Mass* partials, int count, std::int32_t* tokens) {
    const Mass* row = partials + static_cast<std::int64_t>(blockIdx.x) * count;
    Mass best = 0;
    for (int i = threadIdx.x; i < count; i += kGreedyThreads) best = max(best, row[i]);
    best = block_best(best);
    if (threadIdx.x == 0) {
        tokens[blockIdx.x] = static_cast<std::int32_t>(~static_cast<std::uint32_t>(best));
    }
}

// --- sampled --------------------------------------------------------------------------------

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;
constexpr int kInFlight = 8;  // loads of a thread
constexpr int kBins = 2048;
constexpr float kOne = 0x1p42F;  // a probability of 1 before it is normalised

/// How many values, and the sum of their masses: below 2^20 * 2^42.
struct Tally {
    Mass count;
    Mass mass;
    __device__ Tally operator+(Tally o) const { return {count + o.count, mass + o.mass}; }
    __device__ Tally operator-(Tally o) const { return {count - o.count, mass - o.mass}; }
};

/// All values equal to one key, and what stands before them in the order of candidates.
struct Place {
    std::uint32_t key;
    Tally before;
    Tally own;
};

struct Row {
    const float* logits;
    int vocab;
    float largest;
    float temperature;

    [[nodiscard]] __device__ Mass mass(float logit) const {
        // Through + 0: values of one key have one mass.
        const float x = __fadd_rn(logit, 0.0F) - largest;
        return __float2ull_rn(expf(x / temperature) * kOne);
    }
    /// Calls f(value) for every value, this thread's share of them.
    template <typename F>
    __device__ void for_each(F f) const {
        for (int first = threadIdx.x; first < vocab; first += kThreads * kInFlight) {
            float values[kInFlight];
#pragma unroll
            for (int i = 0; i < kInFlight; ++i) {
                const int id = first + i * kThreads;
                values[i] = id < vocab ? logits[id] : 0.0F;
            }
#pragma unroll
            for (int i = 0; i < kInFlight; ++i) {
                if (first + i * kThreads < vocab) f(values[i]);
            }
        }
    }
};

struct Shared {
    // Sums of each bin; 64 bits are two words with a carry, as shared memory adds 32 at a time.
    std::uint32_t counts[kBins];
    std::uint32_t low[kBins];
    std::uint32_t high[kBins];
    Tally warps[kWarps];
    float maxima[kWarps];
    Place place;
    int bin;
    std::uint64_t random;
    int equal[kWarps];
};

__device__ void add_to_bin(Shared& s, std::uint32_t bin, Mass mass) {
    const auto low = static_cast<std::uint32_t>(mass);
    const std::uint32_t old = atomicAdd(&s.low[bin], low);
    const std::uint32_t carry = old + low < old ? 1U : 0U;  // one per wrap, whatever the order
    const std::uint32_t high = static_cast<std::uint32_t>(mass >> 32) + carry;
    if (high != 0) atomicAdd(&s.high[bin], high);
    atomicAdd(&s.counts[bin], 1U);
}

__device__ Tally shuffle_up(Tally t, int offset) {
    return {__shfl_up_sync(~0U, t.count, offset), __shfl_up_sync(~0U, t.mass, offset)};
}

/// Finds the bin in which `target` lies, counted in values (kByCount) or in mass from the largest
/// key down, and moves s.place to it; s.place.before holds what stands before the first bin. A
/// target past the end leaves s.bin as it was.
template <bool kByCount>
__device__ void find_bin(Shared& s, Mass target) {
    constexpr int kOwn = kBins / kThreads;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    Tally own[kOwn];
    Tally sum{0, 0};
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
        const int bin = kBins - 1 - (static_cast<int>(threadIdx.x) * kOwn + i);
        own[i] = {s.counts[bin], static_cast<Mass>(s.high[bin]) << 32 | s.low[bin]};
        sum = sum + own[i];
    }
    Tally inclusive = sum;
    for (int offset = 1; offset < 32; offset *= 2) {
        const Tally other = shuffle_up(inclusive, offset);
        if (lane >= offset) inclusive = inclusive + other;
    }
    if (lane == 31) s.warps[warp] = inclusive;
    Tally before = s.place.before + (inclusive - sum);
    __syncthreads();  // everyone has read the place, and the sums of warps are there
    for (int w = 0; w < warp; ++w) before = before + s.warps[w];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
        const Mass from = kByCount ? before.count : before.mass;
        const Mass to = from + (kByCount ? own[i].count : own[i].mass);
        if (from <= target && target < to) {  // true for one bin of one thread
            s.bin = kBins - 1 - (static_cast<int>(threadIdx.x) * kOwn + i);
            s.place.before = before;
            s.place.own = own[i];
        }
        before = before + own[i];
    }
    __syncthreads();
}

/// The key whose values hold number `target` of the candidates (kByCount), or the first candidate
/// up to which the masses exceed `target`. The whole block calls it; digits of 11, 11 and 10 bits.
template <bool kByCount>
__device__ Place find(const Row& row, Mass target, Shared& s) {
    std::uint32_t prefix = 0;
    std::uint32_t known = 0;
    __syncthreads();  // the place of the call before has been read
    if (threadIdx.x == 0) s.place = {0, {0, 0}, {1, 1}};
    for (int shift = 21; shift >= 0; shift = shift == 21 ? 10 : shift == 10 ? 0 : -1) {
        const std::uint32_t digits = shift == 0 ? 1023U : 2047U;
        for (int i = threadIdx.x; i < kBins; i += kThreads) {
            s.counts[i] = 0;
            s.low[i] = 0;
            s.high[i] = 0;
        }
        if (threadIdx.x == 0) s.bin = 0;
        __syncthreads();
        row.for_each([&](float value) {
            const std::uint32_t key = order_key(value);
            if ((key & known) == prefix) {
                add_to_bin(s, key >> shift & digits, row.mass(value));
            }
        });
        __syncthreads();
        find_bin<kByCount>(s, target);
        prefix |= static_cast<std::uint32_t>(s.bin) << shift;
        known |= digits << shift;
        __syncthreads();  // everyone has read the bin
    }
    Place place = s.place;
    place.key = prefix;
    return place;
}

__device__ float block_max(float v, Shared& s) {
    for (int offset = 16; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(~0U, v, offset));
    if (threadIdx.x % 32 == 0) s.maxima[threadIdx.x / 32] = v;
    __syncthreads();
    for (const float other : s.maxima) v = fmaxf(v, other);
    return v;
}

__device__ Mass block_sum(Mass v, Shared& s) {
    for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(~0U, v, offset);
    if (threadIdx.x % 32 == 0) s.warps[threadIdx.x / 32] = {0, v};
    __syncthreads();
    v = 0;
    for (const Tally& t : s.warps) v += t.mass;
    __syncthreads();
    return v;
}

/// Writes the id of the value number `which` (from 0, by id) of those equal to `key`. Each warp
/// has a stretch of ids, so that counting before and walking within give the order.
__device__ void write_token(const Row& row, std::uint32_t key, Mass which, Shared& s,
                            std::int32_t* token) {
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int stretch = (row.vocab + kThreads - 1) / kThreads * 32;
    const int begin = warp * stretch;
    const int end = min(begin + stretch, row.vocab);
    int count = 0;
#pragma unroll 4
    for (int id = begin + lane; id < end; id += 32) count += order_key(row.logits[id]) == key;
    for (int offset = 16; offset > 0; offset /= 2) count += __shfl_xor_sync(~0U, count, offset);
    if (lane == 0) s.equal[warp] = count;
    __syncthreads();
    Mass before = 0;
    for (int w = 0; w < warp; ++w) before += static_cast<Mass>(s.equal[w]);
    if (which < before || which >= before + static_cast<Mass>(count)) return;
    auto left = static_cast<int>(which - before);  // one warp comes here
    for (int first = begin; first < end; first += 32) {
        const int id = first + lane;
        const bool is_equal = id < end && order_key(row.logits[id]) == key;
        const unsigned mask = __ballot_sync(~0U, is_equal);
        if (is_equal && __popc(mask & ((1U << lane) - 1)) == left) *token = id;
        left -= __popc(mask);
        if (left < 0) return;
    }
}

/// What a sequence's stream gives next (SplitMix64, as the host's sampler).
__device__ std::uint64_t next_random(std::uint64_t* state) {
    std::uint64_t z = *state + kSampleIncrement;
    *state = z;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

/// The mass of the first `count` candidates at a place and all before them.
__device__ Mass mass_up_to(const Place& place, Mass count) {
    return place.before.mass + place.own.mass / place.own.count * count;
}

/// A block per row. Every cut and the draw itself are the same question, where in the order of
/// candidates a number lies, so nothing is sorted: the boundary is a key and how many of its equals
/// belong to the part before it.
__global__ void __launch_bounds__(kThreads)
    sample_kernel(const __grid_constant__ SampleArguments a) {
    __shared__ Shared s;
    Row row{a.logits + blockIdx.x * a.stride, a.vocab, 0.0F, a.temperature};
    float largest = -INFINITY;
    row.for_each([&](float value) { largest = fmaxf(largest, value); });
    row.largest = __fadd_rn(block_max(largest, s), 0.0F);

    Mass kept = 0;  // the mass of the candidates that top_k leaves
    if (a.top_k > 0 && a.top_k < a.vocab) {
        const Place last = find<true>(row, static_cast<Mass>(a.top_k - 1), s);
        kept = mass_up_to(last, static_cast<Mass>(a.top_k) - last.before.count);
    } else {
        row.for_each([&](float value) { kept += row.mass(value); });
        kept = block_sum(kept, s);
    }
    // The nucleus ends within the kept ones: no prefix beyond them is needed to reach a share.
    Mass nucleus = kept;
    if (a.top_p < 1.0F) {
        const double share = ceil(static_cast<double>(a.top_p) * static_cast<double>(kept));
        const Mass wanted = min(max(static_cast<Mass>(share), Mass{1}), kept);
        const Place last = find<false>(row, wanted - 1, s);
        const Mass each = max(last.own.mass / last.own.count, Mass{1});
        nucleus = mass_up_to(last, (wanted - last.before.mass + each - 1) / each);
    }
    if (threadIdx.x == 0) {
        s.random = next_random(a.states + blockIdx.x);
        a.tokens[blockIdx.x] = 0;  // defined also for logits against the contract
    }
    __syncthreads();
    // 53 bits of it as a share in [0, 1), of which the product keeps the whole part.
    const Mass target = __umul64hi(s.random & ~std::uint64_t{0x7ff}, nucleus);
    const Place drawn = find<false>(row, target, s);
    const Mass each = max(drawn.own.mass / drawn.own.count, Mass{1});
    write_token(row, drawn.key, (target - drawn.before.mass) / each, s, a.tokens + blockIdx.x);
}

}  // namespace

std::size_t sample_workspace_bytes(std::int32_t n, std::int32_t vocab) {
    return sizeof(Mass) * static_cast<std::size_t>(std::max(n, 0)) *
           static_cast<std::size_t>(greedy_blocks(std::clamp(vocab, 0, kMaxSampleVocab)));
}

cudaError_t sample(const SampleArguments& a, cudaStream_t stream) {
    const bool valid = a.n >= 0 && a.n <= kMaxRows && a.vocab >= 1 && a.vocab <= kMaxSampleVocab &&
                       a.stride >= (a.n > 1 ? a.vocab : 0) && a.temperature >= 0 && a.top_k >= 0 &&
                       a.top_p > 0 && a.top_p <= 1;
    if (!valid) return cudaErrorInvalidValue;
    if (a.n == 0) return cudaSuccess;
    const auto rows = static_cast<unsigned>(a.n);
    if (a.temperature > 0) {
        run_beside_others(sample_kernel);
        sample_kernel<<<rows, kThreads, 0, stream>>>(a);
        return cudaGetLastError();
    }
    auto* partials = static_cast<Mass*>(a.workspace);
    const int blocks = greedy_blocks(a.vocab);
    const dim3 grid(static_cast<unsigned>(blocks), rows);
    run_beside_others(segment_best_kernel);
    segment_best_kernel<<<grid, kGreedyThreads, 0, stream>>>(a.logits, a.stride, a.vocab, partials);
    run_beside_others(row_best_kernel);
    row_best_kernel<<<rows, kGreedyThreads, 0, stream>>>(partials, blocks, a.tokens);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
