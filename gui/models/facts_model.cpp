#include "gui/models/facts_model.h"

#include <QFont>

namespace hc::gui {

void FactsModel::set(Facts facts) {
    beginResetModel();
    facts_ = std::move(facts);
    endResetModel();
}

bool FactsModel::is_heading(int row) const {
    const auto i = static_cast<std::size_t>(row);
    return row >= 0 && i < facts_.size() && facts_[i].value.isEmpty();
}

int FactsModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(facts_.size());
}

int FactsModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : 2;
}

QVariant FactsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const Fact& fact = facts_[static_cast<std::size_t>(index.row())];
    if (role == Qt::DisplayRole || role == Qt::ToolTipRole) {
        return index.column() == 0 ? fact.key : fact.value;
    }
    if (role == Qt::FontRole && is_heading(index.row())) {
        QFont font;
        font.setBold(true);
        return font;
    }
    if (role == Qt::TextAlignmentRole) {
        return static_cast<int>((index.column() == 0 ? Qt::AlignLeft : Qt::AlignRight) |
                                Qt::AlignVCenter);
    }
    return {};
}

}  // namespace hc::gui
