// A run step by step and its retrievals, on timelines drawn by hand.
#include "profiler/analysis/step_table.h"

#include <gtest/gtest.h>

#include <numeric>

#include "timeline.h"

namespace hc::analysis {
namespace {

using test::Timeline;

/// Step 1 checks and triggers; its fetch runs beside step 2, is waited for in step 3, used there.
Timeline one_retrieval() {
    Timeline t;
    t.step(0, 0, 100, Phase::kPrefill);
    t.step(1, 100, 200);
    t.step(2, 200, 300);
    t.step(3, 300, 420);
    t.op(OpKind::kAttention, 1, 100, 180);
    const std::int64_t topk = t.op(OpKind::kDriftTopk, 1, 180, 200);
    t.op(OpKind::kMlp, 2, 200, 300);
    const std::int64_t fetch = t.op(OpKind::kFetch, 1, 220, 330);
    const std::int64_t commit = t.op(OpKind::kCommit, 3, 300, 340);
    const std::int64_t use = t.op(OpKind::kAttention, 3, 340, 420);
    t.fetch(fetch, commit, 30);
    DriftRecord check;
    check.check_id = 9;
    check.op_id = topk;
    check.step = 1;
    check.pivot = 5;
    check.median = 0.4;
    check.threshold = 0.6;
    check.triggered = true;
    t.data.drift = {check};
    FetchRecord& f = t.data.fetches.front();
    f.check_id = 9;
    f.queued_ns = 205;
    f.due_step = 3;
    f.committed_step = 3;
    f.first_use_op = use;
    return t;
}

TEST(StepTable, AttributesTheFetchToTheStepsAtBothEnds) {
    const std::vector<StepRow> rows = step_table(one_retrieval().data);
    ASSERT_EQ(rows.size(), 4U);
    EXPECT_EQ(rows[1].checks, 1);
    EXPECT_EQ(rows[1].triggers, 1);
    EXPECT_EQ(rows[1].fetches_triggered, 1);
    EXPECT_EQ(rows[1].transfer_ns, 0);
    EXPECT_EQ(rows[2].transfer_ns, 80);
    EXPECT_DOUBLE_EQ(rows[2].overlap().value(), 1);
    EXPECT_EQ(rows[3].fetches_used, 1);
    EXPECT_EQ(rows[3].bytes_used, 800);
    EXPECT_EQ(rows[3].exposed_ns, 30);
    EXPECT_EQ(rows[3].transfer_ns, 30);
    EXPECT_DOUBLE_EQ(rows[3].overlap().value(), 0);  // nothing computed in the wait
    EXPECT_EQ(rows[3].kind_ns[static_cast<std::size_t>(OpKind::kCommit)], 40);
    EXPECT_FALSE(rows[0].overlap());
}

TEST(StepTable, ExposedOfTheStepsIsThatOfTheRun) {
    Timeline t = one_retrieval();
    // A transfer on the decode stream itself is exposed whole, in its own step.
    const std::int64_t own = t.op(OpKind::kFetch, 2, 300, 350);
    t.data.ops.stream.back() = kDecodeStream;
    t.fetch(own, -1, 0);
    t.data.fetches.back().committed_step = 3;
    const std::vector<StepRow> rows = step_table(t.data);
    EXPECT_EQ(rows[2].exposed_ns, 50);
    EXPECT_EQ(rows[3].exposed_ns, 30);
    EXPECT_EQ(transfer_metrics(t.data).exposed_ns, 80);
}

TEST(StepTable, ATransferLongerThanAStepIsCutAtItsEdges) {
    Timeline t;
    for (std::int64_t s = 1; s <= 4; ++s) {
        t.step(s, s * 100, s * 100 + 90);
        t.op(OpKind::kMlp, s, s * 100, s * 100 + 80);
    }
    t.op(OpKind::kFetch, 1, 150, 350);
    const std::vector<StepRow> rows = step_table(t.data);
    EXPECT_EQ(rows[0].transfer_ns, 40);
    EXPECT_EQ(rows[0].both_ns, 30);
    EXPECT_EQ(rows[1].transfer_ns, 90);
    EXPECT_EQ(rows[1].both_ns, 80);
    EXPECT_EQ(rows[2].transfer_ns, 50);
    EXPECT_EQ(rows[2].both_ns, 50);
    EXPECT_EQ(rows[3].transfer_ns, 0);
}

TEST(RetrievalTable, JoinsTriggerAndUse) {
    const std::vector<RetrievalRow> rows = retrieval_table(one_retrieval().data);
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].trigger_step, 1);
    EXPECT_EQ(rows[0].pivot, 5);
    EXPECT_EQ(rows[0].use_step, 3);
    EXPECT_EQ(rows[0].use_ns, 340);
    EXPECT_EQ(rows[0].waited_ns(), 15);
    EXPECT_EQ(rows[0].transfer_ns(), 110);
    const RetrievalTotals totals = retrieval_totals(rows);
    EXPECT_EQ(totals.count, 1);
    EXPECT_EQ(totals.used, 1);
    EXPECT_EQ(totals.late, 1);
    EXPECT_EQ(totals.exposed_ns, 30);
    EXPECT_EQ(totals.steps_to_use.median, 2);
    EXPECT_DOUBLE_EQ(totals.gb_per_s.value(), 800.0 / 110);
}

TEST(RetrievalTable, WhatNeverRanOrHasNoCheckSaysSo) {
    Timeline t = one_retrieval();
    FetchRecord f;
    f.id = 1;
    f.check_id = 77;
    f.start_ns = f.end_ns = -1;
    f.superseded = true;
    f.queued_ns = 300;
    t.data.fetches.push_back(f);
    const std::vector<RetrievalRow> rows = retrieval_table(t.data);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[1].trigger_step, -1);
    EXPECT_EQ(rows[1].use_step, -1);
    EXPECT_FALSE(rows[1].ran());
    EXPECT_EQ(rows[1].transfer_ns(), 0);
    const RetrievalTotals totals = retrieval_totals(rows);
    EXPECT_EQ(totals.superseded, 1);
    EXPECT_EQ(totals.transfer_ns.count, 1);
    EXPECT_FALSE(retrieval_totals({}).gb_per_s);
}

}  // namespace
}  // namespace hc::analysis
