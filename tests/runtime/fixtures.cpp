#include "tests/runtime/fixtures.h"

#include <algorithm>
#include <random>

#include "tests/support/paths.h"

namespace hc::test {

model::Model load_tiny(TinyModelOptions options) {
    if (options.context == TinyModelOptions{}.context) options.context = 1024;
    const TemporaryFolder folder;
    // The mapping outlives the file.
    return model::load_model(write_tiny_model(folder.path(), options));
}

TinyModelOptions star_options() {
    TinyModelOptions options;
    options.heads = 8;
    options.kv_heads = 4;
    return options;
}

std::vector<model::TokenId> random_tokens(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<model::TokenId> tokens(count);
    for (model::TokenId& token : tokens) token = static_cast<model::TokenId>(random() % 256);
    return tokens;
}

HeadProfile star_profile(std::int32_t layers) {
    HeadProfile profile;
    profile.num_layers = layers;
    profile.num_kv_heads = 4;
    for (std::int32_t layer = 0; layer < layers; ++layer) {
        using enum HeadRole;
        if (layer == 0) {
            profile.roles.insert(profile.roles.end(), {kPivot, kSatellite, kAnchor, kSatellite});
            profile.ratios.insert(profile.ratios.end(), {-1, 1.2, 0.9, 0.8});
            profile.stars.push_back({{0, {1, 3}}});
        } else {
            profile.roles.insert(profile.roles.end(), {kVolatile, kSatellite, kPivot, kAnchor});
            profile.ratios.insert(profile.ratios.end(), {-1, 1.1, -1, 1.0});
            profile.stars.push_back({{2, {1}}});
        }
    }
    profile.stability.assign(profile.size(), 0.6);
    profile.topk = 60;
    profile.calibration_step = 300;
    return profile;
}

runtime::EngineOptions exact(int threads) {
    runtime::EngineOptions options;
    options.precision = kernels::cpu::Precision::kFp32;
    options.threads = threads;
    options.page_size = 32;
    options.prefill_chunk = 96;
    return options;
}

runtime::SequenceOptions heterocache(const HeadProfile& profile, const policy::Settings& settings) {
    runtime::SequenceOptions options;
    options.heterocache = true;
    options.profile = &profile;
    options.settings = settings;
    return options;
}

double distance(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return INFINITY;
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (!(d <= largest)) largest = d;  // a NaN is a distance too
    }
    return largest;
}

std::vector<std::vector<float>> run_forced(runtime::Engine& engine, runtime::SequenceId sequence,
                                           std::span<const model::TokenId> prompt,
                                           std::span<const model::TokenId> generated) {
    std::vector<std::vector<float>> logits;
    const auto keep = [&](std::span<const float> row) {
        logits.emplace_back(row.begin(), row.end());
    };
    keep(engine.prefill(sequence, prompt));
    for (const model::TokenId token : generated) {
        const runtime::DecodeInput input{sequence, token};
        keep(engine.decode({&input, 1}));
    }
    return logits;
}

std::vector<bool> Collector::resident(std::int32_t layer, std::int32_t head, std::int64_t step,
                                      std::size_t prompt) const {
    std::vector<bool> in(prompt, false);
    bool compressed = false;
    for (const RowsRecord& r : rows) {
        if (r.layer != layer || r.head != head) continue;
        compressed = true;
        if (r.step > step) continue;
        for (const Position p : r.evicted) in[p] = false;
        for (const Position p : r.fetched) in[p] = true;
    }
    if (!compressed) in.assign(prompt, true);
    return in;
}

}  // namespace hc::test
