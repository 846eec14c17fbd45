// What became faster or slower, on steps made by hand.
#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "profiler/analysis/compare.h"
#include "timeline.h"

namespace hc::analysis {
namespace {

using test::Timeline;

std::vector<double> noisy(std::size_t count, double median, double spread, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<double> values(count);
    for (double& v : values) {
        const double u = static_cast<double>(random() >> 11U) * 0x1p-53;
        v = median + spread * (2 * u - 1);
    }
    return values;
}

std::vector<double> scaled(std::vector<double> values, double factor) {
    for (double& v : values) v *= factor;
    return values;
}

TEST(CompareMedians, EqualStepsShowNoDifference) {
    const std::vector<double> steps = noisy(400, 1e6, 1e5, 1);
    const TimeDifference d = compare_medians(steps, steps);
    EXPECT_EQ(d.difference, 0);
    EXPECT_EQ(d.verdict, Verdict::kNone);
    EXPECT_LE(d.interval.value().low, 0);
    EXPECT_GE(d.interval.value().high, 0);
    const TimeDifference constant =
        compare_medians(std::vector<double>(10, 7), std::vector<double>(20, 7));
    EXPECT_EQ(constant.verdict, Verdict::kNone);
    EXPECT_EQ(constant.interval.value().high, 0);
}

TEST(CompareMedians, AShiftOfFivePercentDiffersAndIsNoVerdictOnTheProgram) {
    const std::vector<double> a = noisy(400, 1e6, 2e4, 1);
    const std::vector<double> b = scaled(noisy(300, 1e6, 2e4, 2), 1.05);
    const TimeDifference slower = compare_medians(a, b);
    EXPECT_EQ(slower.verdict, Verdict::kDiffers);
    EXPECT_EQ(slower.basis, Basis::kWithin);
    EXPECT_NEAR(slower.relative(slower.difference).value(), 0.05, 0.01);
    EXPECT_LT(slower.interval.value().low, slower.difference);
    EXPECT_GT(slower.interval.value().high, slower.difference);
    EXPECT_GT(slower.interval.value().low, 0);
    const TimeDifference faster = compare_medians(b, a);
    EXPECT_EQ(faster.verdict, Verdict::kDiffers);
    EXPECT_LT(faster.interval.value().high, 0);
}

TEST(CompareMedians, NoiseWiderThanTheShiftHidesIt) {
    const std::vector<double> a = noisy(30, 1e6, 5e5, 1);
    const std::vector<double> b = noisy(30, 1.01e6, 5e5, 2);
    EXPECT_EQ(compare_medians(a, b).verdict, Verdict::kNone);
    // The same shift is told apart by more steps.
    EXPECT_EQ(compare_medians(noisy(100000, 1e6, 5e4, 3), noisy(100000, 1.01e6, 5e4, 4)).verdict,
              Verdict::kDiffers);
}

TEST(CompareMedians, TooFewStepsGiveNoInterval) {
    const std::vector<double> one{100};
    const std::vector<double> five(5, 100);
    const std::vector<double> six(6, 200);
    for (const auto& few : {one, five}) {
        const TimeDifference d = compare_medians(few, six);
        EXPECT_FALSE(d.interval);
        EXPECT_EQ(d.verdict, Verdict::kNone);
        EXPECT_EQ(d.difference, 100);
        EXPECT_DOUBLE_EQ(d.relative(d.difference).value(), 1);
    }
    EXPECT_EQ(compare_medians(six, std::vector<double>(6, 100)).verdict, Verdict::kDiffers);
}

TEST(CompareMedians, NoStepsAreOnlyOnTheOtherSide) {
    const std::vector<double> some(10, 100);
    EXPECT_EQ(compare_medians({}, {}).verdict, Verdict::kNone);
    EXPECT_EQ(compare_medians(some, {}).verdict, Verdict::kOnlyA);
    EXPECT_EQ(compare_medians({}, some).verdict, Verdict::kOnlyB);
    EXPECT_FALSE(compare_medians({}, some).relative(1));
    EXPECT_FALSE(compare_medians(std::vector<double>(6, 0), some).relative(1));
}

TEST(CompareMedians, IsDeterministicAndKnowsNoOrder) {
    std::vector<double> a = noisy(501, 1e6, 2e5, 1);
    const std::vector<double> b = noisy(500, 1e6, 2e5, 2);
    const TimeDifference first = compare_medians(a, b);
    std::reverse(a.begin(), a.end());
    const TimeDifference second = compare_medians(a, b);
    EXPECT_EQ(first.interval.value().low, second.interval.value().low);
    EXPECT_EQ(first.interval.value().high, second.interval.value().high);
}

/// The shortcut (Beta order statistics) against resamples that are really drawn.
TEST(CompareMedians, IntervalsAreThoseOfDrawnResamples) {
    for (const std::size_t n : {6U, 7U, 50U, 201U}) {
        std::vector<double> a = noisy(n, 1000, 300, n);
        std::vector<double> b = noisy(n + 1, 1100, 300, n + 1000);
        for (double& v : a) v = std::exp(v / 300);  // not symmetric
        for (double& v : b) v = std::exp(v / 300);
        std::mt19937_64 random(5);
        const auto resampled = [&](const std::vector<double>& values) {
            std::vector<double> drawn(values.size());
            for (double& v : drawn) v = values[random() % values.size()];
            return distribution(drawn).median;
        };
        std::vector<double> differences(20000);
        for (double& d : differences) d = resampled(b) - resampled(a);
        std::sort(differences.begin(), differences.end());
        // Each end is the quantile that resamples give, up to the noise of 2,000 of them. Few
        // values have few medians, each of some weight: the quantile lies anywhere within it.
        const auto expect_quantile = [&](double value, double share) {
            const auto [first, last] =
                std::equal_range(differences.begin(), differences.end(), value);
            EXPECT_LE(static_cast<double>(first - differences.begin()) / 20000, share + 0.012) << n;
            EXPECT_GE(static_cast<double>(last - differences.begin()) / 20000, share - 0.012) << n;
        };
        const Bounds bounds = compare_medians(a, b).interval.value();
        expect_quantile(bounds.low, 0.025);
        expect_quantile(bounds.high, 0.975);
    }
}

TEST(CompareMedians, SeldomTellsADifferenceThatIsNone) {
    int told = 0;
    for (std::uint64_t trial = 0; trial < 400; ++trial) {
        const auto a = noisy(60, 1000, 100, 2 * trial + 1);
        const auto b = noisy(60, 1000, 100, 2 * trial + 2);
        told += compare_medians(a, b).verdict == Verdict::kNone ? 0 : 1;
    }
    EXPECT_LE(told, 40);  // 5 % are meant
    EXPECT_GE(told, 2);   // and an interval that is never wrong is too wide
}

/// `steps` decode steps of `step_ns`, in each two layers of attention and one mlp.
Timeline run_of(std::int64_t steps, std::int64_t step_ns, std::int64_t attention_ns) {
    Timeline t;
    t.data.run.model_hash = "abc";
    t.data.run.prompt_tokens = 100;
    t.data.machine.name = "here";
    t.step(0, 0, 500, Phase::kPrefill);
    t.op(OpKind::kEmbed, 0, 0, 500);
    for (std::int64_t s = 1; s <= steps; ++s) {
        const std::int64_t at = s * 100000;
        t.step(s, at, at + step_ns);
        t.op(OpKind::kAttention, s, at, at + attention_ns);
        t.op(OpKind::kAttention, s, at + attention_ns, at + 2 * attention_ns);
        t.op(OpKind::kMlp, s, at + 2 * attention_ns, at + 2 * attention_ns + 50);
    }
    return t;
}

TEST(CompareRuns, SumsLayersAndOrdersByWidestDifference) {
    const RunSummary a = summarise(run_of(20, 1000, 300).data);
    const RunSummary b = summarise(run_of(30, 1100, 350).data);
    EXPECT_EQ(a.kind_ns[static_cast<std::size_t>(OpKind::kAttention)],
              std::vector<double>(20, 600));
    const Comparison c = compare_runs(a, b);
    EXPECT_TRUE(c.settings.empty());
    EXPECT_EQ(c.step.verdict, Verdict::kDiffers);
    EXPECT_EQ(c.step.difference, 100);
    ASSERT_EQ(c.by_kind.size(), 2U);  // prefill's operations are not among them
    EXPECT_EQ(c.by_kind[0].kind, OpKind::kAttention);
    EXPECT_EQ(c.by_kind[0].time.difference, 100);
    EXPECT_EQ(c.by_kind[0].time.verdict, Verdict::kDiffers);
    EXPECT_EQ(c.by_kind[0].mean_b, 700);
    EXPECT_EQ(c.by_kind[1].kind, OpKind::kMlp);
    EXPECT_EQ(c.by_kind[1].time.verdict, Verdict::kNone);
}

TEST(CompareRuns, AKindThatOneSideLacksIsNamedSo) {
    Timeline with = run_of(20, 1000, 300);
    Timeline seldom;
    seldom.step(1, 0, 1000);
    seldom.step(2, 1000, 2000);
    seldom.op(OpKind::kDriftScore, 2, 1000, 1400);
    const Comparison c = compare_runs(summarise(with.data), summarise(seldom.data));
    ASSERT_EQ(c.by_kind.size(), 3U);
    EXPECT_EQ(c.by_kind[0].time.verdict, Verdict::kOnlyA);
    EXPECT_EQ(c.by_kind[1].kind, OpKind::kDriftScore);
    EXPECT_EQ(c.by_kind[1].time.verdict, Verdict::kOnlyB);
    EXPECT_EQ(c.by_kind[1].time.median_b, 400);  // of the step that has it
    EXPECT_EQ(c.by_kind[1].mean_b, 200);         // of both
    EXPECT_FALSE(c.by_kind[1].time.interval);
}

TEST(CompareRuns, FiguresNeedBothSides) {
    Timeline a = run_of(10, 1000, 300);
    Timeline b = run_of(10, 1000, 300);
    a.data.memory = {{0, 10, 20, 30, 5, 100}};
    const auto names = [&] {
        std::vector<std::string_view> found;
        for (const auto& f : compare_runs(summarise(a.data), summarise(b.data)).figures) {
            found.push_back(f.name);
        }
        return found;
    };
    EXPECT_EQ(names(), std::vector<std::string_view>{"prefill_ns"});
    b.data.memory = {{0, 40, 50, 60, 5, 100}};
    for (Timeline* t : {&a, &b}) {
        t->fetch(t->op(OpKind::kFetch, 10, 1000000, 1000100), -1, 0);
        t->data.drift = {DriftRecord{}};
    }
    const std::vector<std::string_view> all{"prefill_ns",
                                            "hiding",
                                            "triggers_per_step",
                                            "exposed_ns_per_step",
                                            "rows_fetched_per_step",
                                            "fetch_bytes_per_step",
                                            "kv_pool_peak_bytes",
                                            "host_tier_bytes"};
    EXPECT_EQ(names(), all);
    const Comparison c = compare_runs(summarise(a.data), summarise(b.data));
    EXPECT_DOUBLE_EQ(c.figures[4].a, 0.8);
    EXPECT_DOUBLE_EQ(c.figures[6].b, 40);
}

TEST(CompareRuns, SaysInWhatTheRunsAreNotAlike) {
    RunSummary a = summarise(run_of(10, 1000, 300).data);
    RunSummary b = a;
    b.run.model_hash = "def";
    b.run.origin = trace::Origin::kSimulated;
    b.run.prompt_tokens = 200;
    b.run.batch = 2;
    b.run.backend = "cuda";
    b.machine = "there";
    std::vector<std::string> what;
    for (const auto& s : compare_runs(a, b).settings) what.push_back(s.what);
    EXPECT_EQ(what, (std::vector<std::string>{"model hash", "origin", "prompt tokens", "batch",
                                              "backend", "machine"}));
    b.run.model_name = "other";
    EXPECT_EQ(compare_runs(a, b).settings.front().b, "other");
}

TEST(CompareRuns, OfNothingIsNothing) {
    const Comparison c = compare_runs(summarise({}), summarise({}));
    EXPECT_EQ(c.step.verdict, Verdict::kNone);
    EXPECT_TRUE(c.by_kind.empty());
    EXPECT_TRUE(c.figures.empty());
}

TEST(CompareRuns, TenThousandStepsTakeUnderASecond) {
    RunSummary a, b;
    a.step_ns = noisy(10000, 1e6, 1e5, 1);
    b.step_ns = noisy(10000, 1e6, 1e5, 2);
    for (std::size_t kind = 0; kind < a.kind_ns.size(); ++kind) {
        a.kind_ns[kind] = noisy(10000, 1e5, 1e4, 10 + kind);
        b.kind_ns[kind] = noisy(10000, 1e5, 1e4, 30 + kind);
    }
    const auto start = std::chrono::steady_clock::now();
    const Comparison c = compare_runs(a, b);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
    EXPECT_EQ(c.by_kind.size(), a.kind_ns.size());
}

}  // namespace
}  // namespace hc::analysis
