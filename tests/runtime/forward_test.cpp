// FullKV against an independent forward pass, and against itself.
#include <gtest/gtest.h>

#include "tests/runtime/fixtures.h"
#include "tests/runtime/slow_model.h"

namespace hc::runtime {
namespace {

using test::TinyModelOptions;

struct Case {
    const char* name;
    TinyModelOptions options;
};

TinyModelOptions with(const std::function<void(TinyModelOptions&)>& change) {
    TinyModelOptions options = test::star_options();
    change(options);
    return options;
}

class ForwardOf : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Models, ForwardOf,
    ::testing::Values(Case{"llama", with([](auto&) {})},
                      Case{"qwen2", with([](auto& o) { o.arch = "qwen2"; })},
                      Case{"mha", with([](auto& o) { o.heads = o.kv_heads = 4; })},
                      Case{"one_kv_head", with([](auto& o) { o.kv_heads = 1; })},
                      Case{"untied", with([](auto& o) { o.tied = false; })},
                      Case{"q8_0", with([](auto& o) { o.dtype = DType::kQ8_0; })}),
    [](const auto& param) { return param.param.name; });

TEST_P(ForwardOf, MatchesAnIndependentForwardPassAfterPromptAndAtEveryStep) {
    const model::Model model = test::load_tiny(GetParam().options);
    const auto tokens = test::random_tokens(150, 3);
    const test::SlowResult expected = test::slow_forward(model, tokens);
    Engine engine(model, test::exact());
    const SequenceId sequence = engine.add_sequence({});
    engine.keep_prefill_logits(20);
    const std::span<const model::TokenId> all(tokens);
    const auto logits = test::run_forced(engine, sequence, all.first(140), all.subspan(140));
    for (std::size_t i = 0; i <= 10; ++i) {
        EXPECT_LT(test::distance(logits[i], expected.logits[139 + i]), 2e-4) << "step " << i;
    }
    const auto vocab = static_cast<std::size_t>(model.shape.vocab);
    ASSERT_EQ(engine.prefill_logits().size(), 20 * vocab);
    for (std::size_t i = 0; i < 20; ++i) {
        EXPECT_LT(test::distance(engine.prefill_logits().subspan(i * vocab, vocab),
                                 expected.logits[120 + i]),
                  2e-4);
    }
    EXPECT_EQ(engine.length(sequence), 150);
}

TEST_P(ForwardOf, DecodesAfterAPromptAsItPrefillsTheLongerOne) {
    const model::Model model = test::load_tiny(GetParam().options);
    const auto tokens = test::random_tokens(700, 4);
    // fp32: only the order of sums differs. fast: such a difference can move an activation to
    // the next of its 255 int8 steps, and the error is that of int8; logits are of magnitude 1.
    for (const auto& [precision, tolerance] : {std::pair{kernels::cpu::Precision::kFp32, 1e-4},
                                               std::pair{kernels::cpu::Precision::kFast, 0.15}}) {
        EngineOptions options = test::exact();
        options.precision = precision;
        Engine engine(model, options);
        const std::span<const model::TokenId> all(tokens);
        const auto steps =
            test::run_forced(engine, engine.add_sequence({}), all.first(680), all.subspan(680));
        const SequenceId whole = engine.add_sequence({});
        engine.keep_prefill_logits(21);
        static_cast<void>(engine.prefill(whole, tokens));
        const auto vocab = static_cast<std::size_t>(model.shape.vocab);
        for (std::size_t i = 0; i <= 20; ++i) {
            EXPECT_LT(test::distance(steps[i], engine.prefill_logits().subspan(i * vocab, vocab)),
                      tolerance);
        }
    }
}

TEST(Forward, DoesNotDependOnChunkOrPageSize) {
    const model::Model model = test::load_tiny(test::star_options());
    const auto tokens = test::random_tokens(100, 5);
    std::vector<std::vector<float>> first;
    for (const auto& [chunk, page] : {std::pair{512, 256}, {1, 1}, {7, 3}, {100, 100}, {64, 16}}) {
        EngineOptions options = test::exact();
        options.prefill_chunk = chunk;
        options.page_size = page;
        Engine engine(model, options);
        const std::span<const model::TokenId> all(tokens);
        const auto logits =
            test::run_forced(engine, engine.add_sequence({}), all.first(90), all.subspan(90));
        if (first.empty()) first = logits;
        for (std::size_t i = 0; i < logits.size(); ++i) {
            EXPECT_LT(test::distance(logits[i], first[i]), 1e-4) << chunk << " " << page;
        }
    }
}

TEST(Forward, GivesTheSameBitsAgainAndWithAnyNumberOfThreads) {
    TinyModelOptions tiny = test::star_options();
    for (const auto precision : {kernels::cpu::Precision::kFp32, kernels::cpu::Precision::kFast}) {
        tiny.dtype = precision == kernels::cpu::Precision::kFast ? DType::kQ8_0 : DType::kF32;
        const model::Model model = test::load_tiny(tiny);
        const auto tokens = test::random_tokens(640, 6);  // more than one piece per head
        std::vector<std::vector<float>> first;
        for (const int threads : {1, 1, 2, 3, 4}) {
            EngineOptions options = test::exact(threads);
            options.precision = precision;
            Engine engine(model, options);
            const std::span<const model::TokenId> all(tokens);
            const auto logits =
                test::run_forced(engine, engine.add_sequence({}), all.first(630), all.subspan(630));
            if (first.empty()) first = logits;
            EXPECT_EQ(logits, first) << threads << " threads";
        }
    }
}

TEST(Forward, RunsAPromptOfOneToken) {
    const model::Model model = test::load_tiny(test::star_options());
    const auto tokens = test::random_tokens(4, 7);
    const test::SlowResult expected = test::slow_forward(model, tokens);
    Engine engine(model, test::exact());
    const std::span<const model::TokenId> all(tokens);
    const auto logits =
        test::run_forced(engine, engine.add_sequence({}), all.first(1), all.subspan(1));
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_LT(test::distance(logits[i], expected.logits[i]), 1e-4);
    }
}

}  // namespace
}  // namespace hc::runtime
