/// Tiny models, prompts, profiles and an observer that keeps everything.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "engine/core/observer.h"
#include "engine/model/model.h"
#include "engine/runtime/engine.h"
#include "tests/support/tiny_model.h"

namespace hc::test {

/// Loads tiny_model(options); context 1024 unless told.
[[nodiscard]] model::Model load_tiny(TinyModelOptions options);
/// Four KV heads of two query heads each, two layers.
[[nodiscard]] TinyModelOptions star_options();

[[nodiscard]] std::vector<model::TokenId> random_tokens(std::size_t count, unsigned seed);

/// For models of four KV heads: layer 0 is pivot 0 with satellites 1 and 3, and an anchor;
/// layer 1 (and every further one) pivot 2 with satellite 1, volatile 0, anchor 3.
[[nodiscard]] HeadProfile star_profile(std::int32_t layers);

[[nodiscard]] runtime::EngineOptions exact(int threads = 2);
[[nodiscard]] runtime::SequenceOptions heterocache(const HeadProfile& profile,
                                                   const policy::Settings& settings);

/// Largest absolute difference.
[[nodiscard]] double distance(std::span<const float> a, std::span<const float> b);

/// Prefills `prompt` and feeds `generated` one by one; logits after the prompt and after each.
[[nodiscard]] std::vector<std::vector<float>> run_forced(runtime::Engine& engine,
                                                         runtime::SequenceId sequence,
                                                         std::span<const model::TokenId> prompt,
                                                         std::span<const model::TokenId> generated);

class Collector final : public Observer {
public:
    struct Step {
        StepRecord record;
        std::vector<OpRecord> ops;
        std::vector<EdgeRecord> edges;
    };
    std::vector<Step> steps;
    std::vector<TokenRecord> tokens;
    std::vector<HeadRecord> heads;
    std::vector<DriftRecord> drift;
    std::vector<FetchRecord> fetches;
    std::vector<RowsRecord> rows;
    std::vector<AttentionRecord> attention;
    std::vector<MemoryRecord> memory;

    void on_step(const StepRecord& step, std::span<const OpRecord> ops,
                 std::span<const EdgeRecord> edges) override {
        steps.push_back({step, {ops.begin(), ops.end()}, {edges.begin(), edges.end()}});
    }
    void on_token(const TokenRecord& token) override { tokens.push_back(token); }
    void on_heads(std::span<const HeadRecord> h) override { heads.assign(h.begin(), h.end()); }
    void on_drift(const DriftRecord& check) override { drift.push_back(check); }
    void on_fetch(const FetchRecord& fetch) override { fetches.push_back(fetch); }
    void on_rows(const RowsRecord& r) override { rows.push_back(r); }
    void on_attention(const AttentionRecord& row) override { attention.push_back(row); }
    void on_memory(const MemoryRecord& m) override { memory.push_back(m); }

    [[nodiscard]] std::int64_t triggers() const {
        std::int64_t count = 0;
        for (const DriftRecord& check : drift) count += check.triggered ? 1 : 0;
        return count;
    }
    /// Resident prompt positions of a head in a step, from the rows reported: [position].
    [[nodiscard]] std::vector<bool> resident(std::int32_t layer, std::int32_t head,
                                             std::int64_t step, std::size_t prompt) const;
};

}  // namespace hc::test
