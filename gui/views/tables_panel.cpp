#include "gui/views/tables_panel.h"

#include <QClipboard>
#include <QFileDialog>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLineEdit>
#include <QMessageBox>
#include <QTableView>
#include <QToolButton>
#include <algorithm>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "gui/models/ticks.h"

namespace hc::gui {

TablesPanel::TablesPanel(QWidget* parent) : QTabWidget(parent) {
    setDocumentMode(true);
    add_page(Table::kStatistics, "Statistics");
    add_page(Table::kSteps, "Steps");
    add_page(Table::kChecks, "Checks");
    add_page(Table::kFetches, "Fetches");
    add_page(Table::kHits, "Hits");
    add_page(Table::kDifferences, "Differences");
    show_counts();

    auto* corner = new QWidget(this);
    auto* row = new QHBoxLayout(corner);
    row->setContentsMargins(0, 1, 4, 1);
    row->setSpacing(4);
    filter_ = new QLineEdit(corner);
    filter_->setPlaceholderText("filter rows");
    filter_->setClearButtonEnabled(true);
    filter_->setMaximumWidth(120);
    filter_->setAccessibleName("filter rows of the table");
    auto* save = new QToolButton(corner);
    save->setText("CSV\u2026");
    save->setToolTip("Save the table as shown (Ctrl+C copies the selected rows)");
    row->addWidget(filter_);
    row->addWidget(save);
    setCornerWidget(corner);
    connect(save, &QToolButton::clicked, this, &TablesPanel::save_csv);
    connect(filter_, &QLineEdit::textChanged, this, [this](const QString& words) {
        for (const Page& p : pages_) p.model->set_filter(words);
        show_counts();
    });
}

void TablesPanel::add_page(Table which, const QString& title) {
    Page& p = page(which);
    p.title = title;
    p.model = new ColumnTable(this);
    p.table = new QTableView(this);
    p.table->setModel(p.model);
    p.table->setFrameShape(QFrame::NoFrame);
    p.table->setShowGrid(false);
    p.table->setAlternatingRowColors(true);
    p.table->setSelectionBehavior(QAbstractItemView::SelectRows);
    p.table->setWordWrap(false);
    p.table->setTabKeyNavigation(false);
    p.table->verticalHeader()->hide();
    p.table->verticalHeader()->setDefaultSectionSize(QFontMetrics(font()).height() + 5);
    p.table->horizontalHeader()->setHighlightSections(false);
    p.table->horizontalHeader()->setMinimumSectionSize(56);
    p.table->setAccessibleName(title);
    addTab(p.table, title);
    const auto go = [this, which, model = p.model](const QModelIndex& index) {
        if (index.isValid()) choose(which, model->source_row(index.row()));
    };
    connect(p.table, &QTableView::clicked, this, go);
    connect(p.table, &QTableView::activated, this, go);
}

void TablesPanel::choose(Table which, std::size_t row) {
    switch (which) {
        case Table::kStatistics: {
            const auto name = statistics_ ? statistics_->rows[row].name : std::nullopt;
            const bool real = name && *name < view_->lanes.names.size();
            if (real) Q_EMIT name_chosen(view_->lanes.names[*name].text);
            break;
        }
        case Table::kSteps:
            Q_EMIT step_chosen(row);
            break;
        case Table::kChecks:
            Q_EMIT check_chosen(row);
            break;
        case Table::kFetches:
            Q_EMIT fetch_chosen(row);
            break;
        case Table::kHits:
            Q_EMIT hit_chosen(row);
            break;
        case Table::kDifferences:
            break;
    }
}

void TablesPanel::fill(Table which, std::vector<TableColumn> columns, std::size_t num_rows) {
    Page& p = page(which);
    p.table->setSortingEnabled(false);
    std::vector<bool> is_text;
    for (const TableColumn& column : columns) is_text.push_back(column.is_text);
    p.model->set(std::move(columns), num_rows);
    p.table->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    p.table->setSortingEnabled(true);
    // Texts share what numbers leave.
    const bool any_text = std::find(is_text.begin(), is_text.end(), true) != is_text.end();
    for (std::size_t c = 0; c < is_text.size(); ++c) {
        const bool stretch = is_text[c] || !any_text;
        p.table->horizontalHeader()->setSectionResizeMode(
            static_cast<int>(c), stretch ? QHeaderView::Stretch : QHeaderView::Interactive);
    }
    if (which == Table::kDifferences) {
        p.table->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
        p.table->horizontalHeader()->setStretchLastSection(true);
    }
    show_counts();
}

void TablesPanel::show_counts() {
    for (std::size_t i = 0; i < kNumTables; ++i) {
        const Page& p = pages_[i];
        const auto all = static_cast<qint64>(p.model->num_rows_unfiltered());
        const qint64 shown = p.model->rowCount();
        const QString count = shown == all
                                  ? format_count(all)
                                  : QString("%1 of %2").arg(format_count(shown), format_count(all));
        setTabText(static_cast<int>(i), QString("%1 (%2)").arg(p.title, count));
        // Empty ones would only take room; the statistics come back in a moment.
        setTabVisible(static_cast<int>(i), all > 0 || i == 0);
    }
}

void TablesPanel::set_view(const RunViewPtr& view) {
    view_ = view;
    set_hits(nullptr);
    set_statistics(nullptr, "Statistics");
    if (!view) return;
    fill(Table::kSteps, step_columns(view), view->data.steps.size());
    fill(Table::kChecks, check_columns(view), view->data.drift.size());
    fill(Table::kFetches, fetch_columns(view), view->data.fetches.size());
    show_table(!view->data.fetches.empty()   ? Table::kFetches
               : view->data.steps.size() > 0 ? Table::kSteps
                                             : Table::kStatistics);
}

void TablesPanel::set_statistics(const RangeStatisticsPtr& statistics, const QString& title) {
    page(Table::kStatistics).title = title;
    statistics_ = statistics;
    if (!statistics || !view_) {
        fill(Table::kStatistics, {}, 0);
        return;
    }
    fill(Table::kStatistics, statistics_columns(view_, statistics), statistics->rows.size());
}

void TablesPanel::set_hits(const SearchHitsPtr& hits) {
    hits_ = hits;
    if (!hits || !view_) {
        fill(Table::kHits, {}, 0);
        return;
    }
    page(Table::kHits).title =
        hits->count > kMaxHits
            ? QString("Hits, the first of %1").arg(format_count(static_cast<qint64>(hits->count)))
            : QString("Hits");
    fill(Table::kHits, hit_columns(view_, hits), std::min(hits->count, kMaxHits));
}

void TablesPanel::set_differences(std::vector<TableColumn> columns, std::size_t num_rows) {
    fill(Table::kDifferences, std::move(columns), num_rows);
}

void TablesPanel::show_table(Table which) {
    setCurrentIndex(static_cast<int>(which));
}

const ColumnTable& TablesPanel::model(Table which) const {
    return *pages_[static_cast<std::size_t>(which)].model;
}

QTableView& TablesPanel::table(Table which) {
    return *page(which).table;
}

const TablesPanel::Page* TablesPanel::current() const {
    const int index = currentIndex();
    return index < 0 ? nullptr : &pages_[static_cast<std::size_t>(index)];
}

void TablesPanel::copy_selected() const {
    const Page* p = current();
    if (p == nullptr) return;
    std::vector<int> rows;
    for (const QModelIndex& index : p->table->selectionModel()->selectedRows()) {
        rows.push_back(index.row());
    }
    QGuiApplication::clipboard()->setText(p->model->csv(rows));
}

void TablesPanel::save_csv() {
    const Page* p = current();
    if (p == nullptr) return;
    const QString name = QFileDialog::getSaveFileName(this, "Save the table", QString(),
                                                      "Comma-separated values (*.csv)");
    if (name.isEmpty()) return;
    const QByteArray text = p->model->csv().toUtf8();
    try {
        write_file_atomically(name.toStdString(),
                              {text.constData(), static_cast<std::size_t>(text.size())});
    } catch (const Error& error) {
        QMessageBox::warning(this, "Not saved", QString::fromUtf8(error.what()));
    }
}

void TablesPanel::keyPressEvent(QKeyEvent* event) {
    if (event->matches(QKeySequence::Copy) && current() != nullptr) {
        copy_selected();
        return;
    }
    QTabWidget::keyPressEvent(event);
}

}  // namespace hc::gui
