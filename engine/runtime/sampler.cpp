#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/runtime/generate.h"

namespace hc::runtime {
namespace {

constexpr std::uint64_t kIncrement = 0x9E3779B97F4A7C15U;

/// SplitMix64 (Steele, Lea, Flood 2014): a good stream from any seed, in three lines.
std::uint64_t next_random(std::uint64_t& state) {
    state += kIncrement;
    std::uint64_t z = state;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

/// Uniform in [0, 1) with the 53 bits that a double holds.
double next_uniform(std::uint64_t& state) {
    return static_cast<double>(next_random(state) >> 11U) * 0x1.0p-53;
}

/// Larger logit first, equal ones by lower id, so that cuts do not depend on the sort.
bool better(const std::pair<float, TokenId>& a, const std::pair<float, TokenId>& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

TokenId largest_logit(std::span<const float> logits) {
    HC_CHECK(!logits.empty());
    return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Sampler::Sampler(const Sampling& sampling, std::uint64_t draws)
    : sampling_(sampling), state_(sampling.seed + draws * kIncrement) {
    if (!(sampling.temperature >= 0)) {
        throw_usage(fmt::format("temperature {}: expected 0 or more", sampling.temperature));
    }
    if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
        throw_usage(fmt::format("top-p {}: expected a share in (0, 1]", sampling.top_p));
    }
    if (sampling.top_k < 0) {
        throw_usage(fmt::format("top-k {}: expected 0 or more", sampling.top_k));
    }
}

TokenId Sampler::sample(std::span<const float> logits) {
    if (sampling_.temperature == 0) return largest_logit(logits);
    candidates_.clear();
    for (std::size_t id = 0; id < logits.size(); ++id) {
        candidates_.emplace_back(logits[id], static_cast<TokenId>(id));
    }
    std::size_t kept = candidates_.size();
    if (sampling_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(sampling_.top_k));
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(kept),
                      candidates_.end(), better);
    candidates_.resize(kept);

    const float largest = candidates_.front().first;
    double total = 0;
    for (auto& [value, id] : candidates_) {
        value = std::exp((value - largest) / sampling_.temperature);
        total += static_cast<double>(value);
    }
    // top-p: the shortest prefix whose probability reaches it; the best token is always in.
    double nucleus = 0;
    std::size_t count = 0;
    while (count < candidates_.size() &&
           (count == 0 || nucleus < static_cast<double>(sampling_.top_p) * total)) {
        nucleus += static_cast<double>(candidates_[count++].first);
    }
    double left = next_uniform(state_) * nucleus;
    for (std::size_t i = 0; i < count; ++i) {
        left -= static_cast<double>(candidates_[i].first);
        if (left < 0) return candidates_[i].second;
    }
    return candidates_[count - 1].second;
}

}  // namespace hc::runtime
