#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "gui/models/lane_events.h"
#include "gui/models/mip_index.h"
#include "gui/models/track_raster.h"

namespace hc::gui {
namespace {

LaneEvents random_events(std::size_t n, std::uint64_t seed, std::int64_t longest = 4000) {
    std::mt19937_64 random(seed);
    LaneEvents events;
    std::int64_t now = 1000;
    for (std::size_t i = 0; i < n; ++i) {
        const auto limit = static_cast<std::uint64_t>(random() % 10 == 0 ? longest : 90);
        const auto duration = static_cast<std::int64_t>(random() % limit);
        events.add(now, now + duration, static_cast<std::uint32_t>(random() % 5),
                   static_cast<std::uint32_t>(i));
        now += duration + static_cast<std::int64_t>(random() % 7 == 0 ? random() % 20000 : 0);
    }
    return events;
}

Lane make_lane(LaneEvents events) {
    Lane lane;
    lane.events = std::move(events);
    lane.mip = MipIndex(lane.events, {});
    lane.pyramid = EventPyramid(lane.events);
    return lane;
}

TEST(LaneEvents, KeepDurationsBeyondFourSeconds) {
    LaneEvents events;
    events.add(0, 10'000'000'000, 0, 0);
    events.add(10'000'000'000, 10'000'000'005, 0, 1);
    EXPECT_EQ(events.duration(0), 10'000'000'000);
    EXPECT_EQ(events.duration(1), 5);
    EXPECT_EQ(events.first_ending_after(9e9), 0u);
    EXPECT_EQ(events.first_ending_after(1e10), 1u);
}

TEST(EventPyramid, SumsAndLongestEqualAWalk) {
    const LaneEvents events = random_events(5000, 3);
    const EventPyramid pyramid(events);
    std::mt19937_64 random(4);
    for (int trial = 0; trial < 500; ++trial) {
        std::size_t a = random() % 5001, b = random() % 5001;
        if (a > b) std::swap(a, b);
        std::int64_t sum = 0, longest = 0;
        for (std::size_t i = a; i < b; ++i) {
            sum += events.duration(i);
            longest = std::max(longest, events.duration(i));
        }
        const EventPyramid::Summary summary = pyramid.over(events, a, b);
        EXPECT_EQ(summary.count, static_cast<std::int64_t>(b - a));
        EXPECT_EQ(summary.sum_ns, sum);
        EXPECT_EQ(summary.longest_ns, longest);
        if (b > a) {
            EXPECT_EQ(events.duration(summary.longest), longest);
        }
    }
}

TEST(MipIndex, EveryLevelEqualsACountByBruteForce) {
    const LaneEvents events = random_events(6000, 5);
    const MipIndex mip(events, {});
    ASSERT_GT(mip.levels().size(), 5u);
    for (const MipIndex::Level& level : mip.levels()) {
        const std::int64_t width = std::int64_t{1} << level.shift;
        std::vector<std::uint32_t> counts(level.buckets.size());
        std::vector<double> busy(level.buckets.size());
        for (std::size_t i = 0; i < events.size(); ++i) {
            const std::int64_t start = events.start(i) - mip.origin();
            const std::int64_t end = events.end(i) - mip.origin();
            counts[static_cast<std::size_t>(start / width)] += 1;
            for (std::int64_t b = start / width; b * width < end; ++b) {
                busy[static_cast<std::size_t>(b)] += static_cast<double>(
                    std::min(end, (b + 1) * width) - std::max(start, b * width));
            }
        }
        for (std::size_t b = 0; b < level.buckets.size(); ++b) {
            EXPECT_EQ(level.buckets[b].count, counts[b]) << "level " << level.shift;
            // Each level rounds up once.
            const double share = busy[b] / static_cast<double>(width);
            EXPECT_NEAR(level.buckets[b].busy / 65535.0, share, 3e-4) << "level " << level.shift;
            EXPECT_GE(level.buckets[b].busy / 65535.0, share - 1e-9);
        }
    }
}

TEST(MipIndex, TheBaseNamesTheLongestInTotal) {
    const LaneEvents events = random_events(6000, 6);
    const MipIndex mip(events, {});
    const MipIndex::Level& base = mip.levels().front();
    const std::int64_t width = std::int64_t{1} << base.shift;
    std::vector<std::map<std::uint32_t, std::int64_t>> total(base.buckets.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
        const std::int64_t start = events.start(i) - mip.origin();
        const std::int64_t end = events.end(i) - mip.origin();
        for (std::int64_t b = start / width; b * width < end; ++b) {
            total[static_cast<std::size_t>(b)][events.name(i)] +=
                std::min(end, (b + 1) * width) - std::max(start, b * width);
        }
    }
    for (std::size_t b = 0; b < total.size(); ++b) {
        if (total[b].empty()) continue;
        std::int64_t most = 0;
        for (const auto& [name, ns] : total[b]) most = std::max(most, ns);
        EXPECT_EQ(total[b][base.buckets[b].name], most);
    }
}

TEST(MipIndex, AnEmphasisedNameWinsAtEveryLevel) {
    LaneEvents events;
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        const std::uint32_t name = i == 60'000 ? 1 : 0;
        events.add(i * 1000, i * 1000 + (name == 1 ? 1 : 990), name, i);
    }
    const std::vector<std::uint8_t> emphasised = {0, 1};
    const MipIndex mip(events, emphasised);
    for (const MipIndex::Level& level : mip.levels()) {
        EXPECT_EQ(level.buckets[static_cast<std::size_t>(60'000'000 >> level.shift)].name, 1u);
    }
}

TEST(Columns, CountEveryEventInSightOnceAtAnyZoom) {
    const Lane lane = make_lane(random_events(200'000, 8));
    const auto first = static_cast<double>(lane.events.start(0));
    const auto last = static_cast<double>(lane.events.end(lane.events.size() - 1));
    std::vector<Column> columns;
    std::mt19937_64 random(9);
    for (int trial = 0; trial < 60; ++trial) {
        // From the whole lane to a thousandth of it. Bounds lie on a bucket's edge, where both
        // ways of filling count the same events.
        const double share = std::pow(10.0, -3.0 * trial / 60.0);
        const double start =
            first + std::floor(std::uniform_real_distribution(0.0, 1 - share)(random) *
                               (last - first) / 65536) *
                        65536;
        const TimeMapping map({start, start + (last - first) * share}, 1500);
        fill_columns(lane, map, false, columns);
        std::uint64_t drawn = 0;
        for (const Column& column : columns) drawn += column.count;
        const std::size_t begin = lane.events.first_starting_at(start);
        const std::size_t end = lane.events.first_starting_at(map.range().end_ns);
        // The last bucket may end beyond the range's end.
        const double slack = 2.0 + static_cast<double>(end - begin) * 0.01;
        EXPECT_NEAR(static_cast<double>(drawn), static_cast<double>(end - begin), slack)
            << "at share " << share;
    }
}

TEST(Columns, NeverLoseAnEventOfOneNanosecondAmongAMillion) {
    // Two bursts of events and, alone in the pause between, one nanosecond.
    LaneEvents events;
    std::int64_t now = 0;
    for (int i = 0; i < 500'000; ++i, now += 900) events.add(now, now + 700, 0, 0);
    const std::int64_t spike = now + 400'000'000;
    events.add(spike, spike + 1, 1, 1);
    now = spike + 400'000'000;
    for (int i = 0; i < 500'000; ++i, now += 900) events.add(now, now + 700, 0, 2);
    const Lane lane = make_lane(std::move(events));
    std::vector<Column> columns;
    for (const int width : {200, 777, 1920, 3840}) {
        const TimeMapping map({0, static_cast<double>(now)}, width);
        fill_columns(lane, map, false, columns);
        const auto x = static_cast<std::size_t>(map.x_at(static_cast<double>(spike)));
        // Buckets are at most a column wide, so that it may show one column beside.
        bool found = false;
        for (std::size_t k = x > 0 ? x - 1 : 0; k <= std::min(x + 1, columns.size() - 1); ++k) {
            found = found || (!columns[k].empty() && columns[k].name == 1 && columns[k].busy > 0);
        }
        EXPECT_TRUE(found) << "in a window of " << width;
    }
}

TEST(Columns, ThousandsOfEventsInOnePixelCostNoWalkAndAreCounted) {
    // All but the last lie in one millionth of the time: finer than the finest bucket.
    LaneEvents events;
    for (std::int64_t i = 0; i < 50'000; ++i) events.add(i * 10, i * 10 + 5, 0, 0);
    events.add(1'000'000'000'000, 1'000'000'000'001, 1, 1);
    const Lane lane = make_lane(std::move(events));
    ASSERT_GT(std::ldexp(1.0, lane.mip.levels().front().shift), 1e6);
    const TimeMapping map({0, 1e6}, 10);  // five columns of 10,000 events, then none
    std::vector<Column> columns;
    fill_columns(lane, map, false, columns);
    for (std::size_t x = 0; x < 5; ++x) {
        EXPECT_EQ(columns[x].count, 10'000u) << "column " << x;
        EXPECT_NEAR(columns[x].busy, 0.5, 0.01) << "column " << x;
    }
    for (std::size_t x = 5; x < 10; ++x) EXPECT_TRUE(columns[x].empty());
}

}  // namespace
}  // namespace hc::gui
