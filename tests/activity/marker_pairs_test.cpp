#include "profiler/activity/marker_pairs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace hc::activity {
namespace {

using Kind = MarkerPoint::Kind;
using Rows = std::vector<trace::NvtxRow>;

constexpr std::int64_t kMain = (7LL << 24) | 1;
constexpr std::int64_t kOther = (7LL << 24) | 2;

MarkerPoint start(std::uint32_t id, std::int64_t time, std::int64_t thread = kMain,
                  std::int32_t name = 0, std::int32_t domain = 0) {
    return {Kind::kStart, id, time, thread, name, domain};
}
MarkerPoint end(std::uint32_t id, std::int64_t time, std::int64_t thread = kMain) {
    return {Kind::kEnd, id, time, thread, -1, 0};
}
MarkerDetail detail(std::uint32_t id, std::int64_t payload = 0) {
    MarkerDetail result;
    result.id = id;
    result.payload = payload;
    result.has_payload = true;
    return result;
}
void settle(MarkerPairs& pairs, Rows& rows) {
    for (int i = 0; i < 3; ++i) pairs.settle(rows);
}

TEST(MarkerPairs, PairsNestedRangesOfAThread) {
    MarkerPairs pairs;
    Rows rows;
    pairs.add(start(1, 100, kMain, 10), rows);
    pairs.add(start(2, 200, kMain, 20), rows);
    pairs.add(end(2, 300), rows);
    pairs.add(end(1, 400), rows);
    settle(pairs, rows);
    ASSERT_EQ(2U, rows.size());
    EXPECT_EQ(20, rows[0].name);
    EXPECT_EQ(200, rows[0].start_ns);
    EXPECT_EQ(100, rows[0].duration_ns);
    EXPECT_EQ(10, rows[1].name);
    EXPECT_EQ(300, rows[1].duration_ns);
    for (const auto& row : rows) {
        EXPECT_EQ(59, row.type);
        EXPECT_EQ(kMain, row.thread);
        EXPECT_EQ(-1, row.end_thread);
        EXPECT_EQ(-1, row.range_id);
        EXPECT_FALSE(row.has_payload);
    }
    EXPECT_EQ(0U, pairs.open());
}

TEST(MarkerPairs, RangeThatEndsOnAnotherThreadIsAStartedOne) {
    for (const bool end_first : {false, true}) {
        MarkerPairs pairs;
        Rows rows;
        if (end_first) pairs.add(end(5, 900, kOther), rows);
        pairs.add(start(5, 100, kMain), rows);
        if (!end_first) pairs.add(end(5, 900, kOther), rows);
        settle(pairs, rows);
        ASSERT_EQ(1U, rows.size()) << end_first;
        EXPECT_EQ(60, rows[0].type);
        EXPECT_EQ(kMain, rows[0].thread);
        EXPECT_EQ(kOther, rows[0].end_thread);
        EXPECT_EQ(800, rows[0].duration_ns);
        EXPECT_EQ(5, rows[0].range_id);
    }
}

TEST(MarkerPairs, RangeThatOverlapsOthersOfItsThreadIsAStartedOne) {
    MarkerPairs pairs;
    Rows rows;
    pairs.add(start(1, 100), rows);
    pairs.add(start(2, 200), rows);
    pairs.add(end(1, 300), rows);
    pairs.add(end(2, 400), rows);
    settle(pairs, rows);
    ASSERT_EQ(2U, rows.size());
    EXPECT_EQ(60, rows[0].type);
    EXPECT_EQ(59, rows[1].type);
}

TEST(MarkerPairs, DomainsHaveStacksOfTheirOwn) {
    MarkerPairs pairs;
    Rows rows;
    pairs.add(start(1, 100, kMain, 0, 1), rows);
    pairs.add(start(2, 200, kMain, 0, 2), rows);
    pairs.add(end(1, 300), rows);
    pairs.add(end(2, 400), rows);
    settle(pairs, rows);
    ASSERT_EQ(2U, rows.size());
    EXPECT_EQ(59, rows[0].type);
    EXPECT_EQ(59, rows[1].type);
    EXPECT_EQ(1, rows[0].domain);
}

TEST(MarkerPairs, AttributesComeBeforeOrAfterTheirMarker) {
    MarkerPairs pairs;
    Rows rows;
    pairs.add(detail(1, 11), rows);
    pairs.add({Kind::kMark, 1, 50, kMain, 3, 0}, rows);
    ASSERT_EQ(1U, rows.size());  // at once: nothing is awaited
    EXPECT_EQ(34, rows[0].type);
    EXPECT_EQ(11, rows[0].payload);
    EXPECT_TRUE(rows[0].has_payload);
    EXPECT_EQ(-1, rows[0].duration_ns);
    pairs.add({Kind::kMark, 2, 60, kMain, 3, 0}, rows);
    EXPECT_EQ(1U, rows.size());
    pairs.settle(rows);
    pairs.add(detail(2, 22), rows);
    ASSERT_EQ(2U, rows.size());
    EXPECT_EQ(22, rows[1].payload);
    settle(pairs, rows);
    EXPECT_EQ(2U, rows.size());
    EXPECT_EQ(0U, pairs.open());
}

TEST(MarkerPairs, KeepsRangesThatNeverEndedAndCountsEndsWithoutStart) {
    MarkerPairs pairs;
    Rows rows;
    pairs.add(start(1, 100), rows);
    pairs.add(end(9, 100), rows);
    settle(pairs, rows);
    EXPECT_TRUE(rows.empty());
    pairs.finish(rows);
    ASSERT_EQ(1U, rows.size());
    EXPECT_EQ(-1, rows[0].duration_ns);
    EXPECT_EQ(59, rows[0].type);
    EXPECT_EQ(1U, pairs.orphan_ends());
}

TEST(MarkerPairs, MemoryIsBoundedAndEveryRangeGivenOutOnce) {
    MarkerPairs pairs(100);
    Rows rows;
    for (std::uint32_t id = 1; id <= 1000; ++id) pairs.add(start(id, id), rows);
    EXPECT_LE(pairs.open(), 100U);
    EXPECT_EQ(1000U, rows.size() + pairs.open());
    EXPECT_EQ(rows.size(), pairs.cut_short());
    pairs.finish(rows);
    EXPECT_EQ(1000U, rows.size());
}

TEST(MarkerPairs, AnyInterleavingOfThreadsGivesEveryRangeItsTimes) {
    std::mt19937 random(3);
    for (int round = 0; round < 50; ++round) {
        // Per thread a sequence in order; ranges of one thread may end on another.
        std::vector<std::vector<MarkerPoint>> threads(4);
        std::int64_t time = 0;
        std::vector<std::uint32_t> open;
        std::uint32_t next = 1;
        for (int event = 0; event < 300; ++event) {
            const std::size_t thread = random() % threads.size();
            const std::int64_t tid = (7LL << 24) | static_cast<std::int64_t>(thread + 1);
            if (open.empty() || random() % 2 == 0) {
                threads[thread].push_back(start(next, ++time, tid));
                open.push_back(next++);
            } else {
                const std::size_t which = random() % open.size();
                threads[thread].push_back(end(open[which], ++time, tid));
                open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
            }
        }
        std::vector<std::pair<std::int64_t, std::int64_t>> expected;  // start, duration
        std::vector<std::int64_t> starts(next), ends(next, -1);
        for (const auto& thread : threads) {
            for (const MarkerPoint& point : thread) {
                (point.kind == Kind::kStart ? starts : ends)[point.id] = point.time_ns;
            }
        }
        for (std::uint32_t id = 1; id < next; ++id) {
            expected.emplace_back(starts[id], ends[id] < 0 ? -1 : ends[id] - starts[id]);
        }
        MarkerPairs pairs;
        Rows rows;
        std::vector<std::size_t> at(threads.size());
        for (int event = 0; event < 300;) {
            const std::size_t thread = random() % threads.size();
            if (at[thread] == threads[thread].size()) continue;
            pairs.add(threads[thread][at[thread]++], rows);
            ++event;
            if (random() % 10 == 0) pairs.settle(rows);
        }
        pairs.finish(rows);
        std::vector<std::pair<std::int64_t, std::int64_t>> found;
        for (const auto& row : rows) found.emplace_back(row.start_ns, row.duration_ns);
        std::sort(found.begin(), found.end());
        std::sort(expected.begin(), expected.end());
        ASSERT_EQ(expected, found);
        ASSERT_EQ(0U, pairs.orphan_ends());
    }
}

}  // namespace
}  // namespace hc::activity
