// Several sequences, further turns, growth, and what is refused.
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/runtime/fixtures.h"
#include "tests/runtime/slow_model.h"

namespace hc::runtime {
namespace {

template <typename Call>
void expect_error(ExitCode code, const std::string& part, const Call& call) {
    try {
        call();
        FAIL() << "expected: " << part;
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
}

policy::Settings drifting() {
    policy::Settings s;
    s.ratio = 0.6;
    s.stable_threshold = 0.9;
    return s;
}

TEST(Batch, OfThreeSequencesEqualsThreeRunsAlone) {
    const model::Model model = test::load_tiny(test::star_options());
    const HeadProfile profile = test::star_profile(2);
    const std::size_t lengths[] = {300, 700, 40};
    constexpr std::size_t kSteps = 15;
    std::vector<SequenceOptions> options(3);
    options[0] = test::heterocache(profile, drifting());
    options[2] = test::heterocache(profile, drifting());
    std::vector<std::vector<std::vector<float>>> alone;
    for (unsigned i = 0; i < 3; ++i) {
        const auto tokens = test::random_tokens(lengths[i] + kSteps, 20 + i);
        Engine engine(model, test::exact());
        const std::span<const model::TokenId> all(tokens);
        alone.push_back(test::run_forced(engine, engine.add_sequence(options[i]),
                                         all.first(lengths[i]), all.subspan(lengths[i])));
    }
    test::Collector seen;
    Engine engine(model, test::exact(), &seen);
    std::vector<std::vector<model::TokenId>> tokens;
    for (unsigned i = 0; i < 3; ++i) {
        tokens.push_back(test::random_tokens(lengths[i] + kSteps, 20 + i));
        const SequenceId id = engine.add_sequence(options[i]);
        EXPECT_EQ(id, static_cast<SequenceId>(i));
        const auto logits = engine.prefill(id, std::span(tokens[i]).first(lengths[i]));
        EXPECT_LT(test::distance(logits, alone[i][0]), 1e-5);
    }
    const auto vocab = static_cast<std::size_t>(model.shape.vocab);
    for (std::size_t step = 0; step < kSteps; ++step) {
        // Another order each time, and sequence 1 only joins at the third step.
        std::vector<DecodeInput> inputs;
        for (const SequenceId id : {2, 0, 1}) {
            if (id == 1 && step < 2) continue;
            const std::size_t at = id == 1 ? step - 2 : step;
            inputs.push_back({id, tokens[static_cast<std::size_t>(id)][lengths[id] + at]});
        }
        if (step % 2 == 1) std::swap(inputs.front(), inputs.back());
        const std::span<const float> logits = engine.decode(inputs);
        ASSERT_EQ(logits.size(), inputs.size() * vocab);
        for (std::size_t row = 0; row < inputs.size(); ++row) {
            const auto id = static_cast<std::size_t>(inputs[row].sequence);
            const std::size_t at = id == 1 ? step - 2 : step;
            EXPECT_LT(test::distance(logits.subspan(row * vocab, vocab), alone[id][at + 1]), 1e-4)
                << "sequence " << id << " step " << step;
        }
    }
    EXPECT_GT(seen.triggers(), 0);
    EXPECT_EQ(seen.steps.back().record.batch, 3);
    EXPECT_EQ(engine.step(), 2 + static_cast<std::int64_t>(kSteps));
}

TEST(Turns, EqualOneLongPromptUnderFullAttention) {
    const model::Model model = test::load_tiny(test::star_options());
    const auto tokens = test::random_tokens(260, 30);
    const std::span<const model::TokenId> all(tokens);
    const test::SlowResult expected = test::slow_forward(model, tokens);
    Engine engine(model, test::exact());
    const SequenceId id = engine.add_sequence({});
    static_cast<void>(test::run_forced(engine, id, all.first(100), all.subspan(100, 5)));
    const auto second = engine.prefill(id, all.subspan(105, 120));
    EXPECT_LT(test::distance(second, expected.logits[224]), 2e-4);
    for (std::size_t i = 225; i < 260; ++i) {
        const DecodeInput input{id, tokens[i]};
        EXPECT_LT(test::distance(engine.decode({&input, 1}), expected.logits[i]), 2e-4);
    }
}

TEST(Turns, UnderHeteroCacheSeeTheKeptPromptAndAllThatFollowed) {
    const model::Model model = test::load_tiny(test::star_options());
    const HeadProfile profile = test::star_profile(2);
    policy::Settings settings = drifting();
    constexpr std::size_t kPrompt = 300;
    const auto tokens = test::random_tokens(420, 31);
    const std::span<const model::TokenId> all(tokens);
    for (const bool retrieval : {false, true}) {
        settings.retrieval = retrieval;
        test::Collector seen;
        Engine engine(model, test::exact(), &seen);
        const SequenceId id = engine.add_sequence(test::heterocache(profile, settings));
        static_cast<void>(
            test::run_forced(engine, id, all.first(kPrompt), all.subspan(kPrompt, 7)));
        const std::size_t checks = seen.drift.size();
        const auto turn = engine.prefill(id, all.subspan(307, 100));
        const std::vector<float> after_turn(turn.begin(), turn.end());
        EXPECT_EQ(seen.drift.size(), checks);
        std::vector<std::vector<float>> later;
        for (std::size_t i = 407; i < 420; ++i) {
            const DecodeInput input{id, tokens[i]};
            const auto logits = engine.decode({&input, 1});
            later.emplace_back(logits.begin(), logits.end());
        }
        EXPECT_EQ(seen.triggers() > 0, retrieval);
        const auto visible = [&](const test::SlowHead& head) -> std::vector<bool> {
            const auto at = static_cast<std::size_t>(head.query);
            if (at < kPrompt) return {};
            // One step for each token decoded, one for the whole turn.
            const std::size_t step = at < 307 ? at - kPrompt + 1 : at < 407 ? 8 : at - 407 + 9;
            std::vector<bool> mask =
                seen.resident(head.layer, head.head, static_cast<std::int64_t>(step), kPrompt);
            mask.resize(at + 1, true);
            return mask;
        };
        const test::SlowResult expected = test::slow_forward(model, tokens, visible);
        EXPECT_LT(test::distance(after_turn, expected.logits[406]), 3e-4);
        for (std::size_t i = 0; i < later.size(); ++i) {
            EXPECT_LT(test::distance(later[i], expected.logits[407 + i]), 3e-4);
        }
    }
}

TEST(Growth, GoesOnBeyondTheReservedTokens) {
    const model::Model model = test::load_tiny(test::star_options());
    const auto tokens = test::random_tokens(300, 32);
    const std::span<const model::TokenId> all(tokens);
    const test::SlowResult expected = test::slow_forward(model, tokens);
    Engine engine(model, test::exact());
    SequenceOptions options;
    options.reserve_generated = 3;
    const auto logits =
        test::run_forced(engine, engine.add_sequence(options), all.first(20), all.subspan(20));
    EXPECT_LT(test::distance(logits.back(), expected.logits.back()), 2e-4);
}

TEST(Memory, ComesBackWhenASequenceIsRemoved) {
    const model::Model model = test::load_tiny(test::star_options());
    const HeadProfile profile = test::star_profile(2);
    const auto tokens = test::random_tokens(320, 33);
    const std::span<const model::TokenId> all(tokens);
    test::Collector seen;
    Engine engine(model, test::exact(), &seen);
    policy::Settings settings = drifting();
    settings.commit_lag = 4;
    for (int round = 0; round < 3; ++round) {
        const SequenceId id = engine.add_sequence(test::heterocache(profile, settings));
        static_cast<void>(test::run_forced(engine, id, all.first(300), all.subspan(300, 6)));
        EXPECT_GT(engine.memory().pool_used_bytes, 0);
        engine.remove_sequence(id);  // with a fetch under way
        EXPECT_EQ(engine.memory().pool_used_bytes, 0);
        EXPECT_EQ(engine.memory().host_tier_bytes, 0);
        expect_error(ExitCode::kUsage, "does not exist",
                     [&] { static_cast<void>(engine.length(id)); });
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.fetches.size()), seen.triggers());
}

TEST(Refusals, NameWhatWasFoundAndExpected) {
    test::TinyModelOptions tiny = test::star_options();
    tiny.context = 64;
    const model::Model model = test::load_tiny(tiny);
    const auto tokens = test::random_tokens(70, 34);
    const std::span<const model::TokenId> all(tokens);
    Engine engine(model, test::exact());
    const SequenceId id = engine.add_sequence({});
    expect_error(ExitCode::kInput, "empty", [&] { static_cast<void>(engine.prefill(id, {})); });
    expect_error(ExitCode::kRefused, "65 tokens",
                 [&] { static_cast<void>(engine.prefill(id, all.first(65))); });
    expect_error(ExitCode::kRefused, "is 64",
                 [&] { static_cast<void>(engine.prefill(id, all.first(65))); });
    const model::TokenId wrong[] = {1, 5000};
    expect_error(ExitCode::kInput, "token 5000",
                 [&] { static_cast<void>(engine.prefill(id, wrong)); });
    EXPECT_EQ(engine.length(id), 0);
    const DecodeInput early{id, 1};
    expect_error(ExitCode::kUsage, "no prompt", [&] {
        static_cast<void>(engine.decode({&early, 1}));
    });
    static_cast<void>(engine.prefill(id, all.first(63)));
    expect_error(ExitCode::kRefused, "63",
                 [&] { static_cast<void>(engine.prefill(id, all.first(2))); });
    static_cast<void>(engine.decode({&early, 1}));
    expect_error(ExitCode::kRefused, "full: 64", [&] {
        static_cast<void>(engine.decode({&early, 1}));
    });
    expect_error(ExitCode::kUsage, "at least one", [&] { static_cast<void>(engine.decode({})); });

    const SequenceId other = engine.add_sequence({});
    static_cast<void>(engine.prefill(other, all.first(5)));
    const DecodeInput twice[] = {{other, 1}, {other, 2}};
    expect_error(ExitCode::kUsage, "twice", [&] { static_cast<void>(engine.decode(twice)); });
    const DecodeInput outside{other, -1};
    expect_error(ExitCode::kInput, "token -1", [&] {
        static_cast<void>(engine.decode({&outside, 1}));
    });
    EngineOptions cuda = test::exact();
    cuda.backend = Backend::kCuda;
    expect_error(ExitCode::kUnavailable, "cuda", [&] { const Engine e(model, cuda); });
}

TEST(Interruption, LeavesTheSequenceAsItWas) {
    class StopsAfter final : public Progress {
    public:
        explicit StopsAfter(int updates) : left_(updates) {}
        void begin(std::string_view, std::int64_t) override {}
        void update(std::int64_t) override { --left_; }
        void end() override {}
        bool cancelled() const override { return left_ < 0; }

    private:
        int left_;
    };
    const model::Model model = test::load_tiny(test::star_options());
    const HeadProfile profile = test::star_profile(2);
    const auto tokens = test::random_tokens(420, 35);
    const std::span<const model::TokenId> all(tokens);
    Engine engine(model, test::exact());
    const SequenceId id = engine.add_sequence(test::heterocache(profile, drifting()));
    StopsAfter soon(5);  // in the second of two layers
    expect_error(ExitCode::kInterrupted, "interrupted",
                 [&] { static_cast<void>(engine.prefill(id, all.first(300), &soon)); });
    EXPECT_EQ(engine.length(id), 0);
    EXPECT_EQ(engine.memory().pool_used_bytes, 0);
    const auto logits = test::run_forced(engine, id, all.first(300), all.subspan(300, 10));
    StopsAfter again(0);
    const std::int64_t used = engine.memory().pool_used_bytes;
    expect_error(ExitCode::kInterrupted, "interrupted",
                 [&] { static_cast<void>(engine.prefill(id, all.subspan(310, 110), &again)); });
    EXPECT_EQ(engine.memory().pool_used_bytes, used);
    EXPECT_EQ(engine.length(id), 310);
    Engine untouched(model, test::exact());
    const SequenceId same = untouched.add_sequence(test::heterocache(profile, drifting()));
    EXPECT_EQ(test::run_forced(untouched, same, all.first(300), all.subspan(300, 10)), logits);
    const DecodeInput input{id, 9};
    const auto next = engine.decode({&input, 1});
    const std::vector<float> interrupted(next.begin(), next.end());
    const auto expected = untouched.decode({&input, 1});
    EXPECT_EQ(test::distance(interrupted, expected), 0.0);
}

}  // namespace
}  // namespace hc::runtime
