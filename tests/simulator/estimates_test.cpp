#include "simulator/replay/estimates.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace hc::sim {
namespace {

TEST(Estimates, TheMedianHasTheRanksOfItsOrderStatistics) {
    std::vector<double> values(100);
    std::iota(values.begin(), values.end(), 1.0);
    const Estimate median = estimate_quantile(values, 0.5, {});
    EXPECT_DOUBLE_EQ(median.value, 50.5);
    EXPECT_DOUBLE_EQ(median.low, 40);   // 50 - 9.8
    EXPECT_DOUBLE_EQ(median.high, 61);  // 50 + 9.8, and one
}

TEST(Estimates, CoverTheTrueMedianAboutAsOftenAsTheySay) {
    std::mt19937 random(5);
    int covered = 0;
    for (int trial = 0; trial < 1000; ++trial) {
        std::vector<double> values;
        for (int i = 0; i < 101; ++i)
            values.push_back(static_cast<double>(random()) / 4294967296.0);
        std::sort(values.begin(), values.end());
        const Estimate median = estimate_quantile(values, 0.5, {});
        covered += median.low <= 0.5 && 0.5 <= median.high ? 1 : 0;
    }
    EXPECT_GT(covered, 930);
    EXPECT_LT(covered, 985);
}

TEST(Estimates, EndAtTheLargestWhenSamplesAreFew) {
    const std::vector<double> values = {1, 2, 3, 4, 100};
    const Estimate p99 = estimate_quantile(values, 0.99, {});
    EXPECT_DOUBLE_EQ(p99.value, 100);
    EXPECT_DOUBLE_EQ(p99.high, 100);
    EXPECT_LT(p99.low, 100);
    const Estimate one = estimate_quantile({7}, 0.5, {});
    EXPECT_DOUBLE_EQ(one.value, 7);
    EXPECT_DOUBLE_EQ(one.low, 7);
}

TEST(Estimates, DoubtWidensBothWays) {
    const Estimate e = estimate_exact(100, {.model = 0.1, .machine = 0.3});
    EXPECT_NEAR(e.low, 100 * 0.9 * 0.7, 1e-9);
    EXPECT_NEAR(e.high, 100 * 1.1 * 1.3, 1e-9);
}

TEST(Estimates, HidingMayBeNegative) {
    const Estimate e = estimate_share(-2.0, {.model = 0.1, .machine = 0});
    EXPECT_NEAR(e.low, 1 - 3 * 1.1 / 0.9, 1e-12);
    EXPECT_NEAR(e.high, 1 - 3 * 0.9 / 1.1, 1e-12);
}

TEST(Estimates, AShareStaysAShare) {
    const Estimate e = estimate_share(0.9, {.model = 0, .machine = 0.3});
    EXPECT_LT(e.low, 0.9);
    EXPECT_GE(e.low, 0.0);
    EXPECT_GT(e.high, 0.9);
    EXPECT_LE(e.high, 1.0);
    const Estimate full = estimate_share(1.0, {.model = 0.2, .machine = 0.3});
    EXPECT_DOUBLE_EQ(full.low, 1.0);
    EXPECT_DOUBLE_EQ(full.high, 1.0);
}

TEST(Estimates, TheMeanOfEqualValuesIsCertain) {
    const Estimate mean = estimate_mean({4, 4, 4}, {});
    EXPECT_DOUBLE_EQ(mean.value, 4);
    EXPECT_DOUBLE_EQ(mean.low, 4);
    EXPECT_DOUBLE_EQ(mean.high, 4);
}

}  // namespace
}  // namespace hc::sim
