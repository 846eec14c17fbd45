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
    num_rows_ = std::min(num_rows, kMaxRows);
    sorted_by_ = -1;
    apply_filter();
    endResetModel();
}

void ColumnTable::set_filter(const QString& words) {
    if (words == filter_) return;
    beginResetModel();
    filter_ = words;
    apply_filter();
    sort_order();
    endResetModel();
}

void ColumnTable::apply_filter() {
    order_.resize(num_rows_);
    std::iota(order_.begin(), order_.end(), 0u);
    const QStringList words = filter_.split(' ', Qt::SkipEmptyParts);
    if (words.isEmpty()) return;
    std::erase_if(order_, [&](std::uint32_t row) {
        return !std::all_of(words.begin(), words.end(), [&](const QString& word) {
            return std::any_of(columns_.begin(), columns_.end(), [&](const TableColumn& column) {
                return column.text(row).contains(word, Qt::CaseInsensitive);
            });
        });
    });
}

void ColumnTable::sort_order() {
    if (sorted_by_ < 0) return;
    const TableColumn& by = columns_[static_cast<std::size_t>(sorted_by_)];
    // Keys are made once a row: a text costs more than a comparison.
    const auto sort_by = [&](const auto& key_of) {
        using Key = decltype(key_of(std::size_t{0}));
        std::vector<std::pair<Key, std::uint32_t>> keyed;
        keyed.reserve(order_.size());
        for (const std::uint32_t row : order_) keyed.emplace_back(key_of(row), row);
        const bool ascending = direction_ == Qt::AscendingOrder;
        std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
            return ascending ? a.first < b.first : b.first < a.first;
        });
        for (std::size_t i = 0; i < keyed.size(); ++i) order_[i] = keyed[i].second;
    };
    by.is_text ? sort_by(by.text) : sort_by(by.number);
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
    sorted_by_ = column;
    direction_ = order;
    sort_order();
    std::vector<int> row_of(num_rows_);
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

QString ColumnTable::csv() const {
    std::vector<int> rows(order_.size());
    std::iota(rows.begin(), rows.end(), 0);
    return csv(rows);
}

}  // namespace hc::gui
