/// Steps, checks and fetches as sortable tables; a row leads to its place in the timeline.
#pragma once

#include <QTabWidget>

#include "gui/models/run_tables.h"

class QTableView;

namespace hc::gui {

class TablesPanel : public QTabWidget {
    Q_OBJECT
public:
    explicit TablesPanel(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);

Q_SIGNALS:
    /// Rows of the run's data.
    void step_chosen(std::size_t row);
    void check_chosen(std::size_t row);
    void fetch_chosen(std::size_t row);

protected:
    void keyPressEvent(QKeyEvent* event) override;

private:
    struct Page {
        ColumnTable* model = nullptr;
        QTableView* table = nullptr;
    };
    Page add_page(const QString& title);
    void fill(const Page& page, const QString& title, std::vector<TableColumn> columns,
              std::size_t num_rows);

    Page steps_, checks_, fetches_;
};

}  // namespace hc::gui
