#include "gui/views/main_window.h"

#include <QCloseEvent>
#include <QComboBox>
#include <QDockWidget>
#include <QDragEnterEvent>
#include <QFrame>
#include <QKeyEvent>
#include <QLabel>
#include <QMimeData>
#include <QProgressBar>
#include <QPushButton>
#include <QStatusBar>
#include <QUrl>

#include "gui/models/compare_tables.h"
#include "gui/models/describe.h"
#include "gui/models/ticks.h"
#include "gui/views/details_panel.h"
#include "gui/views/drift_view.h"
#include "gui/views/head_map_view.h"
#include "gui/views/replay_panel.h"
#include "gui/views/search_bar.h"
#include "gui/views/summary_header.h"
#include "gui/views/tables_panel.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"
#include "gui/views/what_if_panel.h"

namespace hc::gui {
namespace {

QString file_name(const QString& path) {
    return QString::fromStdString(std::filesystem::path(path.toStdString()).filename().string());
}

/// The same event after the file was read again: same lane and start, if it is still there.
std::optional<EventRef> found_again(const RunView& before, const RunView& now,
                                    const EventRef& event) {
    const LaneSet& old = before.lanes;
    const LaneGroup& group = old.groups[old.group_of(event.lane)];
    const std::size_t row = event.lane - group.first;
    const std::int64_t start = old.lanes[event.lane].events.start(event.index);
    for (const LaneGroup& candidate : now.lanes.groups) {
        if (candidate.key != group.key || row >= candidate.count) continue;
        const LaneEvents& events = now.lanes.lanes[candidate.first + row].events;
        const std::size_t i = events.first_starting_at(static_cast<double>(start));
        if (i < events.size() && events.start(i) == start)
            return EventRef{candidate.first + row, i};
    }
    return std::nullopt;
}

}  // namespace

void MainWindow::open(const std::filesystem::path& path, std::optional<trace::RunId> run) {
    kept_.reset();
    show_banner({}, false);
    show_progress("opening", -1);
    model_->load(path, run);
}

void MainWindow::refresh() {
    const RunViewPtr& view = model_->view();
    if (!view || view->path.isEmpty()) return;
    show_banner({}, false);
    show_progress("opening", -1);
    kept_ = Kept{timeline_->stack().current(), timeline_->selection()};
    const bool any_run = !view->runs.empty();
    model_->load(view->path.toStdString(),
                 any_run ? std::optional(view->data.run.id) : std::nullopt);
}

QString MainWindow::banner_text() const {
    return banner_->isHidden() ? QString() : banner_text_->text();
}

bool MainWindow::busy() const {
    return model_->loading() || other_->loading() || statistics_.busy() || differences_.busy() ||
           search_->busy() || replay_->busy() || what_if_->busy();
}

void MainWindow::show_progress(const QString& what, int percent) {
    progress_->setRange(0, percent < 0 ? 0 : 100);
    progress_->setValue(std::max(percent, 0));
    progress_->setFormat(percent < 0 ? what : what + " %p %");
    progress_->show();
    cancel_->show();
}

void MainWindow::show_banner(const QString& text, bool error) {
    banner_->setVisible(!text.isEmpty());
    banner_text_->setText(text);
    const Theme theme = Theme::of(palette());
    const QColor colour = error ? theme.warning : theme.dim_text;
    banner_->setStyleSheet(QString("#banner { background: rgba(%1,%2,%3,45); border: none; "
                                   "border-left: 4px solid %4; }")
                               .arg(colour.red())
                               .arg(colour.green())
                               .arg(colour.blue())
                               .arg(colour.name()));
}

void MainWindow::show_loaded() {
    const RunViewPtr& view = model_->view();
    progress_->hide();
    cancel_->hide();
    const RunViewPtr before = timeline_->view();
    const std::optional<Kept> kept = std::exchange(kept_, std::nullopt);
    if (!kept) end_compare();
    show_banner(view->warning, false);
    const QString file = file_name(view->path);
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
    replay_->set_view(view);
    search_->set_view(view);
    const bool any_run = !view->runs.empty();
    what_if_->set_trace(view->path.toStdString(),
                        any_run ? std::optional(view->data.run.id) : std::nullopt, view->metrics);
    if (kept) {
        timeline_->stack().set(clamped(kept->range, view->lanes.bounds));
        const auto again = kept->selection && before ? found_again(*before, *view, *kept->selection)
                                                     : std::nullopt;
        timeline_->select(again);
        if (comparing()) show_compared();
    }
    drift_->plot().show_range(timeline_->stack().current());
    fill_compare_menu();
    statusBar()->showMessage(QString("%1 events in %2 tracks \u00b7 %3")
                                 .arg(format_count(static_cast<qint64>(view->lanes.num_events())))
                                 .arg(view->lanes.groups.size())
                                 .arg(view->path));
    show_statistics();
    timeline_->setFocus();
}

void MainWindow::show_selection() {
    const RunViewPtr& view = model_->view();
    if (!view) {
        details_->show_facts("No run", {});
        return;
    }
    if (const auto& event = timeline_->selection()) {
        details_->show_facts(event_title(*view, *event), event_facts(*view, *event));
    } else if (view->runs.empty()) {
        details_->show_facts("CUDA activity", {});
    } else {
        details_->show_facts("run " + run_title(view->data.run), run_facts(*view));
    }
}

/// Of the measured range, else of everything: counted by a worker.
void MainWindow::show_statistics() {
    const RunViewPtr& view = model_->view();
    if (!view) return;
    const auto& measured = timeline_->measured();
    const TimeRange range = measured ? *measured : view->lanes.bounds.padded(1);
    const QString title =
        measured ? "Statistics of " + format_duration(measured->span()) : QString("Statistics");
    const bool asked_for = measured.has_value();
    statistics_.start([this, view, range, title,
                       asked_for](const Background::Cancelled& cancelled) -> Background::Delivery {
        auto found = range_statistics(view->lanes, range, cancelled);
        if (!found) return {};
        auto statistics = std::make_shared<const RangeStatistics>(std::move(*found));
        return [this, statistics, title, asked_for] {
            tables_->set_statistics(statistics, title);
            // Whoever measures wants to see what was measured; the dock stays where it is.
            if (asked_for) tables_->show_table(TablesPanel::Table::kStatistics);
        };
    });
}

void MainWindow::show_step(std::int64_t step) {
    heads_->model().set_step(step);
    drift_->plot().mark_step(step);
    timeline_->mark_step(step);
    const auto row = model_->view() ? model_->view()->step_row(step) : std::nullopt;
    if (!row) return;
    const double middle = model_->view()->step_range(*row).centre();
    if (!timeline_->stack().current().contains(middle)) timeline_->go_to_time(middle);
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

bool MainWindow::go_to(const GotoTarget& target) {
    if (target.step) return timeline_->go_to_step(*target.step);
    if (target.time_ns) timeline_->go_to_time(*target.time_ns);
    return target.time_ns.has_value();
}

void MainWindow::compare_with(const std::filesystem::path& path, std::optional<trace::RunId> run) {
    show_progress("opening", -1);
    other_->load(path, run);
}

void MainWindow::compare_with(RunViewPtr other) {
    other_->set_view(std::move(other));
}

void MainWindow::end_compare() {
    differences_.cancel();
    if (!comparing()) return;
    other_->set_view(nullptr);
}

void MainWindow::show_compared() {
    progress_->hide();
    cancel_->hide();
    const RunViewPtr& a = model_->view();
    const RunViewPtr& b = other_->view();
    other_box_->setVisible(a && b);
    // A new view shows all of its steps; that is no reason to move the other one.
    following_ = true;
    other_timeline_->set_view(a ? b : nullptr);
    following_ = false;
    if (!a || !b) {
        tables_->set_differences({}, 0);
        return;
    }
    alignment_ = StepAlignment(a->data.steps, b->data.steps);
    const QString file = file_name(b->path);
    other_title_->setText(QString("B: run %1%2 \u00b7 %3 steps in common")
                              .arg(run_title(b->data.run), file.isEmpty() ? "" : " of " + file)
                              .arg(alignment_.num_common()));
    following_ = true;
    other_timeline_->stack().set(alignment_.to_b(timeline_->stack().current()));
    following_ = false;
    differences_.start([this, a, b](const Background::Cancelled&) -> Background::Delivery {
        const auto rows =
            std::make_shared<const std::vector<DifferenceRow>>(difference_rows(*a, *b));
        return [this, rows] {
            tables_->set_differences(difference_columns(rows), rows->size());
            tables_->show_table(TablesPanel::Table::kDifferences);
        };
    });
}

void MainWindow::keyPressEvent(QKeyEvent* event) {
    // By the text, since where '?' and '/' lie differs between keyboards.
    if (event->text() == "?") {
        show_keys();
    } else if (event->text() == "/") {
        search_->focus_field();
    } else if (event->key() == Qt::Key_G && event->modifiers() == Qt::NoModifier) {
        ask_where_to_go();
    } else if (event->key() == Qt::Key_Space && replay_->isVisible()) {
        replay_->toggle_play();
    } else {
        QMainWindow::keyPressEvent(event);
    }
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

void MainWindow::closeEvent(QCloseEvent* event) {
    Q_EMIT closing();
    QMainWindow::closeEvent(event);
}

}  // namespace hc::gui
