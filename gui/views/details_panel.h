/// What is known of the selection: an event, a measured range, else the run.
#pragma once

#include <QWidget>

#include "gui/models/facts_model.h"

class QLabel;
class QTableView;

namespace hc::gui {

class DetailsPanel : public QWidget {
    Q_OBJECT
public:
    explicit DetailsPanel(QWidget* parent = nullptr);

    void show_facts(const QString& title, Facts facts);
    [[nodiscard]] const FactsModel& model() const { return *model_; }

private:
    QLabel* title_ = nullptr;
    QTableView* table_ = nullptr;
    FactsModel* model_ = nullptr;
};

}  // namespace hc::gui
