#include "engine/policy/heterocache.h"

#include <algorithm>

#include "engine/core/error.h"

namespace hc::policy {

HeteroCachePolicy::HeteroCachePolicy(const HeadProfile& profile, const Budgets& budgets,
                                     const Settings& settings)
    : profile_(profile),
      budgets_(budgets),
      settings_(settings),
      resident_(profile.size()),
      reference_(profile.size()),
      pending_(profile.size()),
      slot_(profile.size()) {
    validate(settings_);
    HC_CHECK(budgets_.capacity.size() == profile_.size());
    HC_CHECK(profile_.stars.size() == static_cast<std::size_t>(profile_.num_layers));
    for (std::size_t i = 0; i < slot_.size(); ++i) slot_[i] = i;
    if (!settings_.reference_sets_by_file_order) return;
    // Row 2: the i-th pivot of the file uses the set of the i-th pivot in ascending order.
    for (std::int32_t layer = 0; layer < profile_.num_layers; ++layer) {
        const std::vector<Star>& stars = profile_.stars[static_cast<std::size_t>(layer)];
        std::vector<std::int32_t> ascending;
        for (const Star& star : stars) ascending.push_back(star.pivot);
        std::sort(ascending.begin(), ascending.end());
        for (std::size_t i = 0; i < stars.size(); ++i) {
            slot_[profile_.index({layer, stars[i].pivot})] = profile_.index({layer, ascending[i]});
        }
    }
}

std::size_t HeteroCachePolicy::capacity(std::size_t index) const {
    return static_cast<std::size_t>(budgets_.capacity[index]);
}

const Positions& HeteroCachePolicy::select_at_prefill(HeadId head, const ScoreRow& score) {
    HC_CHECK(!is_full(profile_.role(head)));
    HC_CHECK(static_cast<std::int64_t>(score.prompt()) == budgets_.prompt);
    const std::size_t index = profile_.index(head);
    pending_[index].clear();
    select_kept(score, budgets_.capacity[index], settings_.sink, settings_.recent,
                resident_[index]);
    return resident_[index];
}

void HeteroCachePolicy::set_reference(HeadId pivot, const ScoreRow& score) {
    HC_CHECK(profile_.role(pivot) == HeadRole::kPivot);
    HC_CHECK(static_cast<std::int64_t>(score.prompt()) == budgets_.prompt);
    score.best_set(static_cast<std::size_t>(budgets_.base), reference_[profile_.index(pivot)]);
}

bool HeteroCachePolicy::checks_at(std::int32_t layer, std::int64_t step) const {
    const std::int64_t window = settings_.window;
    if (!settings_.retrieval || step < window) return false;
    const std::int64_t phase = settings_.stagger_checks ? layer % window : 0;
    return step % window == phase;
}

CheckResult HeteroCachePolicy::check(HeadId pivot, std::span<const ScoreRow> window_scores) {
    HC_CHECK(profile_.role(pivot) == HeadRole::kPivot);
    HC_CHECK(window_scores.size() == static_cast<std::size_t>(settings_.window));
    Positions& reference = reference_[slot_[profile_.index(pivot)]];
    CheckResult result;
    result.threshold = settings_.stable_threshold;
    measure_overlaps(reference, window_scores, result);
    result.triggered = result.median < result.threshold;
    if (!result.triggered) return result;
    reference = candidate_;  // of the window's last query
    plan_fetches(pivot, window_scores.back(), result);
    return result;
}

void HeteroCachePolicy::measure_overlaps(const Positions& reference,
                                         std::span<const ScoreRow> window_scores,
                                         CheckResult& result) {
    if (budgets_.base >= budgets_.prompt) {  // both sets are the whole prompt
        result.overlaps.assign(window_scores.size(), 1.0);
        result.median = 1.0;
        // A threshold of at most 1 can then never be undercut; candidate_ is not needed.
        return;
    }
    const auto base = static_cast<std::size_t>(budgets_.base);
    for (const ScoreRow& score : window_scores) {
        HC_CHECK(static_cast<std::int64_t>(score.prompt()) == budgets_.prompt);
        score.best_set(base, candidate_);
        result.overlaps.push_back(overlap(candidate_, reference));
    }
    result.median = median(result.overlaps);
    if (settings_.chance_corrected) {  // row 24
        const double chance =
            static_cast<double>(budgets_.base) / static_cast<double>(budgets_.prompt);
        result.median = (result.median - chance) / (1.0 - chance);
    }
}

void HeteroCachePolicy::plan_fetches(HeadId pivot, const ScoreRow& last, CheckResult& result) {
    const Star& star = star_of(pivot);
    Positions largest;  // row 1, reference: what the member of the largest capacity gets
    if (settings_.satellites_cut_by_position) {
        std::int64_t most = 0;
        for (const std::int32_t member : star.members) {
            most = std::max(most, budgets_.capacity[profile_.index({pivot.layer, member})]);
        }
        select_kept(last, most, settings_.sink, settings_.recent, largest);
    }
    for (const std::int32_t member : star.members) {
        const std::size_t index = profile_.index({pivot.layer, member});
        HeadFetch fetch;
        fetch.head = member;
        if (settings_.satellites_cut_by_position) {
            const std::size_t count = std::min(capacity(index), largest.size());
            fetch.wanted.assign(largest.begin(),
                                largest.begin() + static_cast<std::ptrdiff_t>(count));
        } else {
            select_kept(last, budgets_.capacity[index], settings_.sink, settings_.recent,
                        fetch.wanted);
        }
        difference(resident_[index], fetch.wanted, fetch.evicted);
        if (settings_.fetch_missing_only) {
            difference(fetch.wanted, resident_[index], fetch.fetched);
        } else {
            fetch.fetched = fetch.wanted;
        }
        pending_[index] = fetch.wanted;
        result.fetches.push_back(std::move(fetch));
    }
}

void HeteroCachePolicy::commit(HeadId pivot) {
    for (const std::int32_t member : star_of(pivot).members) {
        const std::size_t index = profile_.index({pivot.layer, member});
        HC_CHECK(pending_[index].size() == capacity(index));
        resident_[index].swap(pending_[index]);
        pending_[index].clear();
    }
}

const Positions& HeteroCachePolicy::resident(HeadId head) const {
    HC_CHECK(!is_full(profile_.role(head)));
    return resident_[profile_.index(head)];
}

const Positions& HeteroCachePolicy::reference_set(HeadId pivot) const {
    HC_CHECK(profile_.role(pivot) == HeadRole::kPivot);
    return reference_[slot_[profile_.index(pivot)]];
}

const Star& HeteroCachePolicy::star_of(HeadId pivot) const {
    const std::vector<Star>& stars = profile_.stars[static_cast<std::size_t>(pivot.layer)];
    const auto star = std::find_if(stars.begin(), stars.end(),
                                   [&](const Star& s) { return s.pivot == pivot.head; });
    HC_CHECK(star != stars.end());
    return *star;
}

}  // namespace hc::policy
