#include <QAction>
#include <QApplication>
#include <QBuffer>
#include <QDialog>
#include <QDialogButtonBox>
#include <QDockWidget>
#include <QFileDialog>
#include <QGridLayout>
#include <QInputDialog>
#include <QLabel>
#include <QMenuBar>
#include <QMessageBox>
#include <QPainter>
#include <QPixmap>
#include <QSettings>
#include <array>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "gui/views/main_window.h"
#include "gui/views/search_bar.h"
#include "gui/views/svg_device.h"
#include "gui/views/tables_panel.h"
#include "gui/views/timeline_view.h"

namespace hc::gui {
namespace {

struct KeyHelp {
    const char* keys;
    const char* what;
};

// The same list, with the reasons, is docs/viewer.md; tests/gui/keys_test.cpp presses all of them.
constexpr KeyHelp kKeys[] = {
    {"wheel", "zoom at the mouse (Ctrl: finer)"},
    {"W  S,  +  \u2212", "zoom in, out at the mouse"},
    {"A  D,  \u2190 \u2192,  Shift+wheel, drag", "pan"},
    {"click", "select an event; arrows show what led to it and what it led to"},
    {"double click", "fit the event"},
    {".  ,", "next, previous event in the lane"},
    {"Shift+\u2191  Shift+\u2193", "the lane above, below"},
    {"F", "fit the measured range or the selection"},
    {"Home  End", "fit everything, fit the decode steps"},
    {"T  Shift+T", "next, previous step with a trigger"},
    {"G", "go to a step or a time"},
    {"/  or Ctrl+F", "search;  N  Shift+N: next, previous hit"},
    {"Shift+drag, drag the ruler", "measure a range (snaps to edges)"},
    {"M  [  ]", "measure the selection, move the begin, the end"},
    {"P  H  Shift+H", "pin, hide the track; show hidden ones"},
    {"Ctrl+\u2191  Ctrl+\u2193, drag a title", "move the track"},
    {"\u2191 \u2193, PgUp PgDn, wheel over titles", "scroll the tracks"},
    {"Ctrl+Z  Ctrl+Shift+Z", "undo, redo the view"},
    {"Space", "play, stop the replay"},
    {"F5", "read the file again"},
    {"Ctrl+C in a table", "copy the rows as CSV"},
    {"Ctrl+E", "export the picture (PNG, SVG)"},
    {"Esc", "clear selection and range"},
    {"F6  Shift+F6", "next, previous panel"},
    {"Ctrl+O", "open a trace"},
    {"?", "this list"},
};

}  // namespace

void MainWindow::build_menus() {
    QMenu* file = menuBar()->addMenu("&File");
    file->addAction("&Open\u2026", QKeySequence::Open, this, &MainWindow::ask_for_file);
    file->addAction("&Refresh", QKeySequence(Qt::Key_F5), this, &MainWindow::refresh);
    compare_menu_ = file->addMenu("&Compare with");
    fill_compare_menu();
    file->addSeparator();
    file->addAction("&Export picture\u2026", QKeySequence("Ctrl+E"), this,
                    &MainWindow::ask_for_picture);
    file->addSeparator();
    file->addAction("&Quit", QKeySequence::Quit, this, &QWidget::close);
    build_view_menu();
    QMenu* help = menuBar()->addMenu("&Help");
    help->addAction("&Keys\t?", this, &MainWindow::show_keys);
}

void MainWindow::build_view_menu() {
    QMenu* view = menuBar()->addMenu("&View");
    undo_ = view->addAction("&Undo view", QKeySequence("Ctrl+Z"), &timeline_->stack(),
                            &ViewStack::undo);
    redo_ = view->addAction("&Redo view", QKeySequence("Ctrl+Shift+Z"), &timeline_->stack(),
                            &ViewStack::redo);
    view->addSeparator();
    view->addAction("&Search", QKeySequence::Find, search_, &SearchBar::focus_field);
    view->addAction("&Go to\u2026\tG", this, &MainWindow::ask_where_to_go);
    // Single keys belong to the timeline, which must have the focus for them: no shortcuts here,
    // or typing into a box would move the view.
    view->addAction("Fit &everything\tHome", timeline_, &TimelineView::fit_all);
    view->addAction("Fit &decode steps\tEnd", timeline_, &TimelineView::fit_decode);
    view->addAction("&Fit selection\tF", timeline_, &TimelineView::fit_selection);
    view->addAction("Next &trigger\tT", timeline_, [this] { timeline_->go_to_trigger(1); });
    view->addAction("&Previous trigger\tShift+T", timeline_,
                    [this] { timeline_->go_to_trigger(-1); });
    view->addAction("Show &hidden tracks\tShift+H", timeline_, [this] {
        TrackPrefs prefs = timeline_->prefs();
        if (prefs.show_all()) timeline_->set_prefs(prefs);
    });
    view->addSeparator();
    for (QDockWidget* dock :
         {heads_dock_, details_dock_, drift_dock_, replay_dock_, what_if_dock_, tables_dock_}) {
        view->addAction(dock->toggleViewAction());
    }
    view->addSeparator();
    // By keyboard from panel to panel.
    const auto step_panel = [this](int direction) {
        std::vector<QWidget*> panels{timeline_};
        for (QDockWidget* dock :
             {heads_dock_, details_dock_, drift_dock_, replay_dock_, what_if_dock_, tables_dock_}) {
            if (dock->isVisible() && !dock->visibleRegion().isEmpty()) {
                panels.push_back(dock->widget());
            }
        }
        const QWidget* focus = QApplication::focusWidget();
        std::size_t here = 0;
        for (std::size_t i = 0; i < panels.size(); ++i) {
            if (focus != nullptr && (panels[i] == focus || panels[i]->isAncestorOf(focus)))
                here = i;
        }
        const std::size_t count = panels.size();
        QWidget* next = panels[(here + count + (direction > 0 ? 1 : count - 1)) % count];
        // The first part of a panel that takes keys.
        QWidget* target = next;
        if (next->focusPolicy() == Qt::NoFocus) {
            for (QWidget* child : next->findChildren<QWidget*>()) {
                if (child->focusPolicy() == Qt::NoFocus || !child->isVisible()) continue;
                target = child;
                break;
            }
        }
        target->setFocus(Qt::ShortcutFocusReason);
    };
    view->addAction("Next panel", QKeySequence(Qt::Key_F6), this, [step_panel] { step_panel(1); });
    view->addAction("Previous panel", QKeySequence(Qt::SHIFT | Qt::Key_F6), this,
                    [step_panel] { step_panel(-1); });
}

void MainWindow::fill_compare_menu() {
    compare_menu_->clear();
    const RunViewPtr& view = model_->view();
    if (view && !view->path.isEmpty()) {
        for (const trace::Run& run : view->runs) {
            if (run.id == view->data.run.id) continue;
            compare_menu_->addAction(
                "run " + run_title(run), this,
                [this, path = view->path.toStdString(), id = run.id] { compare_with(path, id); });
        }
        compare_menu_->addSeparator();
    }
    compare_menu_->addAction("Another &file\u2026", this, &MainWindow::ask_for_other)
        ->setEnabled(view != nullptr);
    compare_menu_->addAction("&End comparison", this, &MainWindow::end_compare);
}

void MainWindow::ask_for_file() {
    const QString name = QFileDialog::getOpenFileName(this, "Open a trace", QString(),
                                                      "Traces (*.sqlite *.db);;All files (*)");
    if (!name.isEmpty()) open(name.toStdString(), std::nullopt);
}

void MainWindow::ask_for_other() {
    const QString name = QFileDialog::getOpenFileName(this, "Compare with", QString(),
                                                      "Traces (*.sqlite *.db);;All files (*)");
    if (!name.isEmpty()) compare_with(name.toStdString(), std::nullopt);
}

void MainWindow::ask_where_to_go() {
    auto* dialog = new QInputDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setObjectName("goto");
    dialog->setWindowTitle("Go to");
    dialog->setLabelText("Step (40) or time (12.5ms, 3s):");
    connect(dialog, &QInputDialog::textValueSelected, this, [this](const QString& text) {
        const auto target = parse_goto(text);
        if (!target) {
            show_banner(QString("'%1' is neither a step nor a time such as 12.5ms").arg(text),
                        true);
        } else if (!go_to(*target)) {
            show_banner(QString("the run has no step %1").arg(text), true);
        }
    });
    dialog->open();
}

void MainWindow::ask_for_picture() {
    const QString name = QFileDialog::getSaveFileName(
        this, "Export what is seen", "timeline.svg",
        "Timeline as lines and text (*.svg);;Window as a picture (*.png)");
    if (name.isEmpty()) return;
    try {
        export_picture(name);
    } catch (const Error& error) {
        QMessageBox::warning(this, "Not saved", QString::fromUtf8(error.what()));
    }
}

void MainWindow::export_picture(const QString& path) {
    QByteArray bytes;
    if (path.endsWith(".svg", Qt::CaseInsensitive)) {
        SvgDevice device(timeline_->size());
        {
            QPainter painter(&device);
            timeline_->paint_vector(painter);
        }
        bytes = device.document();
    } else {
        QBuffer buffer(&bytes);
        const bool encoded = buffer.open(QIODevice::WriteOnly) && grab().save(&buffer, "PNG");
        HC_CHECK(encoded);
    }
    write_file_atomically(path.toStdString(),
                          {bytes.constData(), static_cast<std::size_t>(bytes.size())});
}

bool MainWindow::show_panel(const QString& name) {
    const std::array<std::pair<const char*, QDockWidget*>, 6> docks = {{{"heads", heads_dock_},
                                                                        {"details", details_dock_},
                                                                        {"drift", drift_dock_},
                                                                        {"replay", replay_dock_},
                                                                        {"what-if", what_if_dock_},
                                                                        {"tables", tables_dock_}}};
    for (const auto& [known, dock] : docks) {
        if (name != known) continue;
        dock->show();
        dock->raise();
        return true;
    }
    return false;
}

void MainWindow::save_layout(QSettings& settings) const {
    settings.setValue("geometry", saveGeometry());
    settings.setValue("docks", saveState());
    settings.setValue("tracks", timeline_->prefs().save());
}

void MainWindow::restore_layout(QSettings& settings) {
    // Qt checks these for damage; what it does not take leaves the layout as it was.
    static_cast<void>(restoreGeometry(settings.value("geometry").toByteArray()));
    if (restoreState(settings.value("docks").toByteArray())) docks_placed_ = true;
    timeline_->set_prefs(TrackPrefs::restore(settings.value("tracks").toByteArray()));
}

void MainWindow::show_keys() {
    auto* dialog = new QDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle("Keys");
    dialog->setObjectName("keys");
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(24);
    grid->setVerticalSpacing(4);
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
