#include <gtest/gtest.h>

#include <QTest>

#include "gui/models/activity_lanes.h"
#include "gui/models/describe.h"
#include "gui/models/flow.h"
#include "gui/models/palette.h"
#include "gui/models/run_counters.h"
#include "gui/views/main_window.h"
#include "gui/views/summary_header.h"
#include "gui/views/timeline_view.h"
#include "profiler/trace/writer.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

std::size_t lane_of(const RunView& view, LaneKind kind) {
    for (std::size_t i = 0; i < view.lanes.lanes.size(); ++i) {
        if (view.lanes.lanes[i].kind == kind) return i;
    }
    ADD_FAILURE() << "no such lane";
    return 0;
}

TEST(Activity, EveryTableHasItsTracks) {
    const RunView view = test::to_run_view(test::make_activity(30));
    const auto track = [&](const QString& key) -> const LaneGroup* {
        for (const LaneGroup& group : view.lanes.groups) {
            if (group.key == key) return &group;
        }
        return nullptr;
    };
    const auto events_of = [&](const QString& key) {
        const LaneGroup* group = track(key);
        EXPECT_NE(group, nullptr) << key.toStdString();
        std::size_t count = 0;
        for (std::size_t i = 0; group != nullptr && i < group->count; ++i) {
            count += view.lanes.lanes[group->first + i].events.size();
        }
        return count;
    };
    EXPECT_EQ(events_of("kernels/stream 7"), 300u);
    EXPECT_EQ(events_of("copies/host to device"), 30u);
    EXPECT_EQ(events_of("api/thread 11"), 330u);
    EXPECT_EQ(events_of("nvtx/thread 11"), 30u);
    const LaneGroup* rate = track("counter/rate host to device");
    ASSERT_NE(rate, nullptr);
    EXPECT_NEAR(view.lanes.lanes[rate->first].counter.highest(), 10, 1e-6) << "40 kB in 4 us";
}

TEST(Activity, ACallLeadsToItsKernelAndBack) {
    const RunView view = test::to_run_view(test::make_activity(20));
    const std::size_t api = lane_of(view, LaneKind::kApi);
    const std::size_t kernels = lane_of(view, LaneKind::kKernels);
    for (const std::size_t call : {0u, 57u, 140u}) {
        const auto arrows = flow_of(view, {api, call});
        ASSERT_EQ(arrows.size(), 1u);
        EXPECT_EQ(arrows[0].from, (EventRef{api, call}));
        EXPECT_EQ(correlation_of(view.lanes, arrows[0].to),
                  correlation_of(view.lanes, arrows[0].from));
        const auto back = flow_of(view, arrows[0].to);
        ASSERT_EQ(back.size(), 1u);
        EXPECT_EQ(back[0], arrows[0]);
    }
    EXPECT_EQ(view.lanes.lanes[kernels].kind, LaneKind::kKernels);
}

TEST(Activity, DetailsNameGridBytesAndErrors) {
    const RunView view = test::to_run_view(test::make_activity(4));
    const auto value = [&](LaneKind kind, std::size_t index, const QString& key) {
        for (const Fact& fact : event_facts(view, {lane_of(view, kind), index})) {
            if (fact.key == key) return fact.value.toStdString();
        }
        return std::string("absent");
    };
    EXPECT_EQ(value(LaneKind::kKernels, 3, "grid"), "4 \u00d7 1 \u00d7 1");
    EXPECT_EQ(value(LaneKind::kCopies, 0, "bytes"), "39.1 KiB");
    EXPECT_EQ(value(LaneKind::kCopies, 0, "memory"), "pinned \u2192 device");
    EXPECT_EQ(value(LaneKind::kApi, 4, "result"), "error 700");
    EXPECT_EQ(value(LaneKind::kApi, 0, "result"), "success");
    EXPECT_EQ(value(LaneKind::kNvtx, 2, "payload"), "2");
    EXPECT_EQ(event_label(view, {lane_of(view, LaneKind::kKernels), 3}).toStdString(), "kernel_3");
}

TEST(Activity, PartsOfAFileJoinToWhatOneReaderCollects) {
    const test::SyntheticActivity made = test::make_activity(10);
    ActivityCollector whole, first, second;
    whole.add(made.kernels);
    whole.add(made.calls);
    first.add(made.kernels);
    second.add(made.calls);
    first.append(std::move(second));
    EXPECT_EQ(first.num_rows(), whole.num_rows());
    // The same rows twice: sources of the second part count on.
    ActivityCollector again;
    again.add(made.kernels);
    ActivityCollector twice;
    twice.add(made.kernels);
    twice.append(std::move(again));
    LaneSet set;
    const auto details = twice.finish(made.strings, made.launches, made.streams, set);
    ASSERT_TRUE(details);
    ASSERT_EQ(set.groups.size(), 1u);
    EXPECT_EQ(set.groups[0].count, 2u) << "equal kernels lie under each other";
    std::vector<int> seen(200);
    for (const Lane& lane : set.lanes) {
        for (const std::uint32_t source : lane.events.sources()) seen[source] += 1;
    }
    for (const int count : seen) EXPECT_EQ(count, 1);
}

TEST(Activity, IsReadBackFromAFile) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "activity.sqlite";
    test::write_activity_trace(test::make_synthetic_run({.decode_steps = 5}), 25, path);
    NoProgress progress;
    const RunView view = load_run_view(path, std::nullopt, progress);
    EXPECT_EQ(view.lanes.lanes[lane_of(view, LaneKind::kKernels)].events.size(), 250u);
    EXPECT_EQ(view.lanes.lanes[lane_of(view, LaneKind::kApi)].events.size(), 275u);
    EXPECT_FALSE(view.data.ops.op_id.empty()) << "the run beside it is gone";
}

TEST(Activity, ATraceWithoutARunOfTheEngineOpens) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "activity-alone.sqlite";
    {
        trace::Writer writer(path, {});
        trace::Launch launch;
        launch.name = launch.short_name = writer.string_id("lonely_kernel");
        trace::Stream stream;
        stream.pid = 1;
        stream.stream_id = 7;
        trace::ActivityBatch batch;
        for (int i = 0; i < 10; ++i) {
            trace::KernelRow row;
            row.start_ns = i * 1000;
            row.duration_ns = 700;
            row.stream = writer.stream_key(stream);
            row.launch = writer.launch_id(launch);
            batch.kernels.push_back(row);
        }
        writer.add_activity(batch, 0);
        writer.finish();
    }
    MainWindow window;
    window.resize(1200, 800);
    window.show();
    window.open(path, std::nullopt);
    ASSERT_TRUE(QTest::qWaitFor([&] { return !window.busy(); }, 60'000));
    EXPECT_TRUE(window.banner_text().isEmpty()) << window.banner_text().toStdString();
    const RunViewPtr& view = window.model().view();
    ASSERT_TRUE(view);
    EXPECT_EQ(view->lanes.num_events(), 10u);
    EXPECT_EQ(summary_tiles(*view).front().caption.toStdString(), "CUDA activity");
    const QRectF box = window.timeline().rect_of({0, 4});
    const QImage picture = window.timeline().grab().toImage();
    EXPECT_EQ(picture.pixel(static_cast<int>(box.center().x()), static_cast<int>(box.bottom()) - 2),
              hue_rgb(view->lanes.names[view->lanes.lanes[0].events.name(4)].hue, true));
    for (const char* panel : {"replay", "what-if", "drift", "tables", "heads"}) {
        EXPECT_TRUE(window.show_panel(panel));
        EXPECT_FALSE(window.grab().isNull());
    }
    window.show_first_trigger();
    EXPECT_FALSE(window.go_to({3, std::nullopt}));
}

TEST(Counters, KeepASpikeAmongAHundredThousandPoints) {
    std::vector<std::int64_t> times;
    std::vector<float> values;
    for (int i = 0; i < 100'000; ++i) {
        times.push_back(i * 1000);
        values.push_back(i == 77'777 ? 500.0f : 1.0f);
    }
    const CounterSeries series(times, values, 100'000'000);
    EXPECT_EQ(series.over(0, 1e8).most, 500);
    EXPECT_EQ(series.over(0, 1e8).least, 1);
    EXPECT_EQ(series.over(0, 7e7).most, 1);
    for (int i = 0; i < 300; ++i) {
        const double a = i * 311'111.0, b = a + 1 + i * 1000.0;
        double area = 0, most = 0;
        for (std::size_t k = 0; k < times.size(); ++k) {
            const auto left = std::max(a, static_cast<double>(times[k]));
            const auto right = std::min(b, static_cast<double>(times[k] + 1000));
            if (right <= left) continue;
            area += (right - left) * static_cast<double>(values[k]);
            most = std::max(most, static_cast<double>(values[k]));
        }
        const auto span = series.over(a, b);
        if (a >= 1e8) {
            EXPECT_FALSE(span.known);
            continue;
        }
        EXPECT_EQ(span.most, most);
        EXPECT_NEAR(span.mean, area / (std::min(b, 1e8) - a), 1e-6 * span.mean);
    }
}

TEST(Counters, TransfersAtTheSameTimeAddUp) {
    const CounterSeries rate = rate_of({{0, 100, 200}, {50, 150, 300}, {300, 300, 7}});
    EXPECT_NEAR(rate.value(rate.at(10)), 2, 1e-6);
    EXPECT_NEAR(rate.value(rate.at(60)), 5, 1e-6);
    EXPECT_NEAR(rate.value(rate.at(120)), 3, 1e-6);
    EXPECT_NEAR(rate.value(rate.at(200)), 0, 1e-6);
    EXPECT_NEAR(rate.highest(), 7, 1e-6) << "a transfer of no length counts as a nanosecond";
    EXPECT_TRUE(rate_of({}).empty());
}

TEST(Counters, MeansOfManyTransfersKeepTheirBytes) {
    std::vector<Transfer> many;
    double bytes = 0;
    for (std::int64_t i = 0; i < 250'000; ++i) {
        many.push_back({i * 1000, i * 1000 + 700, 1400 + i % 13});
        bytes += static_cast<double>(many.back().bytes);
    }
    const CounterSeries rate = rate_of(std::move(many));
    double moved = 0;
    for (std::size_t i = 0; i < rate.size(); ++i) {
        const std::int64_t end = i + 1 < rate.size() ? rate.time(i + 1) : rate.end();
        moved += rate.value(i) * static_cast<double>(end - rate.time(i));
    }
    EXPECT_NEAR(moved / bytes, 1, 1e-3);
}

}  // namespace
}  // namespace hc::gui
