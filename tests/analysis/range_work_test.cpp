// Work by the range that asked for it: by hand, and against a count of every pair.
#include "profiler/analysis/range_work.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "activity_timeline.h"
#include "profiler/analysis/device_time.h"
#include "profiler/analysis/metrics.h"

namespace hc::analysis {
namespace {

using test::ActivityTimeline;

std::vector<RangeWork> work_of(ActivityTimeline& t, std::string_view name) {
    t.data.sort();
    const LaunchIndex launches(t.data);
    return range_work(t.data, launches, ranges_named(t.data, name), transfer_kernels(t.data, {}));
}

TEST(RangeWork, BelongsToTheRangeOfItsLaunchHoweverLateItRuns) {
    ActivityTimeline t;
    t.range("step", 0, 100);
    t.range("step", 100, 200);
    t.range("other", 0, 200);
    t.launched_kernel(99, 0, 500, 600);
    t.launched_kernel(100, 0, 610, 650);  // the second begins where the first ends
    t.copy(1, 590, 620, t.call(150, 151), 4096);
    t.launched_kernel(200, 0, 700, 800);  // in none
    const std::vector<RangeWork> work = work_of(t, "step");
    ASSERT_EQ(work.size(), 2U);
    EXPECT_EQ(work[0].kernels, 1);
    EXPECT_EQ(work[0].compute_ns, 100);
    EXPECT_FALSE(work[0].overlap());
    EXPECT_EQ(work[1].kernels, 1);
    EXPECT_EQ(work[1].copies, 1);
    EXPECT_EQ(work[1].copy_bytes, 4096);
    EXPECT_EQ(work[1].transfer_ns, 30);
    EXPECT_DOUBLE_EQ(work[1].overlap().value(), 10.0 / 30);
    EXPECT_EQ(work[0].idle_ns, 0);
    EXPECT_EQ(work[1].idle_ns, 60 - 40);  // 590..650 without 610..650
    EXPECT_EQ(work[0].api_ns, 1);
    EXPECT_EQ(work[1].api_ns, 2);
    EXPECT_EQ(work[1].device_start_ns, 590);
    EXPECT_EQ(work[1].device_end_ns, 650);
}

TEST(RangeWork, InnerRangesTakeFromOuterOnesAndThreadsAreApart) {
    ActivityTimeline t;
    t.range("r", 0, 1000, 0);
    t.range("r", 100, 200, 0);
    t.range("r", 100, 200, 1);
    t.kernel(0, 1, 2, t.call(50, 51, "launch", 0));
    t.kernel(0, 2, 3, t.call(150, 151, "launch", 0));
    t.kernel(0, 3, 4, t.call(250, 251, "launch", 0));
    t.kernel(0, 4, 5, t.call(150, 151, "launch", 1));
    t.kernel(0, 5, 6, t.call(250, 251, "launch", 1));
    const std::vector<RangeWork> work = work_of(t, "r");
    ASSERT_EQ(work.size(), 3U);
    EXPECT_EQ(work[0].kernels, 2);
    EXPECT_EQ(work[1].kernels, 1);
    EXPECT_EQ(work[2].kernels, 1);
    EXPECT_TRUE(work_of(t, "none").empty());
}

TEST(RangeWork, OfEveryThreadWhereNoneIsNamed) {
    ActivityTimeline t;
    t.kernel(0, 1, 2, t.call(50, 51, "launch", 0));
    t.kernel(0, 2, 3, t.call(60, 61, "launch", 1));
    t.data.sort();
    const LaunchIndex launches(t.data);
    const auto work = range_work(t.data, launches, {{0, 100, -1}}, transfer_kernels(t.data, {}));
    EXPECT_EQ(work.front().kernels, 2);
    EXPECT_EQ(work.front().calls, 2);
}

TEST(RangeWork, EqualsACountOfEveryPairOnRandomTimelines) {
    std::mt19937 random(11);
    const auto below = [&](std::int64_t n) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(n));
    };
    std::int64_t overlapping = 0;
    for (int trial = 0; trial < 300; ++trial) {
        ActivityTimeline t;
        std::int64_t at[2] = {0, 0};
        for (std::int64_t r = below(8); r > 0; --r) {
            const auto thread = static_cast<std::uint16_t>(below(2));
            const std::int64_t start = at[thread] + below(20);
            at[thread] = start + below(60);
            t.range("r", start, at[thread], thread);
        }
        for (std::int64_t i = below(40); i > 0; --i) {
            const std::int64_t launched = below(300);
            const std::int64_t c =
                t.call(launched, launched + 1, "l", static_cast<std::uint16_t>(below(2)));
            const std::int64_t start = launched + below(100);
            const auto stream = static_cast<std::int32_t>(below(6));
            if (below(2) == 0) {
                t.kernel(stream, start, start + below(30), c);
            } else {
                t.copy(stream, start, start + below(30), c);
            }
        }
        for (const RangeWork& work : work_of(t, "r")) {
            std::int64_t compute = 0, transfer = 0, both = 0;
            const auto in_range = [&](std::int64_t correlation) {
                const auto call =
                    std::find_if(t.data.calls.begin(), t.data.calls.end(),
                                 [&](const ApiCall& c) { return c.correlation == correlation; });
                return call->thread == work.range.thread && call->start_ns >= work.range.start_ns &&
                       call->start_ns < work.range.end_ns;
            };
            for (const std::int32_t device : {0, 1}) {
                std::vector<Interval> k, c;
                const auto here = [&](const auto& row) {
                    return t.data.streams[static_cast<std::size_t>(row.stream)].device == device &&
                           in_range(row.correlation);
                };
                for (const Kernel& row : t.data.kernels) {
                    if (here(row)) k.push_back({row.start_ns, row.end_ns});
                }
                for (const Copy& row : t.data.copies) {
                    if (here(row)) c.push_back({row.start_ns, row.end_ns});
                }
                k = unite(std::move(k));
                c = unite(std::move(c));
                compute += measure(k);
                transfer += measure(c);
                both += measure_intersection(k, c);
            }
            ASSERT_EQ(work.compute_ns, compute) << trial;
            ASSERT_EQ(work.transfer_ns, transfer) << trial;
            ASSERT_EQ(work.both_ns, both) << trial;
            overlapping += both;
        }
    }
    EXPECT_GT(overlapping, 100);
}

}  // namespace
}  // namespace hc::analysis
