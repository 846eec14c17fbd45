#include "gui/models/head_map_model.h"

#include <algorithm>

#include "engine/core/error.h"
#include "gui/models/ticks.h"

namespace hc::gui {
namespace {

// A head map beyond this is a damaged file, not a model; it would not fit a screen either.
constexpr std::int32_t kMaxSide = 4096;

QString role_text(HeadRole role) {
    const std::string_view name = role_name(role);
    return QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size()));
}

}  // namespace

const HeadCell::Recall* HeadCell::recall_at(std::int64_t step) const {
    const auto after =
        std::upper_bound(recalls.begin(), recalls.end(), step,
                         [](std::int64_t s, const Recall& recall) { return s < recall.step; });
    return after == recalls.begin() ? nullptr : &*(after - 1);
}

void HeadMapModel::set_step(std::optional<std::int64_t> step) {
    if (step == step_) return;
    step_ = step;
    if (num_layers_ == 0) return;
    Q_EMIT dataChanged(index(0, 0), index(num_layers_ - 1, num_heads_ - 1));
}

bool HeadMapModel::triggered_now(int layer, int head) const {
    const std::vector<std::int64_t>& steps = cell(layer, head).trigger_steps;
    return step_ && std::binary_search(steps.begin(), steps.end(), *step_);
}

void HeadMapModel::clear() {
    beginResetModel();
    step_.reset();
    num_layers_ = num_heads_ = 0;
    cells_.clear();
    ranges_ = {};
    endResetModel();
}

void HeadMapModel::set_run(const trace::RunData& data,
                           std::span<const trace::RecallRecord> recall) {
    beginResetModel();
    step_.reset();
    num_layers_ = num_heads_ = 0;
    const auto fits = [](std::int32_t layer, std::int32_t head) {
        return layer >= 0 && head >= 0 && layer < kMaxSide && head < kMaxSide;
    };
    for (const HeadRecord& head : data.heads) {
        if (!fits(head.layer, head.head)) continue;
        num_layers_ = std::max(num_layers_, head.layer + 1);
        num_heads_ = std::max(num_heads_, head.head + 1);
    }
    cells_.assign(static_cast<std::size_t>(num_layers_) * static_cast<std::size_t>(num_heads_), {});
    const auto at = [&](std::int32_t layer, std::int32_t head) -> HeadCell* {
        const bool inside = layer >= 0 && head >= 0 && layer < num_layers_ && head < num_heads_;
        return inside ? &cells_[static_cast<std::size_t>(layer * num_heads_ + head)] : nullptr;
    };
    for (const HeadRecord& head : data.heads) {
        if (HeadCell* cell = at(head.layer, head.head)) {
            cell->known = true;
            cell->head = head;
        }
    }
    for (const DriftRecord& check : data.drift) {
        HeadCell* cell = at(check.layer, check.pivot);
        if (cell == nullptr || !check.triggered) continue;
        cell->triggers += 1;
        cell->trigger_steps.push_back(check.step);
    }
    std::vector<std::int64_t> counts(cells_.size());
    for (const trace::RecallRecord& row : recall) {
        HeadCell* cell = at(row.layer, row.head);
        if (cell == nullptr) continue;
        // A running mean: sums are not kept.
        const auto n = static_cast<double>(
            ++counts[static_cast<std::size_t>(row.layer * num_heads_ + row.head)]);
        const double low = cell->recall_low.value_or(0), high = cell->recall_high.value_or(0);
        cell->recall_low = low + (row.low - low) / n;
        cell->recall_high = high + (row.high - high) / n;
        if (row.sequence == 0) cell->recalls.push_back({row.step, row.low, row.high});
    }
    for (HeadCell& cell : cells_) {
        std::sort(cell.trigger_steps.begin(), cell.trigger_steps.end());
        std::stable_sort(cell.recalls.begin(), cell.recalls.end(),
                         [](const auto& a, const auto& b) { return a.step < b.step; });
    }
    for (const auto quantity : {HeadQuantity::kRole, HeadQuantity::kCapacity,
                                HeadQuantity::kStability, HeadQuantity::kRecall}) {
        ranges_[static_cast<std::size_t>(quantity)] = find_range(quantity);
    }
    endResetModel();
}

int HeadMapModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : num_layers_;
}

int HeadMapModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : num_heads_;
}

QVariant HeadMapModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (role != Qt::DisplayRole) return {};
    return orientation == Qt::Vertical ? QString("layer %1").arg(section)
                                       : QString("head %1").arg(section);
}

QVariant HeadMapModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    if (role == Qt::DisplayRole) {
        const HeadCell& c = cell(index.row(), index.column());
        return c.known ? role_text(c.head.role) : QString();
    }
    if (role == Qt::ToolTipRole) return describe(index.row(), index.column());
    return {};
}

const HeadCell& HeadMapModel::cell(int layer, int head) const {
    HC_CHECK(layer >= 0 && layer < num_layers_ && head >= 0 && head < num_heads_);
    return cells_[static_cast<std::size_t>(layer * num_heads_ + head)];
}

std::optional<double> HeadMapModel::value(int layer, int head, HeadQuantity quantity) const {
    const HeadCell& c = cell(layer, head);
    if (!c.known) return std::nullopt;
    switch (quantity) {
        case HeadQuantity::kRole:
            return std::nullopt;
        case HeadQuantity::kCapacity:
            return static_cast<double>(c.head.capacity);
        case HeadQuantity::kStability:
            return c.head.stability < 0 ? std::nullopt : std::optional(c.head.stability);
        case HeadQuantity::kRecall: {
            if (!step_) return c.recall_low;
            const HeadCell::Recall* recall = c.recall_at(*step_);
            return recall != nullptr ? std::optional(recall->low) : std::nullopt;
        }
    }
    return std::nullopt;
}

std::optional<HeadMapModel::Range> HeadMapModel::find_range(HeadQuantity quantity) const {
    std::optional<Range> range;
    for (int layer = 0; layer < num_layers_; ++layer) {
        for (int head = 0; head < num_heads_; ++head) {
            const std::optional<double> v = value(layer, head, quantity);
            if (!v) continue;
            if (!range) range = Range{*v, *v};
            range->low = std::min(range->low, *v);
            range->high = std::max(range->high, *v);
        }
    }
    return range;
}

QString HeadMapModel::describe(int layer, int head) const {
    const HeadCell& c = cell(layer, head);
    if (!c.known) return {};
    QStringList lines;
    lines +=
        QString("layer %1 \u00b7 head %2: %3").arg(layer).arg(head).arg(role_text(c.head.role));
    if (c.head.role == HeadRole::kSatellite && c.head.pivot >= 0) {
        lines += QString("follows pivot head %1").arg(c.head.pivot);
    }
    lines += QString("keeps %1 prompt tokens").arg(format_count(c.head.capacity));
    if (c.head.ratio >= 0) lines += QString("budget ratio %1").arg(c.head.ratio, 0, 'f', 3);
    if (c.head.stability >= 0) lines += QString("stability %1").arg(c.head.stability, 0, 'f', 3);
    if (c.recall_low) {
        lines += QString("recall %1 to %2 (mean over the recorded steps)")
                     .arg(*c.recall_low, 0, 'f', 3)
                     .arg(*c.recall_high, 0, 'f', 3);
    }
    const HeadCell::Recall* now = step_ ? c.recall_at(*step_) : nullptr;
    if (now != nullptr) {
        lines += QString("recall at step %1: %2 to %3")
                     .arg(now->step)
                     .arg(now->low, 0, 'f', 3)
                     .arg(now->high, 0, 'f', 3);
    }
    if (triggered_now(layer, head)) lines += QString("triggers at step %1").arg(*step_);
    if (c.triggers > 0) lines += QString("triggered %1 times").arg(c.triggers);
    return lines.join('\n');
}

}  // namespace hc::gui
