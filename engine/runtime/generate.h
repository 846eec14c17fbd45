/// The generation loop: greedy or sampled, free or forced, with quality against full attention.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/runtime/engine.h"

namespace hc::runtime {

struct Sampling {
    float temperature = 0;  ///< 0: greedy (largest logit, lowest id on ties)
    std::int32_t top_k = 0; ///< 0: all
    float top_p = 1;
    std::uint64_t seed = 0;
};

class Sampler {
public:
    explicit Sampler(const Sampling& sampling);
    [[nodiscard]] TokenId sample(std::span<const float> logits);

private:
    Sampling sampling_;
    std::uint64_t state_;
    std::vector<std::pair<float, TokenId>> candidates_;
};

struct GenerateOptions {
    std::int64_t max_tokens = 128;
    Sampling sampling;
    bool stop_at_end = false;  ///< stop at the model's end-of-turn token
    /// Teacher forcing: these tokens are fed whatever the logits say.
    std::span<const TokenId> forced;
    /// Full-attention logits per step [steps * vocab] to compare with; empty: no comparison.
    std::span<const float> reference_logits;
    /// When not null, every step's logits are appended here.
    std::vector<float>* keep_logits = nullptr;
};

struct Generated {
    std::vector<TokenId> tokens;
    std::vector<std::int64_t> step_ns;  ///< one per decode step
    std::vector<double> kl_nats;        ///< with reference_logits
    std::vector<bool> top1_equal;       ///< likewise
    std::vector<double> nll_nats;       ///< with forced tokens
    std::int64_t prefill_ns = 0;
};

/// KL(p || q) in nats of two logit rows, in double.
[[nodiscard]] double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits);

/// Prefills `prompt` and generates. `observer` (may be null) gets the token rows.
[[nodiscard]] Generated generate(Engine& engine, SequenceId sequence, std::span<const TokenId> prompt,
                                 const GenerateOptions& options, Observer* observer,
                                 Progress& progress);

}  // namespace hc::runtime
