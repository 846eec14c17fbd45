/// Turns budgets and thresholds, and shows what the simulator makes of them.
#pragma once

#include <QWidget>

#include "gui/models/column_table.h"
#include "gui/models/what_if_model.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QFormLayout;
class QLabel;
class QPushButton;
class QSpinBox;
class QTableView;
class QTimer;

namespace hc::gui {

class ParetoPlot;
class StepPlot;

class WhatIfPanel : public QWidget {
    Q_OBJECT
public:
    explicit WhatIfPanel(QWidget* parent = nullptr);

    void set_trace(const std::filesystem::path& path, std::optional<trace::RunId> run,
                   const analysis::RunMetrics& metrics);
    [[nodiscard]] WhatIfModel& model() { return *model_; }
    [[nodiscard]] WhatIfChoice choice() const;
    void set_choice(const WhatIfChoice& choice);
    [[nodiscard]] const ColumnTable& figures() const { return *figures_; }
    [[nodiscard]] ParetoPlot& pareto() { return *pareto_; }
    [[nodiscard]] QString message() const;
    /// Something is being computed, or about to be.
    [[nodiscard]] bool busy() const;
    /// Writes the options of `hcprof profile` and, where shares differ, a head file beside them.
    /// Throws Error(kIo).
    void save_settings(const QString& path) const;

Q_SIGNALS:
    void step_clicked(qint64 step);
    /// The prediction's run, to be laid beside the recording.
    void compare_asked();

protected:
    void showEvent(QShowEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    QWidget* build_controls();
    QDoubleSpinBox* add_share(QFormLayout* form, const QString& title, double low, double high,
                              bool slider);
    QSpinBox* add_count(QFormLayout* form, const QString& title, int low, int high);
    void show_ready();
    void show_answer();
    void show_message(const QString& text, bool problem);
    void ask();
    void ask_for_file();

    WhatIfModel* model_ = nullptr;
    ColumnTable* figures_ = nullptr;
    QTableView* table_ = nullptr;
    StepPlot* steps_ = nullptr;
    ParetoPlot* pareto_ = nullptr;
    QWidget* controls_ = nullptr;
    QDoubleSpinBox *ratio_ = nullptr, *threshold_ = nullptr, *anchors_ = nullptr,
                   *satellites_ = nullptr;
    QSpinBox *window_ = nullptr, *lag_ = nullptr;
    QCheckBox* retrieval_ = nullptr;
    QComboBox* machine_ = nullptr;
    QLabel* message_ = nullptr;
    QTimer* sweep_soon_ = nullptr;
    bool setting_ = false;  ///< controls are being set, not turned
};

}  // namespace hc::gui
