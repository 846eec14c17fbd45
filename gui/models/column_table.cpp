#include "gui/models/column_table.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/core/error.h"

namespace hc::gui {
namespace {

// Qt counts rows in int.
constexpr std::size_t kMaxRows = std::numeric_limits<int>::max();

QString quoted(QString field) {
    if (!field.contains(',') && !field.contains('"') && !field.contains('\n')) return field;
    return '"' + field.replace("\"", "\"\"") + '"';
}

}  // namespace

void ColumnTable::set(std::vector<TableColumn> columns, std::size_t num_rows) {
    beginResetModel();
    columns_ = std::move(columns);
    order_.resize(std::min(num_rows, kMaxRows));
    std::iota(order_.begin(), order_.end(), 0u);
    endResetModel();
}

int ColumnTable::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(order_.size());
}

int ColumnTable::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(columns_.size());
}

QVariant ColumnTable::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const TableColumn& column = columns_[static_cast<std::size_t>(index.column())];
    if (role == Qt::DisplayRole) return column.text(source_row(index.row()));
    if (role == Qt::TextAlignmentRole) {
        return static_cast<int>((column.is_text ? Qt::AlignLeft : Qt::AlignRight) |
                                Qt::AlignVCenter);
    }
    return {};
}

QVariant ColumnTable::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || section < 0 || section >= columnCount()) return {};
    const TableColumn& column = columns_[static_cast<std::size_t>(section)];
    if (role == Qt::DisplayRole) return column.title;
    if (role == Qt::TextAlignmentRole) {
        return static_cast<int>((column.is_text ? Qt::AlignLeft : Qt::AlignRight) |
                                Qt::AlignVCenter);
    }
    return {};
}

void ColumnTable::sort(int column, Qt::SortOrder order) {
    if (column < 0 || column >= columnCount()) return;
    Q_EMIT layoutAboutToBeChanged({}, QAbstractItemModel::VerticalSortHint);
    const QModelIndexList before = persistentIndexList();
    std::vector<std::uint32_t> behind;
    for (const QModelIndex& index : before) {
        behind.push_back(order_[static_cast<std::size_t>(index.row())]);
    }
    const TableColumn& by = columns_[static_cast<std::size_t>(column)];
    const auto sort_by = [&](const auto& key) {
        const bool ascending = order == Qt::AscendingOrder;
        std::stable_sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
            return ascending ? key(a) < key(b) : key(b) < key(a);
        });
    };
    by.is_text ? sort_by(by.text) : sort_by(by.number);
    std::vector<int> row_of(order_.size());
    for (std::size_t row = 0; row < order_.size(); ++row)
        row_of[order_[row]] = static_cast<int>(row);
    QModelIndexList after;
    for (qsizetype i = 0; i < before.size(); ++i) {
        after += index(row_of[behind[static_cast<std::size_t>(i)]], before[i].column());
    }
    changePersistentIndexList(before, after);
    Q_EMIT layoutChanged({}, QAbstractItemModel::VerticalSortHint);
}

std::size_t ColumnTable::source_row(int row) const {
    HC_CHECK(row >= 0 && static_cast<std::size_t>(row) < order_.size());
    return order_[static_cast<std::size_t>(row)];
}

QString ColumnTable::csv(const std::vector<int>& rows) const {
    QString text;
    const auto add_line = [&](const auto& field) {
        for (std::size_t c = 0; c < columns_.size(); ++c) {
            text += (c == 0 ? "" : ",") + quoted(field(columns_[c]));
        }
        text += '\n';
    };
    add_line([](const TableColumn& column) { return column.title; });
    for (const int row : rows) {
        add_line([&](const TableColumn& column) { return column.text(source_row(row)); });
    }
    return text;
}

}  // namespace hc::gui
