// Attention rows for the drift trace, for calibration, and the oracle.
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "engine/core/error.h"
#include "engine/policy/budget.h"
#include "engine/policy/calibration.h"
#include "engine/policy/selection.h"
#include "tests/runtime/fixtures.h"
#include "tests/runtime/slow_model.h"

namespace hc::runtime {
namespace {

constexpr std::size_t kPrompt = 270;
constexpr std::size_t kSteps = 7;

using Key = std::tuple<std::int64_t, std::int32_t, std::int32_t>;  // position, layer, head

class Capture : public ::testing::Test {
protected:
    Capture() {
        const auto remember = [&](const test::SlowHead& head) -> std::vector<bool> {
            if (head.query + 1 >= static_cast<std::int64_t>(kPrompt)) {
                slow_[{head.query, head.layer, head.head}] = head;
            }
            return {};
        };
        static_cast<void>(test::slow_forward(model_, tokens_, remember));
    }

    const model::Model model_ = test::load_tiny(test::star_options());
    const HeadProfile profile_ = test::star_profile(2);
    const std::vector<model::TokenId> tokens_ = test::random_tokens(kPrompt + kSteps, 41);
    std::map<Key, test::SlowHead> slow_;
};

TEST_F(Capture, RanksScoresAndProbabilitiesOfFullAttention) {
    test::Collector seen;
    Engine engine(model_, test::exact(), &seen);
    const SequenceId id = engine.add_sequence({});
    AttentionCapture capture;
    capture.keep = 0.3;
    capture.every = 3;
    capture.profile = &profile_;
    engine.capture_attention(id, capture);
    const std::span<const model::TokenId> all(tokens_);
    static_cast<void>(test::run_forced(engine, id, all.first(kPrompt), all.subspan(kPrompt)));

    std::size_t scores = 0;
    std::size_t probabilities = 0;
    for (const AttentionRecord& row : seen.attention) {
        const test::SlowHead& head =
            slow_.at({static_cast<std::int64_t>(kPrompt) - 1 + row.step, row.layer, row.head});
        ASSERT_EQ(row.ranked.size(), 81U);  // ceil(0.3 * 270)
        ASSERT_EQ(row.values.size(), row.ranked.size());
        std::vector<float> expected(kPrompt);
        const bool full = is_full(profile_.role({row.layer, row.head}));
        if (row.kind == AttentionRowKind::kScore) {
            ++scores;
            EXPECT_TRUE(profile_.role({row.layer, row.head}) == HeadRole::kPivot ||
                        (!full && row.step == 0));
            expected = test::slow_selection_score(head, kPrompt);
        } else {
            ++probabilities;
            EXPECT_FALSE(full);
            EXPECT_EQ(row.step % 3, 0);
            for (std::size_t p = 0; p < kPrompt; ++p)
                expected[p] = static_cast<float>(head.probability[p]);
            const double generated =
                std::accumulate(head.probability.begin() + kPrompt, head.probability.end(), 0.0);
            EXPECT_NEAR(row.mass_generated, generated, 1e-5);
            const double kept = std::accumulate(row.values.begin(), row.values.end(), 0.0);
            EXPECT_NEAR(kept + row.mass_generated + row.mass_rest, 1.0, 1e-5);
        }
        Positions best;
        policy::rank_top(expected, 81, best);
        for (std::size_t i = 0; i < best.size(); ++i) {
            EXPECT_NEAR(row.values[i], expected[best[i]],
                        2e-5);  // ranks may swap between near-equals
            EXPECT_NEAR(row.values[i], expected[row.ranked[i]], 2e-5);
        }
    }
    EXPECT_EQ(scores, 5U + 2U + kSteps * 2);  // step 0: 5 compressed, 2 pivots; then pivots
    EXPECT_EQ(probabilities, 5U * 3);         // steps 0, 3, 6
    EXPECT_EQ(seen.heads.size(), 8U);
}

TEST_F(Capture, OfACompressedSequenceHoldsScoresOnly) {
    test::Collector seen;
    Engine engine(model_, test::exact(), &seen);
    policy::Settings settings;
    settings.ratio = 0.6;
    const SequenceId id = engine.add_sequence(test::heterocache(profile_, settings));
    AttentionCapture capture;
    capture.every = 1;
    capture.profile = &profile_;
    engine.capture_attention(id, capture);
    const std::span<const model::TokenId> all(tokens_);
    static_cast<void>(test::run_forced(engine, id, all.first(kPrompt), all.subspan(kPrompt)));
    EXPECT_EQ(seen.attention.size(), 5U + 2U + kSteps * 2);
    for (const AttentionRecord& row : seen.attention) EXPECT_EQ(row.kind, AttentionRowKind::kScore);
}

TEST_F(Capture, GivesCalibrationTheRowsOfTheLastQueryInHalfPrecision) {
    class Sink final : public AttentionRowSink {
    public:
        std::vector<std::int64_t> passes;
        std::vector<std::vector<std::vector<float>>> rows;  // [pass][layer]
        void begin_pass(std::int64_t kv_len) override {
            passes.push_back(kv_len);
            rows.emplace_back();
        }
        void layer_rows(std::int32_t layer, std::span<const float> r) override {
            EXPECT_EQ(static_cast<std::size_t>(layer), rows.back().size());
            rows.back().emplace_back(r.begin(), r.end());
        }
    };
    Sink sink;
    Engine engine(model_, test::exact());
    const SequenceId id = engine.add_sequence({});
    engine.capture_rows(id, &sink);
    const std::span<const model::TokenId> all(tokens_);
    static_cast<void>(test::run_forced(engine, id, all.first(kPrompt), all.subspan(kPrompt)));
    ASSERT_EQ(sink.passes.size(), kSteps + 1);
    for (std::size_t pass = 0; pass <= kSteps; ++pass) {
        const std::size_t length = kPrompt + pass;
        EXPECT_EQ(sink.passes[pass], static_cast<std::int64_t>(length));
        ASSERT_EQ(sink.rows[pass].size(), 2U);
        for (std::int32_t layer = 0; layer < 2; ++layer) {
            const std::vector<float>& rows = sink.rows[pass][static_cast<std::size_t>(layer)];
            ASSERT_EQ(rows.size(), 8 * length);
            for (std::size_t q = 0; q < 8; ++q) {
                const test::SlowHead& head = slow_.at({static_cast<std::int64_t>(length) - 1, layer,
                                                       static_cast<std::int32_t>(q / 2)});
                for (std::size_t i = 0; i < length; ++i) {
                    const float value = rows[q * length + i];
                    ASSERT_EQ(value, policy::round_to_half(value));
                    ASSERT_NEAR(value, head.rows[q % 2][i], 1e-5 + 6e-4 * head.rows[q % 2][i]);
                }
            }
        }
    }
    const SequenceId compressed = engine.add_sequence(test::heterocache(profile_, {}));
    EXPECT_THROW(engine.capture_rows(compressed, &sink), Error);
}

TEST_F(Capture, DoesNotChangeTheLogits) {
    const std::span<const model::TokenId> all(tokens_);
    Engine plain(model_, test::exact());
    const auto expected =
        test::run_forced(plain, plain.add_sequence({}), all.first(kPrompt), all.subspan(kPrompt));
    test::Collector seen;
    Engine engine(model_, test::exact(), &seen);
    const SequenceId id = engine.add_sequence({});
    AttentionCapture capture;
    capture.profile = &profile_;
    engine.capture_attention(id, capture);
    EXPECT_EQ(test::run_forced(engine, id, all.first(kPrompt), all.subspan(kPrompt)), expected);
}

TEST_F(Capture, OracleSeesTheBestTokensOfEachStepAndAllGeneratedOnes) {
    policy::Settings settings;
    settings.ratio = 0.6;
    const policy::Budgets budgets = policy::compute_budgets(profile_, kPrompt, settings);
    const auto visible = [&](const test::SlowHead& head) -> std::vector<bool> {
        const HeadId id{head.layer, head.head};
        if (head.query < static_cast<std::int64_t>(kPrompt) || is_full(profile_.role(id)))
            return {};
        std::vector<float> p(head.probability.begin(), head.probability.begin() + kPrompt);
        Positions best;
        policy::top_k(p, static_cast<std::size_t>(budgets.capacity[profile_.index(id)]), best);
        std::vector<bool> mask(static_cast<std::size_t>(head.query) + 1, false);
        for (const Position position : best) mask[position] = true;
        for (std::size_t i = kPrompt; i < mask.size(); ++i) mask[i] = true;
        return mask;
    };
    const test::SlowResult expected = test::slow_forward(model_, tokens_, visible);
    const std::span<const model::TokenId> all(tokens_);
    test::Collector seen;
    Engine engine(model_, test::exact(), &seen);
    const SequenceId id = engine.add_sequence({});
    engine.use_oracle(id, profile_, settings);
    const auto logits = test::run_forced(engine, id, all.first(kPrompt), all.subspan(kPrompt));
    for (std::size_t i = 0; i < logits.size(); ++i) {
        // A pair of nearly equal probabilities at the cut may fall either way.
        EXPECT_LT(test::distance(logits[i], expected.logits[kPrompt - 1 + i]), 1e-3);
    }
    EXPECT_EQ(seen.heads.size(), 8U);

    settings.ratio = 1.0;
    Engine whole(model_, test::exact());
    const SequenceId full = whole.add_sequence({});
    whole.use_oracle(full, profile_, settings);
    const auto all_tokens = test::run_forced(whole, full, all.first(kPrompt), all.subspan(kPrompt));
    const test::SlowResult attention = test::slow_forward(model_, tokens_);
    EXPECT_LT(test::distance(all_tokens.back(), attention.logits.back()), 2e-4);
    EXPECT_GT(test::distance(logits.back(), attention.logits.back()), 3e-3);
}

}  // namespace
}  // namespace hc::runtime
