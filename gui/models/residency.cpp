#include "gui/models/residency.h"

#include <algorithm>
#include <unordered_map>

namespace hc::gui {
namespace {

/// The head's set of positions, and how many of them lie in each row of the picture.
class PositionSet {
public:
    PositionSet(std::int64_t prompt, int rows)
        : is_in_(static_cast<std::size_t>(prompt)), rows_(static_cast<std::size_t>(rows)) {}

    bool insert(Position p) { return change(p, 1); }
    bool erase(Position p) { return change(p, 0); }
    [[nodiscard]] bool contains(Position p) const { return p < is_in_.size() && is_in_[p] != 0; }
    [[nodiscard]] std::int64_t size() const { return size_; }
    [[nodiscard]] std::int64_t in_row(std::size_t row) const { return rows_[row]; }
    [[nodiscard]] std::size_t row_of(Position p) const {
        return static_cast<std::size_t>(p) * rows_.size() / is_in_.size();
    }

private:
    bool change(Position p, std::uint8_t in) {
        if (p >= is_in_.size() || is_in_[p] == in) return false;
        is_in_[p] = in;
        const std::int64_t sign = in != 0 ? 1 : -1;
        size_ += sign;
        rows_[row_of(p)] += sign;
        return true;
    }
    std::vector<std::uint8_t> is_in_;
    std::vector<std::int64_t> rows_;
    std::int64_t size_ = 0;
};

std::int64_t capacity_of(const trace::RunData& data, const Residency::Head& head) {
    for (const HeadRecord& record : data.heads) {
        if (record.layer == head.layer && record.head == head.head) return record.capacity;
    }
    return 0;
}

}  // namespace

Residency::Residency(const trace::RunData& data, const trace::RunData* attention, const Head& head)
    : head_(head), prompt_(data.run.prompt_tokens) {
    // What comes from a file bounds what is allocated.
    prompt_ = std::clamp<std::int64_t>(prompt_, 0, std::int64_t{1} << 26);
    if (prompt_ == 0 || data.steps.size() == 0 || data.steps.size() > kMaxColumns) return;
    std::vector<const RowsRecord*> changes;
    for (const RowsRecord& rows : data.rows) {
        const bool its =
            rows.layer == head.layer && rows.head == head.head && rows.sequence == head.sequence;
        if (its) changes.push_back(&rows);
    }
    if (changes.empty()) return;
    std::stable_sort(changes.begin(), changes.end(),
                     [](const auto* a, const auto* b) { return a->step < b->step; });
    std::unordered_map<std::int64_t, const AttentionRecord*> ranked;
    if (attention != nullptr) {
        for (const AttentionRecord& row : attention->attention) {
            const bool its =
                row.layer == head.layer && row.head == head.head && row.sequence == head.sequence;
            if (!its) continue;
            // Probabilities are recorded of every head; scores of some, and at fewer steps.
            const auto [known, is_new] = ranked.try_emplace(row.step, &row);
            if (!is_new && row.kind == AttentionRowKind::kProb) known->second = &row;
        }
    }
    std::unordered_map<std::int64_t, std::size_t> fetch_row;
    for (std::size_t i = 0; i < data.fetches.size(); ++i) fetch_row.emplace(data.fetches[i].id, i);

    num_rows_ = static_cast<int>(std::min<std::int64_t>(prompt_, kMaxRows));
    const auto height = static_cast<std::size_t>(num_rows_);
    cells_.resize(data.steps.size() * height);
    kept_.resize(cells_.size());
    PositionSet set(prompt_, num_rows_);
    const std::int64_t capacity = capacity_of(data, head);
    auto change = changes.begin();
    for (std::size_t column = 0; column < data.steps.size(); ++column) {
        ResidencyStep step;
        step.step = data.steps.step[column];
        Cell* cells = cells_.data() + column * height;
        std::vector<Position> fetched;
        for (; change != changes.end() && (*change)->step <= step.step; ++change) {
            for (const Position p : (*change)->evicted) {
                if (!set.erase(p)) continue;
                ++step.evicted;
                cells[set.row_of(p)] = Cell::kEvicted;
            }
            for (const Position p : (*change)->fetched) {
                if (!set.insert(p)) continue;
                if ((*change)->fetch_id >= 0) fetched.push_back(p);
            }
            const auto row = fetch_row.find((*change)->fetch_id);
            if (row != fetch_row.end()) step.fetch = row->second;
        }
        step.fetched = static_cast<std::int64_t>(fetched.size());
        step.resident = set.size();
        for (std::size_t row = 0; row < height; ++row) {
            const auto [first, last] = positions(static_cast<int>(row));
            const auto share = static_cast<double>(set.in_row(row)) /
                               static_cast<double>(std::max<std::int64_t>(last - first, 1));
            kept_[column * height + row] =
                static_cast<std::uint8_t>(std::clamp(share * 255, 0.0, 255.0));
            if (cells[row] == Cell::kAbsent && set.in_row(row) > 0) cells[row] = Cell::kKept;
        }
        if (const auto found = ranked.find(step.step); found != ranked.end() && capacity > 0) {
            const Positions& best = found->second->ranked;
            const auto count = std::min(best.size(), static_cast<std::size_t>(capacity));
            step.wanted = static_cast<std::int64_t>(count);
            step.missing = 0;
            knows_wanted_ = true;
            for (std::size_t i = 0; i < count; ++i) {
                if (best[i] >= static_cast<std::uint64_t>(prompt_) || set.contains(best[i])) {
                    continue;
                }
                ++*step.missing;
                cells[set.row_of(best[i])] = Cell::kMissing;
            }
        }
        // Fetched rows are what one looks for: they win their stretch.
        for (const Position p : fetched) cells[set.row_of(p)] = Cell::kFetched;
        steps_.push_back(step);
    }
}

Residency::Cell Residency::cell(int column, int row) const {
    return cells_[static_cast<std::size_t>(column) * static_cast<std::size_t>(num_rows_) +
                  static_cast<std::size_t>(row)];
}

double Residency::kept_share(int column, int row) const {
    return kept_[static_cast<std::size_t>(column) * static_cast<std::size_t>(num_rows_) +
                 static_cast<std::size_t>(row)] /
           255.0;
}

std::pair<std::int64_t, std::int64_t> Residency::positions(int row) const {
    // The inverse of PositionSet::row_of.
    const auto edge = [&](std::int64_t r) { return (r * prompt_ + num_rows_ - 1) / num_rows_; };
    return {edge(row), edge(row + 1)};
}

}  // namespace hc::gui
