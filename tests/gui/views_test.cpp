#include <gtest/gtest.h>

#include <QApplication>
#include <QDialog>
#include <QSignalSpy>
#include <QTest>
#include <QWheelEvent>
#include <fstream>

#include "gui/models/palette.h"
#include "gui/views/details_panel.h"
#include "gui/views/drift_view.h"
#include "gui/views/head_map_view.h"
#include "gui/views/main_window.h"
#include "gui/views/summary_header.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

RunViewPtr synthetic_view() {
    return std::make_shared<const RunView>(test::to_run_view(test::make_synthetic_run({})));
}

class Timeline : public testing::Test {
protected:
    void SetUp() override {
        timeline_.resize(1200, 700);
        timeline_.show();
        timeline_.set_view(view_);
        QApplication::processEvents();
    }
    void wheel(QPointF position, int delta, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
        QWheelEvent event(position, timeline_.mapToGlobal(position), {}, {0, delta}, Qt::NoButton,
                          modifiers, Qt::NoScrollPhase, false);
        QApplication::sendEvent(&timeline_, &event);
    }
    [[nodiscard]] EventRef step_event(std::int64_t step) const {
        return *view_->locate_step(*view_->step_row(step));
    }
    [[nodiscard]] QPoint centre_of(const EventRef& event) const {
        return timeline_.rect_of(event).center().toPoint();
    }

    RunViewPtr view_ = synthetic_view();
    TimelineView timeline_;
};

TEST_F(Timeline, StartsWithAllDecodeSteps) {
    const TimeRange shown = timeline_.stack().current();
    EXPECT_LE(shown.start_ns, view_->decode.start_ns);
    EXPECT_GE(shown.end_ns, view_->decode.end_ns);
    EXPECT_LT(shown.span(), view_->decode.span() * 1.1);
}

TEST_F(Timeline, WheelZoomsAndKeepsTheTimeUnderTheCursor) {
    const QPointF cursor(731, 300);
    const double x = cursor.x() - timeline_.tracks_rect().left();
    const double time = timeline_.mapping().time_at(x);
    const double span = timeline_.stack().current().span();
    for (int i = 0; i < 12; ++i) wheel(cursor, 120);
    EXPECT_LT(timeline_.stack().current().span(), span / 8);
    EXPECT_NEAR(timeline_.mapping().time_at(x), time, timeline_.mapping().ns_per_px() * 0.01);
    for (int i = 0; i < 6; ++i) wheel(cursor, -120);
    EXPECT_NEAR(timeline_.mapping().time_at(x), time, timeline_.mapping().ns_per_px() * 0.01);
}

TEST_F(Timeline, ABurstOfWheelClicksIsUndoneAtOnce) {
    const TimeRange before = timeline_.stack().current();
    for (int i = 0; i < 5; ++i) wheel({600, 300}, 120);
    const TimeRange zoomed = timeline_.stack().current();
    QTest::keyClick(&timeline_, Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(timeline_.stack().current(), before);
    QTest::keyClick(&timeline_, Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
    EXPECT_EQ(timeline_.stack().current(), zoomed);
}

TEST_F(Timeline, KeysZoomPanAndFit) {
    const double span = timeline_.stack().current().span();
    QTest::keyClick(&timeline_, Qt::Key_W);
    EXPECT_LT(timeline_.stack().current().span(), span);
    const double start = timeline_.stack().current().start_ns;
    QTest::keyClick(&timeline_, Qt::Key_D);
    EXPECT_GT(timeline_.stack().current().start_ns, start);
    QTest::keyClick(&timeline_, Qt::Key_A);
    EXPECT_NEAR(timeline_.stack().current().start_ns, start, 1);
    QTest::keyClick(&timeline_, Qt::Key_S);
    EXPECT_NEAR(timeline_.stack().current().span(), span, span * 0.02);
    QTest::keyClick(&timeline_, Qt::Key_Home);
    EXPECT_LE(timeline_.stack().current().start_ns, view_->lanes.bounds.start_ns);
    EXPECT_GE(timeline_.stack().current().end_ns, view_->lanes.bounds.end_ns);
    QTest::keyClick(&timeline_, Qt::Key_End);
    EXPECT_GT(timeline_.stack().current().start_ns, view_->lanes.bounds.start_ns);
}

TEST_F(Timeline, AClickSelectsTheEventUnderItAndFFitsIt) {
    timeline_.go_to_step(20);
    timeline_.select(std::nullopt);
    const EventRef event = step_event(20);
    QTest::mouseClick(&timeline_, Qt::LeftButton, Qt::NoModifier, centre_of(event));
    ASSERT_TRUE(timeline_.selection());
    EXPECT_EQ(*timeline_.selection(), event);
    QTest::keyClick(&timeline_, Qt::Key_F);
    const TimeRange step = view_->step_range(*view_->step_row(20));
    EXPECT_NEAR(timeline_.stack().current().span(), step.span() * 1.2, step.span() * 0.01);
    QTest::keyClick(&timeline_, Qt::Key_Escape);
    EXPECT_FALSE(timeline_.selection());
}

TEST_F(Timeline, FullStopAndCommaWalkTheLane) {
    timeline_.go_to_step(20);
    for (int i = 0; i < 30; ++i) QTest::keyClick(&timeline_, Qt::Key_Period);
    EXPECT_EQ(*timeline_.selection(), step_event(50));
    const TimeRange step = view_->step_range(*view_->step_row(50));
    EXPECT_TRUE(timeline_.stack().current().contains(step.centre())) << "walked out of sight";
    QTest::keyClick(&timeline_, Qt::Key_Comma);
    EXPECT_EQ(*timeline_.selection(), step_event(49));
}

TEST_F(Timeline, TGoesToTheNextStepWithATrigger) {
    timeline_.go_to_step(1);
    QTest::keyClick(&timeline_, Qt::Key_T);
    ASSERT_TRUE(timeline_.selection());
    const std::size_t row =
        view_->lanes.lanes[timeline_.selection()->lane].events.source(timeline_.selection()->index);
    EXPECT_GT(view_->facts[row].triggers, 0);
    for (std::size_t before = 0; before < row; ++before) {
        EXPECT_EQ(view_->facts[before].triggers, 0);
    }
}

TEST_F(Timeline, ADragPansWithWhatWasGrabbed) {
    timeline_.go_to_step(60);
    const double time = timeline_.mapping().time_at(400);
    const int left = timeline_.tracks_rect().left();
    const QPoint from(left + 400, 400), to(left + 250, 400);
    QTest::mousePress(&timeline_, Qt::LeftButton, Qt::NoModifier, from);
    QTest::mouseMove(&timeline_, (from + to) / 2);
    QTest::mouseMove(&timeline_, to);
    QTest::mouseRelease(&timeline_, Qt::LeftButton, Qt::NoModifier, to);
    EXPECT_NEAR(timeline_.mapping().time_at(250), time, timeline_.mapping().ns_per_px() * 0.1);
}

TEST_F(Timeline, ShiftAndDragMeasuresARange) {
    QSignalSpy measured(&timeline_, &TimelineView::measured_changed);
    const int left = timeline_.tracks_rect().left();
    const QPoint from(left + 100, 300), to(left + 300, 300);
    QTest::mousePress(&timeline_, Qt::LeftButton, Qt::ShiftModifier, from);
    QTest::mouseMove(&timeline_, to);
    QTest::mouseRelease(&timeline_, Qt::LeftButton, Qt::ShiftModifier, to);
    ASSERT_TRUE(timeline_.measured());
    EXPECT_GE(measured.size(), 1);
    EXPECT_NEAR(timeline_.measured()->start_ns, timeline_.mapping().time_at(100), 1);
    EXPECT_NEAR(timeline_.measured()->end_ns, timeline_.mapping().time_at(300), 1);
    const TimeRange range = *timeline_.measured();
    QTest::keyClick(&timeline_, Qt::Key_F);
    EXPECT_NEAR(timeline_.stack().current().start_ns, range.start_ns, 1);
}

TEST_F(Timeline, APixelOfAnEventHasTheEventsColour) {
    timeline_.go_to_step(30);
    timeline_.select(std::nullopt);
    // The language model's head is the longest operation of a step: wide at this zoom.
    for (std::size_t row = 0; row < view_->data.ops.size(); ++row) {
        if (view_->data.ops.step[row] != 30 || view_->data.ops.kind[row] != OpKind::kLmHead)
            continue;
        const QRectF box = timeline_.rect_of(*view_->locate_op(row));
        ASSERT_GT(box.width(), 20);
        const QImage picture = timeline_.grab().toImage();
        // Near the lower edge, where no label is.
        const QPoint pixel(static_cast<int>(box.right()) - 4, static_cast<int>(box.bottom()) - 3);
        EXPECT_EQ(picture.pixel(pixel), hue_rgb(Hue::kLmHead, true));
        return;
    }
    FAIL() << "no such operation";
}

TEST_F(Timeline, ASlowStepAndATriggerAreSeenFromAfar) {
    QTest::keyClick(&timeline_, Qt::Key_End);
    const QImage picture = timeline_.grab().toImage();
    const QRgb look_here = hue_rgb(Hue::kTrigger, true);
    const auto seen_at = [&](const QRectF& area) {
        for (int y = static_cast<int>(area.top()); y < area.bottom(); ++y) {
            for (int x = static_cast<int>(area.left()); x < area.right(); ++x) {
                if (picture.rect().contains(x, y) && picture.pixel(x, y) == look_here) return true;
            }
        }
        return false;
    };
    int slow = 0, triggers = 0;
    for (std::size_t row = 0; row < view_->facts.size(); ++row) {
        const QRectF box = timeline_.rect_of(*view_->locate_step(row));
        if (view_->facts[row].slow) {
            ++slow;
            EXPECT_TRUE(seen_at(box.adjusted(-1, 0, 1, 0))) << "slow step " << row;
        }
        if (view_->facts[row].triggers > 0) {
            ++triggers;
            EXPECT_TRUE(seen_at(QRectF(box.center().x() - 5, box.top() - 13, 10, 13)))
                << "trigger in step " << row;
        }
    }
    EXPECT_GT(slow, 0);
    EXPECT_GT(triggers, 0);
}

TEST_F(Timeline, ClickingTheMinimapMovesTheView) {
    timeline_.go_to_step(20);
    const QRect map = timeline_.minimap_rect();
    const QPoint point(map.left() + map.width() * 3 / 4, map.center().y());
    QTest::mouseClick(&timeline_, Qt::LeftButton, Qt::NoModifier, point);
    const TimeMapping whole(view_->lanes.bounds, map.width());
    EXPECT_NEAR(timeline_.stack().current().centre(), whole.time_at(point.x() - map.left()),
                whole.ns_per_px());
}

TEST_F(Timeline, AnEmptyOneTakesEveryKeyAndClick) {
    timeline_.set_view(nullptr);
    for (int key = Qt::Key_A; key <= Qt::Key_Z; ++key) QTest::keyClick(&timeline_, Qt::Key(key));
    for (const Qt::Key key : {Qt::Key_Home, Qt::Key_End, Qt::Key_Period, Qt::Key_Comma}) {
        QTest::keyClick(&timeline_, key);
    }
    QTest::mouseClick(&timeline_, Qt::LeftButton, Qt::NoModifier, {500, 300});
    wheel({500, 300}, 120);
    EXPECT_FALSE(timeline_.grab().isNull());
}

TEST(DriftView, ShowsThePivotThatDriftsMostAndLeadsToItsSteps) {
    const RunViewPtr view = synthetic_view();
    DriftView drift;
    drift.resize(700, 260);
    drift.show();
    drift.set_view(view);
    ASSERT_TRUE(drift.series());
    EXPECT_EQ(drift.series(), view->drift.most_drifting());
    QSignalSpy clicked(&drift, &DriftView::step_clicked);
    const DriftPoint& point = view->drift.series()[*drift.series()].points[9];
    const QPointF place = drift.plot().position_of(double(point.step), point.median);
    QTest::mouseClick(&drift.plot(), Qt::LeftButton, Qt::NoModifier, place.toPoint());
    ASSERT_EQ(clicked.size(), 1);
    EXPECT_EQ(clicked[0][0].toLongLong(), point.step);
    EXPECT_FALSE(drift.select_pivot(1, 2)) << "an anchor has no drift";
}

TEST(HeadMapView, ColoursAHeadByItsRoleAndTellsWhichWasClicked) {
    const test::SyntheticRun run = test::make_synthetic_run({});
    HeadMapView view;
    view.resize(420, 300);
    view.show();
    view.model().set_run(test::to_run_data(run), run.recall);
    QApplication::processEvents();
    QSignalSpy clicked(&view, &HeadMapView::head_clicked);
    const QPoint centre = view.grid().cell_rect({6, 0}).center().toPoint();
    const QImage picture = view.grid().grab().toImage();
    EXPECT_EQ(picture.pixel(centre), role_rgb(HeadRole::kPivot, true));
    QTest::mouseClick(&view.grid(), Qt::LeftButton, Qt::NoModifier, centre);
    ASSERT_EQ(clicked.size(), 1);
    EXPECT_EQ(clicked[0][0].toInt(), 6);
    EXPECT_EQ(clicked[0][1].toInt(), 0);
    QTest::keyClick(&view.grid(), Qt::Key_Right);
    EXPECT_EQ(view.grid().selected(), (HeadId{7, 0}));
    view.choose(HeadQuantity::kStability);
    const auto range = view.model().range(HeadQuantity::kStability);
    const double share = (*view.model().value(6, 0, HeadQuantity::kStability) - range->low) /
                         (range->high - range->low);
    EXPECT_EQ(view.grid().cell_colour({6, 0}).rgb(), scale_rgb(share));
}

TEST(SummaryHeader, SaysNoneWhereNothingWasTransferred) {
    test::SyntheticRun run = test::make_synthetic_run({.decode_steps = 4});
    const RunView view = test::to_run_view(run);
    bool found = false;
    for (const SummaryTile& tile : summary_tiles(view)) {
        if (tile.caption != "I/O hiding") continue;
        found = true;
        EXPECT_EQ(tile.value.toStdString(), view.metrics.transfer.hiding ? "" : "none");
        EXPECT_EQ(tile.note.toStdString(), "lag 1");
    }
    EXPECT_TRUE(found);
}

TEST(MainWindow, ABrokenFileShowsItsNameAndTheWindowStaysUsable) {
    const test::TemporaryFolder folder;
    const auto broken = folder.path() / "broken-file.sqlite";
    std::ofstream(broken) << "no trace at all";
    const auto good = folder.path() / "good.sqlite";
    test::write_trace(test::make_synthetic_run({.decode_steps = 30}), good);
    MainWindow window;
    window.show();
    QSignalSpy failed(&window.model(), &TraceModel::failed);
    window.open(broken, std::nullopt);
    ASSERT_TRUE(failed.wait(10'000));
    EXPECT_TRUE(window.banner_text().contains("broken-file.sqlite"))
        << window.banner_text().toStdString();
    QSignalSpy loaded(&window.model(), &TraceModel::loaded);
    window.open(good, std::nullopt);
    ASSERT_TRUE(loaded.wait(10'000));
    EXPECT_TRUE(window.banner_text().isEmpty()) << window.banner_text().toStdString();
    EXPECT_TRUE(window.windowTitle().contains("good.sqlite"));
    EXPECT_GT(window.details().model().rowCount(), 3);
}

TEST(MainWindow, ViewsLeadToEachOther) {
    MainWindow window;
    window.resize(1400, 900);
    window.show();
    const RunViewPtr view = synthetic_view();
    window.model().set_view(view);
    window.show_first_trigger();
    ASSERT_TRUE(window.timeline().selection());
    const FetchRecord& fetch = view->data.fetches[*view->first_triggered_fetch()];
    bool told = false;
    for (const Fact& fact : window.details().model().facts()) {
        told = told || fact.key == QString("fetch %1").arg(fetch.id);
    }
    EXPECT_TRUE(told) << "the details do not speak of the fetch";
    EXPECT_EQ(window.drift().series(), view->drift.find(fetch.layer, 0));
    Q_EMIT window.heads().head_clicked(8, 1);  // a satellite of pivot 0
    EXPECT_EQ(window.drift().series(), view->drift.find(8, 0));
    Q_EMIT window.drift().step_clicked(17);
    const TimeRange step = view->step_range(*view->step_row(17));
    EXPECT_TRUE(window.timeline().stack().current().contains(step.centre()));
}

TEST(MainWindow, AQuestionMarkShowsTheKeys) {
    MainWindow window;
    window.show();
    QTest::keyClicks(&window.timeline(), "?");
    const auto* dialog = window.findChild<QDialog*>("keys");
    ASSERT_NE(dialog, nullptr);
    EXPECT_TRUE(dialog->isVisible());
}

}  // namespace
}  // namespace hc::gui
