#include "gui/models/range_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "gui/models/lane_packer.h"
#include "profiler/analysis/metrics.h"

namespace hc::gui {
namespace {

/// A set of tracks with durations of every size, long ones included.
LaneSet random_set(std::size_t num_events, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    LaneSet set;
    for (int i = 0; i < 6; ++i)
        set.names.push_back({QString("name %1").arg(i), Hue::kOther, false});
    for (int track = 0; track < 3; ++track) {
        std::vector<LaneEvent> events;
        for (std::size_t i = 0; i < num_events; ++i) {
            const auto bits = random() % 36;  // up to 68 s: beyond 32 bits of nanoseconds
            const auto duration = static_cast<std::int64_t>(random() % (std::uint64_t{1} << bits));
            const auto start = static_cast<std::int64_t>(random() % 1'000'000'000'000);
            events.push_back({start, start + duration, static_cast<std::uint32_t>(random() % 6),
                              static_cast<std::uint32_t>(i)});
        }
        add_track(set, {QString("track %1").arg(track), "", LaneKind::kOps, 0, 0, {}, {}},
                  pack(std::move(events)));
        for (std::uint32_t n = 0; n < 6; ++n) set.groups.back().names.push_back(n);
    }
    return set;
}

void expect_equal(const StatisticsRow& row, std::vector<double> values) {
    const analysis::Distribution expected = analysis::distribution(values);
    EXPECT_EQ(row.count, expected.count);
    EXPECT_NEAR(static_cast<double>(row.sum_ns), expected.sum, expected.sum * 1e-12 + 0.5);
    EXPECT_NEAR(row.mean_ns(), expected.mean, expected.mean * 1e-9);
    EXPECT_EQ(row.median_ns, expected.median);
    EXPECT_EQ(static_cast<double>(row.p95_ns), expected.p95);
    EXPECT_EQ(static_cast<double>(row.p99_ns), expected.p99);
    EXPECT_EQ(static_cast<double>(row.max_ns), expected.max);
    EXPECT_EQ(static_cast<double>(row.min_ns), expected.min);
}

TEST(RangeStatistics, EqualASortOfEverythingInTheRange) {
    const std::atomic<bool> never = false;
    for (const std::size_t n : {1u, 2u, 19u, 400u, 3000u}) {
        const LaneSet set = random_set(n, n);
        for (const TimeRange range : {TimeRange{-1, 1e18}, TimeRange{2e11, 5e11}}) {
            const auto statistics = range_statistics(set, range, never);
            ASSERT_TRUE(statistics);
            std::map<std::pair<std::size_t, std::int64_t>, std::vector<double>> expected;
            for (std::size_t g = 0; g < set.groups.size(); ++g) {
                const LaneGroup& group = set.groups[g];
                for (std::size_t l = group.first; l < group.first + group.count; ++l) {
                    const LaneEvents& events = set.lanes[l].events;
                    for (std::size_t i = 0; i < events.size(); ++i) {
                        if (!range.contains(static_cast<double>(events.start(i)))) continue;
                        const auto ns = static_cast<double>(events.duration(i));
                        expected[{g, -1}].push_back(ns);
                        expected[{g, events.name(i)}].push_back(ns);
                    }
                }
            }
            EXPECT_EQ(statistics->rows.size(), expected.size());
            for (const StatisticsRow& row : statistics->rows) {
                const std::int64_t name = row.name ? std::int64_t{*row.name} : -1;
                SCOPED_TRACE(testing::Message()
                             << n << " events, track " << row.group << ", name " << name);
                const auto found = expected.find({row.group, name});
                ASSERT_NE(found, expected.end());
                expect_equal(row, found->second);
            }
        }
    }
}

TEST(RangeStatistics, TwoThreadsCountWhatOneDoes) {
    // Enough for a second thread; every event of one duration but one.
    EventColumns columns;
    for (std::int64_t i = 0; i < 600'000; ++i) {
        columns.add(i * 1000, i == 77 ? 900 : 500, 0, 0);
    }
    LaneSet set;
    set.names.push_back({"only", Hue::kOther, false});
    add_track(set, {"track", "", LaneKind::kOps, 0, 0, {}, {0}}, pack(std::move(columns)));
    const std::atomic<bool> never = false;
    const auto statistics = range_statistics(set, {0, 1e12}, never);
    ASSERT_TRUE(statistics);
    ASSERT_EQ(statistics->rows.size(), 2u);
    EXPECT_EQ(statistics->rows[0].count, 600'000);
    EXPECT_EQ(statistics->rows[0].median_ns, 500);
    EXPECT_EQ(statistics->rows[0].p99_ns, 500);
    EXPECT_EQ(statistics->rows[0].max_ns, 900);
}

TEST(RangeStatistics, NamesBeyondAThousandAreCountedTogether) {
    LaneSet set;
    EventColumns columns;
    LaneGroup group{"track", "", LaneKind::kNvtx, 0, 0, {}, {}};
    for (std::uint32_t n = 0; n < 3000; ++n) {
        set.names.push_back({QString::number(n), Hue::kOther, false});
        columns.add(n * 10, 5, n, n);
        group.names.push_back(n);
    }
    add_track(set, group, pack(std::move(columns)));
    const std::atomic<bool> never = false;
    const auto statistics = range_statistics(set, {0, 1e9}, never);
    ASSERT_TRUE(statistics);
    EXPECT_EQ(statistics->rows.size(), 1002u) << "the track, a thousand names, the others";
    const auto others = std::find_if(
        statistics->rows.begin(), statistics->rows.end(),
        [](const StatisticsRow& row) { return row.name == StatisticsRow::kOtherNames; });
    ASSERT_NE(others, statistics->rows.end());
    EXPECT_EQ(others->count, 2000);
}

TEST(RangeStatistics, AnEmptyRangeAndACancelledCountGiveNothing) {
    const LaneSet set = random_set(50, 1);
    const std::atomic<bool> never = false, at_once = true;
    EXPECT_TRUE(range_statistics(set, {5e17, 6e17}, never)->rows.empty());
    EXPECT_FALSE(range_statistics(set, {0, 1e18}, at_once));
}

}  // namespace
}  // namespace hc::gui
