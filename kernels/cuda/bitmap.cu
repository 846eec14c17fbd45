#include "kernels/cuda/bitmap.h"

#include <cstdint>

namespace hc::kernels::cuda {
namespace {

constexpr int kOverlapThreads = 512;
constexpr int kDeltaThreads = 256;
constexpr int kCompactThreads = 256;
constexpr int kMaxRows = 65535;  // the grid's second dimension
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

/// What lies before a word, or within some words.
struct Tally {
    int bits;
    int starts;      // runs begun
    int ends;        // runs ended
    int last_start;  // where the last of them began, -1 for none
};

__device__ Tally join(Tally a, Tally b) {
    return {a.bits + b.bits, a.starts + b.starts, a.ends + b.ends, max(a.last_start, b.last_start)};
}

/// One word with the bits at which runs begin and end.
struct Word {
    std::uint32_t bits = 0;
    std::uint32_t starts = 0;
    std::uint32_t ends = 0;
    int index;

    __device__ Word(const std::uint32_t* bitmap, int words, int at) : index(at) {
        if (at >= words) return;
        bits = bitmap[at];
        const std::uint32_t before = at > 0 ? bitmap[at - 1] >> 31 : 0;
        const std::uint32_t after = at + 1 < words ? bitmap[at + 1] << 31 : 0;
        starts = bits & ~(bits << 1 | before);
        ends = bits & ~(bits >> 1 | after);
    }
    [[nodiscard]] __device__ Tally tally() const {
        return {__popc(bits), __popc(starts), __popc(ends),
                starts != 0 ? index * 32 + 31 - __clz(static_cast<int>(starts)) : -1};
    }
};

/// Of all threads before this one; `total` receives the block's.
__device__ Tally scan_block(Tally own, Tally* total) {
    __shared__ Tally warps[kCompactWarps];
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const auto from_before = [](Tally t, int offset) {
        return Tally{__shfl_up_sync(~0U, t.bits, offset), __shfl_up_sync(~0U, t.starts, offset),
                     __shfl_up_sync(~0U, t.ends, offset),
                     __shfl_up_sync(~0U, t.last_start, offset)};
    };
    Tally inclusive = own;
    for (int offset = 1; offset < 32; offset *= 2) {
        const Tally other = from_before(inclusive, offset);
        if (lane >= offset) inclusive = join(other, inclusive);
    }
    Tally exclusive = from_before(inclusive, 1);
    if (lane == 0) exclusive = {0, 0, 0, -1};
    __syncthreads();  // the sums of the call before have been read
    if (lane == 31) warps[warp] = inclusive;
    __syncthreads();
    Tally sum{0, 0, 0, -1};
    for (int i = 0; i < kCompactWarps; ++i) {
        if (i == warp) exclusive = join(sum, exclusive);
        sum = join(sum, warps[i]);
    }
    *total = sum;
    return exclusive;
}

__device__ void write_word(const CompactionArguments& a, std::int64_t row, const Word& word,
                           Tally before) {
    const int base = word.index * 32;
    if (a.positions != nullptr) {
        std::int32_t* out = a.positions + row * a.position_stride + before.bits;
        for (std::uint32_t left = word.bits; left != 0; left &= left - 1) {
            *out++ = base + __ffs(static_cast<int>(left)) - 1;
        }
    }
    if (a.runs == nullptr) return;
    Run* runs = a.runs + row * a.run_stride;
    for (std::uint32_t left = word.starts; left != 0; left &= left - 1) {
        const int bit = __ffs(static_cast<int>(left)) - 1;
        Run& run = runs[before.starts++];
        run.start = base + bit;
        run.first = before.bits + __popc(word.bits & ((1U << bit) - 1));
    }
    for (std::uint32_t left = word.ends; left != 0; left &= left - 1) {
        const int bit = __ffs(static_cast<int>(left)) - 1;
        const std::uint32_t begun = word.starts & (~0U >> (31 - bit));
        const int start =
            begun != 0 ? base + 31 - __clz(static_cast<int>(begun)) : before.last_start;
        // Another thread, or another block, writes the rest of a run that began before.
        runs[before.ends++].length = base + bit + 1 - start;
    }
}

/// A block takes kCompactThreads words, and counts for itself what lies before them: at 224K
/// positions at most 28 KiB, less than blocks that wait for each other would cost.
__global__ void __launch_bounds__(kCompactThreads) compact_kernel(CompactionArguments a) {
    const std::int64_t row = blockIdx.y;
    const std::uint32_t* bitmap = a.bitmaps + row * a.words;
    const int first = static_cast<int>(blockIdx.x) * kCompactThreads;
    Tally sum{0, 0, 0, -1};
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < first; i += kCompactThreads) {
        sum = join(sum, Word(bitmap, a.words, i).tally());
    }
    Tally before;
    Tally own;
    scan_block(sum, &before);
    const Word word(bitmap, a.words, first + static_cast<int>(threadIdx.x));
    const Tally rank = scan_block(word.tally(), &own);
    write_word(a, row, word, join(before, rank));
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) {
        a.num_positions[row] = before.bits + own.bits;
        if (a.runs != nullptr) a.num_runs[row] = before.starts + own.starts;
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
    if (a.num_rows < 0 || a.num_rows > kMaxRows || a.words < 0) return cudaErrorInvalidValue;
    if (a.num_rows == 0) return cudaSuccess;
    const int chunks = a.words == 0 ? 1 : (a.words + kCompactThreads - 1) / kCompactThreads;
    const dim3 grid(static_cast<unsigned>(chunks), static_cast<unsigned>(a.num_rows));
    compact_kernel<<<grid, kCompactThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
