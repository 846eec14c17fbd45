#include "simulator/replay/donors.h"

#include <algorithm>

namespace hc::sim {

Donors::Donors(const SourceRun& source, const SourceRun* other) : source_(source) {
    const bool own = !source.checks.empty() || other == nullptr;
    checks_ = own ? &source.checks : &other->checks;
    const bool own_fetches = !source.fetches.empty() || other == nullptr;
    for (const auto& [key, fetch] : own_fetches ? source.fetches : other->fetches) {
        fetches_.push_back(&fetch);
        if (fetch.committed) commits_.push_back(&fetch);
    }
}

const RecordedCheck* Donors::check(std::int32_t layer, std::int64_t step) const {
    if (checks_->empty()) return nullptr;
    const auto at = std::lower_bound(
        checks_->begin(), checks_->end(), std::pair(layer, step),
        [](const RecordedCheck& c, const auto& key) { return std::pair(c.layer, c.step) < key; });
    const bool next_fits = at != checks_->end() && at->layer == layer;
    if (at != checks_->begin() && std::prev(at)->layer == layer) {
        const auto before = std::prev(at);
        if (!next_fits || step - before->step < at->step - step) return &*before;
    }
    if (next_fits) return &*at;
    return &(*checks_)[static_cast<std::size_t>(layer + step) % checks_->size()];
}

const RecordedFetch* Donors::same_fetch(const FetchDecision& fetch) const {
    const auto found = source_.fetches.find({fetch.sequence, fetch.layer, fetch.pivot, fetch.step});
    return found == source_.fetches.end() ? nullptr : &found->second;
}

void operations_of(const RecordedCheck& check, std::size_t count,
                   std::vector<const RecordedOp*>& out) {
    out.clear();
    const auto decides = [](const RecordedOp& op) { return op.kind == OpKind::kDriftTopk; };
    const auto own =
        static_cast<std::size_t>(std::count_if(check.ops.begin(), check.ops.end(), decides));
    if (own == 0 || own == count) {
        for (const RecordedOp& op : check.ops) out.push_back(&op);
        return;
    }
    for (std::size_t i = 0, made = 0; made < count; i = (i + 1) % check.ops.size()) {
        out.push_back(&check.ops[i]);
        made += decides(check.ops[i]) ? 1 : 0;
    }
}

}  // namespace hc::sim
