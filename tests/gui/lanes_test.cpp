#include "gui/models/lanes.h"

#include <gtest/gtest.h>

#include <limits>

#include "gui/models/describe.h"
#include "gui/models/flow.h"
#include "gui/models/lane_layout.h"
#include "tests/gui/synthetic_run.h"

namespace hc::gui {
namespace {

void add_op(trace::RunData& data, std::int64_t start, std::int64_t end, std::int32_t stream) {
    data.ops.op_id.push_back(static_cast<std::int64_t>(data.ops.op_id.size()));
    data.ops.step.push_back(1);
    data.ops.layer.push_back(0);
    data.ops.kind.push_back(OpKind::kMlp);
    data.ops.stream.push_back(stream);
    data.ops.start_ns.push_back(start);
    data.ops.end_ns.push_back(end);
    for (auto* column :
         {&data.ops.bytes_read, &data.ops.bytes_written, &data.ops.flops, &data.ops.rows}) {
        column->push_back(0);
    }
}

TEST(Lanes, NestedOperationsTakeARowPerDepth) {
    trace::RunData data;
    add_op(data, 0, 100, 0);
    add_op(data, 10, 40, 0);
    add_op(data, 20, 30, 0);
    add_op(data, 50, 90, 0);
    add_op(data, 100, 120, 0);
    const LaneSet set = build_lanes(data, {}, {});
    ASSERT_EQ(set.lanes.size(), 4u) << "layers, then three of operations";
    EXPECT_EQ(set.lanes[0].kind, LaneKind::kLayers);
    EXPECT_EQ(set.lanes[1].events.size(), 2u);
    EXPECT_EQ(set.lanes[2].events.size(), 2u);
    EXPECT_EQ(set.lanes[3].events.size(), 1u);
}

TEST(Lanes, HoldEveryEventOfARun) {
    const test::SyntheticRun run = test::make_synthetic_run({});
    const RunView view = test::to_run_view(run);
    std::size_t ops = 0, steps = 0;
    for (const Lane& lane : view.lanes.lanes) {
        if (lane.kind == LaneKind::kOps) ops += lane.events.size();
        if (lane.kind == LaneKind::kSteps) steps += lane.events.size();
    }
    EXPECT_EQ(ops, view.data.ops.size());
    EXPECT_EQ(steps, view.data.steps.size());
    for (std::size_t row = 0; row < view.data.ops.size(); row += 97) {
        const auto event = view.locate_op(row);
        ASSERT_TRUE(event);
        const LaneEvents& events = view.lanes.lanes[event->lane].events;
        EXPECT_EQ(events.start(event->index), view.data.ops.start_ns[row]);
        EXPECT_EQ(events.end(event->index), view.data.ops.end_ns[row]);
    }
}

TEST(Lanes, SurviveTimesThatAreNoTimes) {
    trace::RunData data;
    constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
    constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
    add_op(data, kLeast, kMost, 0);
    add_op(data, 5, 1, 0);
    add_op(data, kMost, kLeast, 3);
    for (int i = 0; i < 2000; ++i) add_op(data, 7, 1000, 1);
    const LaneSet set = build_lanes(data, {}, {});
    std::size_t ops = 0;
    for (const Lane& lane : set.lanes) {
        if (lane.kind == LaneKind::kOps) ops += lane.events.size();
    }
    EXPECT_EQ(ops, 2003u);
    EXPECT_LT(set.lanes.size(), 300u);
    EXPECT_GT(set.bounds.span(), 0);
}

TEST(StepFacts, ChecksTriggersAndSlowStepsAreCounted) {
    trace::RunData data;
    for (int i = 0; i < 11; ++i) {
        data.steps.step.push_back(i);
        data.steps.phase.push_back(i == 0 ? Phase::kPrefill : Phase::kDecode);
        data.steps.batch.push_back(1);
        data.steps.start_ns.push_back(i * 1000);
        data.steps.end_ns.push_back(i * 1000 + (i == 7 ? 200 : i == 0 ? 900 : 100));
    }
    for (const std::int64_t step : {3, 3, 5}) {
        DriftRecord check;
        check.step = step;
        check.triggered = step == 5;
        data.drift.push_back(check);
    }
    const std::vector<StepFacts> facts = step_facts(data);
    EXPECT_EQ(facts[3].checks, 2);
    EXPECT_EQ(facts[3].triggers, 0);
    EXPECT_EQ(facts[5].triggers, 1);
    EXPECT_TRUE(facts[7].slow);
    EXPECT_FALSE(facts[0].slow) << "a prefill is no slow decode step";
    EXPECT_FALSE(facts[6].slow);
}

TEST(Flow, LeadsFromTheCheckToTheFirstUse) {
    const RunView view = test::to_run_view(test::make_synthetic_run({}));
    const auto fetch = view.first_triggered_fetch();
    ASSERT_TRUE(fetch);
    const std::vector<EventRef> chain = flow_of_fetch(view, *fetch);
    ASSERT_EQ(chain.size(), 4u);
    const OpKind expected[] = {OpKind::kDriftTopk, OpKind::kFetch, OpKind::kCommit,
                               OpKind::kAttention};
    for (std::size_t i = 0; i < 4; ++i) {
        const LaneEvents& events = view.lanes.lanes[chain[i].lane].events;
        EXPECT_EQ(view.data.ops.kind[events.source(chain[i].index)], expected[i]);
        EXPECT_EQ(fetch_of(view, chain[i]), fetch) << "of link " << i;
    }
    const auto life = view.locate_fetch(*fetch);
    ASSERT_TRUE(life);
    EXPECT_EQ(fetch_of(view, *life), fetch);
}

TEST(RunView, TheFirstTriggerIsInSightWithItsCommit) {
    const RunView view = test::to_run_view(test::make_synthetic_run({}));
    const auto range = view.around_first_trigger();
    ASSERT_TRUE(range);
    const FetchRecord& fetch = view.data.fetches[*view.first_triggered_fetch()];
    EXPECT_TRUE(range->contains(static_cast<double>(fetch.queued_ns)));
    const auto commit = view.op_row(fetch.commit_op);
    ASSERT_TRUE(commit);
    EXPECT_TRUE(range->contains(static_cast<double>(view.data.ops.start_ns[*commit])));
    test::SyntheticRun quiet = test::make_synthetic_run({.decode_steps = 10});
    quiet.drift.clear();
    EXPECT_FALSE(test::to_run_view(quiet).around_first_trigger());
}

TEST(LaneLayout, RowsDoNotTouchAndFillTheHeightWithinReason) {
    const RunView view = test::to_run_view(test::make_synthetic_run({}));
    for (const int height : {100, 400, 2000}) {
        const LaneLayout layout = lay_out(view.lanes, height);
        int bottom = 0;
        for (const LanePlace& place : layout.lanes) {
            EXPECT_GE(place.top, bottom);
            EXPECT_GT(place.height, 2);
            bottom = place.top + place.height;
            EXPECT_EQ(layout.lane_at(place.top, 0), place.lane);
            EXPECT_EQ(layout.lane_at(bottom - 1, 0), place.lane);
        }
        EXPECT_LE(bottom, layout.height);
    }
    EXPECT_GT(lay_out(view.lanes, 400).height, lay_out(view.lanes, 100).height);
    EXPECT_LE(lay_out(view.lanes, 400).height, 404);
}

TEST(Describe, NamesRateAndLayerOfATransfer) {
    const RunView view = test::to_run_view(test::make_synthetic_run({}));
    const FetchRecord& fetch = view.data.fetches.front();
    const auto event = view.locate_op(*view.op_row(fetch.fetch_op));
    ASSERT_TRUE(event);
    const QString text = event_tooltip(view, *event);
    EXPECT_TRUE(text.contains(QString("layer %1").arg(fetch.layer))) << text.toStdString();
    const double rate = double(fetch.bytes) / double(fetch.end_ns - fetch.start_ns);
    EXPECT_TRUE(text.contains(QString::number(rate, 'f', 2) + " GB/s")) << text.toStdString();
}

}  // namespace
}  // namespace hc::gui
