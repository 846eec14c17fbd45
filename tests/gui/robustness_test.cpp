// The window's thread is never held up, files may be anything, and a trace may still be growing.
#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QApplication>
#include <QLineEdit>
#include <QSignalSpy>
#include <QTest>
#include <QTimer>
#include <fstream>
#include <random>
#include <thread>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "gui/models/background.h"
#include "gui/models/head_map_model.h"
#include "gui/models/track_prefs.h"
#include "gui/views/main_window.h"
#include "gui/views/replay_panel.h"
#include "gui/views/search_bar.h"
#include "gui/views/tables_panel.h"
#include "gui/views/timeline_view.h"
#include "gui/views/watched_application.h"
#include "profiler/trace/writer.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

// What one event may take of the window's thread. Processor time: a busy machine is none of ours.
constexpr double kBlockMs = 50;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#else
constexpr bool kInstrumented = false;
#endif

WatchedApplication& watch() {
    return *static_cast<WatchedApplication*>(QApplication::instance());
}

bool settle(MainWindow& window) {
    return QTest::qWaitFor([&] { return !window.busy(); }, 120'000);
}

TEST(Watchdog, NothingHoldsUpTheWindowWhileAMillionEventsAreOpenedSearchedAndMeasured) {
    if (kInstrumented) GTEST_SKIP() << "times of instrumented code say nothing";
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "large.sqlite";
    test::write_activity_trace(test::make_synthetic_run({}), 45'000, path);
    MainWindow window;
    window.resize(1920, 1080);
    window.show();
    QApplication::processEvents();
    watch().reset();
    const auto expect_free = [](const char* what) {
        EXPECT_LT(watch().longest_cpu_ms(), kBlockMs)
            << what << " (wall " << watch().longest_ms() << " ms)";
        watch().reset();
    };
    QSignalSpy loaded(&window.model(), &TraceModel::loaded);
    window.open(path, std::nullopt);
    ASSERT_TRUE(QTest::qWaitFor([&] { return loaded.size() == 1; }, 120'000));
    ASSERT_GT(window.model().view()->lanes.num_events(), 900'000u);
    ASSERT_TRUE(settle(window));
    expect_free("opening");
    for (const char* text : {"k", "kernel_7", "dur>2us", "cuda"}) {
        window.search().field().setText(text);
        ASSERT_TRUE(settle(window));
    }
    expect_free("searching");
    for (int i = 0; i < 30; ++i) window.timeline().step_hit(1);
    expect_free("walking hits");
    QTest::keyClick(&window.timeline(), Qt::Key_Home);
    for (int i = 0; i < 20; ++i) {
        const double start = window.timeline().stack().current().start_ns;
        window.timeline().set_measured(TimeRange{start, start + 1e6 * (i + 1)});
        QApplication::processEvents();
    }
    ASSERT_TRUE(settle(window));
    expect_free("measuring");
    window.refresh();
    ASSERT_TRUE(settle(window));
    expect_free("reading again");
    // Freed beside the window, too.
    window.model().set_view(std::make_shared<const RunView>());
    ASSERT_TRUE(settle(window));
    expect_free("closing");
}

TEST(Background, OfManyJobsTheLastIsDelivered) {
    Background background;
    std::atomic<int> running = 0, started = 0;
    std::vector<int> delivered;
    for (int i = 0; i < 50; ++i) {
        background.start([&, i](const Background::Cancelled& cancelled) -> Background::Delivery {
            EXPECT_EQ(++running, 1) << "two jobs at once";
            ++started;
            while (i < 49 && !cancelled) std::this_thread::yield();
            --running;
            return [&delivered, i] { delivered.push_back(i); };
        });
    }
    ASSERT_TRUE(QTest::qWaitFor([&] { return !background.busy(); }, 20'000));
    EXPECT_EQ(delivered, std::vector<int>{49});
    EXPECT_LE(started, 50);
}

TEST(Background, ACancelledJobDeliversNothingAndItsOwnerMayGo) {
    bool delivered = false;
    std::atomic<bool> seen = false;
    {
        Background background;
        background.start([&](const Background::Cancelled& cancelled) -> Background::Delivery {
            while (!cancelled) std::this_thread::yield();
            seen = true;
            return [&] { delivered = true; };
        });
        background.cancel();
        EXPECT_FALSE(background.busy());
        background.start([&](const Background::Cancelled& cancelled) -> Background::Delivery {
            while (!cancelled) std::this_thread::yield();
            return [&] { delivered = true; };
        });
    }
    QApplication::processEvents();
    EXPECT_FALSE(delivered);
}

TEST(LiveTrace, OpensWhileItIsWrittenAndRefreshShowsMoreWithTheSameView) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "growing.sqlite";
    trace::Writer writer(path, {});
    trace::Run run;
    run.policy = "heterocache";
    run.parameters_json = run.shape_json = "{}";
    run.prompt_tokens = 100;
    const trace::RunId id = writer.begin_run(run, {});
    const std::int64_t base = now_ns();
    const auto add_steps = [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t step = from; step < to; ++step) {
            StepRecord record;
            record.step = step;
            record.phase = step == 0 ? Phase::kPrefill : Phase::kDecode;
            record.start_ns = base + step * 1'000'000;
            record.end_ns = record.start_ns + 900'000;
            OpRecord op;
            op.op_id = step;
            op.step = step;
            op.start_ns = record.start_ns;
            op.end_ns = record.end_ns;
            writer.add_step(id, record, std::vector{op}, {});
        }
        writer.flush();
    };
    add_steps(0, 20);
    MainWindow window;
    window.show();
    QSignalSpy loaded(&window.model(), &TraceModel::loaded);
    QSignalSpy failed(&window.model(), &TraceModel::failed);
    window.open(path, std::nullopt);
    ASSERT_TRUE(QTest::qWaitFor([&] { return loaded.size() + failed.size() > 0; }, 60'000));
    ASSERT_EQ(loaded.size(), 1) << failed[0][0].toString().toStdString();
    EXPECT_EQ(window.model().view()->data.steps.size(), 20u);
    EXPECT_FALSE(window.banner_text().isEmpty()) << "that it is not complete was not said";
    window.timeline().go_to_step(12);
    const TimeRange range = window.timeline().stack().current();
    add_steps(20, 60);
    QTest::keyClick(&window, Qt::Key_F5);
    ASSERT_TRUE(QTest::qWaitFor([&] { return loaded.size() == 2; }, 60'000));
    EXPECT_EQ(window.model().view()->data.steps.size(), 60u);
    EXPECT_EQ(window.timeline().stack().current(), range);
    ASSERT_TRUE(window.timeline().selection());
    const RunViewPtr& view = window.model().view();
    EXPECT_EQ(*window.timeline().selection(), *view->locate_step(*view->step_row(12)));
    writer.finish();
}

TEST(BadFiles, EndInOneLineWithTheNameAndNeverInACrash) {
    const test::TemporaryFolder folder;
    const auto good = folder.path() / "good.sqlite";
    test::write_activity_trace(test::make_synthetic_run({.layers = 4, .decode_steps = 20}), 300,
                               good);
    std::ifstream file(good, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    ASSERT_GT(bytes.size(), 50'000u);
    std::mt19937_64 random(3);
    int opened = 0, refused = 0;
    const int trials = kInstrumented ? 60 : 200;
    for (int trial = 0; trial < trials; ++trial) {
        std::string damaged = bytes;
        if (trial % 4 == 0) {
            damaged.resize(random() % damaged.size());
        } else {
            for (int i = 0; i < (trial % 4) * 20; ++i) {
                damaged[random() % damaged.size()] = static_cast<char>(random());
            }
        }
        const auto path = folder.path() / "damaged-file.sqlite";
        std::ofstream(path, std::ios::binary) << damaged;
        NoProgress progress;
        try {
            const RunView view = load_run_view(path, std::nullopt, progress);
            ++opened;
            TimelineView timeline;
            timeline.resize(700, 400);
            timeline.show();
            timeline.set_view(std::make_shared<const RunView>(view));
            timeline.fit_all();
            EXPECT_FALSE(timeline.grab().isNull());
            const std::atomic<bool> never = false;
            EXPECT_TRUE(range_statistics(view.lanes, view.lanes.bounds.padded(1), never));
        } catch (const Error& error) {
            ++refused;
            const std::string text = error.what();
            EXPECT_NE(text.find("damaged-file.sqlite"), std::string::npos) << text;
            EXPECT_EQ(text.find('\n'), std::string::npos) << text;
        }
    }
    EXPECT_GT(opened, 0);
    EXPECT_GT(refused, trials / 4);
}

TEST(Tables, KeepTheModelContractWhileTheyAreFilteredSortedAndReplaced) {
    const RunViewPtr view =
        std::make_shared<const RunView>(test::to_run_view(test::make_synthetic_run({})));
    ColumnTable table;
    const QAbstractItemModelTester tester(&table,
                                          QAbstractItemModelTester::FailureReportingMode::Fatal);
    table.set(fetch_columns(view), view->data.fetches.size());
    table.sort(3, Qt::DescendingOrder);
    table.set_filter("12");
    const int some = table.rowCount();
    EXPECT_GT(some, 0);
    EXPECT_LT(some, static_cast<int>(view->data.fetches.size()));
    double last = 1e18;
    for (int row = 0; row < some; ++row) {
        const FetchRecord& fetch = view->data.fetches[table.source_row(row)];
        const auto ns = static_cast<double>(fetch.end_ns - fetch.start_ns);
        EXPECT_LE(ns, last) << "the order is lost by the filter";
        last = ns;
    }
    table.set_filter("no such thing");
    EXPECT_EQ(table.rowCount(), 0);
    table.sort(0, Qt::AscendingOrder);
    table.set_filter({});
    EXPECT_EQ(table.rowCount(), static_cast<int>(view->data.fetches.size()));
    const std::atomic<bool> never = false;
    const auto statistics = std::make_shared<const RangeStatistics>(
        *range_statistics(view->lanes, view->lanes.bounds.padded(1), never));
    table.set(statistics_columns(view, statistics), statistics->rows.size());
    for (int column = 0; column < table.columnCount(); ++column) {
        table.sort(column, Qt::DescendingOrder);
    }
    EXPECT_EQ(table.csv().count('\n'), table.rowCount() + 1);
}

TEST(HeadMap, AtAStepShowsThatStepsRecallAndTriggers) {
    const test::SyntheticRun run = test::make_synthetic_run({});
    HeadMapModel model;
    const QAbstractItemModelTester tester(&model,
                                          QAbstractItemModelTester::FailureReportingMode::Fatal);
    model.set_run(test::to_run_data(run), run.recall);
    const auto mean = model.value(4, 1, HeadQuantity::kRecall);
    model.set_step(7);
    for (const trace::RecallRecord& row : run.recall) {
        if (row.step != 5 || row.layer != 4 || row.head != 1) continue;
        EXPECT_EQ(model.value(4, 1, HeadQuantity::kRecall), row.low) << "the last up to step 7";
    }
    int triggered = 0;
    for (const DriftRecord& check : run.drift) {
        if (!check.triggered) continue;
        model.set_step(check.step);
        EXPECT_TRUE(model.triggered_now(check.layer, check.pivot));
        model.set_step(check.step - 1);
        triggered += model.triggered_now(check.layer, check.pivot) ? 0 : 1;
    }
    EXPECT_GT(triggered, 0);
    model.set_step(0);
    EXPECT_FALSE(model.value(4, 1, HeadQuantity::kRecall)) << "nothing is recorded yet";
    model.set_step(std::nullopt);
    EXPECT_EQ(model.value(4, 1, HeadQuantity::kRecall), mean);
}

TEST(TrackPrefs, HoldForATraceWithOtherTracks) {
    const auto groups = [](std::initializer_list<const char*> keys) {
        std::vector<LaneGroup> list;
        for (const char* key : keys) list.push_back({key, "", LaneKind::kOps, 0, 0, key, {}});
        return list;
    };
    const auto first = groups({"a", "b", "c", "d"});
    TrackPrefs prefs;
    EXPECT_TRUE(prefs.move_before(first, "d", "b"));
    EXPECT_FALSE(prefs.move_before(first, "d", "d"));
    EXPECT_FALSE(prefs.move_before(first, "x", "b"));
    prefs.set_hidden("c", true);
    prefs.set_pinned("b", true);
    const auto names = [](const std::vector<LaneGroup>& list, const std::vector<std::size_t>& at) {
        std::string text;
        for (const std::size_t i : at) text += list[i].title.toStdString();
        return text;
    };
    EXPECT_EQ(names(first, prefs.order(first).others), "ad");
    EXPECT_EQ(names(first, prefs.order(first).pinned), "b");
    // A new track stays behind the one that it follows in the trace.
    const auto second = groups({"a", "e", "b", "d", "f"});
    const TrackPrefs again = TrackPrefs::restore(prefs.save());
    EXPECT_EQ(again, prefs);
    EXPECT_EQ(names(second, again.order(second).others), "aedf");
    TrackPrefs moved = again;
    EXPECT_TRUE(moved.move_by(second, "f", -1));
    EXPECT_EQ(names(second, moved.order(second).others), "aefd");
    EXPECT_FALSE(moved.move_by(second, "a", -1));
    EXPECT_EQ(TrackPrefs::restore("not json"), TrackPrefs());
}

}  // namespace
}  // namespace hc::gui
