#include "kernels/cuda/top_k.h"

#include <cooperative_groups.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kRounds = 8;
constexpr int kSegment = kThreads * kRounds;  // values of one block
constexpr int kBins = 2048;
constexpr int kLastBins = 1024;
constexpr int kMaxRows = 65535;  // the grid's second dimension
constexpr int kCluster = 8;      // blocks of a row's cluster; more is not portable
constexpr int kClusterThreads = 1024;
constexpr int kMaxKeys = 32;  // of a thread of a cluster, in registers
constexpr int kMaxClusterCount = kCluster * kClusterThreads * kMaxKeys;

/// Where a row's selection stands: the digits of the k-th largest key found so far, and how many
/// of the values with these digits belong to the best k.
struct RowState {
    std::uint32_t prefix;
    std::uint32_t wanted;
    std::uint32_t blocks_done;
    std::uint32_t unused;
};

/// Must begin cleared, `last` excepted.
struct Workspace {
    RowState* states;          // [rows]
    std::uint32_t* histogram;  // [rows, kBins]
    std::uint16_t* last;       // [rows, segments, kLastBins], last digit's counts of each segment
};

std::int64_t num_segments(std::int32_t count) {
    return (static_cast<std::int64_t>(count) + kSegment - 1) / kSegment;
}

std::size_t cleared_bytes(std::int32_t rows) {
    return static_cast<std::size_t>(rows) * (sizeof(RowState) + kBins * sizeof(std::uint32_t));
}

/// Unsigned integers in the order of the floats; adding 0 makes the two zeros equal.
__device__ std::uint32_t order_key(float value) {
    const std::uint32_t bits = __float_as_uint(value + 0.0F);
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ const float* row_scores(const TopKArguments& a, int row) {
    return a.scores + (a.source_rows != nullptr ? a.source_rows[row] : row) * a.score_stride;
}

/// 0 or count: the row needs no boundary.
__device__ int clamped_k(const TopKArguments& a, int row) {
    return min(max(a.k[row], 0), a.count);
}

/// Loads a segment's keys; those past the end are left alone and reported invalid.
struct Segment {
    std::uint32_t keys[kRounds];
    int first;  // position of this thread's first value; the next ones follow at kThreads
    int count;

    __device__ Segment(const TopKArguments& a, int row)
        : first(static_cast<int>(blockIdx.x) * kSegment + static_cast<int>(threadIdx.x)),
          count(a.count) {
        const float* scores = row_scores(a, row);
#pragma unroll
        for (int i = 0; i < kRounds; ++i) {
            const int position = first + i * kThreads;
            keys[i] = position < count ? order_key(scores[position]) : 0;
        }
    }
    [[nodiscard]] __device__ bool valid(int i) const {
        return first + i * kThreads < count;
    }
};

/// The bin in which the wanted-th largest value lies, found by the whole block: thread t sums
/// kBins / kThreads bins, counted from the top. Clears the histogram for the next digit.
__device__ void find_bin(RowState* state, std::uint32_t* histogram, int shift) {
    constexpr int kOwn = kBins / kThreads;
    __shared__ std::uint32_t warp_sums[kWarps];
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const std::uint32_t wanted = __ldcg(&state->wanted);  // another block may have written it
    const std::uint32_t prefix = state->prefix;
    std::uint32_t own[kOwn];
    std::uint32_t sum = 0;
    for (int i = 0; i < kOwn; ++i) {
        const int bin = kBins - 1 - (static_cast<int>(threadIdx.x) * kOwn + i);
        own[i] = __ldcg(histogram + bin);  // other blocks wrote it
        histogram[bin] = 0;
        sum += own[i];
    }
    std::uint32_t inclusive = sum;
    for (int offset = 1; offset < 32; offset *= 2) {
        const std::uint32_t other = __shfl_up_sync(~0U, inclusive, offset);
        if (lane >= offset) inclusive += other;
    }
    if (lane == 31) warp_sums[warp] = inclusive;
    __syncthreads();  // also: everyone has read the state
    std::uint32_t above = inclusive - sum;
    for (int w = 0; w < warp; ++w) above += warp_sums[w];
    for (int i = 0; i < kOwn; ++i) {
        if (above < wanted && wanted <= above + own[i]) {  // true for one bin of one thread
            const auto bin =
                static_cast<std::uint32_t>(kBins - 1 - (static_cast<int>(threadIdx.x) * kOwn + i));
            state->prefix = prefix | bin << shift;
            state->wanted = wanted - above;
        }
        above += own[i];
    }
    if (threadIdx.x == 0) state->blocks_done = 0;
}

/// Counts one digit of the keys that agree with the digits known so far; the last block of a row
/// to arrive finds the bin. kShift 21 (first), 10, 0 (last; 10 bits).
template <int kShift>
__global__ void __launch_bounds__(kThreads) digit_kernel(TopKArguments a, Workspace w) {
    constexpr bool kFirst = kShift == 21;
    constexpr bool kLast = kShift == 0;
    constexpr int kDigits = kLast ? kLastBins : kBins;
    constexpr std::uint32_t kKnown = kFirst ? 0U : kLast ? ~0U << 10 : ~0U << 21;
    __shared__ std::uint32_t bins[kDigits];
    __shared__ bool is_last;
    const int row = static_cast<int>(blockIdx.y);
    const int k = clamped_k(a, row);
    if (k == 0 || k == a.count) return;
    RowState* state = w.states + row;
    std::uint32_t* histogram = w.histogram + static_cast<std::int64_t>(row) * kBins;
    for (int i = threadIdx.x; i < kDigits; i += kThreads) bins[i] = 0;
    const std::uint32_t prefix = kFirst ? 0U : state->prefix;
    const Segment segment(a, row);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
        if (segment.valid(i) && (segment.keys[i] & kKnown) == prefix) {
            atomicAdd(bins + ((segment.keys[i] >> kShift) & (kDigits - 1)), 1U);
        }
    }
    __syncthreads();
    std::uint16_t* last =
        w.last + (static_cast<std::int64_t>(row) * gridDim.x + blockIdx.x) * kLastBins;
    for (int i = threadIdx.x; i < kDigits; i += kThreads) {
        if (bins[i] != 0) atomicAdd(histogram + i, bins[i]);
        if (kLast) last[i] = static_cast<std::uint16_t>(bins[i]);  // at most kSegment
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        if (kFirst && blockIdx.x == 0) state->wanted = static_cast<std::uint32_t>(k);
        __threadfence();
        is_last = atomicAdd(&state->blocks_done, 1U) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (is_last) find_bin(state, histogram, kShift);
}

/// Ones for all positions below count.
__device__ void fill_segment(const TopKArguments& a, bool ones, std::uint32_t* bitmap) {
    const int first_word = static_cast<int>(blockIdx.x) * (kSegment / 32);
    const int end = (a.count + 31) / 32;
    for (int i = threadIdx.x; i < kSegment / 32 && first_word + i < end; i += kThreads) {
        const int left = a.count - (first_word + i) * 32;
        bitmap[first_word + i] = !ones ? 0U : left >= 32 ? ~0U : (1U << left) - 1;
    }
}

/// How many values equal to the boundary lie in the segments before this block's.
__device__ std::uint32_t equal_before(const TopKArguments&, const Workspace& w, int row,
                                      std::uint32_t boundary) {
    __shared__ std::uint32_t total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    const std::uint16_t* counts =
        w.last + static_cast<std::int64_t>(row) * gridDim.x * kLastBins + boundary % kLastBins;
    std::uint32_t sum = 0;
    for (int i = threadIdx.x; i < static_cast<int>(blockIdx.x); i += kThreads) {
        sum += counts[static_cast<std::int64_t>(i) * kLastBins];
    }
    if (sum != 0) atomicAdd(&total, sum);
    __syncthreads();
    return total;
}

/// Takes everything above the boundary, and of what equals it the first `wanted` in position order.
__global__ void __launch_bounds__(kThreads) write_kernel(TopKArguments a, Workspace w) {
    __shared__ std::uint32_t equal_counts[kRounds * kWarps];  // in position order
    const int row = static_cast<int>(blockIdx.y);
    std::uint32_t* bitmap = a.bitmaps + row * a.bitmap_stride;
    const int k = clamped_k(a, row);
    if (k == 0 || k == a.count) return fill_segment(a, k != 0, bitmap);
    const std::uint32_t boundary = w.states[row].prefix;
    const std::uint32_t wanted = w.states[row].wanted;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const Segment segment(a, row);
    std::uint32_t equal[kRounds];
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
        equal[i] = __ballot_sync(~0U, segment.valid(i) && segment.keys[i] == boundary);
        if (lane == 0)
            equal_counts[i * kWarps + warp] = static_cast<std::uint32_t>(__popc(equal[i]));
    }
    const std::uint32_t before = equal_before(a, w, row, boundary);  // synchronises the block
    if (warp == 0) {
        std::uint32_t running = before;
        for (int i = lane; i < kRounds * kWarps; i += 32) {
            const std::uint32_t own = equal_counts[i];
            std::uint32_t inclusive = own;
            for (int offset = 1; offset < 32; offset *= 2) {
                const std::uint32_t other = __shfl_up_sync(~0U, inclusive, offset);
                if (lane >= offset) inclusive += other;
            }
            equal_counts[i] = running + inclusive - own;
            running += __shfl_sync(~0U, inclusive, 31);
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
        const std::uint32_t rank =
            equal_counts[i * kWarps + warp] +
            static_cast<std::uint32_t>(__popc(equal[i] & ((1U << lane) - 1)));
        const bool is_equal = (equal[i] >> lane & 1U) != 0;
        const bool taken =
            segment.valid(i) && (is_equal ? rank < wanted : segment.keys[i] > boundary);
        const std::uint32_t word = __ballot_sync(~0U, taken);
        if (lane == 0 && segment.valid(i)) bitmap[(segment.first + i * kThreads) / 32] = word;
    }
}

// ---- one cluster a row -----------------------------------------------------------------------
// The row lies in the registers of eight blocks, which add up their histograms over distributed
// shared memory: one launch and one read of the row, where the grid needs five and four.

struct ClusterShared {
    std::uint32_t bins[3][kBins];  // a histogram for each digit, so that none is cleared between
    std::uint32_t warp_sums[kClusterThreads / 32];
    std::uint32_t prefix;
    std::uint32_t wanted;
    std::uint32_t equal_before;
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/// Sum of `own` over the threads of the block before this one.
__device__ std::uint32_t sum_before(std::uint32_t own, std::uint32_t* warp_sums) {
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    std::uint32_t inclusive = own;
    for (int offset = 1; offset < 32; offset *= 2) {
        const std::uint32_t other = __shfl_up_sync(~0U, inclusive, offset);
        if (lane >= offset) inclusive += other;
    }
    if (lane == 31) warp_sums[warp] = inclusive;
    __syncthreads();
    std::uint32_t before = inclusive - own;
    for (int w = 0; w < warp; ++w) before += warp_sums[w];
    return before;
}

/// Where a thread's keys lie: `first`, and the next ones at steps of kClusterThreads. A key past
/// the end is 0, which only a NaN would have: it equals no boundary and is above none.
struct ClusterSlice {
    int first;
    int end;  // of the row, or of the block's share
    [[nodiscard]] __device__ bool holds(int i) const { return first + i * kClusterThreads < end; }
};

/// The bin of digit `digit` in which the wanted-th largest value of the row lies; every block of
/// the cluster finds it for itself. A thread takes kBins / kBlock bins, counted from the top.
template <int kBlock>
__device__ void find_cluster_bin(const cooperative_groups::cluster_group& cluster,
                                 ClusterShared& shared, int digit, int shift, std::uint32_t prefix,
                                 std::uint32_t wanted) {
    constexpr int kOwn = kBins / kBlock;
    const int low = kBins - kOwn * (1 + static_cast<int>(threadIdx.x));
    std::uint32_t own[kOwn] = {};
    std::uint32_t sum = 0;
#pragma unroll
    for (unsigned rank = 0; rank < kCluster; ++rank) {
        const ClusterShared* other = cluster.map_shared_rank(&shared, rank);
#pragma unroll
        for (int i = 0; i < kOwn; i += 2) {
            const uint2 pair = *reinterpret_cast<const uint2*>(other->bins[digit] + low + i);
            own[i] += pair.x;
            own[i + 1] += pair.y;
            sum += pair.x + pair.y;
        }
    }
    std::uint32_t above = sum_before(sum, shared.warp_sums);
#pragma unroll
    for (int i = kOwn - 1; i >= 0; --i) {
        if (above < wanted && wanted <= above + own[i]) {  // true for one bin of one thread
            shared.prefix = prefix | static_cast<std::uint32_t>(low + i) << shift;
            shared.wanted = wanted - above;
        }
        above += own[i];
    }
    __syncthreads();
}

/// Words of a block's share, from `first` on, whose values are all taken, or none of them.
__device__ void fill_words(const TopKArguments& a, int first, int words, bool ones,
                           std::uint32_t* bitmap) {
    const int end = min(first + words, (a.count + 31) / 32);
    for (int word = first + static_cast<int>(threadIdx.x); word < end;
         word += static_cast<int>(blockDim.x)) {
        const int left = a.count - word * 32;
        bitmap[word] = !ones ? 0U : left >= 32 ? ~0U : (1U << left) - 1;
    }
}

/// Takes everything above the boundary, and of what equals it the first `wanted` of the row.
template <int kKeys>
__device__ void write_slice(const ClusterSlice& slice, const std::uint32_t (&keys)[kKeys],
                            ClusterShared& shared, std::uint32_t* bitmap) {
    const std::uint32_t boundary = shared.prefix;
    const std::uint32_t wanted = shared.wanted;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    std::uint32_t* counts = shared.bins[0];  // in position order; no block reads it any more
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
        const std::uint32_t equal = __ballot_sync(~0U, keys[i] == boundary);
        if (lane == 0) counts[i * 32 + warp] = static_cast<std::uint32_t>(__popc(equal));
    }
    __syncthreads();
    const std::uint32_t own = threadIdx.x < kKeys * 32 ? counts[threadIdx.x] : 0;
    counts[threadIdx.x] = shared.equal_before + sum_before(own, shared.warp_sums);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
        const bool is_equal = keys[i] == boundary;
        const std::uint32_t equal = __ballot_sync(~0U, is_equal);
        const std::uint32_t rank =
            counts[i * 32 + warp] + static_cast<std::uint32_t>(__popc(equal & ((1U << lane) - 1)));
        const bool taken = is_equal ? rank < wanted : keys[i] > boundary;
        const std::uint32_t word = __ballot_sync(~0U, taken);
        if (lane == 0 && slice.holds(i)) bitmap[(slice.first + i * kClusterThreads) / 32] = word;
    }
}

#endif

template <int kKeys>
__global__ void __launch_bounds__(kClusterThreads) cluster_kernel(TopKArguments a, int rounds) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    __shared__ ClusterShared shared;
    const cooperative_groups::cluster_group cluster = cooperative_groups::this_cluster();
    const int row = static_cast<int>(blockIdx.y);
    std::uint32_t* bitmap = a.bitmaps + row * a.bitmap_stride;
    const int k = clamped_k(a, row);
    const int share = rounds * kClusterThreads;
    const int begin = static_cast<int>(blockIdx.x) * share;
    if (k == 0 || k == a.count) return fill_words(a, begin / 32, share / 32, k != 0, bitmap);
    const ClusterSlice slice{begin + static_cast<int>(threadIdx.x), min(begin + share, a.count)};
    const float* scores = row_scores(a, row);
    std::uint32_t keys[kKeys];
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
        keys[i] = slice.holds(i) ? order_key(scores[slice.first + i * kClusterThreads]) : 0;
    }
    for (int i = threadIdx.x; i < 3 * kBins; i += kClusterThreads) (&shared.bins[0][0])[i] = 0;
    __syncthreads();
    std::uint32_t prefix = 0;
    auto wanted = static_cast<std::uint32_t>(k);
#pragma unroll
    for (int digit = 0; digit < 3; ++digit) {
        const int shift = digit == 0 ? 21 : digit == 1 ? 10 : 0;
        const std::uint32_t known = digit == 0 ? 0U : digit == 1 ? ~0U << 21 : ~0U << 10;
        const std::uint32_t mask = digit == 2 ? kLastBins - 1 : kBins - 1;
#pragma unroll
        for (int i = 0; i < kKeys; ++i) {
            if (keys[i] != 0 && (keys[i] & known) == prefix) {
                atomicAdd(shared.bins[digit] + ((keys[i] >> shift) & mask), 1U);
            }
        }
        cluster.sync();
        find_cluster_bin<kClusterThreads>(cluster, shared, digit, shift, prefix, wanted);
        prefix = shared.prefix;
        wanted = shared.wanted;
    }
    if (threadIdx.x == 0) {
        std::uint32_t before = 0;
        for (unsigned rank = 0; rank < blockIdx.x; ++rank) {
            before += cluster.map_shared_rank(&shared, rank)->bins[2][prefix % kLastBins];
        }
        shared.equal_before = before;
    }
    cluster.sync();  // no block may end, or go on in its histograms, while another reads them
    write_slice(slice, keys, shared, bitmap);
#endif
}

cudaError_t launch_in_clusters(void (*kernel)(TopKArguments, int), const TopKArguments& a,
                               int threads, int size, cudaStream_t stream) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = kCluster;
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(kCluster, static_cast<unsigned>(a.num_rows));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    run_beside_others(kernel);
    return cudaLaunchKernelEx(&config, kernel, a, size);
}

/// Clusters come with compute capability 9.0.
bool device_has_clusters() {
    int device = 0;
    int major = 0;
    return cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ==
               cudaSuccess &&
           major >= 9;
}

cudaError_t top_k_by_clusters(const TopKArguments& a, cudaStream_t stream) {
    constexpr int kRound = kCluster * kClusterThreads;
    const int rounds = (a.count + kRound - 1) / kRound;
    const auto kernel = rounds <= 4    ? cluster_kernel<4>
                        : rounds <= 16 ? cluster_kernel<16>
                                       : cluster_kernel<kMaxKeys>;
    return launch_in_clusters(kernel, a, kClusterThreads, rounds, stream);
}

}  // namespace

std::size_t top_k_workspace_bytes(std::int32_t num_rows, std::int32_t count) {
    const auto rows = static_cast<std::size_t>(std::max(num_rows, 0));
    const auto segments = static_cast<std::size_t>(num_segments(std::max(count, 0)));
    return cleared_bytes(static_cast<std::int32_t>(rows)) +
           rows * segments * kLastBins * sizeof(std::uint16_t);
}

cudaError_t top_k(const TopKArguments& a, cudaStream_t stream) {
    if (a.num_rows < 0 || a.num_rows > kMaxRows || a.count < 0 || a.count > (1 << 30) ||
        a.score_stride < 0 || a.bitmap_stride < bitmap_words(a.count)) {
        return cudaErrorInvalidValue;
    }
    if (a.num_rows == 0 || a.count == 0) return cudaSuccess;
    if (a.may_use_clusters && a.count <= kMaxClusterCount && device_has_clusters()) {
        return top_k_by_clusters(a, stream);
    }
    Workspace w{};
    w.states = static_cast<RowState*>(a.workspace);
    w.histogram = reinterpret_cast<std::uint32_t*>(w.states + a.num_rows);
    w.last = reinterpret_cast<std::uint16_t*>(w.histogram +
                                              static_cast<std::int64_t>(a.num_rows) * kBins);
    const cudaError_t error = cudaMemsetAsync(a.workspace, 0, cleared_bytes(a.num_rows), stream);
    if (error != cudaSuccess) return error;
    const dim3 grid(static_cast<unsigned>(num_segments(a.count)),
                    static_cast<unsigned>(a.num_rows));
    run_beside_others(digit_kernel<21>);
    digit_kernel<21><<<grid, kThreads, 0, stream>>>(a, w);
    run_beside_others(digit_kernel<10>);
    digit_kernel<10><<<grid, kThreads, 0, stream>>>(a, w);
    run_beside_others(digit_kernel<0>);
    digit_kernel<0><<<grid, kThreads, 0, stream>>>(a, w);
    run_beside_others(write_kernel);
    write_kernel<<<grid, kThreads, 0, stream>>>(a, w);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
