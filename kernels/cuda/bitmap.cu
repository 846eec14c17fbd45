#include "kernels/cuda/bitmap.h"

#include <cstdint>

namespace hc::kernels::cuda {
namespace {

constexpr int kOverlapThreads = 512;
constexpr int kDeltaThreads = 256;
constexpr int kCompactThreads = 1024;
constexpr int kCompactWarps = kCompactThreads / 32;

__global__ void __launch_bounds__(kOverlapThreads)
    overlap_kernel(const std::uint32_t* a, std::int64_t a_stride, const std::uint32_t* b,
                   std::int64_t b_stride, int words, std::int32_t* common) {
    __shared__ int total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    const std::int64_t row = blockIdx.x;
    int count = 0;
    for (int i = threadIdx.x; i < words; i += kOverlapThreads) {
        count += __popc(a[row * a_stride + i] & b[row * b_stride + i]);
    }
    for (int offset = 16; offset > 0; offset /= 2) count += __shfl_xor_sync(~0U, count, offset);
    if (threadIdx.x % 32 == 0) atomicAdd(&total, count);
    __syncthreads();
    if (threadIdx.x == 0) common[row] = total;
}

__global__ void __launch_bounds__(kDeltaThreads)
    delta_kernel(const std::uint32_t* wanted, const std::uint32_t* resident, std::int64_t count,
                 std::uint32_t* fetched, std::uint32_t* evicted) {
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kDeltaThreads + threadIdx.x;
    if (i >= count) return;
    const std::uint32_t w = wanted[i];
    const std::uint32_t r = resident[i];
    fetched[i] = w & ~r;
    evicted[i] = r & ~w;
}

/// A thread's place among its block's counts.
struct Ranks {
    int bits;    // set bits before this thread's word
    int starts;  // runs begun before it
    int ends;    // runs ended before it
};

/// Exclusive prefix sums of three counts over the block, on top of what `totals` holds from the
/// words before; then totals moves on. Each count of a block is at most 32,768.
__device__ Ranks scan(int bits, int starts, int ends, Ranks* totals) {
    __shared__ Ranks warps[kCompactWarps];
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    Ranks sum{bits, starts, ends};
    for (int offset = 1; offset < 32; offset *= 2) {
        const Ranks other{__shfl_up_sync(~0U, sum.bits, offset),
                          __shfl_up_sync(~0U, sum.starts, offset),
                          __shfl_up_sync(~0U, sum.ends, offset)};
        if (lane >= offset) {
            sum.bits += other.bits;
            sum.starts += other.starts;
            sum.ends += other.ends;
        }
    }
    __syncthreads();  // the sums of the call before have been read
    if (lane == 31) warps[warp] = sum;
    __syncthreads();
    Ranks before = *totals;
    for (int i = 0; i < kCompactWarps; ++i) {
        totals->bits += warps[i].bits;
        totals->starts += warps[i].starts;
        totals->ends += warps[i].ends;
        if (i < warp) before = *totals;
    }
    return {before.bits + sum.bits - bits, before.starts + sum.starts - starts,
            before.ends + sum.ends - ends};
}

__device__ void write_word(const CompactionArguments& a, std::int64_t row, int index,
                           std::uint32_t word, std::uint32_t starts, std::uint32_t ends,
                           Ranks rank) {
    if (a.positions != nullptr) {
        std::int32_t* out = a.positions + row * a.position_stride + rank.bits;
        for (std::uint32_t left = word; left != 0; left &= left - 1) {
            *out++ = index * 32 + __ffs(static_cast<int>(left)) - 1;
        }
    }
    if (a.runs == nullptr) return;
    Run* runs = a.runs + row * a.run_stride;
    for (std::uint32_t left = starts; left != 0; left &= left - 1) {
        const int bit = __ffs(static_cast<int>(left)) - 1;
        Run& run = runs[rank.starts++];
        run.start = index * 32 + bit;
        run.first = rank.bits + __popc(word & ((1U << bit) - 1));
    }
    for (std::uint32_t left = ends; left != 0; left &= left - 1) {
        // The end, until the block has all starts and ends and turns it into the length.
        runs[rank.ends++].length = index * 32 + __ffs(static_cast<int>(left));
    }
}

__global__ void __launch_bounds__(kCompactThreads) compact_kernel(CompactionArguments a) {
    const std::int64_t row = blockIdx.x;
    const std::uint32_t* bitmap = a.bitmaps + row * a.words;
    Ranks totals{0, 0, 0};
    for (int base = 0; base < a.words; base += kCompactThreads) {
        const int index = base + static_cast<int>(threadIdx.x);
        const std::uint32_t word = index < a.words ? bitmap[index] : 0;
        const std::uint32_t before = index > 0 && index < a.words ? bitmap[index - 1] >> 31 : 0;
        const std::uint32_t after = index + 1 < a.words ? bitmap[index + 1] << 31 : 0;
        const std::uint32_t starts = word & ~(word << 1 | before);
        const std::uint32_t ends = word & ~(word >> 1 | after);
        const Ranks rank = scan(__popc(word), __popc(starts), __popc(ends), &totals);
        write_word(a, row, index, word, starts, ends, rank);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        a.num_positions[row] = totals.bits;
        if (a.runs != nullptr) a.num_runs[row] = totals.starts;
    }
    if (a.runs == nullptr) return;
    Run* runs = a.runs + row * a.run_stride;
    for (int i = threadIdx.x; i < totals.starts; i += kCompactThreads) {
        runs[i].length -= runs[i].start;
    }
}

}  // namespace

cudaError_t bitmap_overlap(const std::uint32_t* a, std::int64_t a_stride, const std::uint32_t* b,
                           std::int64_t b_stride, std::int32_t num_rows, std::int32_t words,
                           std::int32_t* common, cudaStream_t stream) {
    if (num_rows < 0 || words < 0) return cudaErrorInvalidValue;
    if (num_rows == 0) return cudaSuccess;
    overlap_kernel<<<static_cast<unsigned>(num_rows), kOverlapThreads, 0, stream>>>(
        a, a_stride, b, b_stride, words, common);
    return cudaGetLastError();
}

cudaError_t bitmap_delta(const std::uint32_t* wanted, const std::uint32_t* resident,
                         std::int32_t num_rows, std::int32_t words, std::uint32_t* fetched,
                         std::uint32_t* evicted, cudaStream_t stream) {
    if (num_rows < 0 || words < 0) return cudaErrorInvalidValue;
    const std::int64_t count = static_cast<std::int64_t>(num_rows) * words;
    if (count == 0) return cudaSuccess;
    const auto blocks = static_cast<unsigned>((count + kDeltaThreads - 1) / kDeltaThreads);
    delta_kernel<<<blocks, kDeltaThreads, 0, stream>>>(wanted, resident, count, fetched, evicted);
    return cudaGetLastError();
}

cudaError_t bitmap_compact(const CompactionArguments& a, cudaStream_t stream) {
    if (a.num_rows < 0 || a.words < 0) return cudaErrorInvalidValue;
    if (a.num_rows == 0) return cudaSuccess;
    compact_kernel<<<static_cast<unsigned>(a.num_rows), kCompactThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
