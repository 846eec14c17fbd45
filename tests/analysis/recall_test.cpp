// Recall against a slow replay that keeps a set of positions per step.
#include <gtest/gtest.h>
#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "engine/core/error.h"
#include "profiler/analysis/metrics.h"

namespace hc::analysis {
namespace {

using trace::RecallRecord;
using trace::RunData;

constexpr std::int64_t kPrompt = 60;
constexpr std::int64_t kSteps = 24;

AttentionRecord prob_row(std::mt19937_64& random, std::int64_t step, std::int32_t layer,
                         std::int32_t head, std::size_t depth) {
    AttentionRecord row;
    row.step = step, row.layer = layer, row.head = head, row.kind = AttentionRowKind::kProb;
    row.ranked.resize(kPrompt);
    std::iota(row.ranked.begin(), row.ranked.end(), 0U);
    std::shuffle(row.ranked.begin(), row.ranked.end(), random);
    row.ranked.resize(depth);
    double left = 0.95;
    for (std::size_t i = 0; i < depth; ++i) {
        row.values.push_back(static_cast<float>(left * 0.1));
        left -= static_cast<double>(row.values.back());
    }
    row.mass_generated = 0.05;
    row.mass_rest = left;
    return row;
}

HeadRecord head_record(std::int32_t layer, std::int32_t head, HeadRole role,
                       std::int64_t capacity) {
    HeadRecord h;
    h.layer = layer, h.head = head, h.role = role, h.capacity = capacity;
    return h;
}

struct Case {
    RunData run;
    RunData attention;
};

/// Satellites whose rows change at random steps, an anchor that never does, a pivot.
Case random_case(std::uint64_t seed, std::size_t depth) {
    std::mt19937_64 random(seed);
    const auto pick = [&](std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(0, high)(random);
    };
    Case c;
    c.run.run.policy = "heterocache";
    c.run.run.prompt_tokens = c.attention.run.prompt_tokens = kPrompt;
    const HeadRole roles[] = {HeadRole::kPivot, HeadRole::kSatellite, HeadRole::kSatellite,
                              HeadRole::kAnchor};
    for (std::int32_t h = 0; h < 4; ++h) {
        c.run.heads.push_back(head_record(0, h, roles[h], is_full(roles[h]) ? kPrompt : 20));
        if (is_full(roles[h])) continue;
        Positions all(kPrompt);
        std::iota(all.begin(), all.end(), 0U);
        std::shuffle(all.begin(), all.end(), random);
        RowsRecord kept;
        kept.step = 1, kept.head = h;
        kept.fetched.assign(all.begin(), all.begin() + 20);
        std::sort(kept.fetched.begin(), kept.fetched.end());
        c.run.rows.push_back(kept);
        std::set<Position> resident(kept.fetched.begin(), kept.fetched.end());
        for (std::int64_t s = 2; roles[h] == HeadRole::kSatellite && s < kSteps; ++s) {
            if (pick(3) != 0) continue;
            RowsRecord change;
            change.fetch_id = s, change.step = s, change.head = h;
            for (std::int64_t n = pick(6); n > 0; --n) {
                const auto in = static_cast<Position>(pick(kPrompt - 1));
                const Position out = *std::next(resident.begin(), pick(19));
                if (resident.contains(in)) continue;
                resident.erase(out), resident.insert(in);
                // Undo a swap within this change rather than list a position on both sides.
                if (std::erase(change.fetched, out) == 0) change.evicted.push_back(out);
                if (std::erase(change.evicted, in) == 0) change.fetched.push_back(in);
            }
            std::sort(change.fetched.begin(), change.fetched.end());
            std::sort(change.evicted.begin(), change.evicted.end());
            c.run.rows.push_back(change);
        }
    }
    std::stable_sort(c.run.rows.begin(), c.run.rows.end(),
                     [](const RowsRecord& a, const RowsRecord& b) { return a.step < b.step; });
    for (std::int64_t s = 0; s < kSteps; s += 3) {
        for (std::int32_t h = 0; h < 4; ++h) {
            c.attention.attention.push_back(prob_row(random, s, 0, h, depth));
        }
    }
    return c;
}

/// The set of a head during a step, from scratch.
std::set<Position> resident_during(const RunData& run, std::int32_t head, std::int64_t step) {
    std::set<Position> resident;
    for (const RowsRecord& change : run.rows) {
        if (change.head != head || change.step > step) continue;
        for (const Position p : change.evicted) resident.erase(p);
        for (const Position p : change.fetched) resident.insert(p);
    }
    return resident;
}

TEST(Recall, AgreesWithASlowReplay) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const Case c = random_case(seed, 30);
        const std::vector<RecallRecord> fast = run_recall(c.run, c.attention);
        std::size_t next = 0;
        for (const AttentionRecord& row : c.attention.attention) {
            double low = 1;
            double high = 1;
            if (row.head != 0) {
                if (row.step < 1) continue;  // nothing selected yet
                std::set<Position> resident = resident_during(c.run, row.head, row.step);
                low = row.mass_generated;
                for (std::size_t i = 0; i < row.ranked.size(); ++i) {
                    if (resident.erase(row.ranked[i]) == 1) {
                        low += static_cast<double>(row.values[i]);
                    }
                }
                high = resident.empty() ? low : low + row.mass_rest;
            }
            ASSERT_LT(next, fast.size());
            EXPECT_EQ(fast[next].step, row.step);
            EXPECT_EQ(fast[next].head, row.head);
            EXPECT_NEAR(fast[next].low, low, 1e-9);
            EXPECT_NEAR(fast[next].high, high, 1e-9);
            ++next;
        }
        EXPECT_EQ(next, fast.size());
    }
}

TEST(Recall, OfAHeadThatHoldsEverythingIsOneHoweverLittleIsRecorded) {
    Case c = random_case(5, 10);
    c.run.rows.clear();
    RowsRecord all;
    all.step = 1, all.head = 1;
    all.fetched.resize(kPrompt);
    std::iota(all.fetched.begin(), all.fetched.end(), 0U);
    c.run.rows.push_back(all);
    int judged = 0;
    for (const RecallRecord& r : run_recall(c.run, c.attention)) {
        if (r.head != 1) continue;
        EXPECT_NEAR(r.low, 1, 1e-6);
        EXPECT_NEAR(r.high, 1, 1e-6);
        ++judged;
    }
    EXPECT_EQ(judged, 7);
}

TEST(Recall, OfFullKvIsOne) {
    Case c = random_case(6, 30);
    c.run.run.policy = "fullkv";
    c.run.heads.clear();
    c.run.rows.clear();
    const std::vector<RecallRecord> recall = run_recall(c.run, c.attention);
    EXPECT_EQ(recall.size(), c.attention.attention.size());
    for (const RecallRecord& r : recall) EXPECT_EQ(r.low, 1);
    EXPECT_EQ(run_metrics(c.run, nullptr).recall.value().low, 1);
}

TEST(Recall, TheMeanLeavesFullHeadsOut) {
    Case c;
    c.run.run.policy = "heterocache";
    c.run.run.prompt_tokens = c.attention.run.prompt_tokens = 4;
    c.run.heads = {head_record(0, 0, HeadRole::kPivot, 4),
                   head_record(0, 1, HeadRole::kSatellite, 2)};
    RowsRecord kept;
    kept.step = 1, kept.head = 1, kept.fetched = {0, 1};
    RowsRecord swap;
    swap.fetch_id = 0, swap.step = 3, swap.head = 1, swap.fetched = {2}, swap.evicted = {0};
    c.run.rows = {kept, swap};
    AttentionRecord row;
    row.kind = AttentionRowKind::kProb;
    row.ranked = {2, 0, 1};
    row.values = {0.5F, 0.25F, 0.125F};
    row.mass_rest = 0.0625;
    row.mass_generated = 0.0625;
    for (const std::int64_t step : {2, 3}) {
        for (const std::int32_t head : {0, 1}) {
            row.step = step, row.head = head;
            c.attention.attention.push_back(row);
        }
    }
    const RecallInterval mean = run_metrics(c.run, &c.attention).recall.value();
    // Step 2: {0,1} hold 0.375 and the generated 0.0625. Step 3: {1,2} hold 0.625 + 0.0625.
    EXPECT_DOUBLE_EQ(mean.low, (0.4375 + 0.6875) / 2);
    EXPECT_DOUBLE_EQ(mean.high, mean.low);
    const std::vector<RecallRecord> oracle = oracle_recall(c.run, c.attention);
    ASSERT_EQ(oracle.size(), 4U);
    EXPECT_EQ(oracle[0].low, 1);                     // the pivot
    EXPECT_DOUBLE_EQ(oracle[1].low, 0.75 + 0.0625);  // the best two
}

TEST(Recall, OfTheOracleIsNeverBelowTheRun) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const Case c = random_case(seed, 30);
        std::map<std::pair<std::int64_t, std::int32_t>, double> best;
        for (const RecallRecord& r : oracle_recall(c.run, c.attention)) {
            best[{r.step, r.head}] = r.low;
        }
        for (const RecallRecord& r : run_recall(c.run, c.attention)) {
            EXPECT_LE(r.low, best.at({r.step, r.head}) + 1e-9);
        }
    }
}

TEST(Recall, OfTheOracleIsAnIntervalBeyondWhatWasRecorded) {
    Case c = random_case(3, 10);  // capacity 20, 10 recorded
    for (const RecallRecord& r : oracle_recall(c.run, c.attention)) {
        if (r.head == 0) continue;
        EXPECT_LT(r.low, r.high);
        EXPECT_NEAR(r.high, 1, 1e-6);
    }
}

TEST(Recall, OfAnOracleRunIsTheOracles) {
    Case c = random_case(4, 30);
    const std::vector<RecallRecord> oracle = oracle_recall(c.run, c.attention);
    c.run.run.policy = "oracle";
    c.run.rows.clear();
    const std::vector<RecallRecord> recall = run_recall(c.run, c.attention);
    ASSERT_EQ(recall.size(), oracle.size());
    for (std::size_t i = 0; i < recall.size(); ++i) EXPECT_EQ(recall[i].low, oracle[i].low);
}

TEST(Recall, IsRefusedAcrossPrompts) {
    Case c = random_case(1, 30);
    c.attention.run.prompt_tokens = kPrompt + 1;
    EXPECT_THROW((void)run_recall(c.run, c.attention), Error);
    EXPECT_FALSE(run_metrics(c.run, &c.attention).recall);
}

}  // namespace
}  // namespace hc::analysis
