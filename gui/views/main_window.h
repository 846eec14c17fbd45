/// The viewer's window: joins the models and the views, and holds no logic of either.
#pragma once

#include <QMainWindow>
#include <filesystem>
#include <optional>

#include "gui/models/trace_model.h"

class QComboBox;
class QFrame;
class QLabel;
class QProgressBar;
class QPushButton;

namespace hc::gui {

class DetailsPanel;
class DriftView;
class HeadMapView;
class SummaryHeader;
class TablesPanel;
class TimelineView;

class MainWindow : public QMainWindow {
    Q_OBJECT
public:
    explicit MainWindow(QWidget* parent = nullptr);

    void open(const std::filesystem::path& path, std::optional<trace::RunId> run);
    [[nodiscard]] TraceModel& model() { return *model_; }
    [[nodiscard]] TimelineView& timeline() { return *timeline_; }
    [[nodiscard]] DriftView& drift() { return *drift_; }
    [[nodiscard]] HeadMapView& heads() { return *heads_; }
    [[nodiscard]] DetailsPanel& details() { return *details_; }
    /// The line above the timeline; empty: none shown.
    [[nodiscard]] QString banner_text() const;
    /// Zooms to the steps around the first trigger and selects its fetch, so that a still
    /// picture tells the story; without triggers the whole decode stays.
    void show_first_trigger();
    void show_keys();

protected:
    void keyPressEvent(QKeyEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    void showEvent(QShowEvent* event) override;

private:
    void build_docks();
    void place_docks();
    void build_banner();
    void build_menus();
    void build_toolbar();
    void connect_views();
    void ask_for_file();
    void show_loaded();
    void show_banner(const QString& text, bool error);
    void show_selection();
    void update_actions();

    TraceModel* model_ = nullptr;
    TimelineView* timeline_ = nullptr;
    SummaryHeader* summary_ = nullptr;
    DriftView* drift_ = nullptr;
    HeadMapView* heads_ = nullptr;
    DetailsPanel* details_ = nullptr;
    TablesPanel* tables_ = nullptr;
    QComboBox* runs_ = nullptr;
    QFrame* banner_ = nullptr;
    QLabel* banner_text_ = nullptr;
    QProgressBar* progress_ = nullptr;
    QPushButton* cancel_ = nullptr;
    QAction* undo_ = nullptr;
    QAction* redo_ = nullptr;
    QDockWidget* heads_dock_ = nullptr;
    QDockWidget* details_dock_ = nullptr;
    QDockWidget* drift_dock_ = nullptr;
    QDockWidget* tables_dock_ = nullptr;
    bool docks_placed_ = false;
};

}  // namespace hc::gui
