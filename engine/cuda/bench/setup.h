/// What all points share: the model's shape, the head profile, the limits of the device, and what
/// a sequence of a kind costs by count.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/cuda/bench/arguments.h"
#include "engine/cuda/bench/decode_session.h"
#include "engine/cuda/bench/limits.h"
#include "engine/cuda/bench/report.h"
#include "engine/cuda/cuda_backend.h"
#include "engine/model/model.h"
#include "engine/policy/budget.h"
#include "engine/policy/device_memory.h"

namespace hc::cuda::bench {

inline constexpr std::int64_t kLongPrompt = 224 * 1024;
inline constexpr const char* kBaseline = "fullkv@224K";
inline constexpr std::int64_t kPageTokens = 256;
inline constexpr std::int64_t kPrefillChunk = 4096;

/// The drift that the targets are stated at.
[[nodiscard]] SyntheticDrift usual_drift();

struct Setup {
    Arguments arguments;
    Report report;
    model::Model model;
    HeadProfile profile;
    Limits limits;

    /// Of the main points, and of variants and batches.
    [[nodiscard]] Runs main_runs() const { return {arguments.steps, arguments.repeats}; }
    [[nodiscard]] Runs short_runs() const {
        return {std::max(10, arguments.steps * 2 / 5), arguments.repeats};
    }
    /// Tokens that `mains` main points and `shorts` short ones on one sequence append to it.
    [[nodiscard]] std::int64_t tokens_for(int mains, int shorts) const {
        return mains * (kWarmUpSteps + main_runs().total()) +
               shorts * (kWarmUpSteps + short_runs().total());
    }

    [[nodiscard]] std::unique_ptr<CudaBackend> backend(const CudaOptions& options) const;
    [[nodiscard]] runtime::SequenceOptions full(std::int64_t reserve) const;
    [[nodiscard]] runtime::SequenceOptions hetero(double ratio, int lag,
                                                  std::int64_t reserve) const;
    [[nodiscard]] policy::Budgets budgets(const runtime::SequenceOptions& options,
                                          std::int64_t prompt) const;
};

/// Options of a backend whose prompts are not computed.
[[nodiscard]] CudaOptions synthetic_options();

/// A sequence with a synthetic prompt. Throws Error(kRefused) when it does not fit; then the
/// sequence is gone again.
[[nodiscard]] SequenceId add_synthetic(CudaBackend& backend,
                                       const runtime::SequenceOptions& options,
                                       std::int64_t prompt);

/// Weights that a decode step reads: all but the input embedding.
[[nodiscard]] double step_weight_bytes(const ModelShape& shape);
/// KV that a step of one sequence reads, `generated` tokens behind its prompt.
[[nodiscard]] double step_kv_bytes(const ModelShape& shape, const policy::Budgets& budgets,
                                   double generated);

/// Times `ids`, which are alike: the figures of a point.
[[nodiscard]] Json decode_point(const Setup& setup, CudaBackend& backend,
                                const std::vector<SequenceId>& ids,
                                const runtime::SequenceOptions& options, std::int64_t prompt,
                                const Runs& runs);

/// What the ledgers say of a backend that holds one sequence, beside what the rule forecast.
[[nodiscard]] Json memory_point(const Setup& setup, const CudaBackend& backend,
                                const runtime::SequenceOptions& options, std::int64_t prompt);

}  // namespace hc::cuda::bench
