// HeteroCache in the engine. The policy's decisions have tests of their own; here it is that the
// engine attends to exactly what it reports, when it reports it.
#include <gtest/gtest.h>

#include <map>

#include "engine/core/error.h"
#include "engine/policy/heterocache.h"
#include "tests/runtime/fixtures.h"
#include "tests/runtime/slow_model.h"

namespace hc::runtime {
namespace {

constexpr std::size_t kPrompt = 300;
constexpr std::size_t kSteps = 24;

class HeteroCacheEngine : public ::testing::Test {
protected:
    const model::Model model_ = test::load_tiny(test::star_options());
    const HeadProfile profile_ = test::star_profile(2);
    const std::vector<model::TokenId> tokens_ = test::random_tokens(kPrompt + kSteps, 11);

    [[nodiscard]] std::span<const model::TokenId> prompt() const {
        return std::span(tokens_).first(kPrompt);
    }
    [[nodiscard]] std::span<const model::TokenId> generated() const {
        return std::span(tokens_).subspan(kPrompt);
    }
    [[nodiscard]] std::vector<std::vector<float>> run(const policy::Settings& settings,
                                                      test::Collector& seen,
                                                      int threads = 2) const {
        Engine engine(model_, test::exact(threads), &seen);
        auto logits =
            test::run_forced(engine, engine.add_sequence(test::heterocache(profile_, settings)),
                             prompt(), generated());
        engine.finish();
        return logits;
    }
    [[nodiscard]] static policy::Settings settings(std::int32_t lag = 1) {
        policy::Settings s;
        s.ratio = 0.6;
        s.commit_lag = lag;
        s.stable_threshold = 0.9;  // random attention drifts all the time
        return s;
    }

    /// The logits that follow when every head sees what the rows say and nothing else.
    [[nodiscard]] std::vector<std::vector<float>> expected(const test::Collector& seen) const {
        const auto visible = [&](const test::SlowHead& head) -> std::vector<bool> {
            if (head.query < static_cast<std::int64_t>(kPrompt)) return {};  // prefill is exact
            const std::int64_t step = head.query - static_cast<std::int64_t>(kPrompt) + 1;
            std::vector<bool> mask = seen.resident(head.layer, head.head, step, kPrompt);
            mask.resize(static_cast<std::size_t>(head.query) + 1, true);
            return mask;
        };
        const test::SlowResult slow = test::slow_forward(model_, tokens_, visible);
        return {slow.logits.begin() + kPrompt - 1, slow.logits.end()};
    }

    void expect_attends_to_what_it_reports(const policy::Settings& s) const {
        test::Collector seen;
        const auto logits = run(s, seen);
        EXPECT_GT(seen.triggers(), 0);
        const auto slow = expected(seen);
        ASSERT_EQ(logits.size(), slow.size());
        for (std::size_t i = 0; i < logits.size(); ++i) {
            EXPECT_LT(test::distance(logits[i], slow[i]), 3e-4) << "step " << i;
        }
        // The tolerance means something: full attention is further away than it.
        const test::SlowResult full = test::slow_forward(model_, tokens_);
        EXPECT_GT(test::distance(logits.back(), full.logits.back()), 3e-3);
    }
};

TEST_F(HeteroCacheEngine, AtRatioOneEqualsFullAttentionAndFetchesNothing) {
    policy::Settings s = settings();
    s.ratio = 1.0;
    test::Collector seen;
    const auto logits = run(s, seen);
    Engine engine(model_, test::exact());
    const auto full = test::run_forced(engine, engine.add_sequence({}), prompt(), generated());
    for (std::size_t i = 0; i < full.size(); ++i) {
        EXPECT_LT(test::distance(logits[i], full[i]), 1e-4);
    }
    EXPECT_GT(seen.drift.size(), 0U);
    EXPECT_EQ(seen.triggers(), 0);
    EXPECT_TRUE(seen.fetches.empty());
}

TEST_F(HeteroCacheEngine, AttendsToWhatItReportsWithLagOne) {
    expect_attends_to_what_it_reports(settings(1));
}
TEST_F(HeteroCacheEngine, AttendsToWhatItReportsWithLagZero) {
    expect_attends_to_what_it_reports(settings(0));
}
TEST_F(HeteroCacheEngine, AttendsToWhatItReportsWithLagThree) {
    expect_attends_to_what_it_reports(settings(3));
}
TEST_F(HeteroCacheEngine, AttendsToWhatItReportsWhenRetrievingBeforeAttention) {
    policy::Settings s = settings(0);
    s.retrieve_before_attention = true;
    expect_attends_to_what_it_reports(s);
}
TEST_F(HeteroCacheEngine, AttendsToWhatItReportsWhenFetchingWholeSets) {
    policy::Settings s = settings(2);
    s.fetch_missing_only = false;
    expect_attends_to_what_it_reports(s);
}
TEST_F(HeteroCacheEngine, AttendsToWhatItReportsInReferenceMode) {
    policy::Settings s = policy::settings_for(policy::Mode::kReference);
    s.ratio = 0.6;
    s.stable_threshold = 0.9;
    expect_attends_to_what_it_reports(s);
}
TEST_F(HeteroCacheEngine, AttendsToWhatItReportsWithSinkAndRecentTokens) {
    policy::Settings s = settings(1);
    s.sink = 4;
    s.recent = 16;
    expect_attends_to_what_it_reports(s);
}

TEST_F(HeteroCacheEngine, CommitsTheSameRowsAtTheSameStepsEveryTime) {
    for (const int lag : {0, 1, 3}) {
        test::Collector first;
        const auto logits = run(settings(lag), first, 1);
        for (const int threads : {1, 2, 4}) {
            test::Collector again;
            EXPECT_EQ(run(settings(lag), again, threads), logits) << lag << " " << threads;
            ASSERT_EQ(again.rows.size(), first.rows.size());
            for (std::size_t i = 0; i < first.rows.size(); ++i) {
                EXPECT_EQ(again.rows[i].step, first.rows[i].step);
                EXPECT_EQ(again.rows[i].fetched, first.rows[i].fetched);
                EXPECT_EQ(again.rows[i].evicted, first.rows[i].evicted);
            }
        }
    }
}

TEST_F(HeteroCacheEngine, CommitsEachFetchItsLagAfterItsCheck) {
    for (const int lag : {0, 1, 3}) {
        test::Collector seen;
        static_cast<void>(run(settings(lag), seen));
        std::map<std::int64_t, std::int64_t> check_step;
        for (const DriftRecord& check : seen.drift) check_step[check.check_id] = check.step;
        std::int64_t committed = 0;
        for (const FetchRecord& fetch : seen.fetches) {
            if (fetch.committed_step < 0) continue;
            ++committed;
            EXPECT_EQ(fetch.committed_step, check_step.at(fetch.check_id) + lag);
            EXPECT_EQ(fetch.due_step, fetch.committed_step);
            EXPECT_FALSE(fetch.superseded);
        }
        EXPECT_GT(committed, 2);
    }
}

TEST_F(HeteroCacheEngine, SupersedesAFetchThatIsNotCommittedYet) {
    policy::Settings s = settings(7);
    s.window = 2;
    test::Collector seen;
    const auto logits = run(s, seen);
    std::int64_t superseded = 0;
    for (const FetchRecord& fetch : seen.fetches) {
        superseded += fetch.superseded ? 1 : 0;
        EXPECT_FALSE(fetch.superseded && fetch.committed_step >= 0);
    }
    EXPECT_GT(superseded, 0);
    EXPECT_EQ(static_cast<std::int64_t>(seen.fetches.size()), seen.triggers());
    const auto slow = expected(seen);
    for (std::size_t i = 0; i < logits.size(); ++i) {
        EXPECT_LT(test::distance(logits[i], slow[i]), 3e-4) << "step " << i;
    }
}

TEST_F(HeteroCacheEngine, HoldsSatellitesOnlyOnTheHostOrWholeLayersOnRequest) {
    const std::int64_t head_bytes =
        static_cast<std::int64_t>(kPrompt) * 2 * model_.shape.head_dim * 4;
    test::Collector seen;
    static_cast<void>(run(settings(), seen));
    EXPECT_EQ(seen.memory.back().host_tier_bytes, 3 * head_bytes);  // satellites 0:1, 0:3, 1:1
    policy::Settings s = settings();
    s.host_satellites_only = false;
    test::Collector whole;
    static_cast<void>(run(s, whole));
    EXPECT_EQ(whole.memory.back().host_tier_bytes, 8 * head_bytes);
    s.retrieval = false;
    test::Collector none;
    static_cast<void>(run(s, none));
    EXPECT_EQ(none.memory.back().host_tier_bytes, 0);
    EXPECT_TRUE(none.drift.empty());
}

TEST_F(HeteroCacheEngine, HoldsTheCapacityOfEachHeadAndNoMoreInThePool) {
    test::Collector seen;
    static_cast<void>(run(settings(), seen));
    const std::int64_t page_bytes = 2 * 32 * model_.shape.head_dim * 4;
    std::int64_t pages = 0;
    ASSERT_EQ(seen.heads.size(), 8U);
    for (const HeadRecord& head : seen.heads) {
        pages += (head.capacity + static_cast<std::int64_t>(kSteps) + 31) / 32;
        if (is_full(head.role)) {
            EXPECT_EQ(head.capacity, static_cast<std::int64_t>(kPrompt));
        } else {
            EXPECT_LT(head.capacity, static_cast<std::int64_t>(kPrompt));
        }
    }
    EXPECT_EQ(seen.memory.back().pool_used_bytes, pages * page_bytes);
    EXPECT_EQ(seen.heads[1].pivot, 0);
    EXPECT_EQ(seen.heads[2].pivot, -1);
}

TEST_F(HeteroCacheEngine, DecidesAsThePolicyDoesOnItsOwnScores) {
    test::Collector seen;
    Engine engine(model_, test::exact(), &seen);
    const policy::Settings s = settings(1);
    const SequenceId sequence = engine.add_sequence(test::heterocache(profile_, s));
    AttentionCapture capture;
    capture.keep = 1.0;
    capture.profile = &profile_;
    capture.settings = s;
    engine.capture_attention(sequence, capture);
    static_cast<void>(test::run_forced(engine, sequence, prompt(), generated()));
    engine.finish();

    std::map<std::tuple<std::int64_t, std::int32_t, std::int32_t>, const AttentionRecord*> score;
    for (const AttentionRecord& row : seen.attention) {
        ASSERT_EQ(row.kind, AttentionRowKind::kScore);
        score[{row.step, row.layer, row.head}] = &row;
    }
    const auto row = [&](std::int64_t step, HeadId head) {
        return policy::ScoreRow::ranked(score.at({step, head.layer, head.head})->ranked, kPrompt);
    };
    const policy::Budgets budgets = policy::compute_budgets(profile_, kPrompt, s);
    policy::HeteroCachePolicy replay(profile_, budgets, s);
    for (std::int32_t layer = 0; layer < 2; ++layer) {
        for (std::int32_t head = 0; head < 4; ++head) {
            const HeadId id{layer, head};
            if (profile_.role(id) == HeadRole::kVolatile) continue;
            if (profile_.role(id) == HeadRole::kPivot) {
                replay.set_reference(id, row(0, id));
                continue;
            }
            const Positions kept = replay.select_at_prefill(id, row(0, id));
            const auto in = seen.resident(layer, head, 0, kPrompt);
            EXPECT_EQ(std::count(in.begin(), in.end(), true),
                      static_cast<std::ptrdiff_t>(kept.size()));
            for (const Position p : kept) EXPECT_TRUE(in[p]);
        }
    }
    std::size_t checks = 0;
    std::map<std::int64_t, std::vector<HeadId>> due;
    for (std::int64_t step = 1; step <= static_cast<std::int64_t>(kSteps); ++step) {
        for (const HeadId pivot : due[step]) replay.commit(pivot);
        for (const HeadId pivot : {HeadId{0, 0}, HeadId{1, 2}}) {
            if (!replay.checks_at(pivot.layer, step)) continue;
            std::vector<policy::ScoreRow> window;
            for (std::int64_t w = step - s.window + 1; w <= step; ++w)
                window.push_back(row(w, pivot));
            const policy::CheckResult result = replay.check(pivot, window);
            ASSERT_LT(checks, seen.drift.size());
            const DriftRecord& check = seen.drift[checks++];
            EXPECT_EQ(check.step, step);
            EXPECT_EQ(check.layer, pivot.layer);
            EXPECT_EQ(check.pivot, pivot.head);
            EXPECT_EQ(check.overlaps, result.overlaps);
            EXPECT_EQ(check.triggered, result.triggered);
            if (result.triggered) due[step + 1].push_back(pivot);
        }
        for (const HeadId head : {HeadId{0, 1}, HeadId{0, 3}, HeadId{1, 1}}) {
            const auto in = seen.resident(head.layer, head.head, step, kPrompt);
            for (const Position p : replay.resident(head)) EXPECT_TRUE(in[p]);
        }
    }
    EXPECT_EQ(checks, seen.drift.size());
    EXPECT_GT(checks, 4U);
}

TEST_F(HeteroCacheEngine, WorksWithOneQueryHeadPerKvHead) {
    test::TinyModelOptions options = test::star_options();
    options.heads = 4;
    const model::Model model = test::load_tiny(options);
    test::Collector seen;
    Engine engine(model, test::exact(), &seen);
    const SequenceId sequence = engine.add_sequence(test::heterocache(profile_, settings()));
    const auto logits = test::run_forced(engine, sequence, prompt(), generated());
    EXPECT_GT(seen.triggers(), 0);
    const auto visible = [&](const test::SlowHead& head) -> std::vector<bool> {
        if (head.query < static_cast<std::int64_t>(kPrompt)) return {};
        std::vector<bool> mask = seen.resident(
            head.layer, head.head, head.query - static_cast<std::int64_t>(kPrompt) + 1, kPrompt);
        mask.resize(static_cast<std::size_t>(head.query) + 1, true);
        return mask;
    };
    const test::SlowResult slow = test::slow_forward(model, tokens_, visible);
    for (std::size_t i = 0; i < logits.size(); ++i) {
        EXPECT_LT(test::distance(logits[i], slow.logits[kPrompt - 1 + i]), 3e-4);
    }
}

TEST_F(HeteroCacheEngine, RefusesAProfileOfAnotherShapeNamingBoth) {
    const HeadProfile other = test::star_profile(5);
    Engine engine(model_, test::exact());
    try {
        static_cast<void>(engine.add_sequence(test::heterocache(other, settings())));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInput);
        EXPECT_NE(std::string(error.what()).find("5 layers of 4 KV heads"), std::string::npos)
            << error.what();
        EXPECT_NE(std::string(error.what()).find("2 of 4"), std::string::npos) << error.what();
    }
}

TEST_F(HeteroCacheEngine, RefusesARatioBelowTheMinimumAndStaysUsable) {
    policy::Settings s = settings();
    s.ratio = 0.05;
    Engine engine(model_, test::exact());
    const SequenceId sequence = engine.add_sequence(test::heterocache(profile_, s));
    try {
        static_cast<void>(engine.prefill(sequence, prompt()));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kRefused);
    }
    EXPECT_EQ(engine.length(sequence), 0);
    EXPECT_EQ(engine.memory().pool_used_bytes, 0);
    static_cast<void>(engine.prefill(engine.add_sequence({}), prompt()));
}

}  // namespace
}  // namespace hc::runtime
