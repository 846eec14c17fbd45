// Every key and mouse action that the list under '?' names, pressed.
#include <gtest/gtest.h>

#include <QApplication>
#include <QClipboard>
#include <QContextMenuEvent>
#include <QDialog>
#include <QInputDialog>
#include <QLineEdit>
#include <QMenu>
#include <QSettings>
#include <QSignalSpy>
#include <QSlider>
#include <QTableView>
#include <QTest>
#include <QTimer>
#include <QWheelEvent>

#include "gui/views/drift_view.h"
#include "gui/views/head_map_view.h"
#include "gui/views/main_window.h"
#include "gui/views/replay_panel.h"
#include "gui/views/search_bar.h"
#include "gui/views/tables_panel.h"
#include "gui/views/timeline_view.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

void settle(MainWindow& window) {
    EXPECT_TRUE(QTest::qWaitFor([&] { return !window.busy(); }, 60'000));
    QApplication::processEvents();
}

class Window : public testing::Test {
protected:
    void SetUp() override {
        window_.resize(1500, 950);
        window_.show();
        window_.model().set_view(view_);
        settle(window_);
        timeline_.setFocus();
    }
    [[nodiscard]] const LaneGroup& group(const QString& key) const {
        for (const LaneGroup& g : view_->lanes.groups) {
            if (g.key == key) return g;
        }
        ADD_FAILURE() << "no track " << key.toStdString();
        return view_->lanes.groups.front();
    }
    void focus(const QString& key) { timeline_.select(EventRef{group(key).first, 0}); }
    [[nodiscard]] const LanePlace& place(const QString& key) const {
        return timeline_.lane_layout().lanes[group(key).first];
    }

    RunViewPtr view_ =
        std::make_shared<const RunView>(test::to_run_view(test::make_synthetic_run({})));
    MainWindow window_;
    TimelineView& timeline_ = window_.timeline();
};

TEST_F(Window, PPinsHHidesAndShiftHShowsAgain) {
    focus("fetches");
    QTest::keyClick(&timeline_, Qt::Key_P);
    EXPECT_TRUE(place("fetches").pinned);
    EXPECT_EQ(timeline_.lane_layout().groups.front().group,
              static_cast<std::size_t>(&group("fetches") - view_->lanes.groups.data()));
    QTest::keyClick(&timeline_, Qt::Key_P);
    EXPECT_FALSE(place("fetches").pinned);
    QTest::keyClick(&timeline_, Qt::Key_H);
    EXPECT_EQ(place("fetches").height, 0);
    EXPECT_GT(place("steps").height, 0);
    QTest::keyClick(&timeline_, Qt::Key_H, Qt::ShiftModifier);
    EXPECT_GT(place("fetches").height, 0);
}

TEST_F(Window, ControlAndArrowsMoveATrack) {
    focus("layers");
    const int below = place("ops/decode thread").top;
    ASSERT_LT(place("layers").top, below);
    QTest::keyClick(&timeline_, Qt::Key_Down, Qt::ControlModifier);
    EXPECT_GT(place("layers").top, place("ops/decode thread").top);
    QTest::keyClick(&timeline_, Qt::Key_Up, Qt::ControlModifier);
    EXPECT_LT(place("layers").top, place("ops/decode thread").top);
}

TEST_F(Window, ATitleIsDraggedToItsPlace) {
    const QRect tracks = timeline_.tracks_rect();
    const auto middle = [&](const QString& key) {
        return QPoint(30, tracks.top() + place(key).top + place(key).height / 2);
    };
    QTest::mousePress(&timeline_, Qt::LeftButton, Qt::NoModifier, middle("fetches"));
    QTest::mouseMove(&timeline_, middle("layers"));
    QTest::mouseRelease(&timeline_, Qt::LeftButton, Qt::NoModifier, middle("layers"));
    EXPECT_LT(place("fetches").top, place("layers").top);
}

TEST_F(Window, PinnedTracksStayWhileOthersScroll) {
    focus("steps");
    QTest::keyClick(&timeline_, Qt::Key_P);
    timeline_.resize(timeline_.width(), 230);
    const EventRef step{group("steps").first, 3}, op{group("ops/decode thread").first, 3};
    const double step_top = timeline_.rect_of(step).top(), op_top = timeline_.rect_of(op).top();
    QTest::keyClick(&timeline_, Qt::Key_PageDown);
    EXPECT_EQ(timeline_.rect_of(step).top(), step_top);
    EXPECT_LT(timeline_.rect_of(op).top(), op_top);
    QTest::keyClick(&timeline_, Qt::Key_PageUp);
    EXPECT_EQ(timeline_.rect_of(op).top(), op_top);
    QTest::keyClick(&timeline_, Qt::Key_Down);
    EXPECT_LT(timeline_.rect_of(op).top(), op_top);
    QTest::keyClick(&timeline_, Qt::Key_Up);
    EXPECT_EQ(timeline_.rect_of(op).top(), op_top);
}

TEST_F(Window, TheFilterKeepsTracksThatHoldTheWords) {
    window_.search().filter().setText("decode OPER");
    EXPECT_GT(place("ops/decode thread").height, 0);
    EXPECT_EQ(place("steps").height, 0);
    window_.search().filter().clear();
    EXPECT_GT(place("steps").height, 0);
}

TEST_F(Window, TheMenuOfATitleHidesIt) {
    const QRect tracks = timeline_.tracks_rect();
    const QPoint title(30, tracks.top() + place("layers").top + 5);
    QTimer::singleShot(0, [] {
        auto* menu = qobject_cast<QMenu*>(QApplication::activePopupWidget());
        ASSERT_NE(menu, nullptr);
        for (QAction* action : menu->actions()) {
            if (action->text().startsWith("Hide")) menu->setActiveAction(action);
        }
        QTest::keyClick(menu, Qt::Key_Return);
    });
    QContextMenuEvent event(QContextMenuEvent::Mouse, title, timeline_.mapToGlobal(title));
    QApplication::sendEvent(&timeline_, &event);
    EXPECT_EQ(place("layers").height, 0);
}

TEST_F(Window, ShiftAndArrowsChangeTheLaneAtTheSameTime) {
    timeline_.go_to_step(30);
    QTest::keyClick(&timeline_, Qt::Key_Down, Qt::ShiftModifier);
    ASSERT_TRUE(timeline_.selection());
    EXPECT_EQ(view_->lanes.lanes[timeline_.selection()->lane].kind, LaneKind::kLayers);
    QTest::keyClick(&timeline_, Qt::Key_Up, Qt::ShiftModifier);
    EXPECT_EQ(*timeline_.selection(), *view_->locate_step(*view_->step_row(30)));
}

TEST_F(Window, SlashSearchesAndNWalksTheHits) {
    QTest::keyClicks(&timeline_, "/");
    EXPECT_TRUE(window_.search().field().hasFocus());
    QTest::keyClicks(&window_.search().field(), "lm_head");
    settle(window_);
    EXPECT_TRUE(window_.search().status().startsWith("128 hits"))
        << window_.search().status().toStdString();
    EXPECT_EQ(window_.tables().model(TablesPanel::Table::kHits).rowCount(), 128);
    QTest::keyClick(&window_.search().field(), Qt::Key_Return);
    ASSERT_TRUE(timeline_.selection());
    const EventRef first = *timeline_.selection();
    const auto name = [&](const EventRef& e) {
        return view_->lanes.names[view_->lanes.lanes[e.lane].events.name(e.index)].text;
    };
    EXPECT_EQ(name(first).toStdString(), "lm_head");
    timeline_.setFocus();
    QTest::keyClick(&timeline_, Qt::Key_N);
    EXPECT_GT(timeline_.selection()->index, first.index);
    QTest::keyClick(&timeline_, Qt::Key_N, Qt::ShiftModifier);
    EXPECT_EQ(*timeline_.selection(), first);
    EXPECT_GT(timeline_.rect_of(first).width(), 3) << "a hit too short to see is zoomed in on";
    window_.search().focus_field();
    QTest::keyClick(&window_.search().field(), Qt::Key_Escape);
    EXPECT_TRUE(window_.search().field().text().isEmpty());
    QTest::keyClick(&window_.search().field(), Qt::Key_Escape);
    EXPECT_TRUE(timeline_.hasFocus());
}

TEST_F(Window, WhatIsNotMeantIsDrawnFaintly) {
    timeline_.go_to_step(30);
    timeline_.select(std::nullopt);
    window_.search().field().setText("lm_head");
    settle(window_);
    const QImage picture = timeline_.grab().toImage();
    for (std::size_t row = 0; row < view_->data.ops.size(); ++row) {
        const bool head = view_->data.ops.kind[row] == OpKind::kLmHead;
        const bool mlp = view_->data.ops.kind[row] == OpKind::kMlp;
        if (view_->data.ops.step[row] != 30 || (!head && !mlp)) continue;
        const QRectF box = timeline_.rect_of(*view_->locate_op(row));
        if (box.width() < 5) continue;
        const QRgb pixel =
            picture.pixel(static_cast<int>(box.right()) - 2, static_cast<int>(box.bottom()) - 2);
        const QRgb full = hue_rgb(head ? Hue::kLmHead : Hue::kMlp, true);
        EXPECT_EQ(pixel == full, head);
    }
}

TEST_F(Window, MAndBracketsMeasureByKeyboard) {
    timeline_.go_to_step(20);
    const TimeRange step = view_->step_range(*view_->step_row(20));
    QTest::keyClick(&timeline_, Qt::Key_M);
    ASSERT_TRUE(timeline_.measured());
    EXPECT_EQ(*timeline_.measured(), step);
    for (int i = 0; i < 3; ++i) QTest::keyClick(&timeline_, Qt::Key_Period);
    QTest::keyClick(&timeline_, Qt::Key_BracketRight);
    EXPECT_EQ(timeline_.measured()->start_ns, step.start_ns);
    EXPECT_EQ(timeline_.measured()->end_ns, view_->step_range(*view_->step_row(23)).end_ns);
    QTest::keyClick(&timeline_, Qt::Key_BracketLeft);
    EXPECT_EQ(timeline_.measured()->start_ns, view_->step_range(*view_->step_row(23)).start_ns);
    settle(window_);
    const ColumnTable& table = window_.tables().model(TablesPanel::Table::kStatistics);
    ASSERT_GT(table.rowCount(), 0);
    EXPECT_EQ(table.data(table.index(0, 2), Qt::DisplayRole).toString().toStdString(), "1")
        << "one step begins in step 23";
    QTest::keyClick(&timeline_, Qt::Key_Escape);
    EXPECT_FALSE(timeline_.measured());
}

TEST_F(Window, MeasuringSnapsToTheEdgeOfAWideEvent) {
    timeline_.go_to_step(30);
    timeline_.select(std::nullopt);
    const EventRef event = *view_->locate_step(*view_->step_row(30));
    const QRectF box = timeline_.rect_of(event);
    ASSERT_GT(box.width(), 50);
    const int y = static_cast<int>(box.bottom()) - 4;
    const QPoint from(static_cast<int>(box.left()) + 3, y),
        to(static_cast<int>(box.right()) - 3, y);
    QTest::mousePress(&timeline_, Qt::LeftButton, Qt::ShiftModifier, from);
    QTest::mouseMove(&timeline_, to);
    QTest::mouseRelease(&timeline_, Qt::LeftButton, Qt::ShiftModifier, to);
    ASSERT_TRUE(timeline_.measured());
    EXPECT_EQ(*timeline_.measured(), view_->step_range(*view_->step_row(30)));
}

TEST_F(Window, GAsksWhereToGo) {
    QTest::keyClick(&timeline_, Qt::Key_G);
    auto* dialog = window_.findChild<QInputDialog*>("goto");
    ASSERT_NE(dialog, nullptr);
    dialog->setTextValue("77");
    dialog->accept();
    EXPECT_EQ(*timeline_.selection(), *view_->locate_step(*view_->step_row(77)));
    EXPECT_TRUE(window_.go_to({std::nullopt, 1.5e9}));
    EXPECT_NEAR(timeline_.stack().current().centre(), 1.5e9, 1);
    EXPECT_FALSE(window_.go_to({5000, std::nullopt}));
}

TEST_F(Window, ADoubleClickFitsAndControlWheelIsFiner) {
    timeline_.go_to_step(30);
    const EventRef event = *view_->locate_step(*view_->step_row(30));
    const QPoint middle = timeline_.rect_of(event).center().toPoint();
    const auto wheel = [&](Qt::KeyboardModifiers modifiers, QPoint place) {
        const double span = timeline_.stack().current().span();
        QWheelEvent turn(place, timeline_.mapToGlobal(place), {}, {0, 120}, Qt::NoButton, modifiers,
                         Qt::NoScrollPhase, false);
        QApplication::sendEvent(&timeline_, &turn);
        return span / timeline_.stack().current().span();
    };
    EXPECT_LT(wheel(Qt::ControlModifier, middle), wheel(Qt::NoModifier, middle));
    const double start = timeline_.stack().current().start_ns;
    EXPECT_NEAR(wheel(Qt::ShiftModifier, middle), 1, 1e-9);
    EXPECT_NE(timeline_.stack().current().start_ns, start) << "Shift and wheel pan";
    timeline_.go_to_step(30);
    QTest::mouseDClick(&timeline_, Qt::LeftButton, Qt::NoModifier,
                       timeline_.rect_of(event).center().toPoint());
    EXPECT_NEAR(timeline_.stack().current().span(),
                view_->step_range(*view_->step_row(30)).span() * 1.2, 1e3);
}

TEST_F(Window, F6GoesFromPanelToPanelAndBack) {
    std::vector<QWidget*> visited;
    for (int i = 0; i < 5; ++i) {
        QTest::keyClick(&window_, Qt::Key_F6);
        ASSERT_NE(QApplication::focusWidget(), nullptr);
        visited.push_back(QApplication::focusWidget());
    }
    std::sort(visited.begin(), visited.end());
    EXPECT_GE(std::unique(visited.begin(), visited.end()) - visited.begin(), 4);
    timeline_.setFocus();
    QTest::keyClick(&window_, Qt::Key_F6);
    QTest::keyClick(&window_, Qt::Key_F6, Qt::ShiftModifier);
    EXPECT_TRUE(timeline_.hasFocus());
}

TEST_F(Window, ControlCCopiesRowsAsCsvAndTheFilterNarrowsThem) {
    TablesPanel& tables = window_.tables();
    tables.show_table(TablesPanel::Table::kSteps);
    QTableView& table = tables.table(TablesPanel::Table::kSteps);
    table.setFocus();
    const QModelIndex cell = table.model()->index(3, 1);
    QTest::mouseClick(table.viewport(), Qt::LeftButton, Qt::NoModifier,
                      table.visualRect(cell).center());
    ASSERT_EQ(table.selectionModel()->selectedRows().size(), 1);
    QTest::keyClick(&table, Qt::Key_C, Qt::ControlModifier);
    const QString text = QApplication::clipboard()->text();
    EXPECT_TRUE(text.startsWith("step,start,duration")) << text.toStdString();
    EXPECT_EQ(text.count('\n'), 2);
    EXPECT_EQ(*timeline_.selection(), *view_->locate_step(*view_->step_row(3)))
        << "a row leads to its step";
    tables.filter().setText("prefill");
    EXPECT_EQ(tables.model(TablesPanel::Table::kSteps).rowCount(), 1);
    tables.filter().clear();
    EXPECT_EQ(tables.model(TablesPanel::Table::kSteps).rowCount(), 129);
}

TEST_F(Window, SpacePlaysTheReplayAndItsStepIsSeenEverywhere) {
    ASSERT_TRUE(window_.show_panel("replay"));
    settle(window_);
    timeline_.setFocus();
    ReplayPanel& replay = window_.replay();
    QTest::keyClick(&timeline_, Qt::Key_Space);
    EXPECT_TRUE(replay.playing());
    EXPECT_TRUE(QTest::qWaitFor([&] { return replay.slider().value() >= 3; }, 20'000));
    QTest::keyClick(&timeline_, Qt::Key_Space);
    EXPECT_FALSE(replay.playing());
    EXPECT_GE(replay.slider().value(), 3);
    replay.set_step(40);
    EXPECT_EQ(window_.heads().model().step(), 40);
    EXPECT_TRUE(
        timeline_.stack().current().contains(view_->step_range(*view_->step_row(40)).centre()));
}

TEST_F(Window, AClickOnAFetchInTheMapLeadsToItInTheTimeline) {
    ASSERT_TRUE(window_.show_panel("replay"));
    settle(window_);
    ReplayPanel& replay = window_.replay();
    const FetchRecord& fetch = view_->data.fetches[*view_->first_triggered_fetch()];
    ASSERT_TRUE(replay.select_head(fetch.layer, 1)) << "its satellite";
    settle(window_);
    const auto& residency = replay.map().residency();
    ASSERT_TRUE(residency && !residency->empty());
    int column = -1;
    for (std::size_t i = 0; i < residency->steps().size(); ++i) {
        if (residency->steps()[i].fetch) column = static_cast<int>(i);
    }
    ASSERT_GE(column, 0);
    const std::size_t row = *residency->steps()[static_cast<std::size_t>(column)].fetch;
    // The colour of a cell into which rows came.
    const QImage picture = replay.map().grab().toImage();
    bool fetched_seen = false;
    for (int r = 0; r < residency->num_rows(); ++r) {
        if (residency->cell(column, r) != Residency::Cell::kFetched) continue;
        const QPoint centre = replay.map().cell_rect(column, r).center().toPoint();
        fetched_seen =
            fetched_seen ||
            picture.pixel(centre) == replay.map().colour_of(Residency::Cell::kFetched, 1).rgb();
    }
    EXPECT_TRUE(fetched_seen);
    QTest::mouseClick(&replay.map(), Qt::LeftButton, Qt::NoModifier,
                      replay.map().cell_rect(column, 5).center().toPoint());
    EXPECT_EQ(timeline_.selection(), view_->locate_fetch(row));
    EXPECT_EQ(replay.step(), residency->steps()[static_cast<std::size_t>(column)].step);
}

TEST_F(Window, TwoRunsMoveTogetherStepByStep) {
    const RunViewPtr other = std::make_shared<const RunView>(
        test::to_run_view(test::make_synthetic_run({.step_ns = 44'000'000})));
    timeline_.go_to_step(50);
    const TimeRange before = timeline_.stack().current();
    window_.compare_with(other);
    settle(window_);
    ASSERT_TRUE(window_.comparing());
    EXPECT_TRUE(window_.other_timeline().isVisible());
    EXPECT_EQ(timeline_.stack().current(), before) << "the first one moved";
    const auto middle_step = [](const RunView& view, TimelineView& timeline) {
        const double middle = timeline.stack().current().centre();
        for (std::size_t i = 0; i < view.data.steps.size(); ++i) {
            if (view.step_range(i).contains(middle)) return view.data.steps.step[i];
        }
        return std::int64_t{-1};
    };
    EXPECT_EQ(middle_step(*other, window_.other_timeline()), 50);
    timeline_.go_to_step(80);
    EXPECT_EQ(middle_step(*other, window_.other_timeline()), 80);
    window_.other_timeline().go_to_step(20);
    EXPECT_EQ(middle_step(*view_, timeline_), 20);
    const ColumnTable& table = window_.tables().model(TablesPanel::Table::kDifferences);
    ASSERT_GT(table.rowCount(), 3);
    EXPECT_EQ(table.data(table.index(0, 0), Qt::DisplayRole).toString().toStdString(),
              "step, median");
    window_.end_compare();
    EXPECT_FALSE(window_.other_timeline().isVisible());
}

TEST_F(Window, PicturesAreExportedAsPngAndSvg) {
    const test::TemporaryFolder folder;
    const QString png = QString::fromStdString((folder.path() / "a.png").string());
    const QString svg = QString::fromStdString((folder.path() / "a.svg").string());
    window_.show_first_trigger();
    window_.export_picture(png);
    EXPECT_EQ(QImage(png).size(), window_.size());
    window_.export_picture(svg);
    QFile file(svg);
    ASSERT_TRUE(file.open(QIODevice::ReadOnly));
    const QString text = QString::fromUtf8(file.readAll());
    EXPECT_TRUE(text.startsWith("<?xml"));
    EXPECT_TRUE(text.endsWith("</svg>\n"));
    EXPECT_TRUE(text.contains(">steps</text>"));
    EXPECT_TRUE(text.contains(QColor::fromRgb(hue_rgb(Hue::kMlp, true)).name()));
    EXPECT_EQ(text.count("<clipPath"), text.count("</clipPath>"));
}

TEST_F(Window, LayoutAndTracksAreKept) {
    const test::TemporaryFolder folder;
    const QString file = QString::fromStdString((folder.path() / "settings.ini").string());
    focus("layers");
    QTest::keyClick(&timeline_, Qt::Key_H);
    focus("fetches");
    QTest::keyClick(&timeline_, Qt::Key_P);
    {
        QSettings settings(file, QSettings::IniFormat);
        window_.save_layout(settings);
    }
    MainWindow next;
    QSettings settings(file, QSettings::IniFormat);
    next.restore_layout(settings);
    EXPECT_TRUE(next.timeline().prefs().is_hidden("layers"));
    EXPECT_TRUE(next.timeline().prefs().is_pinned("fetches"));
    // A damaged file is no layout, and no crash.
    settings.setValue("docks", QByteArray("nonsense"));
    settings.setValue("tracks", QByteArray("{\"pinned\": 3, \"hidden\": [7, \"a\"]"));
    MainWindow third;
    third.restore_layout(settings);
    EXPECT_FALSE(third.timeline().prefs().any_hidden());
}

}  // namespace
}  // namespace hc::gui
