/// Chooses the next token of every sequence on the device, so that no logits travel. Meaning:
/// runtime::Sampler.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace hc::kernels::cuda {

constexpr std::int32_t kMaxSampleVocab = 1 << 20;

/// All pointers are device pointers and borrowed.
struct SampleArguments {
    /// [n, stride], the first `vocab` of each row. No NaN and no +infinity; -infinity is a token
    /// that is never drawn, and one of a row must be finite.
    const float* logits = nullptr;
    std::int64_t stride = 0;
    std::int32_t n = 0;
    std::int32_t vocab = 0;  ///< 1 .. kMaxSampleVocab
    float temperature = 0;   ///< 0: greedy (largest logit, lowest id on ties)
    std::int32_t top_k = 0;  ///< 0: all
    float top_p = 1;         ///< in (0, 1]
    /// [n] SplitMix64 state of each sequence, advanced by one draw; as the host's sampler, seed +
    /// draws made * kSampleIncrement. Neither read nor written, and may be null, when greedy.
    std::uint64_t* states = nullptr;
    std::int32_t* tokens = nullptr;  ///< out [n]
    void* workspace = nullptr;       ///< sample_workspace_bytes(), 16-byte aligned, not cleared
};

constexpr std::uint64_t kSampleIncrement = 0x9E3779B97F4A7C15U;

[[nodiscard]] std::size_t sample_workspace_bytes(std::int32_t n, std::int32_t vocab);

/// Candidates stand in the order of larger logit first, equal ones by lower id; top_k keeps the
/// first, the nucleus is the shortest prefix of them that reaches top_p, and one uniform number
/// picks from it in proportion to exp((logit - largest) / temperature).
///
/// Probabilities are summed as integers of 2^-42, so equal input gives equal tokens whatever the
/// order of threads. Against the host they differ by the last bits of exp alone: a draw within
/// about 1e-6 of a boundary may fall to the neighbour.
///
/// Greedy: two kernels that read each row once. Else one kernel, a block per row, that selects by
/// radix instead of sorting and reads each row up to 12 times, all but once out of L2. No host
/// sync, fit for graph capture.
[[nodiscard]] cudaError_t sample(const SampleArguments& arguments, cudaStream_t stream);

}  // namespace hc::kernels::cuda
