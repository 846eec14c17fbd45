/// The one top-k, the one filter, the one overlap of the project. Every room that selects
/// tokens uses these, so that all agree on order and ties (algorithm.md §1: larger value first,
/// equal values by lower index).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"

namespace hc::policy {

/// The best min(k, scores.size()) positions, best first. `ranked` is overwritten and keeps its
/// capacity. A NaN among the scores is our bug and aborts.
void rank_top(std::span<const float> scores, std::size_t k, Positions& ranked);

/// The same set, ascending by position; faster, as nothing is sorted.
void top_k(std::span<const float> scores, std::size_t k, Positions& ascending);

/// y[i] = (sum of x[i-w/2 .. i+w/2], left to right in fp32, zeros outside) / w, with w = min(width,
/// n). An even w makes the result one element longer (algorithm.md §2); `out` is resized.
void mean_filter(std::span<const float> in, std::int32_t width, std::vector<float>& out);

/// |a and b| / |a|, 0 when either is empty. Both ascend.
[[nodiscard]] double overlap(std::span<const Position> a, std::span<const Position> b);

/// Ascending a minus ascending b.
void difference(std::span<const Position> a, std::span<const Position> b, Positions& out);

/// Middle value; the mean of the two middle ones for an even count; 0 for none.
[[nodiscard]] double median(std::vector<double> values);

/// One selection score over the prompt (algorithm.md §4), either dense as the engine computes
/// it or already ranked as a trace stores it. Both give the same sets.
class ScoreRow {
public:
    /// Borrows `scores`, one per prompt position.
    [[nodiscard]] static ScoreRow dense(std::span<const float> scores);
    /// Borrows `ranked`, the best positions of a prompt of `prompt` tokens, best first.
    [[nodiscard]] static ScoreRow ranked(std::span<const Position> ranked, std::size_t prompt);

    [[nodiscard]] std::size_t prompt() const { return prompt_; }
    /// Largest n that top() can answer: prompt for a dense row, what is recorded otherwise.
    [[nodiscard]] std::size_t depth() const { return depth_; }
    /// The best min(n, prompt) positions, best first. Throws Error(kRefused) when n > depth().
    void best(std::size_t n, Positions& ranked) const;
    /// The same set, ascending. n >= prompt asks nothing of the row: everything is in the set.
    void best_set(std::size_t n, Positions& ascending) const;
    /// The best min(n, last - first) positions of [first, last), ascending. A ranked row answers
    /// from what it records; throws Error(kRefused) when that is not enough.
    void best_set_within(std::size_t first, std::size_t last, std::size_t n,
                         Positions& ascending) const;

private:
    std::span<const float> scores_;
    std::span<const Position> ranked_;
    std::size_t prompt_ = 0;
    std::size_t depth_ = 0;
};

/// The best `capacity` positions of a row with `sink` first and `recent` last prompt tokens
/// forced in (row 10), ascending. Forced tokens count inside the capacity; sinks come first.
void select_kept(const ScoreRow& row, std::int64_t capacity, std::int32_t sink, std::int32_t recent,
                 Positions& ascending);

}  // namespace hc::policy
