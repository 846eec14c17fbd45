/// One drift check of a star on the device (algorithm.md §5): overlap of the window's candidate
/// sets with the pivot's reference set, median, decision. Twin: policy::HeteroCachePolicy::check.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/selection_score.h"

namespace hc::kernels::cuda {

/// What a check tells the host. `ticket` is written last: who sees the ticket of a step sees the
/// rest of that step. Must begin cleared.
struct DriftHeader {
    std::int64_t sequence;        ///< how many checks of this star there have been, from 1
    std::int32_t star;            ///< DriftDecideArguments::star
    std::int32_t triggered;       ///< 0 or 1
    std::int64_t step;            ///< *step_counter
    double median;                ///< after chance correction, where that is on
    double overlaps[kMaxWindow];  ///< oldest query first; 0 past the window
    std::uint64_t ticket;         ///< step + 1
};
static_assert(offsetof(DriftHeader, ticket) + sizeof(std::uint64_t) == sizeof(DriftHeader));

/// A hash of `value` that goes on from `state` (SplitMix64's finaliser).
[[nodiscard]] __host__ __device__ constexpr std::uint64_t hash_on(std::uint64_t state,
                                                                  std::uint64_t value) {
    std::uint64_t h = state + (value + 1) * 0x9e3779b97f4a7c15ULL;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

/// The upper 53 bits of a hash as a number in [0, 1).
[[nodiscard]] __host__ __device__ constexpr double unit_of_hash(std::uint64_t hash) {
    return static_cast<double>(hash >> 11) * (1.0 / 9007199254740992.0);
}

/// Device pointers, borrowed, but for host_header. Sets are bitmaps as top_k writes them.
struct DriftDecideArguments {
    const std::uint32_t* candidates = nullptr;  ///< [window, candidate_stride], oldest query first
    std::int64_t candidate_stride = 0;          ///< in words
    /// in/out [bitmap_words(prompt)]; becomes the last query's candidate set on a trigger
    std::uint32_t* reference = nullptr;
    std::int32_t prompt = 0;
    std::int32_t base = 0;    ///< size of the sets; from `prompt` on overlaps are 1, no trigger
    std::int32_t window = 1;  ///< 1 .. kMaxWindow
    double threshold = 0;     ///< a median below it triggers
    bool chance_corrected = false;  ///< row 24
    /// From 0 on, the decision is not the median's: the check triggers when
    /// unit_of_hash(hash_on(hash_on(seed, step), star)) is below the rate.
    double forced_rate = -1;
    std::uint64_t seed = 0;
    /// [num_told] or null: the check of step s triggers when byte (s / window - 1) % num_told is
    /// not 0, whatever the median and the rate say.
    const std::uint8_t* told = nullptr;
    std::int32_t num_told = 0;
    std::int32_t star = 0;
    const std::int64_t* step_counter = nullptr;  ///< the only thing that differs between replays
    std::int64_t* sequence_counter = nullptr;    ///< in/out, this star's; null: sequence is 0
    DriftHeader* host_header = nullptr;    ///< out, device address of mapped pinned host memory
    DriftHeader* device_header = nullptr;  ///< out, the same in device memory; null: not wanted
};

/// One block, fit for graph capture. Reads (window + 1) * prompt / 8 bytes. Overlaps and median
/// are bit for bit the policy's.
[[nodiscard]] cudaError_t drift_decide(const DriftDecideArguments& arguments, cudaStream_t stream);

}  // namespace hc::kernels::cuda
