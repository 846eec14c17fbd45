/// Scores that make a star drift by a stated amount, where no model stands behind the attention:
/// a stated share of each member's set is new, in runs of a stated mean length.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/star_fetch.h"

namespace hc::kernels::cuda {

/// The prompt falls into cells of geometrically distributed length, the same at every step: a cell
/// ends after position p with probability 1 / mean_run, decided by a hash of seed, star, member
/// and p. All positions of a cell share their random numbers. Device pointers, borrowed.
struct SyntheticDriftArguments {
    std::int32_t prompt = 0;
    std::int32_t num_members = 0;  ///< at most kMaxStarMembers
    std::int32_t caps[kMaxStarMembers] = {};
    /// [bitmap_words(prompt)] each, read by synthetic_scores only
    const std::uint32_t* residents[kMaxStarMembers] = {};
    std::uint64_t seed = 0;
    std::int32_t star = 0;
    double mean_run = 4;                         ///< tokens, 1 .. 4096
    double new_share = 0.1;                      ///< of cap, 0 .. 1
    const std::int64_t* step_counter = nullptr;  ///< every step draws anew
    float* scores = nullptr;                     ///< out [num_members, score_stride]
    std::int64_t score_stride = 0;               ///< at least prompt
};

/// top_k of row j with k = caps[j] then chooses about (1 - new_share) of the resident positions and
/// new_share * cap others. Where fewer than new_share * cap positions are not resident, those that
/// are missing are resident ones. Reads the bitmaps, writes 4 * num_members * prompt bytes.
[[nodiscard]] cudaError_t synthetic_scores(const SyntheticDriftArguments& arguments,
                                           cudaStream_t stream);

/// top_k of row j with k = caps[j] then chooses a first resident set, random cells. Reads neither
/// bitmaps nor the step.
[[nodiscard]] cudaError_t synthetic_resident(const SyntheticDriftArguments& arguments,
                                             cudaStream_t stream);

}  // namespace hc::kernels::cuda
