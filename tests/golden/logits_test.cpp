// Against transformers in fp32 on the same dequantised weights: files made by make_goldens.py.
#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/runtime/engine.h"
#include "tests/support/paths.h"

namespace hc::runtime {
namespace {

constexpr double kTolerance = 2e-2;
constexpr std::int64_t kPositions = 16;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

nlohmann::json golden() {
    std::ifstream file(test::source_dir() / "tests/golden/data/logits.json");
    return nlohmann::json::parse(file);
}

/// The lowest id among the largest logits.
TokenId best(std::span<const float> logits) {
    return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

class GoldenLogits : public ::testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        const auto path = test::model_file();
        HC_REQUIRE_OR_SKIP(path, "the default model");
        const nlohmann::json file = golden();
        if (path->filename() != file.at("model").get<std::string>()) {
            GTEST_SKIP() << "HCPROF_MODEL names another model than the golden files are of";
        }
        prompt_ = file.at("prompts").at(GetParam());
        ids_ = prompt_.at("ids").get<std::vector<TokenId>>();
        if (kSanitized && ids_.size() > 500) {
            GTEST_SKIP() << "under a sanitizer this prompt takes minutes";
        }
        model_ = std::make_unique<model::Model>(model::load_model(*path));
        EngineOptions options;
        options.precision = kernels::cpu::Precision::kFp32;
        engine_ = std::make_unique<Engine>(*model_, options);
    }

    /// Largest difference to the stored logits of one position.
    [[nodiscard]] static double difference(const nlohmann::json& position,
                                           std::span<const float> logits) {
        double largest = 0;
        for (const auto& [ids_key, logits_key] :
             {std::pair("entries", "logits"), std::pair("top", "top_logits")}) {
            const auto ids = position.at(ids_key).get<std::vector<std::size_t>>();
            const auto expected = position.at(logits_key).get<std::vector<double>>();
            for (std::size_t i = 0; i < ids.size(); ++i) {
                const double apart = std::abs(static_cast<double>(logits[ids[i]]) - expected[i]);
                // NaN must not hide behind a maximum.
                if (!(apart <= largest)) largest = apart;
            }
        }
        return largest;
    }

    nlohmann::json prompt_;
    std::vector<TokenId> ids_;
    std::unique_ptr<model::Model> model_;
    std::unique_ptr<Engine> engine_;
};

TEST_P(GoldenLogits, AgreeWithTransformersAndSoDoGreedyTokens) {
    const SequenceId sequence = engine_->add_sequence({});
    engine_->keep_prefill_logits(kPositions);
    const std::span<const float> last = engine_->prefill(sequence, ids_);
    TokenId token = best(last);

    const auto vocab = static_cast<std::size_t>(model_->shape.vocab);
    const std::span<const float> kept = engine_->prefill_logits();
    const nlohmann::json& positions = prompt_.at("positions");
    ASSERT_EQ(positions.size(), static_cast<std::size_t>(kPositions));
    ASSERT_EQ(kept.size(), positions.size() * vocab);
    double largest = 0;
    for (std::size_t row = 0; row < positions.size(); ++row) {
        const double apart = difference(positions[row], kept.subspan(row * vocab, vocab));
        EXPECT_LE(apart, kTolerance) << "position " << positions[row].at("position");
        if (!(apart <= largest)) largest = apart;
    }
    RecordProperty("largest_logit_difference", std::to_string(largest));

    const auto expected = prompt_.at("greedy").get<std::vector<TokenId>>();
    ASSERT_EQ(expected.size(), 64U);
    std::vector<TokenId> greedy = {token};
    while (greedy.size() < expected.size()) {
        const DecodeInput input{sequence, token};
        token = best(engine_->decode({&input, 1}));
        greedy.push_back(token);
    }
    EXPECT_EQ(greedy, expected);
    std::printf("  %s: %zu tokens, largest logit difference %.2e\n", GetParam(), ids_.size(),
                largest);
}

INSTANTIATE_TEST_SUITE_P(Prompts, GoldenLogits, ::testing::Values("short", "1k", "4k"),
                         [](const auto& tested) { return std::string("Prompt") + tested.param; });

}  // namespace
}  // namespace hc::runtime
