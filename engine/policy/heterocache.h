/// The decisions of HeteroCache for ONE sequence: what each head keeps after prefill, when a
/// star is refreshed, and which rows that brings (algorithm.md §4, §5). No tensors, no time,
/// no threads: engine and simulator run this same code.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/policy/budget.h"
#include "engine/policy/selection.h"
#include "engine/policy/settings.h"

namespace hc::policy {

/// What one satellite gets from a triggered check. All positions ascend.
struct HeadFetch {
    std::int32_t head = 0;
    Positions wanted;   ///< the new kept set, capacity long
    Positions fetched;  ///< rows to bring: wanted minus what will be resident at the commit, or
                        ///< all of wanted with fetch_missing_only off
    Positions evicted;  ///< resident minus wanted; |evicted| = |fetched| when missing-only
};

struct CheckResult {
    std::vector<double> overlaps;  ///< c_w, one per query of the window
    double median = 0;             ///< after chance correction, where that is on
    double threshold = 0;
    bool triggered = false;
    std::vector<HeadFetch> fetches;  ///< one per member, star order; empty when not triggered
};

class HeteroCachePolicy {
public:
    /// `profile` is borrowed and must outlive the policy.
    HeteroCachePolicy(const HeadProfile& profile, const Budgets& budgets, const Settings& settings);

    /// Kept set of a compressed head after prefill, ascending; remembered as resident.
    const Positions& select_at_prefill(HeadId head, const ScoreRow& score);
    /// The pivot's first reference set: top-base of its prefill score.
    void set_reference(HeadId pivot, const ScoreRow& score);

    /// Whether layer `layer` runs its checks after decode step `step` (first decode step: 1).
    /// Without stagger that is at steps W, 2W, 3W, ... With stagger layer l checks first at the
    /// smallest step t >= W with t mod W == l mod W, then every W steps. In both cases the window
    /// is the W decode queries of steps step-W+1 .. step, all of which exist (t >= W); with
    /// stagger the queries of the steps before a layer's first window are in no window. Never
    /// with retrieval off.
    [[nodiscard]] bool checks_at(std::int32_t layer, std::int64_t step) const;

    /// One check of a pivot with members: `window_scores` are the pivot's scores of the window's
    /// queries over the prompt, oldest first. Updates the reference set when triggered. A fetch of
    /// the same star that is not yet committed is superseded: its rows are not counted as resident.
    ///
    /// Row 2, `reference`: sets lie in ascending pivot order and are looked up in the head
    /// file's order, so the i-th pivot of the file compares with, and replaces, the set of the
    /// i-th pivot in ascending order. Row 1, `reference`: every member gets the first cap of the
    /// position-sorted best K, K the largest cap of the star.
    [[nodiscard]] CheckResult check(HeadId pivot, std::span<const ScoreRow> window_scores);

    /// The fetch of the last triggered check of this star lands: residency changes to `wanted`.
    void commit(HeadId pivot);

    /// Resident prompt positions of a compressed head, ascending.
    [[nodiscard]] const Positions& resident(HeadId head) const;
    [[nodiscard]] const Budgets& budgets() const { return budgets_; }
    [[nodiscard]] const Settings& settings() const { return settings_; }
    [[nodiscard]] const HeadProfile& profile() const { return profile_; }

    /// The pivot's own reference set as the next check will see it (row 2: not always the one
    /// that set_reference stored for this pivot). Ascending.
    [[nodiscard]] const Positions& reference_set(HeadId pivot) const;

private:
    [[nodiscard]] const Star& star_of(HeadId pivot) const;
    [[nodiscard]] std::size_t capacity(std::size_t index) const;
    void measure_overlaps(const Positions& reference, std::span<const ScoreRow> window_scores,
                          CheckResult& result);
    void plan_fetches(HeadId pivot, const ScoreRow& last, CheckResult& result);

    const HeadProfile& profile_;
    Budgets budgets_;
    Settings settings_;
    std::vector<Positions> resident_;   // [head index]
    std::vector<Positions> reference_;  // [head index], pivots only
    std::vector<Positions> pending_;    // [head index], wanted sets not yet committed
    std::vector<std::size_t> slot_;     // [head index] of a pivot: whose reference set it uses
    Positions candidate_;               // the last query's best `base`, kept for its capacity
};

}  // namespace hc::policy
