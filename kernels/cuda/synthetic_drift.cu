#include "kernels/cuda/synthetic_drift.h"

#include <algorithm>

#include "kernels/cuda/drift.h"
#include "kernels/cuda/launch.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// More candidates than needed, so that chance seldom leaves too few and old rows must fill in.
constexpr double kTakeMargin = 1.15;
// What a cell's hash is taken on with, so that its uses do not depend on each other.
constexpr std::uint64_t kFirstSet = 0;
constexpr std::uint64_t kEpoch = 1;
constexpr std::uint64_t kBoundary = 2;

struct Cells {
    std::uint64_t state;      // of the hash, for one member
    std::uint32_t threshold;  // a cell ends where the upper half of a hash is below it
    int longest;              // a cell begins at every multiple, so that every walk ends
};

__device__ std::uint64_t member_state(const SyntheticDriftArguments& a, int member,
                                      std::uint64_t use) {
    const auto star = static_cast<std::uint64_t>(a.star);
    return hash_on(hash_on(hash_on(a.seed, use), star), static_cast<std::uint64_t>(member));
}

__device__ int cell_of(const Cells& cells, int position) {
    while (position % cells.longest != 0) {
        const std::uint64_t hash = hash_on(cells.state, static_cast<std::uint64_t>(position - 1));
        if (static_cast<std::uint32_t>(hash >> 32) < cells.threshold) break;
        --position;
    }
    return position;
}

/// Of 20 bits, so that adding a class up to 3 loses none of them.
__device__ float score_of_hash(std::uint64_t hash) {
    return static_cast<float>(hash & 0xfffff) * (1.0F / 1048576.0F);
}

/// kFirst: the first resident set; else a step's scores, by what is resident.
template <bool kFirst>
__global__ void __launch_bounds__(kThreads)
    scores_kernel(const __grid_constant__ SyntheticDriftArguments a, std::uint32_t threshold,
                  int longest) {
    const int position = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    const int member = static_cast<int>(blockIdx.y);
    if (position >= a.prompt) return;
    const Cells cells{member_state(a, member, kBoundary), threshold, longest};
    const auto cell = static_cast<std::uint64_t>(cell_of(cells, position));
    float* out = a.scores + member * a.score_stride + position;
    if (kFirst) {
        *out = score_of_hash(hash_on(member_state(a, member, kFirstSet), cell));
        return;
    }
    const auto epoch = static_cast<std::uint64_t>(*a.step_counter);
    const std::uint64_t hash = hash_on(hash_on(member_state(a, member, kEpoch), epoch), cell);
    // The choice takes the upper 32 bits, as the score has the lowest 20.
    const double choice = static_cast<double>(hash >> 32) * (1.0 / 4294967296.0);
    const bool is_resident = (a.residents[member][position / 32] >> (position % 32) & 1U) != 0;
    const double cap = a.caps[member];
    const double others = a.prompt - cap;
    // Kept 3, taken 2, evicted 1, left 0.
    float base = 0.0F;
    if (is_resident) {
        base = choice < 1.0 - a.new_share ? 3.0F : 1.0F;
    } else {
        const double chance = others > 0 ? a.new_share * cap / others * kTakeMargin : 0.0;
        base = choice < chance ? 2.0F : 0.0F;
    }
    *out = base + score_of_hash(hash);
}

template <bool kFirst>
cudaError_t launch(const SyntheticDriftArguments& a, cudaStream_t stream) {
    if (a.prompt < 0 || a.prompt > (1 << 30) || a.num_members < 0 ||
        a.num_members > kMaxStarMembers || a.score_stride < a.prompt || !(a.mean_run >= 1) ||
        !(a.mean_run <= 4096) || !(a.new_share >= 0) || !(a.new_share <= 1) ||
        (!kFirst && a.step_counter == nullptr)) {
        return cudaErrorInvalidValue;
    }
    if (a.prompt == 0 || a.num_members == 0) return cudaSuccess;
    const auto threshold =
        static_cast<std::uint32_t>(std::min(4294967296.0 / a.mean_run, 4294967295.0));
    const auto longest = static_cast<int>(64 * a.mean_run);
    const dim3 grid(static_cast<unsigned>((a.prompt + kThreads - 1) / kThreads),
                    static_cast<unsigned>(a.num_members));
    run_beside_others(scores_kernel<kFirst>);
    scores_kernel<kFirst><<<grid, kThreads, 0, stream>>>(a, threshold, longest);
    return cudaGetLastError();
}

}  // namespace

cudaError_t synthetic_scores(const SyntheticDriftArguments& arguments, cudaStream_t stream) {
    return launch<false>(arguments, stream);
}

cudaError_t synthetic_resident(const SyntheticDriftArguments& arguments, cudaStream_t stream) {
    return launch<true>(arguments, stream);
}

}  // namespace hc::kernels::cuda
