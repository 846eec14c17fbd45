/// The viewer's window: joins the models and the views, and holds no logic of either.
#pragma once

#include <QMainWindow>
#include <filesystem>
#include <memory>
#include <optional>

#include "gui/models/background.h"
#include "gui/models/goto_target.h"
#include "gui/models/step_alignment.h"
#include "gui/models/trace_model.h"

class QComboBox;
class QFrame;
class QLabel;
class QProgressBar;
class QPushButton;
class QSettings;
class QSplitter;

namespace hc::gui {

class DetailsPanel;
class DriftView;
class HeadMapView;
class ReplayPanel;
class SearchBar;
class SummaryHeader;
class TablesPanel;
class TimelineView;
class WhatIfPanel;

class MainWindow : public QMainWindow {
    Q_OBJECT
public:
    explicit MainWindow(QWidget* parent = nullptr);

    void open(const std::filesystem::path& path, std::optional<trace::RunId> run);
    /// Reads the file again; view, selection and tracks stay as they are.
    void refresh();
    /// Lays a run of the same or another file under the one shown, step by step.
    void compare_with(const std::filesystem::path& path, std::optional<trace::RunId> run);
    void compare_with(RunViewPtr other);
    void end_compare();
    [[nodiscard]] bool comparing() const { return other_->view() != nullptr; }

    [[nodiscard]] TraceModel& model() { return *model_; }
    [[nodiscard]] TraceModel& other_model() { return *other_; }
    [[nodiscard]] TimelineView& timeline() { return *timeline_; }
    [[nodiscard]] TimelineView& other_timeline() { return *other_timeline_; }
    [[nodiscard]] DriftView& drift() { return *drift_; }
    [[nodiscard]] HeadMapView& heads() { return *heads_; }
    [[nodiscard]] DetailsPanel& details() { return *details_; }
    [[nodiscard]] TablesPanel& tables() { return *tables_; }
    [[nodiscard]] ReplayPanel& replay() { return *replay_; }
    [[nodiscard]] WhatIfPanel& what_if() { return *what_if_; }
    [[nodiscard]] SearchBar& search() { return *search_; }
    /// The line above the timeline; empty: none shown.
    [[nodiscard]] QString banner_text() const;
    void show_problem(const QString& text) { show_banner(text, true); }
    /// Some worker has something to do.
    [[nodiscard]] bool busy() const;
    /// Zooms to the steps around the first trigger and selects its fetch, so that a still
    /// picture tells the story; without triggers the whole decode stays.
    void show_first_trigger();
    /// False: the run has no such step.
    bool go_to(const GotoTarget& target);
    /// Brings a dock to the front: "drift", "replay", "what-if", "tables", "heads", "details".
    /// False: there is no such dock.
    bool show_panel(const QString& name);
    void show_keys();
    /// Writes what is seen: .svg the timeline as lines and text, else the window as .png. Throws
    /// Error(kIo).
    void export_picture(const QString& path);

    /// Layout and tracks are the same for every trace.
    void save_layout(QSettings& settings) const;
    void restore_layout(QSettings& settings);

protected:
    void keyPressEvent(QKeyEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    void showEvent(QShowEvent* event) override;
    void closeEvent(QCloseEvent* event) override;

Q_SIGNALS:
    void closing();

private:
    // main_window_build.cpp
    void build_centre();
    void build_docks();
    void place_docks();
    void build_banner();
    void build_corner();
    void connect_views();
    void connect_panels();
    void connect_compare();

    // main_window_actions.cpp
    void build_menus();
    void build_view_menu();
    void ask_for_file();
    void ask_for_other();
    void ask_where_to_go();
    void ask_for_picture();
    void fill_compare_menu();

    void show_loaded();
    void show_compared();
    void show_progress(const QString& what, int percent);
    void show_banner(const QString& text, bool error);
    void show_selection();
    void show_statistics();
    void show_step(std::int64_t step);
    void update_actions();

    TraceModel* model_ = nullptr;
    TraceModel* other_ = nullptr;  ///< what it is compared with
    StepAlignment alignment_;
    bool following_ = false;  ///< one timeline moves because the other did
    /// What a refresh brings back; nullopt: an ordinary load.
    struct Kept {
        TimeRange range;
        std::optional<EventRef> selection;
    };
    std::optional<Kept> kept_;
    Background statistics_, differences_;

    TimelineView* timeline_ = nullptr;
    TimelineView* other_timeline_ = nullptr;
    QWidget* other_box_ = nullptr;
    QLabel* other_title_ = nullptr;
    QSplitter* splitter_ = nullptr;
    SearchBar* search_ = nullptr;
    SummaryHeader* summary_ = nullptr;
    DriftView* drift_ = nullptr;
    HeadMapView* heads_ = nullptr;
    DetailsPanel* details_ = nullptr;
    TablesPanel* tables_ = nullptr;
    ReplayPanel* replay_ = nullptr;
    WhatIfPanel* what_if_ = nullptr;
    QComboBox* runs_ = nullptr;
    QFrame* banner_ = nullptr;
    QLabel* banner_text_ = nullptr;
    QProgressBar* progress_ = nullptr;
    QPushButton* cancel_ = nullptr;
    QAction* undo_ = nullptr;
    QAction* redo_ = nullptr;
    QMenu* compare_menu_ = nullptr;
    QDockWidget* heads_dock_ = nullptr;
    QDockWidget* details_dock_ = nullptr;
    QDockWidget* drift_dock_ = nullptr;
    QDockWidget* replay_dock_ = nullptr;
    QDockWidget* what_if_dock_ = nullptr;
    QDockWidget* tables_dock_ = nullptr;
    bool docks_placed_ = false;
};

}  // namespace hc::gui
