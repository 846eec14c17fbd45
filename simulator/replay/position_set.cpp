#include "simulator/replay/position_set.h"

#include <algorithm>
#include <bit>
#include <string>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

std::size_t words_for(std::int64_t prompt) {
    return static_cast<std::size_t>((prompt + 63) / 64);
}

/// Counting bits is most of a comparison, and the plain build may not assume the instruction.
#if defined(__x86_64__)
__attribute__((target("popcnt"))) std::int64_t common_popcnt(const std::uint64_t* a,
                                                             const std::uint64_t* b,
                                                             std::size_t words) {
    std::int64_t count = 0;
    for (std::size_t i = 0; i < words; ++i) count += __builtin_popcountll(a[i] & b[i]);
    return count;
}
__attribute__((target("popcnt"))) Difference difference_popcnt(const std::uint64_t* a,
                                                               const std::uint64_t* b,
                                                               std::size_t words) {
    Difference out;
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t left = a[i] & ~b[i];
        out.rows += __builtin_popcountll(left);
        out.runs += __builtin_popcountll(left & ~(left << 1 | carry));
        carry = left >> 63;
    }
    return out;
}
const bool kHasPopcnt = __builtin_cpu_supports("popcnt") != 0;
#endif

std::int64_t common_plain(const std::uint64_t* a, const std::uint64_t* b, std::size_t words) {
    std::int64_t count = 0;
    for (std::size_t i = 0; i < words; ++i) count += std::popcount(a[i] & b[i]);
    return count;
}

Difference difference_plain(const std::uint64_t* a, const std::uint64_t* b, std::size_t words) {
    Difference out;
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t left = a[i] & ~b[i];
        out.rows += std::popcount(left);
        out.runs += std::popcount(left & ~(left << 1 | carry));
        carry = left >> 63;
    }
    return out;
}

}  // namespace

void PositionSet::add_range(std::int64_t first, std::int64_t last) {
    for (std::int64_t p = first; p < last; ++p) {
        std::uint64_t& word = words_[static_cast<std::size_t>(p / 64)];
        const std::uint64_t bit = std::uint64_t{1} << (p % 64);
        size_ += (word & bit) == 0 ? 1 : 0;
        word |= bit;
    }
}

PositionSet PositionSet::all(std::int64_t prompt) {
    PositionSet set;
    set.words_.assign(words_for(prompt), ~std::uint64_t{0});
    if (prompt % 64 != 0) set.words_.back() = (std::uint64_t{1} << (prompt % 64)) - 1;
    set.size_ = prompt;
    return set;
}

PositionSet PositionSet::from(std::span<const Position> more, std::span<const std::uint64_t> base,
                              std::size_t words) {
    PositionSet set;
    if (base.empty()) {
        set.words_.assign(words, 0);
    } else {
        set.words_.assign(base.begin(), base.end());
        for (const std::uint64_t word : base) set.size_ += std::popcount(word);
    }
    for (const Position p : more) set.words_[p / 64] |= std::uint64_t{1} << (p % 64);
    set.size_ += static_cast<std::int64_t>(more.size());
    return set;
}

PositionSet PositionSet::kept(std::span<const Position> ranked, std::int64_t prompt,
                              std::int64_t capacity, std::int32_t sink, std::int32_t recent) {
    // As policy::select_kept: sinks first, then recent tokens, then the best of what lies between.
    const std::int64_t kept = std::min(capacity, prompt);
    if (kept == prompt) return all(prompt);
    const std::int64_t first = std::min<std::int64_t>(sink, kept);
    const std::int64_t last = prompt - std::min<std::int64_t>(recent, kept - first);
    const std::int64_t between = std::max<std::int64_t>(0, last - first);
    const std::int64_t chosen = kept - first - (prompt - last);
    PositionSet set;
    set.words_.assign(words_for(prompt), 0);
    if (chosen >= between) {
        set.add_range(first, last);
    } else {
        std::int64_t left = chosen;
        for (const Position p : ranked) {
            if (left == 0) break;
            if (p < first || p >= last) continue;
            set.words_[p / 64] |= std::uint64_t{1} << (p % 64);
            --left;
        }
        if (left > 0) {
            throw_refused("a score row holds the best " + std::to_string(ranked.size()) + " of " +
                          std::to_string(prompt) + " positions, too few to choose " +
                          std::to_string(chosen) + " of them");
        }
        set.size_ = chosen;
    }
    set.add_range(0, first);
    set.add_range(last, prompt);
    return set;
}

PositionSet PositionSet::lowest(std::int64_t count) const {
    if (count >= size_) return *this;
    PositionSet set;
    set.words_.assign(words_.size(), 0);
    set.size_ = count;
    for (std::size_t i = 0; i < words_.size() && count > 0; ++i) {
        std::uint64_t word = words_[i];
        const int here = std::popcount(word);
        if (here > count) {
            std::uint64_t low = 0;
            for (; count > 0; --count, word &= word - 1) low |= word & (~word + 1);
            set.words_[i] = low;
            break;
        }
        set.words_[i] = word;
        count -= here;
    }
    return set;
}

std::int64_t common(const PositionSet& a, const PositionSet& b) {
    HC_CHECK(a.words().size() == b.words().size());
#if defined(__x86_64__)
    if (kHasPopcnt) return common_popcnt(a.words().data(), b.words().data(), a.words().size());
#endif
    return common_plain(a.words().data(), b.words().data(), a.words().size());
}

Difference difference(const PositionSet& a, const PositionSet& b) {
    HC_CHECK(a.words().size() == b.words().size());
#if defined(__x86_64__)
    if (kHasPopcnt) return difference_popcnt(a.words().data(), b.words().data(), a.words().size());
#endif
    return difference_plain(a.words().data(), b.words().data(), a.words().size());
}

std::int64_t runs_of(const PositionSet& a) {
    std::int64_t runs = 0;
    std::uint64_t carry = 0;
    for (const std::uint64_t word : a.words()) {
        runs += std::popcount(word & ~(word << 1 | carry));
        carry = word >> 63;
    }
    return runs;
}

}  // namespace hc::sim
