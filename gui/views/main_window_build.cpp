#include <QAction>
#include <QComboBox>
#include <QDockWidget>
#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QMenuBar>
#include <QProgressBar>
#include <QPushButton>
#include <QSplitter>
#include <QStatusBar>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>
#include <limits>

#include "gui/views/details_panel.h"
#include "gui/views/drift_view.h"
#include "gui/views/head_map_view.h"
#include "gui/views/main_window.h"
#include "gui/views/replay_panel.h"
#include "gui/views/search_bar.h"
#include "gui/views/summary_header.h"
#include "gui/views/tables_panel.h"
#include "gui/views/timeline_view.h"
#include "gui/views/what_if_panel.h"

namespace hc::gui {
namespace {

// The gesture of a timeline that follows another: all of it is one entry of its undo.
constexpr std::uint64_t kFollow = std::numeric_limits<std::uint64_t>::max();

QDockWidget* make_dock(QMainWindow* window, const QString& title, QWidget* content,
                       Qt::DockWidgetArea area) {
    auto* dock = new QDockWidget(title, window);
    dock->setObjectName(title);  // saveState knows docks by it
    dock->setWidget(content);
    window->addDockWidget(area, dock);
    return dock;
}

}  // namespace

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent) {
    setWindowTitle("hcprof");
    setAcceptDrops(true);
    model_ = new TraceModel(this);
    other_ = new TraceModel(this);
    build_centre();
    build_docks();
    build_menus();
    build_corner();
    connect_views();
    connect_panels();
    connect_compare();
    show_selection();
    update_actions();
    resize(1600, 1000);
}

void MainWindow::build_centre() {
    timeline_ = new TimelineView;
    other_timeline_ = new TimelineView;
    other_timeline_->setAccessibleName("timeline of the other run");
    other_timeline_->set_legend(false);
    summary_ = new SummaryHeader;
    search_ = new SearchBar;
    build_banner();

    other_box_ = new QWidget;
    other_title_ = new QLabel;
    other_title_->setContentsMargins(10, 3, 4, 3);
    auto* close = new QToolButton;
    close->setText("End comparison");
    close->setAutoRaise(true);
    connect(close, &QToolButton::clicked, this, &MainWindow::end_compare);
    auto* title = new QHBoxLayout;
    title->addWidget(other_title_, 1);
    title->addWidget(close);
    auto* other_column = new QVBoxLayout(other_box_);
    other_column->setContentsMargins(0, 0, 0, 0);
    other_column->setSpacing(0);
    other_column->addLayout(title);
    other_column->addWidget(other_timeline_, 1);
    other_box_->hide();

    splitter_ = new QSplitter(Qt::Vertical);
    splitter_->setChildrenCollapsible(false);
    splitter_->addWidget(timeline_);
    splitter_->addWidget(other_box_);
    splitter_->setStretchFactor(0, 1);
    splitter_->setStretchFactor(1, 1);
    auto* centre = new QWidget;
    auto* column = new QVBoxLayout(centre);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addWidget(summary_);
    column->addWidget(search_);
    column->addWidget(banner_);
    column->addWidget(splitter_, 1);
    setCentralWidget(centre);
}

void MainWindow::build_banner() {
    banner_ = new QFrame;
    banner_->setObjectName("banner");
    banner_text_ = new QLabel(banner_);
    banner_text_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    banner_text_->setWordWrap(true);
    auto* close = new QPushButton("Dismiss", banner_);
    auto* row = new QHBoxLayout(banner_);
    row->setContentsMargins(10, 5, 8, 5);
    row->addWidget(banner_text_, 1);
    row->addWidget(close);
    connect(close, &QPushButton::clicked, banner_, &QWidget::hide);
    banner_->hide();
}

void MainWindow::build_docks() {
    drift_ = new DriftView;
    heads_ = new HeadMapView;
    details_ = new DetailsPanel;
    tables_ = new TablesPanel;
    replay_ = new ReplayPanel;
    what_if_ = new WhatIfPanel;
    setCorner(Qt::BottomRightCorner, Qt::RightDockWidgetArea);
    setTabPosition(Qt::BottomDockWidgetArea, QTabWidget::North);
    heads_dock_ = make_dock(this, "Heads", heads_, Qt::RightDockWidgetArea);
    details_dock_ = make_dock(this, "Details", details_, Qt::RightDockWidgetArea);
    drift_dock_ = make_dock(this, "Attention drift", drift_, Qt::BottomDockWidgetArea);
    tables_dock_ = make_dock(this, "Tables", tables_, Qt::BottomDockWidgetArea);
    splitDockWidget(drift_dock_, tables_dock_, Qt::Horizontal);
    replay_dock_ = make_dock(this, "Replay", replay_, Qt::BottomDockWidgetArea);
    what_if_dock_ = make_dock(this, "What if", what_if_, Qt::BottomDockWidgetArea);
    tabifyDockWidget(drift_dock_, replay_dock_);
    tabifyDockWidget(replay_dock_, what_if_dock_);
    drift_dock_->raise();
}

void MainWindow::showEvent(QShowEvent* event) {
    QMainWindow::showEvent(event);
    // Once: from then on the borders are where the user drags them.
    if (!docks_placed_) place_docks();
    docks_placed_ = true;
}

/// Shares of the window.
void MainWindow::place_docks() {
    const int right = std::clamp(width() * 22 / 100, 230, 400);
    resizeDocks({heads_dock_, details_dock_}, {right, right}, Qt::Horizontal);
    resizeDocks({heads_dock_, details_dock_}, {height() * 30 / 100, height() * 70 / 100},
                Qt::Vertical);
    const int bottom = std::clamp(height() * 29 / 100, 170, 340);
    resizeDocks({drift_dock_, tables_dock_}, {bottom, bottom}, Qt::Vertical);
    resizeDocks({drift_dock_, tables_dock_},
                {(width() - right) * 52 / 100, (width() - right) * 48 / 100}, Qt::Horizontal);
}

void MainWindow::build_corner() {
    // In the status bar and the menu's corner, so that the timeline keeps its height.
    auto* corner = new QWidget;
    auto* row = new QHBoxLayout(corner);
    row->setContentsMargins(0, 2, 8, 2);
    row->setSpacing(6);
    auto* label = new QLabel("run");
    runs_ = new QComboBox;
    runs_->setAccessibleName("run");
    runs_->setMinimumContentsLength(24);
    runs_->setEnabled(false);
    label->setBuddy(runs_);
    row->addWidget(label);
    row->addWidget(runs_);
    menuBar()->setCornerWidget(corner);

    progress_ = new QProgressBar;
    progress_->setMaximumWidth(260);
    progress_->hide();
    cancel_ = new QPushButton("Cancel");
    cancel_->hide();
    connect(cancel_, &QPushButton::clicked, this, [this] {
        model_->cancel();
        other_->cancel();
    });
    statusBar()->addPermanentWidget(progress_);
    statusBar()->addPermanentWidget(cancel_);
    auto* hint = new QLabel("? shows the keys");
    hint->setContentsMargins(8, 0, 8, 0);
    statusBar()->addPermanentWidget(hint);
    statusBar()->setSizeGripEnabled(false);
}

void MainWindow::connect_views() {
    connect(model_, &TraceModel::loaded, this, &MainWindow::show_loaded);
    for (TraceModel* model : {model_, other_}) {
        connect(model, &TraceModel::failed, this, [this](const QString& message) {
            kept_.reset();
            progress_->hide();
            cancel_->hide();
            show_banner(message, true);
        });
        connect(model, &TraceModel::progressed, this, &MainWindow::show_progress);
    }
    connect(runs_, &QComboBox::activated, this, [this](int index) {
        if (const RunViewPtr& view = model_->view(); view && !view->path.isEmpty()) {
            open(view->path.toStdString(), runs_->itemData(index).toInt());
        }
    });
    connect(timeline_, &TimelineView::selection_changed, this, &MainWindow::show_selection);
    connect(timeline_, &TimelineView::measured_changed, this, &MainWindow::show_statistics);
    connect(timeline_, &TimelineView::range_changed, this, [this] {
        drift_->plot().show_range(timeline_->stack().current());
        update_actions();
    });
    connect(timeline_, &TimelineView::prefs_changed, this,
            [this] { other_timeline_->set_prefs(timeline_->prefs()); });
    connect(search_, &SearchBar::found, this, [this](const SearchHitsPtr& hits) {
        timeline_->set_hits(hits);
        tables_->set_hits(hits);
    });
    connect(search_, &SearchBar::step_asked, timeline_, &TimelineView::step_hit);
    connect(search_, &SearchBar::left, timeline_, [this] { timeline_->setFocus(); });
    connect(search_, &SearchBar::filter_changed, this, [this](const QString& words) {
        TrackPrefs prefs = timeline_->prefs();
        if (prefs.set_filter(words)) timeline_->set_prefs(prefs);
    });
}

void MainWindow::connect_panels() {
    connect(drift_, &DriftView::step_clicked, timeline_, &TimelineView::go_to_step);
    connect(drift_, &DriftView::pivot_chosen, this, [this](int layer, int head) {
        heads_->grid().set_selected(HeadId{layer, head});
    });
    connect(heads_, &HeadMapView::head_clicked, this, [this](int layer, int head) {
        const HeadCell& cell = heads_->model().cell(layer, head);
        // A satellite leads to the pivot that watches for it.
        const int pivot = cell.head.role == HeadRole::kSatellite ? cell.head.pivot : head;
        drift_->select_pivot(layer, pivot);
        replay_->select_head(layer, head);
        heads_->grid().set_selected(HeadId{layer, head});
    });
    const auto show_fetch = [this](std::size_t row) {
        if (const auto event = model_->view()->locate_fetch(row)) {
            timeline_->select(*event);
            timeline_->fit_selection();
        }
    };
    connect(replay_, &ReplayPanel::step_changed, this, &MainWindow::show_step);
    connect(replay_, &ReplayPanel::fetch_clicked, this, show_fetch);
    connect(what_if_, &WhatIfPanel::step_clicked, timeline_, &TimelineView::go_to_step);
    connect(tables_, &TablesPanel::step_chosen, this, [this](std::size_t row) {
        timeline_->go_to_step(model_->view()->data.steps.step[row]);
    });
    connect(tables_, &TablesPanel::check_chosen, this, [this](std::size_t row) {
        const DriftRecord& check = model_->view()->data.drift[row];
        timeline_->go_to_step(check.step);
        drift_->select_pivot(check.layer, check.pivot);
    });
    connect(tables_, &TablesPanel::fetch_chosen, this, show_fetch);
    connect(tables_, &TablesPanel::hit_chosen, timeline_, &TimelineView::show_hit);
    connect(tables_, &TablesPanel::name_chosen, this,
            [this](const QString& name) { search_->field().setText(name); });
}

void MainWindow::connect_compare() {
    connect(other_, &TraceModel::loaded, this, &MainWindow::show_compared);
    const auto follow = [this](TimelineView* moved, TimelineView* other) {
        if (following_ || !comparing()) return;
        following_ = true;
        const TimeRange& range = moved->stack().current();
        other->stack().set(moved == timeline_ ? alignment_.to_b(range) : alignment_.to_a(range),
                           kFollow);
        following_ = false;
    };
    connect(timeline_, &TimelineView::range_changed, this,
            [this, follow] { follow(timeline_, other_timeline_); });
    connect(other_timeline_, &TimelineView::range_changed, this,
            [this, follow] { follow(other_timeline_, timeline_); });
    connect(timeline_, &TimelineView::selection_changed, this, [this] {
        if (!comparing() || !timeline_->selection()) return;
        const EventRef event = *timeline_->selection();
        const Lane& lane = model_->view()->lanes.lanes[event.lane];
        if (lane.kind != LaneKind::kSteps) return;
        const std::size_t row = lane.events.source(event.index);
        other_timeline_->mark_step(model_->view()->data.steps.step[row]);
    });
    connect(what_if_, &WhatIfPanel::compare_asked, this, [this] {
        const auto& answer = what_if_->model().answer();
        // Its steps follow its figures by a moment.
        if (!answer || answer->prediction.data.steps.size() == 0) return;
        trace::RunData predicted = answer->prediction.data;
        analysis::RunMetrics metrics = analysis::run_metrics(predicted, nullptr);
        metrics.recall = answer->prediction.recall;
        compare_with(std::make_shared<const RunView>(
            make_run_view(std::move(predicted), {}, {}, std::move(metrics))));
    });
}

}  // namespace hc::gui
