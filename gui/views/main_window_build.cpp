#include <QAction>
#include <QComboBox>
#include <QDialog>
#include <QDialogButtonBox>
#include <QDockWidget>
#include <QFrame>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QMenuBar>
#include <QProgressBar>
#include <QPushButton>
#include <QStatusBar>
#include <QToolBar>
#include <QVBoxLayout>
#include <algorithm>

#include "gui/views/details_panel.h"
#include "gui/views/drift_view.h"
#include "gui/views/head_map_view.h"
#include "gui/views/main_window.h"
#include "gui/views/summary_header.h"
#include "gui/views/tables_panel.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {
namespace {

struct KeyHelp {
    const char* keys;
    const char* what;
};

// The same list, with the reasons, is docs/viewer.md.
constexpr KeyHelp kKeys[] = {
    {"wheel", "zoom at the mouse (Ctrl: finer)"},
    {"W  S", "zoom in, out at the mouse"},
    {"A  D, \u2190 \u2192, Shift+wheel", "pan"},
    {"drag", "pan"},
    {"click", "select an event; arrows show check \u2192 fetch \u2192 commit \u2192 first use"},
    {"double click", "fit the event"},
    {"Shift+drag, drag the ruler", "measure a range"},
    {"F", "fit the measured range or the selection"},
    {"Home  End", "fit everything, fit the decode steps"},
    {".  ,", "next, previous event in the lane"},
    {"T  Shift+T", "next, previous step with a trigger"},
    {"\u2191 \u2193, wheel over the titles", "scroll the lanes"},
    {"Ctrl+Z  Ctrl+Shift+Z", "undo, redo the view"},
    {"Ctrl+C in a table", "copy the rows as CSV"},
    {"Esc", "clear selection and range"},
    {"Ctrl+O", "open a trace"},
    {"?", "this list"},
};

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
    timeline_ = new TimelineView;
    summary_ = new SummaryHeader;
    build_banner();
    auto* centre = new QWidget;
    auto* column = new QVBoxLayout(centre);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addWidget(summary_);
    column->addWidget(banner_);
    column->addWidget(timeline_, 1);
    setCentralWidget(centre);
    build_docks();
    build_menus();
    build_toolbar();
    connect_views();
    show_selection();
    update_actions();
    resize(1600, 1000);
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
    setCorner(Qt::BottomRightCorner, Qt::RightDockWidgetArea);
    heads_dock_ = make_dock(this, "Heads", heads_, Qt::RightDockWidgetArea);
    details_dock_ = make_dock(this, "Details", details_, Qt::RightDockWidgetArea);
    drift_dock_ = make_dock(this, "Attention drift", drift_, Qt::BottomDockWidgetArea);
    tables_dock_ = make_dock(this, "Tables", tables_, Qt::BottomDockWidgetArea);
    splitDockWidget(drift_dock_, tables_dock_, Qt::Horizontal);
}

void MainWindow::showEvent(QShowEvent* event) {
    QMainWindow::showEvent(event);
    // Once: from then on the borders are where the user drags them.
    if (!docks_placed_) place_docks();
    docks_placed_ = true;
}

/// Shares of the window.
void MainWindow::place_docks() {
    const int right = std::clamp(width() * 24 / 100, 230, 400);
    resizeDocks({heads_dock_, details_dock_}, {right, right}, Qt::Horizontal);
    resizeDocks({heads_dock_, details_dock_}, {height() * 30 / 100, height() * 70 / 100},
                Qt::Vertical);
    const int bottom = std::clamp(height() * 29 / 100, 170, 340);
    resizeDocks({drift_dock_, tables_dock_}, {bottom, bottom}, Qt::Vertical);
    resizeDocks({drift_dock_, tables_dock_}, {(width() - right) / 2, (width() - right) / 2},
                Qt::Horizontal);
}

void MainWindow::build_menus() {
    QMenu* file = menuBar()->addMenu("&File");
    file->addAction("&Open\u2026", QKeySequence::Open, this, &MainWindow::ask_for_file);
    file->addSeparator();
    file->addAction("&Quit", QKeySequence::Quit, this, &QWidget::close);

    QMenu* view = menuBar()->addMenu("&View");
    undo_ = view->addAction("&Undo view", QKeySequence("Ctrl+Z"), &timeline_->stack(),
                            &ViewStack::undo);
    redo_ = view->addAction("&Redo view", QKeySequence("Ctrl+Shift+Z"), &timeline_->stack(),
                            &ViewStack::redo);
    view->addSeparator();
    // Single keys belong to the timeline, which must have the focus for them: no shortcuts here,
    // or typing into a box would move the view.
    view->addAction("Fit &everything\tHome", timeline_, &TimelineView::fit_all);
    view->addAction("Fit &decode steps\tEnd", timeline_, &TimelineView::fit_decode);
    view->addAction("&Fit selection\tF", timeline_, &TimelineView::fit_selection);
    view->addAction("Next &trigger\tT", timeline_, [this] { timeline_->go_to_trigger(1); });
    view->addAction("&Previous trigger\tShift+T", timeline_,
                    [this] { timeline_->go_to_trigger(-1); });
    view->addSeparator();
    for (QDockWidget* dock : {heads_dock_, details_dock_, drift_dock_, tables_dock_}) {
        view->addAction(dock->toggleViewAction());
    }
    QMenu* help = menuBar()->addMenu("&Help");
    help->addAction("&Keys\t?", this, &MainWindow::show_keys);
}

void MainWindow::build_toolbar() {
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
    connect(cancel_, &QPushButton::clicked, model_, &TraceModel::cancel);
    statusBar()->addPermanentWidget(progress_);
    statusBar()->addPermanentWidget(cancel_);
    auto* hint = new QLabel("? shows the keys");
    hint->setContentsMargins(8, 0, 8, 0);
    statusBar()->addPermanentWidget(hint);
    statusBar()->setSizeGripEnabled(false);
}

void MainWindow::show_keys() {
    auto* dialog = new QDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle("Keys");
    dialog->setObjectName("keys");
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(24);
    int row = 0;
    for (const KeyHelp& help : kKeys) {
        auto* keys = new QLabel(QString::fromUtf8(help.keys));
        QFont bold = keys->font();
        bold.setBold(true);
        keys->setFont(bold);
        grid->addWidget(keys, row, 0);
        grid->addWidget(new QLabel(QString::fromUtf8(help.what)), row, 1);
        ++row;
    }
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    connect(buttons, &QDialogButtonBox::rejected, dialog, &QDialog::close);
    auto* column = new QVBoxLayout(dialog);
    column->addLayout(grid);
    column->addWidget(buttons);
    dialog->show();
}

}  // namespace hc::gui
