#include "kernels/cuda/drift.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/top_k.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kHeaderWords = sizeof(DriftHeader) / sizeof(unsigned long long);
static_assert(kHeaderWords <= 32 && sizeof(DriftHeader) % sizeof(unsigned long long) == 0);

/// common[w] += |candidate w and reference|, by the whole block. Row by row, so that a thread has
/// many loads on their way.
__device__ void count_common(const DriftDecideArguments& a, int words, int* common) {
    for (int w = 0; w < a.window; ++w) {
        const std::uint32_t* __restrict__ candidate = a.candidates + w * a.candidate_stride;
        int count = 0;
#pragma unroll 8
        for (int i = threadIdx.x; i < words; i += kThreads) {
            count += __popc(candidate[i] & a.reference[i]);
        }
        count = __reduce_add_sync(~0U, count);
        if (threadIdx.x % 32 == 0) atomicAdd(common + w, count);
    }
}

/// The value of rank `rank` among the first `window` lanes, for all lanes.
__device__ double pick(double value, int own_rank, int window, int rank) {
    const int lane = static_cast<int>(threadIdx.x);
    const unsigned owner = __ballot_sync(~0U, lane < window && own_rank == rank);
    return __shfl_sync(~0U, value, __ffs(static_cast<int>(owner)) - 1);
}

/// policy::median with a lane for each value.
__device__ double median_of_lanes(double value, int window) {
    const int lane = static_cast<int>(threadIdx.x);
    int rank = 0;
    for (int other = 0; other < window; ++other) {
        const double x = __shfl_sync(~0U, value, other);
        rank += x < value || (x == value && other < lane) ? 1 : 0;
    }
    const double upper = pick(value, rank, window, window / 2);
    if (window % 2 == 1) return upper;
    return (pick(value, rank, window, window / 2 - 1) + upper) / 2.0;
}

/// Fills all of the header but its ticket; by the first warp.
__device__ void decide(const DriftDecideArguments& a, const int* common, DriftHeader* header) {
    const int lane = static_cast<int>(threadIdx.x);
    const bool whole = a.base >= a.prompt;
    double value = 0.0;
    if (lane < a.window) {
        value = whole        ? 1.0
                : a.base > 0 ? static_cast<double>(common[lane]) / static_cast<double>(a.base)
                             : 0.0;
    }
    if (lane < kMaxWindow) header->overlaps[lane] = value;
    double median = median_of_lanes(value, a.window);
    if (a.chance_corrected && !whole) {
        const double chance = static_cast<double>(a.base) / static_cast<double>(a.prompt);
        median = (median - chance) / (1.0 - chance);
    }
    if (lane != 0) return;
    const std::int64_t step = *a.step_counter;
    const double chosen = unit_of_hash(hash_on(hash_on(a.seed, static_cast<std::uint64_t>(step)),
                                               static_cast<std::uint64_t>(a.star)));
    const bool triggered = a.told != nullptr    ? a.told[(step / a.window - 1) % a.num_told] != 0
                           : a.forced_rate >= 0 ? chosen < a.forced_rate
                                                : median < a.threshold;
    header->sequence = a.sequence_counter != nullptr ? ++*a.sequence_counter : 0;
    header->star = a.star;
    header->triggered = triggered && !whole ? 1 : 0;
    header->step = step;
    header->median = median;
    header->ticket = static_cast<std::uint64_t>(step) + 1;
}

/// By the first warp: all words but the ticket, and when the host can see them the ticket.
__device__ void publish(const DriftDecideArguments& a, const DriftHeader* header) {
    const int lane = static_cast<int>(threadIdx.x);
    const auto* words = reinterpret_cast<const unsigned long long*>(header);
    auto* host = reinterpret_cast<volatile unsigned long long*>(a.host_header);
    if (lane < kHeaderWords - 1) host[lane] = words[lane];
    __threadfence_system();
    __syncwarp();
    if (lane == 0) host[kHeaderWords - 1] = words[kHeaderWords - 1];
    if (a.device_header != nullptr && lane < kHeaderWords) {
        reinterpret_cast<unsigned long long*>(a.device_header)[lane] = words[lane];
    }
}

__global__ void __launch_bounds__(kThreads)
    decide_kernel(const __grid_constant__ DriftDecideArguments a) {
    __shared__ int common[kMaxWindow];
    __shared__ DriftHeader header;
    const auto words = static_cast<int>((a.prompt + 31) / 32);
    if (threadIdx.x < kMaxWindow) common[threadIdx.x] = 0;
    __syncthreads();
    if (a.base < a.prompt) count_common(a, words, common);
    __syncthreads();
    if (threadIdx.x < 32) {
        decide(a, common, &header);
        __syncwarp();
        publish(a, &header);
    }
    __syncthreads();
    if (header.triggered == 0) return;
    const std::uint32_t* last = a.candidates + (a.window - 1) * a.candidate_stride;
    for (int i = threadIdx.x; i < words; i += kThreads) a.reference[i] = last[i];
}

}  // namespace

cudaError_t drift_decide(const DriftDecideArguments& a, cudaStream_t stream) {
    if (a.prompt < 0 || a.prompt > (1 << 30) || a.base < 0 || a.window < 1 ||
        a.window > kMaxWindow || a.candidate_stride < bitmap_words(a.prompt) ||
        a.step_counter == nullptr || a.host_header == nullptr ||
        (a.told != nullptr && a.num_told < 1)) {
        return cudaErrorInvalidValue;
    }
    run_beside_others(decide_kernel);
    decide_kernel<<<1, kThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
