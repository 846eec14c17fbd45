#include "engine/runtime/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "tests/runtime/fixtures.h"

namespace hc::runtime {
namespace {

TEST(Sampler, TakesTheLargestLogitAndTheLowestIdOfEqualOnes) {
    Sampler greedy({});
    const float logits[] = {1, 5, 2, 5, 5};
    EXPECT_EQ(greedy.sample(logits), 1);
}

std::map<TokenId, int> draw(const Sampling& sampling, std::span<const float> logits, int count) {
    Sampler sampler(sampling);
    std::map<TokenId, int> seen;
    for (int i = 0; i < count; ++i) ++seen[sampler.sample(logits)];
    return seen;
}

TEST(Sampler, DrawsByTheSoftmaxOfItsTemperature) {
    const float logits[] = {0.0F, std::log(2.0F), std::log(5.0F)};
    Sampling sampling;
    sampling.temperature = 1;
    sampling.seed = 3;
    auto seen = draw(sampling, logits, 16000);
    EXPECT_NEAR(seen[0] / 16000.0, 0.125, 0.015);
    EXPECT_NEAR(seen[1] / 16000.0, 0.250, 0.015);
    EXPECT_NEAR(seen[2] / 16000.0, 0.625, 0.015);
    sampling.temperature = 0.5;  // squares the odds: 1, 4, 25
    seen = draw(sampling, logits, 16000);
    EXPECT_NEAR(seen[2] / 16000.0, 25.0 / 30, 0.015);
}

TEST(Sampler, CutsToTheBestTokensAndToTheirProbability) {
    const float logits[] = {0.0F, std::log(2.0F), std::log(5.0F), 0.0F};
    Sampling sampling;
    sampling.temperature = 1;
    sampling.top_k = 2;
    auto seen = draw(sampling, logits, 5000);
    EXPECT_EQ(seen.size(), 2U);
    EXPECT_NEAR(seen[2] / 5000.0, 5.0 / 7, 0.03);
    sampling.top_k = 0;
    sampling.top_p = 0.5F;  // 5/9 reach it alone
    seen = draw(sampling, logits, 1000);
    EXPECT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[2], 1000);
    sampling.top_p = 0.6F;
    EXPECT_EQ(draw(sampling, logits, 1000).size(), 2U);
}

TEST(Sampler, RepeatsItselfWithTheSameSeedOnly) {
    const std::vector<float> logits(1000, 0.5F);
    Sampling sampling;
    sampling.temperature = 1;
    sampling.seed = 7;
    Sampler a(sampling), b(sampling);
    sampling.seed = 8;
    Sampler c(sampling);
    int equal = 0;
    for (int i = 0; i < 50; ++i) {
        const TokenId token = a.sample(logits);
        EXPECT_EQ(token, b.sample(logits));
        equal += token == c.sample(logits) ? 1 : 0;
    }
    EXPECT_LT(equal, 5);
}

TEST(Sampler, RefusesWhatMakesNoSense) {
    Sampling sampling;
    sampling.temperature = -1;
    EXPECT_THROW(Sampler{sampling}, Error);
    sampling = {};
    sampling.top_p = 0;
    EXPECT_THROW(Sampler{sampling}, Error);
    sampling = {};
    sampling.top_k = -1;
    EXPECT_THROW(Sampler{sampling}, Error);
    sampling = {};
    sampling.temperature = std::nanf("");
    EXPECT_THROW(Sampler{sampling}, Error);
}

TEST(Quality, KlDivergenceAndLikelihoodAreThoseOfTheTextbook) {
    const float p[] = {std::log(0.5F), std::log(0.25F), std::log(0.25F)};
    // Shifted logits are the same distribution.
    const float q[] = {std::log(0.25F) + 90, std::log(0.25F) + 90, std::log(0.5F) + 90};
    EXPECT_NEAR(kl_divergence(p, p), 0, 1e-7);
    EXPECT_NEAR(kl_divergence(p, q), 0.5 * std::log(2) - 0.25 * std::log(2), 1e-6);
    EXPECT_NEAR(negative_log_likelihood(q, 2), std::log(2), 1e-6);
    EXPECT_EQ(largest_logit(q), 2);
}

class Generate : public ::testing::Test {
protected:
    [[nodiscard]] Generated run(const GenerateOptions& options,
                                Observer* observer = nullptr) const {
        Engine engine(model_, test::exact(), observer);
        NoProgress progress;
        return generate(engine, engine.add_sequence({}), prompt_, options, observer, progress);
    }
    const model::Model model_ = test::load_tiny(test::star_options());
    const std::vector<model::TokenId> prompt_ = test::random_tokens(30, 71);
};

TEST_F(Generate, PutsOutTheGreedyTokensInOneStepLess) {
    GenerateOptions options;
    options.max_tokens = 9;
    std::vector<float> kept;
    options.keep_logits = &kept;
    test::Collector seen;
    const Generated out = run(options, &seen);
    EXPECT_EQ(out.tokens.size(), 9U);
    EXPECT_EQ(out.step_ns.size(), 8U);
    EXPECT_EQ(kept.size(), 8U * 320);
    EXPECT_GT(out.prefill_ns, 0);
    EXPECT_TRUE(out.kl_nats.empty());

    Engine engine(model_, test::exact());
    const SequenceId id = engine.add_sequence({});
    TokenId token = largest_logit(engine.prefill(id, prompt_));
    for (std::size_t i = 0; i < 9; ++i) {
        EXPECT_EQ(out.tokens[i], token);
        EXPECT_EQ(seen.tokens[i].token_id, token);
        EXPECT_EQ(seen.tokens[i].step, static_cast<std::int64_t>(i));
        EXPECT_EQ(seen.tokens[i].context_length, static_cast<std::int64_t>(30 + i));
        const DecodeInput input{id, token};
        token = largest_logit(engine.decode({&input, 1}));
    }
}

TEST_F(Generate, ComparesAForcedRunWithItsReference) {
    GenerateOptions free;
    free.max_tokens = 9;
    std::vector<float> reference;
    free.keep_logits = &reference;
    const Generated first = run(free);
    GenerateOptions forced;
    forced.max_tokens = 9;
    forced.forced = first.tokens;
    forced.reference_logits = reference;
    const Generated same = run(forced);
    EXPECT_EQ(same.tokens, first.tokens);
    ASSERT_EQ(same.kl_nats.size(), 8U);
    ASSERT_EQ(same.nll_nats.size(), 8U);
    for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_NEAR(same.kl_nats[i], 0, 1e-9);
        EXPECT_TRUE(same.top1_equal[i]);
        EXPECT_NEAR(same.nll_nats[i],
                    negative_log_likelihood(std::span(reference).subspan(i * 320, 320),
                                            first.tokens[i + 1]),
                    1e-9);
    }
    const auto others = test::random_tokens(9, 72);
    forced.forced = others;
    const Generated other = run(forced);
    EXPECT_EQ(other.tokens, others);
    EXPECT_GT(other.kl_nats.back(), 1e-3);
}

TEST_F(Generate, EndsWithTheForcedTokensAndRefusesAShortReference) {
    GenerateOptions options;
    options.max_tokens = 100;
    const auto forced = test::random_tokens(4, 73);
    options.forced = forced;
    EXPECT_EQ(run(options).tokens.size(), 4U);
    const std::vector<float> reference(2 * 320);
    options.reference_logits = reference;
    EXPECT_THROW(static_cast<void>(run(options)), Error);
}

TEST_F(Generate, StopsAtTheEndOfTheTurnWhenAsked) {
    GenerateOptions options;
    options.max_tokens = 10;
    const model::TokenId end = model_.tokenizer->data().eos;
    const model::TokenId forced[] = {1, 2, end, 3, 4};
    options.forced = forced;
    EXPECT_EQ(run(options).tokens.size(), 5U);
    options.stop_at_end = true;
    EXPECT_EQ(run(options).tokens.size(), 3U);
}

}  // namespace
}  // namespace hc::runtime
