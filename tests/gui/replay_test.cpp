#include <gtest/gtest.h>

#include "gui/models/compare_tables.h"
#include "gui/models/residency.h"
#include "gui/models/step_alignment.h"
#include "gui/models/what_if_model.h"
#include "tests/gui/synthetic_run.h"

namespace hc::gui {
namespace {

/// A prompt of 20 positions; the head keeps five and changes them at step 3.
trace::RunData small_run() {
    trace::RunData data;
    data.run.prompt_tokens = 20;
    for (int i = 0; i < 6; ++i) {
        data.steps.step.push_back(i);
        data.steps.phase.push_back(i == 0 ? Phase::kPrefill : Phase::kDecode);
        data.steps.batch.push_back(1);
        data.steps.start_ns.push_back(i * 100);
        data.steps.end_ns.push_back(i * 100 + 90);
    }
    HeadRecord head;
    head.role = HeadRole::kSatellite;
    head.capacity = 5;
    data.heads.push_back(head);
    RowsRecord kept;
    kept.step = 1;
    kept.fetched = {0, 3, 5, 9, 19};
    RowsRecord change;
    change.fetch_id = 7;
    change.step = 3;
    change.fetched = {4, 12};
    change.evicted = {3, 9};
    data.rows = {kept, change};
    FetchRecord fetch;
    fetch.id = 7;
    data.fetches.push_back(fetch);
    return data;
}

TEST(Residency, FollowsWhatWasKeptFetchedAndPutOut) {
    const Residency map(small_run(), nullptr, {0, 0, 0});
    ASSERT_EQ(map.steps().size(), 6u);
    ASSERT_EQ(map.num_rows(), 20);
    EXPECT_EQ(map.cell(0, 0), Residency::Cell::kAbsent) << "before the prefill selected";
    EXPECT_EQ(map.cell(1, 0), Residency::Cell::kKept);
    EXPECT_EQ(map.cell(1, 1), Residency::Cell::kAbsent);
    EXPECT_EQ(map.cell(2, 9), Residency::Cell::kKept);
    EXPECT_EQ(map.cell(3, 9), Residency::Cell::kEvicted);
    EXPECT_EQ(map.cell(4, 9), Residency::Cell::kAbsent);
    EXPECT_EQ(map.cell(3, 12), Residency::Cell::kFetched);
    EXPECT_EQ(map.cell(4, 12), Residency::Cell::kKept);
    EXPECT_EQ(map.steps()[3].fetch, 0u);
    EXPECT_FALSE(map.steps()[2].fetch);
    for (const std::size_t step : {1u, 2u, 3u, 5u}) EXPECT_EQ(map.steps()[step].resident, 5);
    EXPECT_EQ(map.steps()[3].fetched, 2);
    EXPECT_EQ(map.steps()[3].evicted, 2);
    EXPECT_FALSE(map.knows_wanted());
}

TEST(Residency, ShowsWhatFullAttentionWantedAndWasNotThere) {
    trace::RunData attention;
    AttentionRecord row;
    row.step = 2;
    row.kind = AttentionRowKind::kScore;
    row.ranked = {19, 4, 0, 12, 5, 18};  // of these five may be kept
    row.values.assign(row.ranked.size(), 1.0f);
    attention.attention.push_back(row);
    const Residency map(small_run(), &attention, {0, 0, 0});
    EXPECT_TRUE(map.knows_wanted());
    EXPECT_EQ(map.steps()[2].wanted, 5);
    EXPECT_EQ(map.steps()[2].missing, 2);
    EXPECT_EQ(map.cell(2, 4), Residency::Cell::kMissing);
    EXPECT_EQ(map.cell(2, 12), Residency::Cell::kMissing);
    EXPECT_EQ(map.cell(2, 18), Residency::Cell::kAbsent) << "beyond what the head may keep";
    EXPECT_FALSE(map.steps()[1].missing) << "the drift trace has no such step";
}

TEST(Residency, SurvivesPositionsAndPromptsThatAreNone) {
    trace::RunData data = small_run();
    data.rows[1].fetched = {4'000'000'000u, 12};
    data.rows[1].evicted = {3'999'999'999u};
    EXPECT_EQ(Residency(data, nullptr, {0, 0, 0}).steps()[3].resident, 6);
    for (const std::int64_t prompt : {std::int64_t{-5}, std::int64_t{0}, std::int64_t{1}}) {
        data.run.prompt_tokens = prompt;
        const Residency map(data, nullptr, {0, 0, 0});
        EXPECT_EQ(map.empty(), prompt <= 0);
    }
    EXPECT_TRUE(Residency(data, nullptr, {5, 5, 0}).empty()) << "a head that is not there";
}

TEST(Residency, LongPromptsShareRowsAndLoseNothing) {
    trace::RunData data = small_run();
    data.run.prompt_tokens = 100'000;
    data.rows[0].fetched = {0, 50'000, 99'999};
    data.rows[1].fetched = {77'777};
    data.rows[1].evicted = {50'000};
    const Residency map(data, nullptr, {0, 0, 0});
    ASSERT_EQ(map.num_rows(), Residency::kMaxRows);
    std::int64_t covered = 0;
    int fetched_row = -1;
    for (int row = 0; row < map.num_rows(); ++row) {
        const auto [first, last] = map.positions(row);
        EXPECT_EQ(first, covered);
        covered = last;
        if (77'777 >= first && 77'777 < last) fetched_row = row;
    }
    EXPECT_EQ(covered, 100'000);
    EXPECT_EQ(map.cell(3, fetched_row), Residency::Cell::kFetched);
    EXPECT_EQ(map.cell(5, map.num_rows() - 1), Residency::Cell::kKept);
}

TEST(StepAlignment, MapsTheSameShareOfTheSameStep) {
    trace::Steps a, b;
    for (int i = 0; i < 10; ++i) {
        for (auto* steps : {&a, &b}) {
            steps->step.push_back(steps == &a ? i : i + 2);
            steps->phase.push_back(Phase::kDecode);
            steps->batch.push_back(1);
        }
        a.start_ns.push_back(i * 100);
        a.end_ns.push_back(i * 100 + 80);
        b.start_ns.push_back(5000 + i * 200);
        b.end_ns.push_back(5000 + i * 200 + 200);
    }
    const StepAlignment alignment(a, b);
    EXPECT_EQ(alignment.num_common(), 8u);
    EXPECT_EQ(alignment.to_b(200), 5000);
    EXPECT_EQ(alignment.to_b(240), 5100) << "half of step 2";
    EXPECT_EQ(alignment.to_b(290), 5200) << "in the gap after it";
    EXPECT_EQ(alignment.to_b(100), 4900) << "before the first common step";
    for (const double t : {-50.0, 200.0, 233.0, 555.0, 980.0, 5000.0}) {
        EXPECT_NEAR(alignment.to_a(alignment.to_b(t)), t, 20.0) << t;
    }
    EXPECT_NEAR(alignment.to_a(alignment.to_b(640)), 640, 1e-9);
    EXPECT_EQ(StepAlignment().to_b(123), 123);
}

TEST(Differences, NameStepsKindsAndSettings) {
    const RunView a = test::to_run_view(test::make_synthetic_run({.decode_steps = 40}));
    const RunView b =
        test::to_run_view(test::make_synthetic_run({.decode_steps = 40, .step_ns = 44'000'000}));
    const auto rows = difference_rows(a, b);
    ASSERT_FALSE(rows.empty());
    EXPECT_EQ(rows[0].what.toStdString(), "step, median");
    EXPECT_NEAR(rows[0].relative, 1.0, 0.2);
    EXPECT_EQ(rows[0].verdict.toStdString(), "differs within these two recordings");
    for (const DifferenceRow& row : difference_rows(a, a)) {
        EXPECT_EQ(row.relative, 0) << row.what.toStdString();
    }
}

TEST(ParetoPoints, BestAreThoseThatNothingBeats) {
    const auto point = [](double step, double recall) {
        ParetoPoint p;
        p.step_ns = step;
        p.recall = recall;
        return p;
    };
    std::vector<ParetoPoint> points = {point(10, 0.8), point(12, 0.9), point(13, 0.85),
                                       point(10, 0.7), point(12, 0.9)};
    mark_best(points);
    const bool expected[] = {true, true, false, false, true};
    for (std::size_t i = 0; i < points.size(); ++i) EXPECT_EQ(points[i].best, expected[i]) << i;
}

}  // namespace
}  // namespace hc::gui
