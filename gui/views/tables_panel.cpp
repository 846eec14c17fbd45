#include "gui/views/tables_panel.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHeaderView>
#include <QKeyEvent>
#include <QTableView>

#include "gui/models/ticks.h"

namespace hc::gui {

TablesPanel::TablesPanel(QWidget* parent) : QTabWidget(parent) {
    setDocumentMode(true);
    steps_ = add_page("Steps");
    checks_ = add_page("Checks");
    fetches_ = add_page("Fetches");
    const auto lead = [this](const Page& page, auto signal) {
        const auto go = [this, model = page.model, signal](const QModelIndex& index) {
            if (index.isValid()) Q_EMIT(this->*signal)(model->source_row(index.row()));
        };
        connect(page.table, &QTableView::clicked, this, go);
        connect(page.table, &QTableView::activated, this, go);
    };
    lead(steps_, &TablesPanel::step_chosen);
    lead(checks_, &TablesPanel::check_chosen);
    lead(fetches_, &TablesPanel::fetch_chosen);
}

TablesPanel::Page TablesPanel::add_page(const QString& title) {
    Page page;
    page.model = new ColumnTable(this);
    page.table = new QTableView(this);
    page.table->setModel(page.model);
    page.table->setFrameShape(QFrame::NoFrame);
    page.table->setShowGrid(false);
    page.table->setAlternatingRowColors(true);
    page.table->setSelectionBehavior(QAbstractItemView::SelectRows);
    page.table->setWordWrap(false);
    page.table->verticalHeader()->hide();
    page.table->verticalHeader()->setDefaultSectionSize(QFontMetrics(font()).height() + 5);
    page.table->horizontalHeader()->setHighlightSections(false);
    page.table->horizontalHeader()->setMinimumSectionSize(56);
    page.table->setAccessibleName(title);
    addTab(page.table, title);
    return page;
}

void TablesPanel::fill(const Page& page, const QString& title, std::vector<TableColumn> columns,
                       std::size_t num_rows) {
    page.table->setSortingEnabled(false);
    page.model->set(std::move(columns), num_rows);
    page.table->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    page.table->setSortingEnabled(true);
    page.table->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    const int index = indexOf(page.table);
    setTabText(index, QString("%1 (%2)").arg(title, format_count(static_cast<qint64>(num_rows))));
    setTabEnabled(index, num_rows > 0);
}

void TablesPanel::set_view(const RunViewPtr& view) {
    if (!view) return;
    fill(steps_, "Steps", step_columns(view), view->data.steps.size());
    fill(checks_, "Checks", check_columns(view), view->data.drift.size());
    fill(fetches_, "Fetches", fetch_columns(view), view->data.fetches.size());
    setCurrentWidget(view->data.fetches.empty() ? steps_.table : fetches_.table);
}

void TablesPanel::keyPressEvent(QKeyEvent* event) {
    auto* table = qobject_cast<QTableView*>(currentWidget());
    if (!event->matches(QKeySequence::Copy) || table == nullptr) {
        QTabWidget::keyPressEvent(event);
        return;
    }
    std::vector<int> rows;
    for (const QModelIndex& index : table->selectionModel()->selectedRows()) {
        rows.push_back(index.row());
    }
    QGuiApplication::clipboard()->setText(
        static_cast<const ColumnTable*>(table->model())->csv(rows));
}

}  // namespace hc::gui
