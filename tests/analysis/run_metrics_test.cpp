// The figures of a run on a small timeline, and the time that a large one takes.
#include <gtest/gtest.h>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "profiler/analysis/metrics.h"
#include "timeline.h"

namespace hc::analysis {
namespace {

using test::Timeline;

TEST(RunMetrics, SumUpASmallRun) {
    Timeline t;
    t.data.run.id = 3;
    t.data.run.commit_lag = 2;
    t.step(0, 0, 1000, Phase::kPrefill);
    t.op(OpKind::kMlp, 0, 0, 1000);
    for (std::int64_t s = 1; s <= 4; ++s) {
        t.step(s, s * 1000, s * 1000 + s * 100);  // 100, 200, 300, 400 ns
        t.op(OpKind::kMlp, s, s * 1000, s * 1000 + 50);
        t.op(OpKind::kAttention, s, s * 1000 + 50, s * 1000 + 60);
    }
    const std::int64_t fetch = t.op(OpKind::kFetch, 4, 4000, 4010);
    t.fetch(fetch, -1, 0);
    t.data.fetches.back().superseded = true;
    DriftRecord check;
    check.triggered = true;
    t.data.drift = {check, DriftRecord{}};
    t.data.memory = {{0, 10, 20, 30, 5, 100}, {1, 40, 50, 20, 5, 90}};
    TokenRecord a{1, 0, 7, 100, 0.5, true, std::log(4.0)};
    TokenRecord b{2, 0, 7, 101, 1.5, false, std::log(16.0)};
    TokenRecord plain;
    t.data.tokens = {plain, a, b};

    const RunMetrics m = run_metrics(t.data, nullptr);
    EXPECT_EQ(m.run, 3);
    EXPECT_EQ(m.commit_lag, 2);
    EXPECT_EQ(m.prefill_ns, 1000);
    EXPECT_EQ(m.step_ns.count, 4);
    EXPECT_EQ(m.step_ns.median, 250);
    EXPECT_EQ(m.step_ns.max, 400);
    EXPECT_DOUBLE_EQ(m.tokens_per_s, 4 / 1000e-9);
    EXPECT_EQ(m.checks, 2);
    EXPECT_EQ(m.triggers, 1);
    EXPECT_EQ(m.fetches, 1);
    EXPECT_EQ(m.superseded, 1);
    EXPECT_EQ(m.rows_wanted, 20);
    EXPECT_EQ(m.rows_fetched, 8);
    EXPECT_EQ(m.fetch_bytes, 800);
    EXPECT_EQ(m.kv_pool_peak_bytes, 40);
    EXPECT_EQ(m.host_tier_bytes, 30);
    EXPECT_EQ(m.process_peak_bytes, 100);
    EXPECT_DOUBLE_EQ(m.kl_nats.value().mean, 1.0);
    EXPECT_DOUBLE_EQ(m.top1_equal.value(), 0.5);
    EXPECT_DOUBLE_EQ(m.perplexity.value(), 8);
    EXPECT_FALSE(m.recall);
    ASSERT_EQ(m.by_kind.size(), 3U);  // prefill's operations are not among them
    EXPECT_EQ(m.by_kind[0].kind, OpKind::kMlp);
    EXPECT_EQ(m.by_kind[0].count, 4);
    EXPECT_EQ(m.by_kind[0].total_ns, 200);
    EXPECT_EQ(m.by_kind[0].median_ns, 50);
    EXPECT_EQ(m.by_kind[0].bytes, 44);
    EXPECT_EQ(m.by_kind[0].flops, 400);
    EXPECT_EQ(m.by_kind[1].kind, OpKind::kAttention);
}

TEST(RunMetrics, OfAnEmptyRunAreEmpty) {
    const RunMetrics m = run_metrics({}, nullptr);
    EXPECT_EQ(m.step_ns.count, 0);
    EXPECT_EQ(m.tokens_per_s, 0);
    EXPECT_FALSE(m.kl_nats);
    EXPECT_FALSE(m.transfer.hiding);
    EXPECT_TRUE(m.by_kind.empty());
}

/// The largest numbers that a reader lets through, in a file made to hurt (run under UBSan).
TEST(RunMetrics, OfAbsurdNumbersAreDefined) {
    constexpr std::int64_t kHuge = std::int64_t{1} << 60;
    Timeline t;
    for (std::int64_t s = 0; s < 20; ++s) {
        t.step(kHuge - 20 + s, -kHuge, kHuge, s == 0 ? Phase::kPrefill : Phase::kDecode);
        t.op(OpKind::kMlp, kHuge - 20 + s, -kHuge, 2 * kHuge, kHuge);
        t.op(OpKind::kFetch, kHuge - 20 + s, kHuge, -kHuge, kHuge);
        const std::int64_t commit = t.op(OpKind::kCommit, kHuge - 20 + s, kHuge, -kHuge);
        t.fetch(commit - 1, commit, kHuge);
        t.fetch(commit - 1, commit, kHuge);
        t.data.fetches.back().bytes = t.data.fetches.back().rows_wanted = kHuge;
    }
    t.op(OpKind::kFetch, kHuge - 1, -kHuge, -kHuge + 5);
    for (std::int64_t& flops : t.data.ops.flops) flops = kHuge;
    const RunMetrics m = run_metrics(t.data, nullptr);
    EXPECT_EQ(m.step_ns.count, 19);
    EXPECT_EQ(m.transfer.transfer_ns, 5);
}

TEST(RunMetrics, OfThreeMillionOperationsTakeLessThanASecond) {
    Timeline t;
    std::mt19937_64 random(1);
    const auto pick = [&](std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(0, high)(random);
    };
    std::int64_t now = 0;
    for (std::int64_t s = 1; s <= 10'000; ++s) {
        const std::int64_t start = now;
        for (int i = 0; i < 300; ++i) {
            const std::int64_t end = now + 1000 + pick(500);
            // The last operations of every third step run beside a transfer.
            if (s % 3 == 0 && i == 280) t.op(OpKind::kFetch, s, now, now + 20'000);
            t.op(static_cast<OpKind>(pick(6)), s, now, end, pick(50));
            now = end;
        }
        t.step(s, start, now);
    }
    const auto begin = std::chrono::steady_clock::now();
    const RunMetrics m = run_metrics(t.data, nullptr);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::printf("metrics of %zu operations: %.3f s\n", t.data.ops.size(), seconds);
    EXPECT_TRUE(m.transfer.interference);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    EXPECT_LT(seconds, 20);
#else
    EXPECT_LT(seconds, 3);  // measured below 1 s; the rest is for a busy machine
#endif
}

}  // namespace
}  // namespace hc::analysis
