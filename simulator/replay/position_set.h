/// Sets of prompt positions as bitmaps, for replaying decisions many times over: the sets that
/// engine/policy makes of the same rows, in a form that is compared a word at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"

namespace hc::sim {

class PositionSet {
public:
    /// The set of policy::select_kept over a ranked row. Throws Error(kRefused) when the row is
    /// too short for it.
    [[nodiscard]] static PositionSet kept(std::span<const Position> ranked, std::int64_t prompt,
                                          std::int64_t capacity, std::int32_t sink,
                                          std::int32_t recent);
    [[nodiscard]] static PositionSet all(std::int64_t prompt);
    /// `base` (empty, or `words` words) and the distinct positions that are not in it.
    [[nodiscard]] static PositionSet from(std::span<const Position> more,
                                          std::span<const std::uint64_t> base, std::size_t words);

    [[nodiscard]] std::int64_t size() const { return size_; }
    [[nodiscard]] std::size_t bytes() const { return words_.size() * sizeof(std::uint64_t); }
    [[nodiscard]] bool holds(Position p) const {
        return p / 64 < words_.size() && (words_[p / 64] >> (p % 64) & 1U) != 0;
    }
    [[nodiscard]] std::span<const std::uint64_t> words() const { return words_; }

    /// The `count` lowest positions of it (all, where there are fewer).
    [[nodiscard]] PositionSet lowest(std::int64_t count) const;

private:
    void add_range(std::int64_t first, std::int64_t last);

    std::vector<std::uint64_t> words_;  // bit p % 64 of word p / 64
    std::int64_t size_ = 0;
};

/// |a and b|; both of one prompt.
[[nodiscard]] std::int64_t common(const PositionSet& a, const PositionSet& b);

struct Difference {
    std::int64_t rows = 0;
    std::int64_t runs = 0;  ///< contiguous pieces
};
/// a minus b; both of one prompt.
[[nodiscard]] Difference difference(const PositionSet& a, const PositionSet& b);
/// The contiguous pieces of `a`.
[[nodiscard]] std::int64_t runs_of(const PositionSet& a);

}  // namespace hc::sim
