/// The generation loop: greedy or sampled, free or forced, with quality against full attention.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/runtime/engine.h"

namespace hc::runtime {

struct GenerateOptions {
    /// Tokens in the result. The first comes from the prompt's logits, so N tokens take N-1
    /// decode steps; the last one is put out and never fed.
    std::int64_t max_tokens = 128;
    Sampling sampling;
    bool stop_at_end = false;  ///< stop at the model's end-of-turn token
    /// Teacher forcing: these tokens are put out and fed whatever the logits say; decode step i
    /// (from 0) feeds forced[i]. The result holds at most forced.size() tokens.
    std::span<const TokenId> forced;
    /// Full-attention logits of the decode steps [steps, vocab] to compare with; empty: no
    /// comparison. Throws Error(kUsage) when it holds fewer steps than are run.
    std::span<const float> reference_logits;
    /// When not null, every decode step's logits are appended here: [steps, vocab] in the end.
    std::vector<float>* keep_logits = nullptr;
};

struct Generated {
    std::vector<TokenId> tokens;
    std::vector<std::int64_t> step_ns;  ///< one per decode step: decode() as the caller sees it,
                                        ///< what the observer takes included, sampling not
    std::vector<double> kl_nats;        ///< per decode step, with reference_logits
    std::vector<bool> top1_equal;       ///< likewise
    std::vector<double> nll_nats;       ///< with forced tokens, per decode step: of forced[i+1]
    std::int64_t prefill_ns = 0;
};

/// KL(p || q) in nats of two logit rows, in double.
[[nodiscard]] double kl_divergence(std::span<const float> p_logits,
                                   std::span<const float> q_logits);
/// -log softmax(logits)[token] in nats, in double.
[[nodiscard]] double negative_log_likelihood(std::span<const float> logits, TokenId token);
/// Id of the largest logit, the lowest on ties.
[[nodiscard]] TokenId largest_logit(std::span<const float> logits);

/// Prefills `prompt` and generates. `observer` (may be null) gets the token rows. `progress` is
/// only updated, with prompt tokens read plus tokens put out: the caller begins a piece of work
/// of prompt.size() + max_tokens units and ends it. Throws Error(kInterrupted) when it is
/// cancelled.
[[nodiscard]] Generated generate(Engine& engine, SequenceId sequence,
                                 std::span<const TokenId> prompt, const GenerateOptions& options,
                                 Observer* observer, Progress& progress);

}  // namespace hc::runtime
