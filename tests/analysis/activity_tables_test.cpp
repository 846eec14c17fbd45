// Tables by name and kind, on rows made by hand and against plain sorting.
#include "profiler/analysis/activity_tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "activity_timeline.h"
#include "profiler/analysis/launch_index.h"
#include "profiler/analysis/metrics.h"

namespace hc::analysis {
namespace {

using test::ActivityTimeline;

TEST(GroupedDurations, EqualThoseOfSortedValues) {
    std::mt19937_64 random(3);
    for (const std::size_t count : {1U, 2U, 3U, 19U, 20U, 21U, 100U, 5000U}) {
        GroupedDurations durations;
        std::vector<std::vector<double>> plain(4);
        for (std::size_t i = 0; i < count; ++i) {
            const auto group = static_cast<std::uint32_t>(random() % 4);
            // Many equal values, and some beyond 32 bits.
            const auto value =
                static_cast<std::int64_t>(random() % 50 == 0 ? random() >> 20U : random() % 30);
            durations.add(group, value);
            plain[group].push_back(static_cast<double>(value));
        }
        const std::vector<GroupTimes> times = durations.times();
        for (std::size_t g = 0; g < times.size(); ++g) {
            const Distribution d = distribution(plain[g]);
            EXPECT_EQ(times[g].count, d.count);
            EXPECT_DOUBLE_EQ(static_cast<double>(times[g].total_ns), d.sum);
            EXPECT_DOUBLE_EQ(times[g].median_ns, d.median);
            EXPECT_DOUBLE_EQ(static_cast<double>(times[g].p95_ns), d.p95);
            EXPECT_DOUBLE_EQ(static_cast<double>(times[g].min_ns), d.min);
            EXPECT_DOUBLE_EQ(static_cast<double>(times[g].max_ns), d.max);
        }
    }
    EXPECT_TRUE(GroupedDurations().times().empty());
}

TEST(ActivityTables, KernelsByNameLargestTotalFirst) {
    ActivityTimeline t;
    t.kernel(0, 0, 10, 0, "small");
    t.kernel(0, 10, 40, 0, "large");
    t.kernel(1, 10, 20, 0, "small");
    t.kernel(4, 10, 60, 0, "large");
    const std::vector<KernelTotal> totals = kernel_totals(t.data);
    ASSERT_EQ(totals.size(), 2U);
    EXPECT_EQ(t.data.name(totals[0].name), "large");
    EXPECT_EQ(totals[0].time.total_ns, 80);
    EXPECT_EQ(totals[0].time.median_ns, 40);
    EXPECT_DOUBLE_EQ(totals[0].share, 0.8);
    EXPECT_EQ(totals[1].time.count, 2);
}

TEST(ActivityTables, CopiesByKindWithRateAndSizeClasses) {
    ActivityTimeline t;
    t.copy(0, 0, 100, 0, 1024);
    t.copy(0, 100, 200, 0, 1025);
    t.copy(0, 200, 300, 0, 4096);
    t.copy(0, 300, 300, 0, 0, 2);
    t.copy(0, 300, 301, 0, 1, 2);
    const std::vector<CopyTotal> totals = copy_totals(t.data);
    ASSERT_EQ(totals.size(), 2U);
    EXPECT_EQ(copy_kind_name(totals[0].kind), "Host-to-Device");
    EXPECT_EQ(totals[0].bytes, 6145);
    EXPECT_EQ(totals[0].median_bytes, 1025);
    EXPECT_DOUBLE_EQ(totals[0].gb_per_s.value(), 6145.0 / 300);
    const std::vector<CopySizeClass> sizes = copy_sizes(t.data);
    ASSERT_EQ(sizes.size(), 4U);
    EXPECT_EQ(sizes[0].up_to_bytes, 1024);
    EXPECT_EQ(sizes[0].count, 1);
    EXPECT_EQ(sizes[1].up_to_bytes, 4096);
    EXPECT_EQ(sizes[1].count, 2);
    EXPECT_EQ(sizes[2].up_to_bytes, 0);
    EXPECT_EQ(sizes[3].up_to_bytes, 1024);
    EXPECT_EQ(size_class_name(0), "0 B");
    EXPECT_EQ(size_class_name(4096), "<= 4 KiB");
    EXPECT_EQ(size_class_name(std::int64_t{1} << 20), "<= 1 MiB");
    EXPECT_EQ(copy_kind_name(99), "kind 99");
}

TEST(ActivityTables, ACopyWithoutDurationHasNoRate) {
    ActivityTimeline t;
    t.copy(0, 5, 5, 0, 1000);
    EXPECT_FALSE(copy_totals(t.data).front().gb_per_s);
}

TEST(ActivityTables, CallsCountTheirFailures) {
    ActivityTimeline t;
    t.call(0, 10, "cudaMalloc");
    t.call(10, 40, "cudaMalloc");
    t.data.calls.back().failed = true;
    t.call(50, 55, "cudaFree");
    const std::vector<ApiTotal> totals = api_totals(t.data);
    ASSERT_EQ(totals.size(), 2U);
    EXPECT_EQ(t.data.name(totals[0].name), "cudaMalloc");
    EXPECT_EQ(totals[0].failed, 1);
    EXPECT_EQ(totals[0].time.max_ns, 30);
    EXPECT_EQ(totals[1].failed, 0);
}

TEST(ActivityTables, EmptyActivityGivesEmptyTables) {
    const Activity none;
    EXPECT_TRUE(kernel_totals(none).empty());
    EXPECT_TRUE(copy_totals(none).empty());
    EXPECT_TRUE(copy_sizes(none).empty());
    EXPECT_TRUE(api_totals(none).empty());
    EXPECT_TRUE(sync_totals(none).empty());
    EXPECT_TRUE(range_totals(none).empty());
    EXPECT_EQ(memset_total(none).time.count, 0);
}

TEST(LaunchIndex, FindsTheOuterCallInDenseAndInSparseIds) {
    for (const std::int64_t stride : {std::int64_t{1}, std::int64_t{1} << 40}) {
        ActivityTimeline t;
        for (std::int64_t i = 0; i < 1000; ++i) {
            t.data.calls.push_back({i * 10, i * 10 + 9, i * stride, 0, 0, false});
            t.data.calls.push_back({i * 10 + 1, i * 10 + 8, i * stride, 0, 1, false});  // within
        }
        t.data.sort();
        const LaunchIndex index(t.data);
        for (std::int64_t i = 0; i < 1000; ++i) {
            const ApiCall* call = index.find(0, i * stride);
            ASSERT_NE(call, nullptr);
            EXPECT_EQ(call->start_ns, i * 10);
        }
        EXPECT_EQ(index.find(0, -1), nullptr);
        EXPECT_EQ(index.find(0, 1000 * stride), nullptr);
    }
}

TEST(LaunchIndex, ProcessesAreApart) {
    ActivityTimeline t;
    t.data.streams[1].pid = 2;
    t.data.streams[2].pid = 3;
    t.data.threads[1] = (std::int64_t{2} << 24) | 5;
    t.data.calls.push_back({10, 20, 7, 0, 0, false});
    t.data.calls.push_back({30, 40, 7, 0, 1, false});
    const LaunchIndex index(t.data);
    EXPECT_EQ(index.find(0, 7)->start_ns, 10);
    EXPECT_EQ(index.find(1, 7)->start_ns, 30);
    EXPECT_EQ(index.find(2, 7), nullptr);
}

}  // namespace
}  // namespace hc::analysis
