// Interval sets against a bitmap of every nanosecond.
#include <gtest/gtest.h>
#include <bitset>
#include <random>

#include "profiler/analysis/metrics.h"

namespace hc::analysis {
namespace {

constexpr std::size_t kSpan = 400;
using Bitmap = std::bitset<kSpan>;

std::vector<Interval> random_intervals(std::mt19937_64& random) {
    std::vector<Interval> intervals(std::uniform_int_distribution<std::size_t>(0, 25)(random));
    for (Interval& i : intervals) {
        i.start_ns = std::uniform_int_distribution<std::int64_t>(0, kSpan - 1)(random);
        // Some are empty, some run backwards.
        i.end_ns = i.start_ns + std::uniform_int_distribution<std::int64_t>(-5, 30)(random);
        i.end_ns = std::min<std::int64_t>(i.end_ns, kSpan);
    }
    return intervals;
}

Bitmap bitmap_of(const std::vector<Interval>& intervals) {
    Bitmap map;
    for (const Interval& i : intervals) {
        for (std::int64_t t = i.start_ns; t < i.end_ns; ++t) map.set(static_cast<std::size_t>(t));
    }
    return map;
}

TEST(Intervals, AgreeWithABitmapOnRandomSets) {
    std::mt19937_64 random(42);
    for (int round = 0; round < 2000; ++round) {
        const std::vector<Interval> a = random_intervals(random);
        const std::vector<Interval> b = random_intervals(random);
        const std::vector<Interval> ua = unite(a);
        const std::vector<Interval> ub = unite(b);
        ASSERT_EQ(bitmap_of(ua), bitmap_of(a));
        ASSERT_EQ(measure(ua), static_cast<std::int64_t>(bitmap_of(a).count()));
        for (std::size_t i = 1; i < ua.size(); ++i) {
            ASSERT_GT(ua[i].start_ns, ua[i - 1].end_ns) << "sorted, disjoint, and not touching";
        }
        ASSERT_EQ(measure_intersection(ua, ub),
                  static_cast<std::int64_t>((bitmap_of(a) & bitmap_of(b)).count()));
    }
}

TEST(Intervals, OfNothingMeasureNothing) {
    EXPECT_TRUE(unite({}).empty());
    EXPECT_TRUE(unite({{5, 5}, {7, 3}}).empty());
    EXPECT_EQ(measure({}), 0);
    const std::vector<Interval> a = {{0, 10}};
    EXPECT_EQ(measure_intersection(a, {}), 0);
    const std::vector<Interval> touching = {{10, 20}};
    EXPECT_EQ(measure_intersection(a, touching), 0);
}

TEST(Distribution, FollowsTheNearestRankRule) {
    std::vector<double> values;
    for (int i = 100; i >= 1; --i) values.push_back(i);
    const Distribution d = distribution(values);
    EXPECT_EQ(d.count, 100);
    EXPECT_EQ(d.median, 50.5);
    EXPECT_EQ(d.p95, 95);
    EXPECT_EQ(d.p99, 99);
    EXPECT_EQ(d.max, 100);
    EXPECT_EQ(d.min, 1);
    EXPECT_EQ(d.mean, 50.5);
    EXPECT_EQ(d.sum, 5050);
}

TEST(Distribution, OfFewValues) {
    EXPECT_EQ(distribution({}).count, 0);
    EXPECT_EQ(distribution({}).p99, 0);
    const Distribution one = distribution({3});
    EXPECT_EQ(one.median, 3);
    EXPECT_EQ(one.p95, 3);
    const Distribution three = distribution({1, 9, 2});
    EXPECT_EQ(three.median, 2);
    EXPECT_EQ(three.p95, 9);  // rank ceil(2.85) = 3
    EXPECT_EQ(distribution({1, 2}).p95, 2);
    // 20 values: rank ceil(19.0) = 19, not 20.
    std::vector<double> twenty;
    for (int i = 1; i <= 20; ++i) twenty.push_back(i);
    EXPECT_EQ(distribution(twenty).p95, 19);
}

}  // namespace
}  // namespace hc::analysis
