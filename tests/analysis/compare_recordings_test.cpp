// Verdicts hang on the spread between recordings: identical programs get none, a real shift does.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "profiler/analysis/compare.h"
#include "profiler/analysis/welch.h"
#include "timeline.h"

namespace hc::analysis {
namespace {

class Machine {
public:
    explicit Machine(std::uint64_t seed) : random_(seed) {}
    double uniform() { return (static_cast<double>(random_() >> 11U) + 0.5) * 0x1p-53; }
    double normal() {
        return std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
    }
    /// Decode steps of one recording: the machine is `spread` faster or slower in all of it, and
    /// steps scatter by 2 % around that.
    std::vector<double> record(double step_ns, double spread, std::size_t steps = 200) {
        const double level = step_ns * (1 + spread * normal());
        std::vector<double> values(steps);
        for (double& v : values) v = level * (1 + 0.02 * normal());
        return values;
    }
    std::vector<RunSummary> recordings(std::size_t count, double step_ns, double spread) {
        std::vector<RunSummary> runs(count);
        for (RunSummary& run : runs) {
            run.step_ns = record(step_ns, spread);
            run.kind_ns[0] = record(step_ns / 2, spread);
            run.kind_ns[1] = record(step_ns / 4, spread);
        }
        return runs;
    }

private:
    std::mt19937_64 random_;
};

TEST(CompareRecordings, OneRecordingASideNeverGetsAVerdict) {
    Machine machine(1);
    int differs = 0;
    for (int trial = 0; trial < 200; ++trial) {
        const auto a = machine.recordings(1, 1e6, 0.03);
        const auto b = machine.recordings(1, 1e6, 0.03);
        const Comparison c = compare_runs(std::span(a), std::span(b));
        EXPECT_NE(c.step.verdict, Verdict::kFaster);
        EXPECT_NE(c.step.verdict, Verdict::kSlower);
        EXPECT_FALSE(c.step.p);
        differs += c.step.verdict == Verdict::kDiffers ? 1 : 0;
    }
    // This is what the steps of two recordings say of one program: nearly always wrong.
    EXPECT_GT(differs, 150);
}

TEST(CompareRecordings, IdenticalProgramsSeldomGetOne) {
    Machine machine(2);
    int told = 0;
    int rows_told = 0;
    constexpr int kTrials = 400;
    for (int trial = 0; trial < kTrials; ++trial) {
        const std::size_t count = 3 + static_cast<std::size_t>(trial % 4);
        const auto a = machine.recordings(count, 1e6, 0.03);
        const auto b = machine.recordings(count, 1e6, 0.03);
        const Comparison c = compare_runs(std::span(a), std::span(b));
        ASSERT_TRUE(c.step.p);
        told += c.step.verdict == Verdict::kNone ? 0 : 1;
        for (const KindDifference& kind : c.by_kind) {
            rows_told += kind.time.verdict == Verdict::kNone ? 0 : 1;
        }
    }
    // 5 % are meant, 20 of 400; a test that never errs would see nothing either.
    EXPECT_LE(told, 36);
    EXPECT_GE(told, 4);
    EXPECT_LE(rows_told, 40);  // corrected: about 5 % of the tables, not of the rows
}

TEST(CompareRecordings, AShiftOfFivePercentOverFiveRecordingsIsTold) {
    Machine machine(3);
    int slower = 0;
    int faster = 0;
    for (int trial = 0; trial < 100; ++trial) {
        const auto a = machine.recordings(5, 1e6, 0.01);
        const auto b = machine.recordings(5, 1.05e6, 0.01);
        const Comparison c = compare_runs(std::span(a), std::span(b));
        slower += c.step.verdict == Verdict::kSlower ? 1 : 0;
        faster += compare_runs(std::span(b), std::span(a)).step.verdict == Verdict::kFaster ? 1 : 0;
        EXPECT_EQ(c.step.basis, Basis::kBetween);
        EXPECT_EQ(c.step.recordings_a, 5U);
        EXPECT_EQ(c.step.count_a, 1000U);
    }
    EXPECT_GE(slower, 98);
    EXPECT_EQ(faster, slower);
}

TEST(CompareRecordings, IntervalsHoldTheTrueShiftNineteenTimesOfTwenty) {
    Machine machine(4);
    int held = 0;
    for (int trial = 0; trial < 400; ++trial) {
        std::vector<double> a(4);
        std::vector<double> b(6);
        for (double& v : a) v = 100 + 3 * machine.normal();
        for (double& v : b) v = 107 + 1 * machine.normal();
        const WelchResult r = welch_test(a, b).value();
        held += r.low <= 7 && 7 <= r.high ? 1 : 0;
    }
    EXPECT_GE(held, 364);
    EXPECT_LE(held, 396);
}

TEST(CompareRecordings, FewerThanThreeASideGiveADifferenceAlone) {
    Machine machine(5);
    for (const std::size_t count : {2U, 5U}) {
        const auto a = machine.recordings(2, 1e6, 0.001);
        const auto b = machine.recordings(count, 2e6, 0.001);
        const Comparison c = compare_runs(std::span(a), std::span(b));
        EXPECT_EQ(c.step.verdict, Verdict::kNone);
        EXPECT_FALSE(c.step.interval);
        EXPECT_NEAR(c.step.relative(c.step.difference).value(), 1, 0.02);
    }
}

TEST(CompareRecordings, RecordingsWithoutStepsDoNotCount) {
    Machine machine(6);
    auto a = machine.recordings(4, 1e6, 0.001);
    const auto b = machine.recordings(3, 1e6, 0.001);
    a[1].step_ns.clear();
    const Comparison c = compare_runs(std::span(a), std::span(b));
    EXPECT_EQ(c.step.recordings_a, 3U);
    EXPECT_TRUE(c.step.p);
    EXPECT_EQ(compare_runs(std::span(a).subspan(0, 3), std::span(b)).step.basis, Basis::kNone);
}

TEST(CompareRecordings, UnlikeRecordingsOfOneSideAreSaidToo) {
    Machine machine(7);
    auto a = machine.recordings(3, 1e6, 0.01);
    const auto b = machine.recordings(3, 1e6, 0.01);
    EXPECT_TRUE(compare_runs(std::span(a), std::span(b)).settings.empty());
    a[2].machine = "there";
    const Comparison c = compare_runs(std::span(a), std::span(b));
    ASSERT_EQ(c.settings.size(), 1U);
    EXPECT_EQ(c.settings[0].what, "machine");
}

// Values of Student's t from tables (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
TEST(Welch, StudentsTEqualsItsTables) {
    EXPECT_NEAR(student_quantile(0.05, 1), 12.706, 5e-4);
    EXPECT_NEAR(student_quantile(0.05, 4), 2.776, 5e-4);
    EXPECT_NEAR(student_quantile(0.05, 10), 2.228, 5e-4);
    EXPECT_NEAR(student_quantile(0.01, 8), 3.355, 5e-4);
    EXPECT_NEAR(student_quantile(0.05, 1e6), 1.960, 5e-4);
    EXPECT_NEAR(student_two_sided(12.7062047362, 1), 0.05, 1e-10);
    EXPECT_NEAR(student_two_sided(1, 1), 0.5, 1e-12);  // Cauchy: 1 - 2 atan(1) / pi
    EXPECT_NEAR(student_two_sided(std::sqrt(2.0), 2), 1 - std::sqrt(0.5), 1e-12);
    EXPECT_EQ(student_two_sided(0, 5), 1);
    EXPECT_EQ(student_two_sided(INFINITY, 5), 0);
    for (const double df : {1.0, 2.5, 7.0, 100.0}) {
        for (const double p : {0.9, 0.5, 0.05, 1e-6}) {
            EXPECT_NEAR(student_two_sided(student_quantile(p, df), df), p, 1e-9 * p);
        }
    }
}

TEST(Welch, AnExampleWorkedOutByHand) {
    // Means 2 and 6, variances 1 and 4: t = 4 / sqrt(1/3 + 4/3), freedom = (5/3)^2 / ((1/9 +
    // 16/9)/2).
    const std::vector<double> a{1, 2, 3};
    const std::vector<double> b{4, 6, 8};
    const WelchResult r = welch_test(a, b).value();
    EXPECT_DOUBLE_EQ(r.difference, 4);
    EXPECT_NEAR(r.degrees_of_freedom, (25.0 / 9) / (17.0 / 18), 1e-12);
    EXPECT_NEAR(r.p, student_two_sided(4 / std::sqrt(5.0 / 3), 50.0 / 17), 1e-12);
    EXPECT_NEAR(r.low + r.high, 8, 1e-9);
    EXPECT_FALSE(welch_test(std::vector<double>{1, 2}, b));
}

TEST(Welch, WithoutSpread) {
    const std::vector<double> ones(3, 1.0);
    const std::vector<double> twos(4, 2.0);
    EXPECT_EQ(welch_test(ones, ones).value().p, 1);
    EXPECT_EQ(welch_test(ones, twos).value().p, 0);
    EXPECT_EQ(welch_test(ones, twos).value().low, 1);
}

TEST(Holm, StepsDown) {
    const std::vector<double> adjusted = holm_adjusted(std::vector<double>{0.01, 0.04, 0.03, 0.5});
    EXPECT_DOUBLE_EQ(adjusted[0], 0.04);
    EXPECT_DOUBLE_EQ(adjusted[2], 0.09);
    EXPECT_DOUBLE_EQ(adjusted[1], 0.09);  // never below a smaller p's
    EXPECT_DOUBLE_EQ(adjusted[3], 0.5);
    EXPECT_TRUE(holm_adjusted({}).empty());
}

}  // namespace
}  // namespace hc::analysis
