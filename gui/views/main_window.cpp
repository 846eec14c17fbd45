#include "gui/views/main_window.h"

#include <QApplication>
#include <QComboBox>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFrame>
#include <QKeyEvent>
#include <QLabel>
#include <QMimeData>
#include <QProgressBar>
#include <QPushButton>
#include <QStatusBar>
#include <QUrl>

#include "gui/models/describe.h"
#include "gui/models/ticks.h"
#include "gui/views/details_panel.h"
#include "gui/views/drift_view.h"
#include "gui/views/head_map_view.h"
#include "gui/views/summary_header.h"
#include "gui/views/tables_panel.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {

void MainWindow::open(const std::filesystem::path& path, std::optional<trace::RunId> run) {
    show_banner({}, false);
    progress_->setRange(0, 0);
    progress_->setFormat("opening");
    progress_->show();
    cancel_->show();
    model_->load(path, run);
}

void MainWindow::ask_for_file() {
    const QString name = QFileDialog::getOpenFileName(this, "Open a trace", QString(),
                                                      "Traces (*.sqlite *.db);;All files (*)");
    if (!name.isEmpty()) open(name.toStdString(), std::nullopt);
}

QString MainWindow::banner_text() const {
    return banner_->isHidden() ? QString() : banner_text_->text();
}

void MainWindow::show_banner(const QString& text, bool error) {
    banner_->setVisible(!text.isEmpty());
    banner_text_->setText(text);
    const Theme theme = Theme::of(palette());
    const QColor colour = error ? theme.warning : theme.dim_text;
    QColor ground = colour;
    ground.setAlpha(45);
    banner_->setStyleSheet(QString("#banner { background: rgba(%1,%2,%3,45); border: none; "
                                   "border-left: 4px solid %4; }")
                               .arg(ground.red())
                               .arg(ground.green())
                               .arg(ground.blue())
                               .arg(colour.name()));
}

void MainWindow::show_loaded() {
    const RunViewPtr& view = model_->view();
    progress_->hide();
    cancel_->hide();
    show_banner(view->warning, false);
    const QString file =
        QString::fromStdString(std::filesystem::path(view->path.toStdString()).filename().string());
    setWindowTitle(file.isEmpty() ? "hcprof" : file + " \u2013 hcprof");
    {
        const QSignalBlocker quiet(runs_);
        runs_->clear();
        for (const trace::Run& run : view->runs) {
            runs_->addItem(run_title(run), run.id);
            if (run.id == view->data.run.id) runs_->setCurrentIndex(runs_->count() - 1);
        }
        runs_->setEnabled(runs_->count() > 0);
    }
    summary_->set_view(view);
    heads_->model().set_run(view->data, view->recall);
    tables_->set_view(view);
    timeline_->set_view(view);
    drift_->set_view(view);
    drift_->plot().show_range(timeline_->stack().current());
    statusBar()->showMessage(QString("%1 events in %2 lanes \u00b7 %3")
                                 .arg(format_count(static_cast<qint64>(view->lanes.num_events())))
                                 .arg(view->lanes.lanes.size())
                                 .arg(view->path));
    timeline_->setFocus();
}

void MainWindow::show_selection() {
    const RunViewPtr& view = model_->view();
    if (!view) {
        details_->show_facts("No run", {});
        return;
    }
    if (timeline_->measured()) {
        details_->show_facts("measured range", {});
    } else if (const auto& event = timeline_->selection()) {
        details_->show_facts(event_title(*view, *event), event_facts(*view, *event));
    } else {
        details_->show_facts("run " + run_title(view->data.run), run_facts(*view));
    }
}

void MainWindow::update_actions() {
    undo_->setEnabled(timeline_->stack().can_undo());
    redo_->setEnabled(timeline_->stack().can_redo());
}

void MainWindow::show_first_trigger() {
    const RunViewPtr& view = model_->view();
    if (!view) return;
    if (const auto range = view->around_first_trigger()) timeline_->stack().reset(*range);
    const auto fetch = view->first_triggered_fetch();
    if (!fetch) return;
    // The transfer itself says most: bytes, rate, and where it came from.
    const auto op = view->op_row(view->data.fetches[*fetch].fetch_op);
    const auto event = op ? view->locate_op(*op) : view->locate_fetch(*fetch);
    if (event) timeline_->select(*event);
    if (const auto check = view->check_row(view->data.fetches[*fetch].check_id)) {
        const DriftRecord& drift = view->data.drift[*check];
        drift_->select_pivot(drift.layer, drift.pivot);
    }
}

void MainWindow::keyPressEvent(QKeyEvent* event) {
    // By the text, since where '?' lies differs between keyboards.
    if (event->text() == "?") {
        show_keys();
        return;
    }
    QMainWindow::keyPressEvent(event);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
    if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
    const QList<QUrl> urls = event->mimeData()->urls();
    if (!urls.isEmpty() && urls.first().isLocalFile()) {
        open(urls.first().toLocalFile().toStdString(), std::nullopt);
    }
}

void MainWindow::connect_views() {
    connect(model_, &TraceModel::loaded, this, &MainWindow::show_loaded);
    connect(model_, &TraceModel::failed, this, [this](const QString& message) {
        progress_->hide();
        cancel_->hide();
        show_banner(message, true);
    });
    connect(model_, &TraceModel::progressed, this, [this](const QString& what, int percent) {
        progress_->setRange(0, percent < 0 ? 0 : 100);
        progress_->setValue(std::max(percent, 0));
        progress_->setFormat(percent < 0 ? what : what + " %p %");
    });
    connect(runs_, &QComboBox::activated, this, [this](int index) {
        if (const RunViewPtr& view = model_->view(); view && !view->path.isEmpty()) {
            open(view->path.toStdString(), runs_->itemData(index).toInt());
        }
    });
    connect(timeline_, &TimelineView::selection_changed, this, &MainWindow::show_selection);
    connect(timeline_, &TimelineView::measured_changed, this, &MainWindow::show_selection);
    connect(timeline_, &TimelineView::range_changed, this, [this] {
        drift_->plot().show_range(timeline_->stack().current());
        update_actions();
    });
    connect(drift_, &DriftView::step_clicked, timeline_, &TimelineView::go_to_step);
    connect(drift_, &DriftView::pivot_chosen, this, [this](int layer, int head) {
        heads_->grid().set_selected(HeadId{layer, head});
    });
    connect(heads_, &HeadMapView::head_clicked, this, [this](int layer, int head) {
        const HeadCell& cell = heads_->model().cell(layer, head);
        // A satellite leads to the pivot that watches for it.
        const int pivot = cell.head.role == HeadRole::kSatellite ? cell.head.pivot : head;
        drift_->select_pivot(layer, pivot);
        heads_->grid().set_selected(HeadId{layer, head});
    });
    connect(tables_, &TablesPanel::step_chosen, this, [this](std::size_t row) {
        timeline_->go_to_step(model_->view()->data.steps.step[row]);
    });
    connect(tables_, &TablesPanel::check_chosen, this, [this](std::size_t row) {
        const DriftRecord& check = model_->view()->data.drift[row];
        timeline_->go_to_step(check.step);
        drift_->select_pivot(check.layer, check.pivot);
    });
    connect(tables_, &TablesPanel::fetch_chosen, this, [this](std::size_t row) {
        if (const auto event = model_->view()->locate_fetch(row)) {
            timeline_->select(*event);
            timeline_->fit_selection();
        }
    });
}

}  // namespace hc::gui
