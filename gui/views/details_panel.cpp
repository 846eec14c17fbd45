#include "gui/views/details_panel.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QTableView>
#include <QVBoxLayout>

namespace hc::gui {

DetailsPanel::DetailsPanel(QWidget* parent) : QWidget(parent) {
    title_ = new QLabel(this);
    QFont bold = title_->font();
    bold.setBold(true);
    title_->setFont(bold);
    title_->setContentsMargins(8, 6, 8, 4);
    title_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    // A long title is cut, never a reason to widen the dock.
    title_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
    model_ = new FactsModel(this);
    table_ = new QTableView(this);
    table_->setModel(model_);
    table_->setShowGrid(false);
    table_->setFrameShape(QFrame::NoFrame);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    table_->horizontalHeader()->hide();
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(QFontMetrics(font()).height() + 5);
    table_->verticalHeader()->setMinimumSectionSize(10);
    table_->horizontalHeader()->setMinimumSectionSize(20);
    table_->setAccessibleName("details of the selection");
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addWidget(title_);
    auto* inset = new QHBoxLayout;
    inset->setContentsMargins(4, 0, 4, 0);
    inset->addWidget(table_);
    column->addLayout(inset, 1);
}

void DetailsPanel::show_facts(const QString& title, Facts facts) {
    title_->setText(title);
    table_->clearSpans();
    model_->set(std::move(facts));
    for (int row = 0; row < model_->rowCount(); ++row) {
        if (model_->is_heading(row)) table_->setSpan(row, 0, 1, 2);
    }
    // Keys take what they need, values the rest: numbers then end at one edge.
    table_->horizontalHeader()->setSectionResizeMode(0, QHeaderView::ResizeToContents);
    table_->horizontalHeader()->setSectionResizeMode(1, QHeaderView::Stretch);
}

}  // namespace hc::gui
