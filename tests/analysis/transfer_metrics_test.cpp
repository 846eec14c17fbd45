// Overlap, exposed, hiding and interference against figures worked out by hand.
#include <gtest/gtest.h>

#include "profiler/analysis/metrics.h"
#include "timeline.h"

namespace hc::analysis {
namespace {

using test::Timeline;

TEST(TransferMetrics, AreNoneWithoutATransfer) {
    Timeline t;
    t.step(1, 0, 100);
    t.op(OpKind::kMlp, 1, 0, 100);
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_EQ(m.transfer_ns, 0);
    EXPECT_FALSE(m.overlap);
    EXPECT_FALSE(m.hiding);
    EXPECT_FALSE(m.interference);
}

TEST(TransferMetrics, AHiddenTransferOverlapsWhatComputes) {
    Timeline t;
    t.step(1, 0, 100);
    t.step(2, 100, 200);
    t.op(OpKind::kAttention, 1, 0, 40);
    t.op(OpKind::kMlp, 1, 50, 90);  // 40..50 nobody computes
    const std::int64_t fetch = t.op(OpKind::kFetch, 1, 30, 70);
    const std::int64_t commit = t.op(OpKind::kCommit, 2, 100, 110);
    t.fetch(fetch, commit, 0);
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_EQ(m.transfer_ns, 40);
    EXPECT_EQ(m.exposed_ns, 0);
    EXPECT_DOUBLE_EQ(m.overlap.value(), 30.0 / 40);
    EXPECT_DOUBLE_EQ(m.hiding.value(), 1);
}

TEST(TransferMetrics, WaitingInACommitIsExposedAndNotComputation) {
    Timeline t;
    t.step(1, 0, 100);
    t.step(2, 100, 200);
    t.op(OpKind::kMlp, 1, 0, 100);
    const std::int64_t fetch = t.op(OpKind::kFetch, 1, 60, 140);
    const std::int64_t commit = t.op(OpKind::kCommit, 2, 100, 155);  // waits 40, copies 15
    t.op(OpKind::kMlp, 2, 155, 200);
    t.fetch(fetch, commit, 40);
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_EQ(m.transfer_ns, 80);
    EXPECT_EQ(m.exposed_ns, 40);
    EXPECT_DOUBLE_EQ(m.overlap.value(), 40.0 / 80);
    EXPECT_DOUBLE_EQ(m.hiding.value(), 0.5);
}

TEST(TransferMetrics, AFullyExposedTransferHidesNothing) {
    Timeline t;
    t.step(1, 0, 100);
    t.step(2, 100, 300);
    t.op(OpKind::kMlp, 1, 0, 100);
    const std::int64_t fetch = t.op(OpKind::kFetch, 2, 100, 200);
    const std::int64_t commit = t.op(OpKind::kCommit, 2, 100, 210);
    t.fetch(fetch, commit, 100);
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_DOUBLE_EQ(m.overlap.value(), 0);
    EXPECT_DOUBLE_EQ(m.hiding.value(), 0);
}

TEST(TransferMetrics, ATransferOnTheDecodeStreamIsExposedWhole) {
    Timeline t;
    t.step(1, 0, 200);
    t.op(OpKind::kMlp, 1, 0, 100);
    const std::int64_t fetch = t.op(OpKind::kFetch, 1, 100, 160);
    t.data.ops.stream[static_cast<std::size_t>(fetch)] = kDecodeStream;
    const std::int64_t commit = t.op(OpKind::kCommit, 1, 160, 180);
    t.fetch(fetch, commit, 0);  // nobody waited in the commit: the fetch itself took the time
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_EQ(m.exposed_ns, 60);
    EXPECT_DOUBLE_EQ(m.overlap.value(), 0);
    EXPECT_DOUBLE_EQ(m.hiding.value(), 0);
}

TEST(TransferMetrics, CountTransfersAtOneTimeOnce) {
    Timeline t;
    t.step(1, 0, 1000);
    t.op(OpKind::kAttention, 1, 0, 50);
    t.op(OpKind::kAttention, 1, 50, 120);
    t.op(OpKind::kFetch, 1, 10, 30);
    t.op(OpKind::kFetch, 1, 20, 40);    // union so far 10..40
    t.op(OpKind::kFetch, 1, 40, 60);    // touches: 10..60
    t.op(OpKind::kFetch, 1, 70, 70);    // no length
    t.op(OpKind::kFetch, 1, 100, 140);  // half beside computation
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_EQ(m.transfer_ns, 90);
    EXPECT_DOUBLE_EQ(m.overlap.value(), 70.0 / 90);
}

TEST(TransferMetrics, ATransferMayOutlastSteps) {
    Timeline t;
    for (std::int64_t s = 1; s <= 4; ++s) {
        t.step(s, s * 100, s * 100 + 90);
        t.op(OpKind::kMlp, s, s * 100, s * 100 + 80);
    }
    const std::int64_t fetch = t.op(OpKind::kFetch, 1, 150, 350);
    t.fetch(fetch, -1, 0);  // never committed
    const TransferMetrics m = transfer_metrics(t.data);
    // 150..180, 200..280 and 300..350 compute.
    EXPECT_DOUBLE_EQ(m.overlap.value(), 160.0 / 200);
    EXPECT_DOUBLE_EQ(m.hiding.value(), 1);
}

TEST(TransferMetrics, InterferenceComparesWithTheSameOperationAlone) {
    Timeline t;
    // Three quiet steps: mlp takes 10, 12, 14 (median 12); attention over 5 rows takes 20.
    for (std::int64_t s = 1; s <= 3; ++s) {
        t.step(s, s * 1000, s * 1000 + 100);
        t.op(OpKind::kMlp, s, s * 1000, s * 1000 + 8 + 2 * s);
        t.op(OpKind::kAttention, s, s * 1000 + 30, s * 1000 + 50, 5);
    }
    // A step with a transfer beside its mlp (15) and one attention (30), not beside the other.
    t.step(4, 4000, 4200);
    t.op(OpKind::kMlp, 4, 4000, 4015);
    t.op(OpKind::kAttention, 4, 4020, 4050, 5);
    t.op(OpKind::kAttention, 4, 4100, 4180, 5);
    t.op(OpKind::kAttention, 4, 4030, 4040, 6);  // other rows: nothing to compare with
    t.op(OpKind::kFetch, 4, 4005, 4045);
    const TransferMetrics m = transfer_metrics(t.data);
    EXPECT_DOUBLE_EQ(m.interference.value(), (15.0 + 30.0) / (12.0 + 20.0) - 1);
}

TEST(TransferMetrics, PrefillIsNoMeasureOfTimeAlone) {
    Timeline t;
    t.step(0, 0, 900, Phase::kPrefill);
    t.op(OpKind::kMlp, 0, 0, 500);
    t.step(1, 1000, 1100);
    t.op(OpKind::kMlp, 1, 1000, 1050);
    t.op(OpKind::kFetch, 1, 1010, 1020);
    EXPECT_FALSE(transfer_metrics(t.data).interference);
}

TEST(TransferMetrics, WithoutOperationsFetchesAloneCount) {
    trace::RunData data;
    FetchRecord f;
    f.start_ns = 100, f.end_ns = 200, f.exposed_ns = 25;
    data.fetches = {f};
    const TransferMetrics m = transfer_metrics(data);
    EXPECT_EQ(m.transfer_ns, 100);
    EXPECT_DOUBLE_EQ(m.hiding.value(), 0.75);
    EXPECT_FALSE(m.overlap);
    EXPECT_FALSE(m.interference);
}

}  // namespace
}  // namespace hc::analysis
