#include "engine/policy/selection.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "random_scores.h"

namespace hc::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Positions ranked_by_stable_sort(const std::vector<float>& scores, std::size_t k) {
    Positions order(scores.size());
    std::iota(order.begin(), order.end(), Position{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Position a, Position b) { return scores[a] > scores[b]; });
    order.resize(std::min(k, order.size()));
    return order;
}

Positions sorted(Positions positions) {
    std::sort(positions.begin(), positions.end());
    return positions;
}

TEST(TopK, EqualValuesGoByLowerIndex) {
    const std::vector<float> scores{1, 3, 2, 3, 2, 2};
    Positions out;
    rank_top(scores, 4, out);
    EXPECT_THAT(out, ElementsAre(1, 3, 2, 4));
    top_k(scores, 3, out);
    EXPECT_THAT(out, ElementsAre(1, 2, 3));
}

TEST(TopK, BothZerosAreEqual) {
    const std::vector<float> scores{-0.0F, 0.0F, -0.0F, -1.0F};
    Positions out;
    rank_top(scores, 2, out);
    EXPECT_THAT(out, ElementsAre(0, 1));
}

TEST(TopK, InfinitiesAreValuesLikeOthers) {
    constexpr float kInf = std::numeric_limits<float>::infinity();
    Positions out;
    rank_top(std::vector<float>{-kInf, 1, kInf, 2}, 4, out);
    EXPECT_THAT(out, ElementsAre(2, 3, 1, 0));
    top_k(std::vector<float>{-kInf, 1, kInf, 2}, 3, out);
    EXPECT_THAT(out, ElementsAre(1, 2, 3));
}

TEST(TopK, NothingOfNothingAndMoreThanThereIs) {
    Positions out{7, 7};
    rank_top({}, 3, out);
    EXPECT_THAT(out, IsEmpty());
    top_k(std::vector<float>{5, 6}, 0, out);
    EXPECT_THAT(out, IsEmpty());
    rank_top(std::vector<float>{5, 6}, 9, out);
    EXPECT_THAT(out, ElementsAre(1, 0));
}

TEST(TopK, AgreesWithAStableSortOnRandomInput) {
    test::RandomScores random(1);
    Positions out;
    for (int round = 0; round < 400; ++round) {
        const std::size_t n = 1 + random.below(700);
        const auto scores =
            round % 3 == 0 ? random.distinct(n) : random.tied(n, 1 + random.below(9));
        const std::size_t k = random.below(n + 3);
        const Positions expected = ranked_by_stable_sort(scores, k);
        rank_top(scores, k, out);
        ASSERT_EQ(out, expected);
        top_k(scores, k, out);
        ASSERT_EQ(out, sorted(expected));
    }
}

TEST(TopK, AgreesWithAStableSortOnALongPrompt) {
    test::RandomScores random(2);
    auto scores = random.distinct(std::size_t{1} << 18);
    for (float& score : scores) score = std::exp(-40.0F * score);  // skewed like a softmax
    Positions out;
    rank_top(scores, 86851, out);
    EXPECT_EQ(out, ranked_by_stable_sort(scores, 86851));
}

TEST(TopK, KeepsItsMemoryFromCallToCall) {
    test::RandomScores random(3);
    const auto scores = random.distinct(1000);
    Positions out;
    top_k(scores, 500, out);
    const Position* memory = out.data();
    for (const std::size_t k : {100, 500, 7}) {
        rank_top(scores, k, out);
        EXPECT_EQ(out.data(), memory);
    }
}

TEST(TopKDeathTest, NanIsABug) {
    ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
    Positions out;
    EXPECT_DEATH(top_k(std::vector<float>{1, std::nanf(""), 2}, 1, out), "any");
}

TEST(MeanFilter, ZerosOutsideCountInTheMean) {
    std::vector<float> out;
    mean_filter(std::vector<float>{5, 10, 15, 20, 25, 30}, 5, out);
    EXPECT_THAT(out, ElementsAre(6, 10, 15, 20, 18, 15));
}

TEST(MeanFilter, EvenWidthOfAShortRowIsOneElementLonger) {
    std::vector<float> out;
    mean_filter(std::vector<float>{4, 8, 12, 16}, 5, out);  // width becomes 4
    EXPECT_THAT(out, ElementsAre(3, 6, 10, 9, 7));
    mean_filter(std::vector<float>{4, 8}, 5, out);
    EXPECT_THAT(out, ElementsAre(2, 6, 4));
    mean_filter(std::vector<float>{4}, 5, out);
    EXPECT_THAT(out, ElementsAre(4));
    mean_filter({}, 5, out);
    EXPECT_THAT(out, IsEmpty());
}

TEST(Overlap, IsTheSharedFractionOfTheFirstSet) {
    EXPECT_EQ(overlap(Positions{1, 2, 3, 4}, Positions{2, 4, 9}), 0.5);
    EXPECT_EQ(overlap(Positions{2, 4, 9}, Positions{1, 2, 3, 4}), 2.0 / 3.0);
    EXPECT_EQ(overlap(Positions{}, Positions{1}), 0.0);
    EXPECT_EQ(overlap(Positions{1}, Positions{}), 0.0);
}

TEST(Overlap, AndDifferenceAgreeWithSetsOnRandomInput) {
    test::RandomScores random(4);
    Positions out;
    for (int round = 0; round < 300; ++round) {
        const Positions a = random.subset(200, random.unit());
        const Positions b = random.subset(200, random.unit());
        const std::set<Position> in_b(b.begin(), b.end());
        Positions missing;
        for (const Position p : a) {
            if (in_b.count(p) == 0) missing.push_back(p);
        }
        difference(a, b, out);
        ASSERT_EQ(out, missing);
        const double common = static_cast<double>(a.size() - missing.size());
        const double expected = a.empty() || b.empty() ? 0 : common / static_cast<double>(a.size());
        ASSERT_EQ(overlap(a, b), expected);
    }
}

TEST(Median, AveragesTheMiddleTwo) {
    EXPECT_EQ(median({}), 0.0);
    EXPECT_EQ(median({3, 1, 2}), 2.0);
    EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(ScoreRow, DenseAndRankedGiveTheSameSets) {
    test::RandomScores random(5);
    for (int round = 0; round < 200; ++round) {
        const std::size_t n = 1 + random.below(300);
        const auto scores = random.tied(n, 12);
        const Positions ranks = ranked_by_stable_sort(scores, n);
        const std::size_t depth = 1 + random.below(n);
        const ScoreRow dense = ScoreRow::dense(scores);
        const ScoreRow ranked = ScoreRow::ranked(std::span<const Position>(ranks).first(depth), n);
        EXPECT_EQ(ranked.depth(), depth);
        Positions a;
        Positions b;
        const std::size_t k = random.below(depth + 1);
        dense.best(k, a);
        ranked.best(k, b);
        ASSERT_EQ(a, b);
        ASSERT_EQ(a, ranked_by_stable_sort(scores, k));
        const auto sink = static_cast<std::int32_t>(random.below(6));
        const auto recent = static_cast<std::int32_t>(random.below(40));
        select_kept(dense, static_cast<std::int64_t>(k), sink, recent, a);
        select_kept(ranked, static_cast<std::int64_t>(k), sink, recent, b);
        ASSERT_EQ(a, b);
    }
}

TEST(ScoreRow, RefusesWhatItDoesNotHold) {
    const Positions ranks{4, 2, 0};
    const ScoreRow row = ScoreRow::ranked(ranks, 10);
    Positions out;
    EXPECT_NO_THROW(row.best(3, out));
    EXPECT_THROW(row.best(4, out), Error);
    EXPECT_THROW(row.best_set(4, out), Error);
    EXPECT_THROW(select_kept(row, 5, 1, 0, out), Error);
    row.best_set(10, out);  // everything: no ranks are needed
    EXPECT_EQ(out.size(), 10U);
}

/// Row 10, decided token by token.
Positions kept_by_hand(const std::vector<float>& scores, std::size_t capacity, std::size_t sink,
                       std::size_t recent) {
    const std::size_t n = scores.size();
    std::set<Position> kept;
    const std::size_t limit = std::min(capacity, n);
    for (std::size_t i = 0; i < std::min(sink, n) && kept.size() < limit; ++i) {
        kept.insert(static_cast<Position>(i));
    }
    for (std::size_t i = 0; i < std::min(recent, n) && kept.size() < limit; ++i) {
        kept.insert(static_cast<Position>(n - 1 - i));
    }
    for (const Position p : ranked_by_stable_sort(scores, n)) {
        if (kept.size() < limit) kept.insert(p);
    }
    return {kept.begin(), kept.end()};
}

TEST(SelectKept, ForcesSinksAndRecentTokensInsideTheCapacity) {
    const std::vector<float> scores{0, 9, 8, 7, 6, 0};
    Positions out;
    select_kept(ScoreRow::dense(scores), 4, 1, 1, out);
    EXPECT_THAT(out, ElementsAre(0, 1, 2, 5));
    select_kept(ScoreRow::dense(scores), 3, 2, 4, out);  // one recent token fits
    EXPECT_THAT(out, ElementsAre(0, 1, 5));
    select_kept(ScoreRow::dense(scores), 1, 4, 4, out);
    EXPECT_THAT(out, ElementsAre(0));
}

TEST(SelectKept, AgreesWithTheRuleSpelledOut) {
    test::RandomScores random(6);
    Positions out;
    for (int round = 0; round < 500; ++round) {
        const std::size_t n = 1 + random.below(60);
        const auto scores = random.tied(n, 7);
        const std::size_t capacity = random.below(n + 4);
        const std::size_t sink = random.below(8);
        const std::size_t recent = random.below(70);
        select_kept(ScoreRow::dense(scores), static_cast<std::int64_t>(capacity),
                    static_cast<std::int32_t>(sink), static_cast<std::int32_t>(recent), out);
        ASSERT_EQ(out, kept_by_hand(scores, capacity, sink, recent))
            << n << " " << capacity << " " << sink << " " << recent;
    }
}

}  // namespace
}  // namespace hc::policy
