// figures() against simulate(): decisions by bitmaps against engine/policy, times of the walk
// against the event engine.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "engine/config/settings_json.h"
#include "engine/core/error.h"
#include "engine/policy/selection.h"
#include "fake_recording.h"
#include "simulator/replay/figure_decisions.h"
#include "simulator/replay/position_set.h"
#include "simulator/replay/simulator.h"

namespace hc::sim {
namespace {

using test::fake_run;
using test::fake_settings;
using test::FakeOptions;

Simulator self_judged(const FakeOptions& options) {
    trace::RunData run = fake_run(options);
    trace::RunData attention = run;
    return Simulator(std::move(run), std::move(attention), {}, test::fake_values());
}

void expect_near(const Estimate& a, const Estimate& b, const char* what) {
    // Rounding of nanoseconds where an operation and a transfer end in the same instant.
    const double slack = 1e-6 * std::abs(b.value) + 60;
    EXPECT_NEAR(a.value, b.value, slack) << what;
    EXPECT_NEAR(a.low, b.low, slack) << what;
    EXPECT_NEAR(a.high, b.high, slack) << what;
}

void expect_same(const Simulator& simulator, const Scenario& scenario) {
    const Prediction full = simulator.simulate(scenario);
    const Prediction fast = simulator.figures(scenario);
    EXPECT_EQ(fast.tag, full.tag);
    EXPECT_EQ(fast.notes, full.notes);
    EXPECT_EQ(fast.checks, full.checks);
    EXPECT_EQ(fast.triggers, full.triggers);
    EXPECT_EQ(fast.fetches, full.fetches);
    EXPECT_EQ(fast.rows_fetched, full.rows_fetched);
    EXPECT_EQ(fast.fetch_bytes, full.fetch_bytes);
    EXPECT_EQ(fast.kv_pool_bytes, full.kv_pool_bytes);
    EXPECT_EQ(fast.host_tier_bytes, full.host_tier_bytes);
    EXPECT_EQ(fast.staging_bytes, full.staging_bytes);
    expect_near(fast.step_ns_median, full.step_ns_median, "median");
    expect_near(fast.step_ns_p95, full.step_ns_p95, "p95");
    expect_near(fast.step_ns_p99, full.step_ns_p99, "p99");
    expect_near(fast.step_ns_max, full.step_ns_max, "max");
    expect_near(fast.exposed_ns, full.exposed_ns, "exposed");
    expect_near(fast.transfer_ns, full.transfer_ns, "transfer");
    ASSERT_EQ(fast.hiding.has_value(), full.hiding.has_value());
    if (full.hiding) {
        EXPECT_NEAR(fast.hiding->value, full.hiding->value, 1e-4);
    }
    ASSERT_EQ(fast.overlap.has_value(), full.overlap.has_value());
    if (full.overlap) {
        EXPECT_NEAR(fast.overlap->value, full.overlap->value, 1e-4);
    }
    ASSERT_EQ(fast.recall.has_value(), full.recall.has_value());
    if (full.recall) {
        EXPECT_NEAR(fast.recall->low, full.recall->low, 1e-12);
        EXPECT_NEAR(fast.recall->high, full.recall->high, 1e-12);
    }
}

TEST(Figures, EqualTheFullReplayOverAGridOfSettings) {
    for (const double interference : {0.0, 0.4}) {
        FakeOptions options;
        options.settings = fake_settings();
        options.interference = interference;
        const Simulator simulator = self_judged(options);
        std::int64_t triggers = 0;
        for (const double ratio : {0.45, 0.6, 0.7, 1.0}) {
            for (const double threshold : {0.3, 0.75, 0.9}) {
                for (const int lag : {0, 1, 3, 9}) {
                    Scenario scenario;
                    scenario.ratio = ratio;
                    scenario.stable_threshold = threshold;
                    scenario.commit_lag = lag;
                    scenario.window = 3 + lag % 4;
                    SCOPED_TRACE(testing::Message() << ratio << " " << threshold << " " << lag);
                    expect_same(simulator, scenario);
                    triggers += simulator.figures(scenario).triggers;
                }
            }
        }
        EXPECT_GT(triggers, 100);
    }
}

TEST(Figures, EqualTheFullReplayInEveryQuirk) {
    FakeOptions options;
    options.settings = fake_settings();
    options.settings.stable_threshold = 0.8;
    const auto with = [&](auto change) {
        FakeOptions changed = options;
        change(changed.settings);
        const Simulator simulator = self_judged(changed);
        Scenario at_once;
        at_once.commit_lag = 0;
        expect_same(simulator, {});
        expect_same(simulator, at_once);
    };
    with([](policy::Settings& s) { s.satellites_cut_by_position = true; });
    with([](policy::Settings& s) { s.reference_sets_by_file_order = true; });
    with([](policy::Settings& s) { s.fetch_missing_only = false; });
    with([](policy::Settings& s) { s.chance_corrected = true; });
    with([](policy::Settings& s) { s.stagger_checks = false; });
    with([](policy::Settings& s) {
        s.sink = 4;
        s.recent = 30;
    });
    with([](policy::Settings& s) { s.asynchronous = false; });
    with([](policy::Settings& s) { s.retrieve_before_attention = true; });
    Scenario reference;
    reference.mode = policy::Mode::kReference;
    expect_same(self_judged(options), reference);
}

TEST(Figures, EqualTheFullReplayOnOtherMachinesPromptsAndPolicies) {
    FakeOptions options;
    options.settings = fake_settings();
    const Simulator simulator = self_judged(options);
    Scenario machine;
    machine.machine = find_machine("link-10gbe");
    machine.stable_threshold = 0.85;
    expect_same(simulator, machine);
    Scenario longer;
    longer.prompt_tokens = 1200;
    expect_same(simulator, longer);
    Scenario full;
    full.policy = "fullkv";
    expect_same(simulator, full);
    Scenario off;
    off.retrieval = false;
    expect_same(simulator, off);
}

TEST(Figures, DoNotDependOnWhatIsKeptFromScenarioToScenario) {
    FakeOptions options;
    options.settings = fake_settings();
    options.settings.stable_threshold = 0.8;
    const trace::RunData run = fake_run(options);
    const ScoreIndex scores(run, options.num_layers, 3);
    const ProbRows probabilities(run, options.num_layers, 3);
    const config::RunParameters parameters =
        config::run_parameters_from_json(run.run.parameters_json, "test");
    const HeadProfile& profile = *parameters.profile;
    FigureReplayer keeps(scores, probabilities);
    FigureReplayer forgets(scores, probabilities, 3);
    for (const double ratio : {0.5, 0.6, 0.5, 0.7}) {
        policy::Settings settings = options.settings;
        settings.ratio = ratio;
        const policy::Budgets budgets = policy::compute_budgets(profile, options.prompt, settings);
        const auto a = keeps.replay(profile, budgets, settings, 1, options.steps, 1, true);
        const auto b = forgets.replay(profile, budgets, settings, 1, options.steps, 1, true);
        ASSERT_EQ(a.checks.size(), b.checks.size());
        ASSERT_EQ(a.fetches.size(), b.fetches.size());
        EXPECT_GT(a.fetches.size(), 3U);
        for (std::size_t i = 0; i < a.fetches.size(); ++i) {
            EXPECT_EQ(a.fetches[i].step, b.fetches[i].step);
            EXPECT_EQ(a.fetches[i].rows_fetched, b.fetches[i].rows_fetched);
            EXPECT_EQ(a.fetches[i].runs, b.fetches[i].runs);
        }
        EXPECT_EQ(a.recall->low, b.recall->low);
        EXPECT_EQ(a.recall->high, b.recall->high);
    }
}

TEST(Figures, RefuseWhatTheFullReplayRefuses) {
    FakeOptions options;
    options.settings = fake_settings();
    const Simulator simulator = self_judged(options);
    const auto refusal = [&](const Scenario& scenario, bool fast) -> std::string {
        try {
            (void)(fast ? simulator.figures(scenario) : simulator.simulate(scenario));
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    };
    for (const double ratio : {0.9, 0.1}) {
        Scenario scenario;
        scenario.ratio = ratio;
        EXPECT_NE(refusal(scenario, true), "");
        EXPECT_EQ(refusal(scenario, true), refusal(scenario, false));
    }
    Scenario batch;
    batch.batch = 4;
    EXPECT_NE(refusal(batch, true).find("one batch size"), std::string::npos)
        << refusal(batch, true);
}

TEST(Figures, GiveEqualAnswersFromSeveralThreads) {
    FakeOptions options;
    options.settings = fake_settings();
    const Simulator simulator = self_judged(options);
    std::vector<double> medians(16);
    const auto ask = [&](std::size_t i) {
        Scenario scenario;
        scenario.ratio = 0.5 + 0.01 * static_cast<double>(i % 8);
        medians[i] = simulator.figures(scenario).step_ns_median.value;
    };
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (std::size_t i = t; i < medians.size(); i += 4) ask(i);
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(medians[i], medians[i + 8]);
}

TEST(PositionSet, IsThePolicysSelection) {
    std::mt19937 random(3);
    for (int round = 0; round < 200; ++round) {
        const std::int64_t prompt = 1 + random() % 400;
        std::vector<float> scores(static_cast<std::size_t>(prompt));
        for (float& score : scores) score = static_cast<float>(random() % 1000);
        Positions ranked;
        policy::rank_top(scores, scores.size(), ranked);
        const std::int64_t capacity = random() % (static_cast<unsigned>(prompt) + 2);
        const auto sink = static_cast<std::int32_t>(random() % 6);
        const auto recent = static_cast<std::int32_t>(random() % 40);
        Positions expected;
        policy::select_kept(policy::ScoreRow::ranked(ranked, scores.size()), capacity, sink, recent,
                            expected);
        const PositionSet set = PositionSet::kept(ranked, prompt, capacity, sink, recent);
        ASSERT_EQ(set.size(), static_cast<std::int64_t>(expected.size()));
        for (const Position p : expected) EXPECT_TRUE(set.holds(p));
        const std::int64_t half = set.size() / 2;
        const PositionSet low = set.lowest(half);
        ASSERT_EQ(low.size(), half);
        for (std::int64_t i = 0; i < half; ++i) {
            EXPECT_TRUE(low.holds(expected[static_cast<std::size_t>(i)]));
        }
        EXPECT_EQ(common(set, low), half);
        const Difference rest = difference(set, low);
        EXPECT_EQ(rest.rows, set.size() - half);
        std::int64_t runs = 0;
        for (std::size_t i = static_cast<std::size_t>(half); i < expected.size(); ++i) {
            const bool first = i == static_cast<std::size_t>(half);
            runs += first || expected[i] != expected[i - 1] + 1 ? 1 : 0;
        }
        EXPECT_EQ(rest.runs, runs);
    }
}

TEST(PositionSet, ARowThatIsTooShortIsRefused) {
    const std::vector<Position> ranked = {5, 2, 9};
    EXPECT_THROW((void)PositionSet::kept(ranked, 100, 4, 0, 0), Error);
    EXPECT_EQ(PositionSet::kept(ranked, 100, 3, 0, 0).size(), 3);
    EXPECT_EQ(PositionSet::kept({}, 100, 100, 0, 0).size(), 100);
}

}  // namespace
}  // namespace hc::sim
