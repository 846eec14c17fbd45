/// A read-only table over columns: sorted by a click, virtual, so that a million rows cost no
/// more than those on the screen.
#pragma once

#include <QAbstractTableModel>
#include <QString>
#include <cstdint>
#include <functional>
#include <vector>

namespace hc::gui {

struct TableColumn {
    QString title;
    std::function<double(std::size_t row)> number;  ///< what it is sorted by
    std::function<QString(std::size_t row)> text;
    bool is_text = false;  ///< left-aligned, sorted by its text
};

class ColumnTable : public QAbstractTableModel {
    Q_OBJECT
public:
    explicit ColumnTable(QObject* parent = nullptr) : QAbstractTableModel(parent) {}

    /// The functions are called while the table lives or until the next set.
    void set(std::vector<TableColumn> columns, std::size_t num_rows);

    [[nodiscard]] int rowCount(const QModelIndex& parent = {}) const override;
    [[nodiscard]] int columnCount(const QModelIndex& parent = {}) const override;
    [[nodiscard]] QVariant data(const QModelIndex& index, int role) const override;
    [[nodiscard]] QVariant headerData(int section, Qt::Orientation orientation,
                                      int role) const override;
    void sort(int column, Qt::SortOrder order) override;
    /// Shows only rows of which some column's text holds every word, whatever its case.
    void set_filter(const QString& words);
    [[nodiscard]] const QString& filter() const { return filter_; }
    [[nodiscard]] std::size_t num_rows_unfiltered() const { return num_rows_; }

    /// The row of the data behind a row of the table.
    [[nodiscard]] std::size_t source_row(int row) const;
    /// Header and those rows as CSV.
    [[nodiscard]] QString csv(const std::vector<int>& rows) const;
    [[nodiscard]] QString csv() const;

private:
    std::vector<TableColumn> columns_;
    void apply_filter();
    void sort_order();

    std::vector<std::uint32_t> order_;  ///< rows of the data that pass the filter
    std::size_t num_rows_ = 0;
    QString filter_;
    int sorted_by_ = -1;
    Qt::SortOrder direction_ = Qt::AscendingOrder;
};

}  // namespace hc::gui
