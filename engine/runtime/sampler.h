/// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/model/tokenizer.h"

namespace hc::runtime {

using model::TokenId;

struct Sampling {
    float temperature = 0;   ///< 0: greedy (largest logit, lowest id on ties)
    std::int32_t top_k = 0;  ///< 0: all
    float top_p = 1;
    std::uint64_t seed = 0;
};

class Sampler {
public:
    /// `draws`: numbers drawn before; the stream goes on from there.
    explicit Sampler(const Sampling& sampling, std::uint64_t draws = 0);
    [[nodiscard]] TokenId sample(std::span<const float> logits);

private:
    Sampling sampling_;
    std::uint64_t state_;
    std::vector<std::pair<float, TokenId>> candidates_;
};

}  // namespace hc::runtime
