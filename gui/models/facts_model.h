/// Facts as a two-column table for the details panel.
#pragma once

#include <QAbstractTableModel>

#include "gui/models/describe.h"

namespace hc::gui {

class FactsModel : public QAbstractTableModel {
    Q_OBJECT
public:
    explicit FactsModel(QObject* parent = nullptr) : QAbstractTableModel(parent) {}

    void set(Facts facts);
    [[nodiscard]] const Facts& facts() const { return facts_; }
    [[nodiscard]] bool is_heading(int row) const;

    [[nodiscard]] int rowCount(const QModelIndex& parent = {}) const override;
    [[nodiscard]] int columnCount(const QModelIndex& parent = {}) const override;
    [[nodiscard]] QVariant data(const QModelIndex& index, int role) const override;

private:
    Facts facts_;
};

}  // namespace hc::gui
