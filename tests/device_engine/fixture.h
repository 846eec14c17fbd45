/// Tiny models on both backends, and what their tests share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <vector>

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/device_info.h"
#include "engine/runtime/engine.h"
#include "tests/collect/collector.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace hc::test {

class DeviceEngineTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (const auto why = cuda::why_no_device(0)) GTEST_SKIP() << "no usable GPU: " << *why;
    }

    /// head_dim 64 at least: what the kernels have.
    model::Model load(TinyModelOptions options) {
        if (options.head_dim < 64) options.head_dim = 64;
        if (options.hidden < 128) options.hidden = 128;
        options.context = 2048;
        return model::load_model(write_tiny_model(folder_.path(), options));
    }

private:
    TemporaryFolder folder_;
};

/// Two layers of four KV heads, a star in each.
inline HeadProfile two_stars() {
    HeadProfile profile;
    profile.num_layers = 2;
    profile.num_kv_heads = 4;
    profile.roles = {HeadRole::kPivot,    HeadRole::kSatellite, HeadRole::kSatellite,
                     HeadRole::kVolatile, HeadRole::kSatellite, HeadRole::kAnchor,
                     HeadRole::kPivot,    HeadRole::kSatellite};
    profile.ratios = {-1, 0.7, 1.3, -1, 1.1, 0.8, -1, 1.1};
    profile.stars = {{{0, {1, 2}}}, {{2, {0, 3}}}};
    return profile;
}

inline TinyModelOptions star_model() {
    TinyModelOptions options;
    options.heads = 8;
    options.kv_heads = 4;
    return options;
}

inline std::vector<model::TokenId> tokens_of(std::size_t count, std::int64_t vocab,
                                             std::size_t seed = 0) {
    std::vector<model::TokenId> tokens(count);
    for (std::size_t i = 0; i < count; ++i) {
        tokens[i] = static_cast<model::TokenId>(((i + seed * 977) * 2654435761U >> 7) %
                                                static_cast<std::size_t>(vocab));
    }
    return tokens;
}

inline runtime::EngineOptions device_options() {
    runtime::EngineOptions options;
    options.backend = runtime::Backend::kCuda;
    options.page_size = 64;
    options.prefill_chunk = 128;
    options.record_operations = false;
    return options;
}

inline runtime::SequenceOptions compressed(const HeadProfile& profile,
                                           const policy::Settings& settings) {
    runtime::SequenceOptions options;
    options.heterocache = true;
    options.profile = &profile;
    options.settings = settings;
    return options;
}

/// Root mean square of the difference over that of the reference: bf16 rounds each of a step's
/// intermediate results to 2^-9, which adds up to about a percent of a logit's size.
inline double relative_error(std::span<const float> found, std::span<const float> expected) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double d = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
        difference += d * d;
        size += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    }
    return std::sqrt(difference / size);
}

/// Logits after the prompt and after each forced token.
inline std::vector<std::vector<float>> run_forced(runtime::EngineBackend& engine,
                                                  runtime::SequenceId sequence,
                                                  std::span<const model::TokenId> prompt,
                                                  std::span<const model::TokenId> forced) {
    std::vector<std::vector<float>> out;
    const auto keep = [&](std::span<const float> logits) {
        out.emplace_back(logits.begin(), logits.end());
    };
    keep(engine.prefill(sequence, prompt, nullptr));
    for (const model::TokenId token : forced) {
        const runtime::DecodeInput input{sequence, token};
        keep(engine.decode({&input, 1}));
    }
    return out;
}

}  // namespace hc::test
