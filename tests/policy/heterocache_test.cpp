#include "engine/policy/heterocache.h"

#include <algorithm>
#include <memory>
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

constexpr std::size_t kPrompt = 12;

/// Heads 0, 1: satellites; 2: their pivot; 3: pivot of satellite 4; 5: anchor. The file names
/// pivot 3 first.
HeadProfile profile() {
    HeadProfile p;
    p.num_layers = 1;
    p.num_kv_heads = 6;
    p.roles = {HeadRole::kSatellite, HeadRole::kSatellite, HeadRole::kPivot,
               HeadRole::kPivot,     HeadRole::kSatellite, HeadRole::kAnchor};
    p.ratios = {1.3, 0.7, -1, -1, 1.0, 1.0};
    p.stars = {{{3, {4}}, {2, {0, 1}}}};
    return p;
}

Budgets budgets() {
    return {kPrompt, 4, {5, 3, 12, 12, 4, 4}};
}

/// A row whose best positions are first, first + 1, ... (around the end), in this order.
std::vector<float> peak_at(std::size_t first) {
    std::vector<float> scores(kPrompt);
    for (std::size_t i = 0; i < kPrompt; ++i) {
        scores[(first + i) % kPrompt] = static_cast<float>(kPrompt - i);
    }
    return scores;
}

Settings with_window(Mode mode, std::int32_t window) {
    Settings settings = settings_for(mode);
    settings.window = window;
    settings.stagger_checks = false;
    return settings;
}

class HeteroCache : public ::testing::Test {
protected:
    void start(const Settings& settings) {
        policy_ = std::make_unique<HeteroCachePolicy>(profile_, budgets(), settings);
        for (const std::int32_t head : {0, 1, 4, 5}) select(head, 0);
        reference(2, 0);
        reference(3, 6);
    }
    void select(std::int32_t head, std::size_t peak) {
        const auto row = peak_at(peak);
        policy_->select_at_prefill({0, head}, ScoreRow::dense(row));
    }
    void reference(std::int32_t pivot, std::size_t peak) {
        const auto row = peak_at(peak);
        policy_->set_reference({0, pivot}, ScoreRow::dense(row));
    }
    CheckResult check(std::int32_t pivot, const std::vector<std::size_t>& peaks) {
        std::vector<std::vector<float>> scores;
        for (const std::size_t peak : peaks) scores.push_back(peak_at(peak));
        std::vector<ScoreRow> rows;
        for (const auto& row : scores) rows.push_back(ScoreRow::dense(row));
        return policy_->check({0, pivot}, rows);
    }

    HeadProfile profile_ = profile();
    std::unique_ptr<HeteroCachePolicy> policy_;
};

TEST_F(HeteroCache, PrefillKeepsTheBestTokensOfEachCapacity) {
    start(with_window(Mode::kFixed, 1));
    EXPECT_THAT(policy_->resident({0, 0}), ElementsAre(0, 1, 2, 3, 4));
    EXPECT_THAT(policy_->resident({0, 1}), ElementsAre(0, 1, 2));
}

TEST_F(HeteroCache, MedianOverlapAtTheThresholdDoesNotTrigger) {
    start(with_window(Mode::kFixed, 3));
    const CheckResult result = check(2, {8, 2, 1});  // overlaps 0 (8..11), 1/2, 3/4
    EXPECT_THAT(result.overlaps, ElementsAre(0.0, 0.5, 0.75));
    EXPECT_EQ(result.median, 0.5);
    EXPECT_FALSE(result.triggered);
    EXPECT_THAT(result.fetches, IsEmpty());
    EXPECT_THAT(policy_->reference_set({0, 2}), ElementsAre(0, 1, 2, 3));
}

TEST_F(HeteroCache, EvenWindowsTakeTheMeanOfTheMiddleOverlaps) {
    start(with_window(Mode::kFixed, 2));
    const CheckResult result = check(2, {2, 3});
    EXPECT_EQ(result.median, (0.5 + 0.25) / 2);
    EXPECT_TRUE(result.triggered);
}

TEST_F(HeteroCache, TriggerBringsTheBestTokensOfTheLastQueryAndReplacesTheReferenceSet) {
    start(with_window(Mode::kFixed, 1));
    const CheckResult result = check(2, {3});
    ASSERT_TRUE(result.triggered);
    ASSERT_EQ(result.fetches.size(), 2U);
    EXPECT_EQ(result.fetches[0].head, 0);
    EXPECT_THAT(result.fetches[0].wanted, ElementsAre(3, 4, 5, 6, 7));
    EXPECT_THAT(result.fetches[0].fetched, ElementsAre(5, 6, 7));  // row 15: 3 and 4 are there
    EXPECT_THAT(result.fetches[0].evicted, ElementsAre(0, 1, 2));
    EXPECT_THAT(result.fetches[1].wanted, ElementsAre(3, 4, 5));
    EXPECT_THAT(policy_->reference_set({0, 2}), ElementsAre(3, 4, 5, 6));
    EXPECT_THAT(policy_->resident({0, 0}), ElementsAre(0, 1, 2, 3, 4)) << "before the commit";
    policy_->commit({0, 2});
    EXPECT_THAT(policy_->resident({0, 0}), ElementsAre(3, 4, 5, 6, 7));
    EXPECT_THAT(policy_->resident({0, 1}), ElementsAre(3, 4, 5));
    EXPECT_THAT(policy_->resident({0, 4}), ElementsAre(0, 1, 2, 3)) << "another star";
}

TEST_F(HeteroCache, ReferenceModeFetchesWholeSetsCutByPosition) {
    Settings settings = with_window(Mode::kReference, 1);
    settings.reference_sets_by_file_order = false;
    start(settings);
    const CheckResult result = check(2, {9});  // best five: 9, 10, 11, 0, 1
    ASSERT_TRUE(result.triggered);
    EXPECT_THAT(result.fetches[0].fetched, ElementsAre(0, 1, 9, 10, 11));
    EXPECT_THAT(result.fetches[1].fetched, ElementsAre(0, 1, 9)) << "row 1 loses 10 and 11";
    EXPECT_THAT(result.fetches[1].evicted, ElementsAre(2));
    settings.satellites_cut_by_position = false;
    start(settings);
    EXPECT_THAT(check(2, {9}).fetches[1].wanted, ElementsAre(9, 10, 11));
}

TEST_F(HeteroCache, ReferenceModeLooksSetsUpInFileOrder) {
    start(with_window(Mode::kReference, 1));
    // The file's first pivot is 3, and meets the set of 2, the first in ascending order.
    EXPECT_EQ(check(3, {0}).median, 1.0);
    EXPECT_EQ(check(2, {6}).median, 1.0);
    EXPECT_TRUE(check(3, {6}).triggered);  // and replaces it
    EXPECT_EQ(check(3, {6}).median, 1.0);
    EXPECT_EQ(check(2, {6}).median, 1.0);
    start(with_window(Mode::kFixed, 1));
    EXPECT_EQ(check(3, {6}).median, 1.0);
    EXPECT_EQ(check(2, {0}).median, 1.0);
}

TEST_F(HeteroCache, NewerTriggerSupersedesAFetchThatIsNotCommitted) {
    start(with_window(Mode::kFixed, 1));
    ASSERT_TRUE(check(2, {6}).triggered);
    const CheckResult second = check(2, {2});
    ASSERT_TRUE(second.triggered);
    // Rows of the first fetch never arrive: missing is what 0..4 lacks of 2..6.
    EXPECT_THAT(second.fetches[0].fetched, ElementsAre(5, 6));
    EXPECT_THAT(second.fetches[0].evicted, ElementsAre(0, 1));
    policy_->commit({0, 2});
    EXPECT_THAT(policy_->resident({0, 0}), ElementsAre(2, 3, 4, 5, 6));
}

TEST_F(HeteroCache, SinksAndRecentTokensAreForcedInRetrievalToo) {
    Settings settings = with_window(Mode::kFixed, 1);
    settings.sink = 1;
    settings.recent = 2;
    start(settings);
    EXPECT_THAT(policy_->resident({0, 0}), ElementsAre(0, 1, 2, 10, 11));
    const CheckResult result = check(2, {5});
    EXPECT_THAT(result.fetches[0].wanted, ElementsAre(0, 5, 6, 10, 11));
    EXPECT_THAT(result.fetches[1].wanted, ElementsAre(0, 10, 11));
}

TEST_F(HeteroCache, ChanceCorrectionMapsChanceToZero) {
    Settings settings = with_window(Mode::kFixed, 1);
    settings.chance_corrected = true;
    start(settings);
    const CheckResult result = check(2, {2});  // 1/2 raw, chance 4/12
    EXPECT_DOUBLE_EQ(result.median, (0.5 - 1.0 / 3) / (1 - 1.0 / 3));
    EXPECT_TRUE(result.triggered);
    EXPECT_THAT(result.overlaps, ElementsAre(0.5));
}

TEST_F(HeteroCache, BaseOfTheWholePromptNeverTriggers) {
    Settings settings = with_window(Mode::kFixed, 1);
    settings.stable_threshold = 1.0;
    for (const bool corrected : {false, true}) {
        settings.chance_corrected = corrected;
        policy_ =
            std::make_unique<HeteroCachePolicy>(profile_, full_budgets(1, 6, kPrompt), settings);
        reference(2, 0);
        const CheckResult result = check(2, {7});
        EXPECT_EQ(result.median, 1.0);
        EXPECT_FALSE(result.triggered);
    }
}

TEST_F(HeteroCache, ChecksComeEveryWindowAndStaggerByLayer) {
    Settings settings = with_window(Mode::kFixed, 5);
    const auto steps = [&](std::int32_t layer) {
        const HeteroCachePolicy policy(profile_, budgets(), settings);
        std::vector<int> found;
        for (int step = 0; step <= 17; ++step) {
            if (policy.checks_at(layer, step)) found.push_back(step);
        }
        return found;
    };
    EXPECT_THAT(steps(0), ElementsAre(5, 10, 15));
    EXPECT_THAT(steps(3), ElementsAre(5, 10, 15));
    settings.stagger_checks = true;
    EXPECT_THAT(steps(0), ElementsAre(5, 10, 15));
    EXPECT_THAT(steps(1), ElementsAre(6, 11, 16));
    EXPECT_THAT(steps(8), ElementsAre(8, 13));
    settings.window = 1;
    EXPECT_EQ(steps(7).size(), 17U);
    settings.retrieval = false;
    EXPECT_THAT(steps(0), IsEmpty());
}

/// Policies fed by dense and by ranked rows, and a replay of residency by rows, stay equal.
TEST(HeteroCacheProperty, FetchesKeepCapacitiesAndDenseEqualsRanked) {
    test::RandomScores random(21);
    const HeadProfile profile_of_case = profile();
    const std::size_t prompt = 40;
    const Budgets sizes{static_cast<std::int64_t>(prompt), 9, {13, 6, 40, 40, 9, 8}};
    for (int round = 0; round < 60; ++round) {
        Settings settings = settings_for(round % 2 == 0 ? Mode::kFixed : Mode::kReference);
        settings.window = 3;
        settings.sink = round % 3;
        HeteroCachePolicy dense(profile_of_case, sizes, settings);
        HeteroCachePolicy ranked(profile_of_case, sizes, settings);
        std::set<Position> resident;  // of head 0, rebuilt from the fetches
        const auto rows = [&](std::vector<float>& scores, Positions& ranks) {
            scores = random.tied(prompt, 9);
            rank_top(scores, 13, ranks);
        };
        std::vector<float> scores;
        Positions ranks;
        for (const std::int32_t head : {0, 1, 4, 5}) {
            rows(scores, ranks);
            const Positions a = dense.select_at_prefill({0, head}, ScoreRow::dense(scores));
            ASSERT_EQ(a, ranked.select_at_prefill({0, head}, ScoreRow::ranked(ranks, prompt)));
            if (head == 0) resident.insert(a.begin(), a.end());
        }
        for (const std::int32_t pivot : {2, 3}) {
            rows(scores, ranks);
            dense.set_reference({0, pivot}, ScoreRow::dense(scores));
            ranked.set_reference({0, pivot}, ScoreRow::ranked(ranks, prompt));
        }
        for (int event = 0; event < 8; ++event) {
            std::vector<std::vector<float>> window(3);
            std::vector<Positions> window_ranks(3);
            std::vector<ScoreRow> a;
            std::vector<ScoreRow> b;
            for (std::size_t w = 0; w < 3; ++w) rows(window[w], window_ranks[w]);
            for (std::size_t w = 0; w < 3; ++w) {
                a.push_back(ScoreRow::dense(window[w]));
                b.push_back(ScoreRow::ranked(window_ranks[w], prompt));
            }
            const CheckResult x = dense.check({0, 2}, a);
            const CheckResult y = ranked.check({0, 2}, b);
            ASSERT_EQ(x.overlaps, y.overlaps);
            ASSERT_EQ(x.triggered, y.triggered);
            for (std::size_t i = 0; i < x.fetches.size(); ++i) {
                const HeadFetch& f = x.fetches[i];
                ASSERT_EQ(f.wanted, y.fetches[i].wanted);
                ASSERT_EQ(f.wanted.size(), dense.resident({0, f.head}).size());
                ASSERT_TRUE(std::is_sorted(f.wanted.begin(), f.wanted.end()));
                if (settings.fetch_missing_only) {
                    ASSERT_EQ(f.fetched.size(), f.evicted.size());
                }
            }
            if (!x.triggered || random.below(3) == 0) continue;  // some are superseded
            for (const Position p : x.fetches[0].evicted) ASSERT_EQ(resident.erase(p), 1U);
            resident.insert(x.fetches[0].fetched.begin(), x.fetches[0].fetched.end());
            dense.commit({0, 2});
            ranked.commit({0, 2});
            ASSERT_EQ(Positions(resident.begin(), resident.end()), dense.resident({0, 0}));
        }
    }
}

}  // namespace
}  // namespace hc::policy
