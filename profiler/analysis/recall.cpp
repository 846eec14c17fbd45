#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <tuple>

#include "engine/core/error.h"
#include "profiler/analysis/metrics.h"

namespace hc::analysis {
namespace {

using trace::RecallRecord;
using trace::RunData;

/// A KV head of one sequence.
struct Place {
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    std::int32_t head = 0;
    [[nodiscard]] auto operator<=>(const Place&) const = default;
};

template <typename Record>
using ByPlace = std::map<Place, std::vector<const Record*>>;

/// Records of each head in the order of their steps.
template <typename Record>
void sort_by_step(ByPlace<Record>& by_place) {
    for (auto& [place, records] : by_place) {
        std::stable_sort(records.begin(), records.end(),
                         [](const Record* a, const Record* b) { return a->step < b->step; });
    }
}

ByPlace<AttentionRecord> prob_rows(const RunData& attention) {
    ByPlace<AttentionRecord> rows;
    for (const AttentionRecord& row : attention.attention) {
        // A row without values says what is best, not how much it weighs.
        const bool weighs = row.values.size() == row.ranked.size();
        if (row.kind == AttentionRowKind::kProb && weighs) {
            rows[{row.sequence, row.layer, row.head}].push_back(&row);
        }
    }
    sort_by_step(rows);
    return rows;
}

/// Which prompt positions a head holds.
class Residency {
public:
    explicit Residency(std::int64_t prompt) : resident_(static_cast<std::size_t>(prompt)) {}

    void apply(const RowsRecord& change) {
        if (change.fetch_id < 0) {  // the set kept after prefill
            std::fill(resident_.begin(), resident_.end(), char{0});
            count_ = 0;
            known_ = true;
        }
        for (const Position p : change.evicted) set(p, 0);
        for (const Position p : change.fetched) set(p, 1);
    }
    [[nodiscard]] bool known() const { return known_; }
    [[nodiscard]] bool holds(Position p) const {
        HC_CHECK(p < resident_.size());
        return resident_[p] != 0;
    }
    [[nodiscard]] std::int64_t count() const { return count_; }

private:
    void set(Position p, char value) {
        HC_CHECK(p < resident_.size());
        count_ += value - resident_[p];
        resident_[p] = value;
    }

    std::vector<char> resident_;
    std::int64_t count_ = 0;
    bool known_ = false;
};

/// Mass of a row on a set of prompt positions, given its part on the recorded ones (`known`) and
/// how many of the set's positions were not recorded (`beyond`, of `num_rest` such).
RecallInterval interval_of(const AttentionRecord& row, double known, std::int64_t beyond,
                           std::int64_t num_rest) {
    // Generated tokens are never dropped.
    RecallInterval recall{known + row.mass_generated, known + row.mass_generated};
    if (beyond > 0) recall.high += row.mass_rest;
    if (beyond >= num_rest) recall.low = recall.high;
    return {std::clamp(recall.low, 0.0, 1.0), std::clamp(recall.high, 0.0, 1.0)};
}

RecallInterval recall_of(const AttentionRecord& row, const Residency& residency,
                         std::int64_t prompt) {
    double known = 0;
    std::int64_t held = 0;
    for (std::size_t i = 0; i < row.ranked.size(); ++i) {
        if (!residency.holds(row.ranked[i])) continue;
        known += static_cast<double>(row.values[i]);
        ++held;
    }
    return interval_of(row, known, residency.count() - held,
                       prompt - static_cast<std::int64_t>(row.ranked.size()));
}

RecallInterval oracle_of(const AttentionRecord& row, std::int64_t capacity, std::int64_t prompt) {
    const auto recorded = static_cast<std::int64_t>(row.ranked.size());
    double known = 0;
    for (std::int64_t i = 0; i < std::min(capacity, recorded); ++i) {
        known += static_cast<double>(row.values[static_cast<std::size_t>(i)]);
    }
    return interval_of(row, known, capacity - recorded, prompt - recorded);
}

std::map<HeadId, const HeadRecord*> heads_of(const RunData& data) {
    std::map<HeadId, const HeadRecord*> heads;
    for (const HeadRecord& head : data.heads) heads[{head.layer, head.head}] = &head;
    return heads;
}

void check_prompts(const RunData& data, const RunData& attention) {
    if (data.run.prompt_tokens == attention.run.prompt_tokens) return;
    throw_refused(fmt::format(
        "run {} has a prompt of {} tokens, the drift trace of run {} one of {}: no recall",
        data.run.id, data.run.prompt_tokens, attention.run.id, attention.run.prompt_tokens));
}

RecallRecord record_of(const AttentionRecord& row, const RecallInterval& recall) {
    return {row.step, row.sequence, row.layer, row.head, recall.low, recall.high};
}

std::vector<RecallRecord> in_order(std::vector<RecallRecord> records) {
    std::sort(records.begin(), records.end(), [](const RecallRecord& a, const RecallRecord& b) {
        return std::tie(a.step, a.sequence, a.layer, a.head) <
               std::tie(b.step, b.sequence, b.layer, b.head);
    });
    return records;
}

bool keeps_everything(const RunData& data, const HeadRecord* head) {
    return data.run.policy == "fullkv" || (head != nullptr && is_full(head->role));
}

}  // namespace

std::vector<RecallRecord> run_recall(const RunData& data, const RunData& attention) {
    // Its resident set is new at every step and is not recorded: it is the best by definition.
    if (data.run.policy == "oracle") return oracle_recall(data, attention);
    check_prompts(data, attention);
    ByPlace<RowsRecord> changes;
    for (const RowsRecord& change : data.rows) {
        changes[{change.sequence, change.layer, change.head}].push_back(&change);
    }
    sort_by_step(changes);
    const std::map<HeadId, const HeadRecord*> heads = heads_of(data);
    std::vector<RecallRecord> records;
    for (const auto& [place, rows] : prob_rows(attention)) {
        const auto head = heads.find({place.layer, place.head});
        if (keeps_everything(data, head == heads.end() ? nullptr : head->second)) {
            for (const AttentionRecord* row : rows) records.push_back(record_of(*row, {1, 1}));
            continue;
        }
        Residency residency(data.run.prompt_tokens);
        const std::vector<const RowsRecord*>& list = changes[place];
        std::size_t next = 0;
        for (const AttentionRecord* row : rows) {
            for (; next < list.size() && list[next]->step <= row->step; ++next) {
                residency.apply(*list[next]);
            }
            if (!residency.known()) continue;
            records.push_back(record_of(*row, recall_of(*row, residency, data.run.prompt_tokens)));
        }
    }
    return in_order(std::move(records));
}

std::vector<RecallRecord> oracle_recall(const RunData& data, const RunData& attention) {
    check_prompts(data, attention);
    const std::map<HeadId, const HeadRecord*> heads = heads_of(data);
    std::vector<RecallRecord> records;
    for (const auto& [place, rows] : prob_rows(attention)) {
        const auto head = heads.find({place.layer, place.head});
        const HeadRecord* found = head == heads.end() ? nullptr : head->second;
        const bool full = keeps_everything(data, found);
        if (!full && found == nullptr) continue;  // no capacity is known
        for (const AttentionRecord* row : rows) {
            records.push_back(
                record_of(*row, full ? RecallInterval{1, 1}
                                     : oracle_of(*row, found->capacity, data.run.prompt_tokens)));
        }
    }
    return in_order(std::move(records));
}

}  // namespace hc::analysis
