/// Layer × head: role, budget, stability and recall of every KV head of a run.
#pragma once

#include <QAbstractTableModel>
#include <QString>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::gui {

struct HeadCell {
    bool known = false;
    HeadRecord head;
    std::int64_t triggers = 0;  ///< of a pivot's checks
    /// Mean over the recorded steps.
    std::optional<double> recall_low, recall_high;
    struct Recall {
        std::int64_t step = 0;
        double low = 0, high = 0;
    };
    std::vector<Recall> recalls;              ///< by step
    std::vector<std::int64_t> trigger_steps;  ///< ascending
    /// Of the last recorded step up to this one; nullptr: none.
    [[nodiscard]] const Recall* recall_at(std::int64_t step) const;
};

/// What the map's colour stands for.
enum class HeadQuantity : std::uint8_t { kRole, kCapacity, kStability, kRecall };

/// Rows are layers, columns heads.
class HeadMapModel : public QAbstractTableModel {
    Q_OBJECT
public:
    explicit HeadMapModel(QObject* parent = nullptr) : QAbstractTableModel(parent) {}

    void set_run(const trace::RunData& data, std::span<const trace::RecallRecord> recall);
    void clear();
    /// Recall is then that of the last recorded step up to this one; nullopt: the mean of all.
    void set_step(std::optional<std::int64_t> step);
    [[nodiscard]] std::optional<std::int64_t> step() const { return step_; }
    /// A pivot's check triggered at the step that is set.
    [[nodiscard]] bool triggered_now(int layer, int head) const;

    [[nodiscard]] int rowCount(const QModelIndex& parent = {}) const override;
    [[nodiscard]] int columnCount(const QModelIndex& parent = {}) const override;
    /// DisplayRole: one word; ToolTipRole: everything known of the head.
    [[nodiscard]] QVariant data(const QModelIndex& index, int role) const override;
    [[nodiscard]] QVariant headerData(int section, Qt::Orientation orientation,
                                      int role) const override;

    [[nodiscard]] const HeadCell& cell(int layer, int head) const;
    /// The number that a quantity colours by; nullopt: not known, or a role.
    [[nodiscard]] std::optional<double> value(int layer, int head, HeadQuantity quantity) const;
    /// Smallest and largest value of all heads; nullopt: none is known.
    struct Range {
        double low = 0, high = 0;
    };
    [[nodiscard]] std::optional<Range> range(HeadQuantity quantity) const {
        return ranges_[static_cast<std::size_t>(quantity)];
    }

private:
    [[nodiscard]] QString describe(int layer, int head) const;
    [[nodiscard]] std::optional<Range> find_range(HeadQuantity quantity) const;

    int num_layers_ = 0;
    int num_heads_ = 0;
    std::optional<std::int64_t> step_;
    std::vector<HeadCell> cells_;                 ///< [layer * num_heads_ + head]
    std::array<std::optional<Range>, 4> ranges_;  ///< by quantity
};

}  // namespace hc::gui
