// Retrievals made of constructed NVTX rows, calls and GPU work; every expected number is worked out
// by hand beside the rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "profiler/retrieval/retrieval_from_nvtx.h"

namespace hc::retrieval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kPid = 100;
constexpr std::int64_t kThread = kPid << 24 | 1;
constexpr std::int32_t kCompute = 3, kCopy = 4;

/// Rows in the order in which read_domain() gives them.
class Rows {
public:
    Rows& range(const std::string& text, std::int64_t start, std::int64_t end,
                std::int64_t thread = kThread) {
        activity_.events.push_back({.start_ns = start,
                                    .end_ns = end,
                                    .thread = thread,
                                    .nested = true,
                                    .mark = false,
                                    .text = text,
                                    .payload = {}});
        return *this;
    }
    /// A start/end range: may cross others.
    Rows& process_range(const std::string& text, std::int64_t start, std::int64_t end,
                        std::int64_t thread = kThread) {
        range(text, start, end, thread);
        activity_.events.back().nested = false;
        return *this;
    }
    Rows& mark(const std::string& text, std::int64_t time, std::int64_t thread = kThread) {
        range(text, time, -1, thread);
        activity_.events.back().nested = false;
        activity_.events.back().mark = true;
        return *this;
    }
    /// A call at `time` that gives the GPU work.
    Rows& launch(std::int64_t time, std::int64_t correlation, std::int64_t thread = kThread) {
        activity_.calls.push_back({time, time + 1, thread, correlation});
        return *this;
    }
    Rows& kernel(std::int64_t correlation, std::int64_t start, std::int64_t end,
                 std::int32_t stream = kCompute, std::int64_t pid = kPid) {
        activity_.work.push_back({.start_ns = start,
                                  .end_ns = end,
                                  .correlation_id = correlation,
                                  .pid = pid,
                                  .bytes = 0,
                                  .stream = stream,
                                  .device = 0,
                                  .kernel = true});
        return *this;
    }
    Rows& copy(std::int64_t correlation, std::int64_t start, std::int64_t end, std::int64_t bytes,
               std::int32_t stream = kCopy) {
        kernel(correlation, start, end, stream);
        activity_.work.back().kernel = false;
        activity_.work.back().bytes = bytes;
        return *this;
    }
    [[nodiscard]] ImportedRuns convert() {
        std::stable_sort(activity_.events.begin(), activity_.events.end(),
                         [](const auto& a, const auto& b) {
                             return std::tuple(a.thread, a.start_ns, -a.end_ns) <
                                    std::tuple(b.thread, b.start_ns, -b.end_ns);
                         });
        std::stable_sort(
            activity_.calls.begin(), activity_.calls.end(), [](const auto& a, const auto& b) {
                return std::tuple(a.thread, a.start_ns) < std::tuple(b.thread, b.start_ns);
            });
        std::stable_sort(activity_.work.begin(), activity_.work.end(),
                         [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; });
        return retrieval_from_nvtx(activity_);
    }

private:
    DomainActivity activity_;
};

/// Two decode steps. Step 10: a check (kernel 1), then a fetch of two copies launched from it.
/// Step 11: a plain kernel, the commit's kernel once the copies are there, then the use.
///
/// GPU, compute stream: check 1000-1100 | other 1100-1400, 3000-3500 | commit 6000-6100 | use
/// 6100-6500. Copy stream: 1200-2200 and 2300-5000.
Rows two_steps() {
    Rows rows;
    rows.range("step id=10", 0, 500)
        .range("check id=77 layer=2 head=1 base=32 threshold=0.5", 100, 150)
        .launch(110, 1)
        .mark("check id=77 median=0.25 overlaps=0.25,0.75", 160)
        .launch(170, 2)
        .range("fetch id=500 check=77 layer=2 rows=96 wanted=128 runs=2 due=11", 200, 300)
        .launch(210, 3)
        .launch(220, 4)
        .range("step id=11", 600, 900)
        .launch(610, 5)
        .range("commit layer=2 fetch=500", 650, 700)
        .launch(660, 6)
        .range("use layer=2 fetch=500", 710, 750)
        .launch(720, 7)
        .launch(800, 8)
        .kernel(1, 1000, 1100)
        .kernel(2, 1100, 1400)
        .copy(3, 1200, 2200, 4096)
        .copy(4, 2300, 5000, 8192)
        .kernel(5, 3000, 3500)
        .kernel(6, 6000, 6100)
        .kernel(7, 6100, 6500)
        // A kernel outside the steps' named ranges, close behind: its own operation, kind other.
        .kernel(8, 6500, 6600);
    return rows;
}

TEST(RetrievalFromNvtx, FollowsAFetchFromItsCheckToItsFirstUse) {
    const ImportedRuns out = two_steps().convert();
    EXPECT_THAT(out.problems, IsEmpty());
    ASSERT_THAT(out.runs, SizeIs(1));
    const trace::AppendedRun& run = out.runs.front();
    EXPECT_EQ(run.run.policy, "nvtx");
    EXPECT_EQ(run.run.backend, "cuda");

    ASSERT_THAT(run.steps, SizeIs(2));
    EXPECT_EQ(run.steps[0].step, 1) << "0 is a prefill's number";
    EXPECT_EQ(run.steps[1].step, 2);
    EXPECT_EQ(run.steps[1].start_ns, 600);
    EXPECT_EQ(run.steps[1].end_ns, 900);

    // By start: check, other, fetch (its pieces are 100 ns apart: one), other, commit, use, other.
    ASSERT_THAT(run.ops, SizeIs(7));
    const auto op = [&](std::size_t i) {
        const trace::AppendedOp& o = run.ops[i];
        EXPECT_EQ(o.op.op_id, static_cast<std::int64_t>(i));
        return std::tuple(o.op.kind, o.op.step, o.op.start_ns, o.op.end_ns, o.correlation_first,
                          o.correlation_last);
    };
    EXPECT_EQ(op(0), std::tuple(OpKind::kDriftTopk, 1, 1000, 1100, 1, 1));
    EXPECT_EQ(op(1), std::tuple(OpKind::kOther, 1, 1100, 1400, 2, 2));
    EXPECT_EQ(op(2), std::tuple(OpKind::kFetch, 1, 1200, 5000, 3, 4));
    EXPECT_EQ(op(3), std::tuple(OpKind::kOther, 2, 3000, 3500, 5, 5));
    EXPECT_EQ(op(4), std::tuple(OpKind::kCommit, 2, 6000, 6100, 6, 6));
    EXPECT_EQ(op(5), std::tuple(OpKind::kAttention, 2, 6100, 6500, 7, 7));
    EXPECT_EQ(op(6), std::tuple(OpKind::kOther, 2, 6500, 6600, 8, 8));
    EXPECT_EQ(run.ops[2].op.stream, kCopy);
    EXPECT_EQ(run.ops[2].op.layer, 2);
    EXPECT_EQ(run.ops[2].op.bytes_written, 4096 + 8192);
    EXPECT_EQ(run.ops[2].op.rows, 96);

    EXPECT_EQ(run.stream_roles,
              (std::map<std::int32_t, std::string>{{kCompute, "compute"}, {kCopy, "fetch"}}));

    ASSERT_THAT(run.drift, SizeIs(1));
    const DriftRecord& check = run.drift.front();
    EXPECT_EQ(check.check_id, 0);
    EXPECT_EQ(check.op_id, 0);
    EXPECT_EQ(check.step, 1);
    EXPECT_EQ(check.layer, 2);
    EXPECT_EQ(check.pivot, 1);
    EXPECT_EQ(check.base, 32);
    EXPECT_THAT(check.overlaps, ElementsAre(0.25, 0.75));
    EXPECT_EQ(check.median, 0.25) << "given, so not the 0.5 of the overlaps";
    EXPECT_EQ(check.threshold, 0.5);
    EXPECT_TRUE(check.triggered);

    ASSERT_THAT(run.fetches, SizeIs(1));
    const FetchRecord& f = run.fetches.front();
    EXPECT_EQ(f.id, 0);
    EXPECT_EQ(f.check_id, 0);
    EXPECT_EQ(f.layer, 2);
    EXPECT_EQ(f.way, FetchWay::kCopy);
    EXPECT_EQ(f.rows_fetched, 96);
    EXPECT_EQ(f.rows_wanted, 128);
    EXPECT_EQ(f.runs, 2);
    EXPECT_EQ(f.bytes, 4096 + 8192);
    EXPECT_EQ(f.queued_ns, 200);
    EXPECT_EQ(f.start_ns, 1200);
    EXPECT_EQ(f.end_ns, 5000);
    EXPECT_EQ(f.due_step, 2);
    EXPECT_EQ(f.committed_step, 2);
    EXPECT_EQ(f.fetch_op, 2);
    EXPECT_EQ(f.commit_op, 4);
    EXPECT_EQ(f.first_use_op, 5);
    EXPECT_FALSE(f.superseded);
    // The commit's stream has nothing to run from 3500 on; the second copy ends at 5000.
    EXPECT_EQ(f.exposed_ns, 1500);
}

TEST(RetrievalFromNvtx, WhatAnotherStreamComputesMeanwhileIsNotExposed) {
    Rows rows = two_steps();
    // Beside the wait of 3500-5000, another stream computes 4000-4600.
    rows.launch(630, 9).kernel(9, 4000, 4600, kCompute + 20);
    EXPECT_EQ(rows.convert().runs.front().fetches.front().exposed_ns, 1500 - 600);
}

TEST(RetrievalFromNvtx, ATransferOnTheStreamThatNeedsItIsExposedWhole) {
    Rows rows;
    rows.range("step", 0, 500)
        .launch(10, 1)
        .range("fetch id=1", 100, 200)
        .launch(110, 2)
        .range("use fetch=1", 300, 400)
        .launch(310, 3)
        .kernel(1, 1000, 2000)
        .copy(2, 2000, 2700, 10, kCompute)
        .kernel(3, 2700, 3000);
    const FetchRecord f = rows.convert().runs.front().fetches.front();
    EXPECT_EQ(f.exposed_ns, 700);
    EXPECT_EQ(f.committed_step, 1) << "without a commit the use is where the rows are taken";
    EXPECT_EQ(f.commit_op, -1);
}

TEST(RetrievalFromNvtx, AMomentIsBlamedOnOneFetchOnly) {
    Rows rows;
    rows.range("step", 0, 500)
        .range("fetch id=1", 100, 110)
        .launch(101, 1)
        .range("fetch id=2", 120, 130)
        .launch(121, 2)
        .range("commit fetch=1,2", 200, 210)
        .launch(201, 3)
        .copy(1, 1000, 2000, 10, kCopy)
        .copy(2, 1500, 2600, 10, kCopy + 1)
        .kernel(3, 3000, 3100);
    const ImportedRuns out = rows.convert();
    const auto& fetches = out.runs.front().fetches;
    EXPECT_EQ(fetches[0].exposed_ns, 1000);
    EXPECT_EQ(fetches[1].exposed_ns, 600) << "2000-2600; 1500-2000 is the first one's";
    EXPECT_EQ(fetches[1].commit_op, fetches[0].commit_op);
}

TEST(RetrievalFromNvtx, WorkBelongsToItsCallNotToItsTime) {
    Rows rows;
    // The gather runs long after its range was popped, and during another fetch's range.
    rows.range("step", 0, 10'000)
        .range("fetch id=1", 100, 200)
        .launch(150, 1)
        .range("fetch id=2", 1000, 2000)
        .launch(1500, 2)
        .kernel(1, 1200, 1400, kCopy)
        .kernel(2, 9000, 9500, kCopy)
        // Launched by a thread that has no ranges, at a time at which one is open elsewhere.
        .launch(150, 3, kThread + 1)
        .kernel(3, 1300, 1350);
    const ImportedRuns out = rows.convert();
    const auto& run = out.runs.front();
    ASSERT_THAT(run.fetches, SizeIs(2));
    EXPECT_EQ(run.fetches[0].start_ns, 1200);
    EXPECT_EQ(run.fetches[0].way, FetchWay::kGather);
    EXPECT_EQ(run.fetches[1].start_ns, 9000);
    EXPECT_THAT(run.ops, SizeIs(2));
}

TEST(RetrievalFromNvtx, PiecesFarApartAreOperationsOfTheirOwn) {
    Rows rows;
    rows.range("step", 0, 500)
        .range("fetch id=1 bytes=7 way=memcpy", 100, 200)
        .launch(110, 1)
        .launch(120, 2)
        .launch(130, 3)
        .copy(1, 1000, 2000, 1)
        .copy(2, 3000, 4000, 1)   // 1,000 ns later: still one
        .copy(3, 5001, 6000, 1);  // 1,001 ns later: another
    const ImportedRuns out = rows.convert();
    const auto& run = out.runs.front();
    ASSERT_THAT(run.ops, SizeIs(2));
    EXPECT_EQ(run.ops[0].op.end_ns, 4000);
    EXPECT_EQ(run.ops[1].op.start_ns, 5001);
    EXPECT_EQ(run.fetches[0].bytes, 7) << "what the program says goes before what was copied";
    EXPECT_EQ(run.fetches[0].way, FetchWay::kMemcpy);
    EXPECT_EQ(run.fetches[0].end_ns, 6000);
}

TEST(RetrievalFromNvtx, GraphLaunchesGiveAllTheirNodesToTheRange) {
    Rows rows;
    rows.range("step phase=prefill", 0, 100)
        .launch(10, 1)
        .kernel(1, 1000, 1100)
        .kernel(1, 1100, 1200)
        .kernel(1, 1200, 1250, kCompute + 1);
    const ImportedRuns out = rows.convert();
    const auto& run = out.runs.front();
    EXPECT_EQ(run.steps.front().step, 0);
    EXPECT_EQ(run.steps.front().phase, Phase::kPrefill);
    ASSERT_THAT(run.ops, SizeIs(2)) << "one a stream";
    EXPECT_EQ(run.ops[0].op.end_ns, 1200);
}

TEST(RetrievalFromNvtx, RangesThatMayCrossHoldTimesAndNoCalls) {
    Rows rows;
    rows.process_range("step id=1", 0, 1000)
        .process_range("fetch id=1", 100, 900)
        .launch(500, 1)
        .kernel(1, 5000, 6000);
    const ImportedRuns out = rows.convert();
    const auto& run = out.runs.front();
    EXPECT_THAT(run.ops, IsEmpty());
    EXPECT_EQ(run.fetches[0].start_ns, 100);
    EXPECT_EQ(run.fetches[0].end_ns, 900);
    EXPECT_EQ(run.fetches[0].way, FetchWay::kMemcpy);
    EXPECT_EQ(out.problems.at("fetch without work of the GPU"), 1);
}

TEST(RetrievalFromNvtx, EventsOfOtherThreadsFallIntoTheStepOfTheirTime) {
    Rows rows;
    const std::int64_t worker = kThread + 5;
    rows.range("step id=1", 0, 100)
        .range("step id=2", 100, 200)
        .range("step id=3", 200, 300)
        .range("fetch id=1", 150, 160, worker)
        .launch(155, 1, worker)
        .range("fetch id=2 step=1", 250, 260, worker)
        .launch(255, 2, worker)
        .copy(1, 1000, 1100, 10)
        .copy(2, 1200, 1300, 10);
    const ImportedRuns out = rows.convert();
    const auto& run = out.runs.front();
    EXPECT_EQ(run.ops[0].op.step, 2);
    EXPECT_EQ(run.ops[1].op.step, 1) << "named by the program";
}

TEST(RetrievalFromNvtx, ProcessesAreRunsOfTheirOwnAlsoWithEqualIds) {
    Rows rows;
    const std::int64_t other = (kPid + 1) << 24 | 1;
    rows.range("run name=a", 0, 1)
        .range("step", 0, 100)
        .range("fetch id=1", 10, 20)
        .launch(15, 1)
        .copy(1, 1000, 1100, 10)
        .range("step", 0, 100, other)
        .range("fetch id=1", 10, 20, other)
        .launch(15, 1, other)
        .kernel(1, 2000, 2300, 9, kPid + 1);
    const ImportedRuns out = rows.convert();
    ASSERT_THAT(out.runs, SizeIs(2));
    EXPECT_EQ(out.num_fetches(), 2);
    EXPECT_EQ(out.runs[0].run.policy, "a");
    EXPECT_EQ(out.runs[0].fetches[0].start_ns, 1000);
    EXPECT_EQ(out.runs[1].fetches[0].start_ns, 2000);
}

TEST(RetrievalFromNvtx, BrokenEventsAreCountedAndLeftOut) {
    Rows rows;
    rows.range("step", 0, 100)
        .range("step", 50, 150)          // overlaps
        .range("step", 200, -1)          // never ended
        .range("fetch layer=x", 10, 20)  // no number
        .launch(15, 1)
        .kernel(1, 1000, 1100)                // belongs to what is left out
        .mark("hello", 30)                    // no kind
        .range("use fetch=9", 40, 45)         // of nothing
        .range("fetch id=1 check=4", 60, 70)  // of no check
        .mark("fetch id=2 superseded=1", 80);
    const ImportedRuns out = rows.convert();
    const auto& run = out.runs.front();
    EXPECT_THAT(run.steps, SizeIs(1));
    EXPECT_THAT(run.ops, IsEmpty());
    ASSERT_THAT(run.fetches, SizeIs(2));
    EXPECT_EQ(run.fetches[0].check_id, -1);
    EXPECT_TRUE(run.fetches[1].superseded);
    EXPECT_EQ(run.fetches[1].start_ns, -1);
    EXPECT_THAT(
        out.problems,
        ::testing::UnorderedElementsAre(
            std::pair("step that overlaps another", 1), std::pair("step that never ended", 1),
            std::pair("fetch: 'x' is no value of layer", 1), std::pair("unknown kind 'hello'", 1),
            std::pair("commit or use of a fetch that is not there", 1),
            std::pair("fetch of a check that is not there", 1),
            std::pair("fetch without work of the GPU", 1),
            std::pair("fetch without commit or use", 1)));
    EXPECT_THAT(out.warning(), HasSubstr("and 4 more kinds"));
}

TEST(RetrievalFromNvtx, AProgramWithoutStepsGetsOneOverEverything) {
    Rows rows;
    rows.range("fetch id=1", 100, 200)
        .launch(110, 1)
        .copy(1, 1000, 1100, 5)
        .mark("check id=1", 400);
    const ImportedRuns out = rows.convert();
    ASSERT_THAT(out.runs.front().steps, SizeIs(1));
    EXPECT_EQ(out.runs.front().steps[0].start_ns, 100);
    EXPECT_EQ(out.runs.front().steps[0].end_ns, 400);
    EXPECT_FALSE(out.runs.front().drift[0].triggered);
}

TEST(RetrievalFromNvtx, NothingGivesNothing) {
    const ImportedRuns out = retrieval_from_nvtx({});
    EXPECT_THAT(out.runs, IsEmpty());
    EXPECT_EQ(out.warning(), "");
}

}  // namespace
}  // namespace hc::retrieval
