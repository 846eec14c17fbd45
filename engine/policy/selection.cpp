#include "engine/policy/selection.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/core/error.h"

namespace hc::policy {
namespace {

/// Unsigned integers in the order of the floats; both zeros are equal.
std::uint32_t order_key(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value + 0.0F);
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

void check_no_nan(std::span<const float> scores) {
    bool any = false;
    for (const float score : scores) any |= score != score;
    HC_CHECK(!any);  // a NaN has no place in an order
}

/// The k-th largest key and how many equal ones belong to the best k.
struct Boundary {
    std::uint32_t key = 0;
    std::size_t equal = 0;
};

/// Radix select, most significant digit first: three passes, no memory beyond a histogram.
Boundary find_boundary(std::span<const float> scores, std::size_t k) {
    struct Digit {
        std::uint32_t shift;
        std::uint32_t bits;
    };
    constexpr std::array<Digit, 3> kDigits{{{21, 11}, {10, 11}, {0, 10}}};
    std::uint32_t prefix = 0;
    std::uint32_t known = 0;  // mask of the bits that `prefix` holds
    std::size_t wanted = k;
    std::array<std::uint32_t, 2048> histogram{};
    for (const Digit digit : kDigits) {
        const std::uint32_t mask = (1U << digit.bits) - 1;
        histogram.fill(0);
        for (const float score : scores) {
            const std::uint32_t key = order_key(score);
            if ((key & known) == prefix) ++histogram[(key >> digit.shift) & mask];
        }
        std::uint32_t bin = mask;
        while (histogram[bin] < wanted) wanted -= histogram[bin--];
        prefix |= bin << digit.shift;
        known |= mask << digit.shift;
    }
    return {prefix, wanted};
}

void all_positions(std::size_t first, std::size_t last, Positions& out) {
    out.resize(last - first);
    std::iota(out.begin(), out.end(), static_cast<Position>(first));
}

/// Sorts positions below `prompt`: through a bitmap where they are many, which takes a tenth of
/// the time (a simulation does this for every recorded row).
void sort_positions(std::size_t prompt, Positions& positions) {
    constexpr std::size_t kWord = 64;
    const auto by_comparison = [&] { std::sort(positions.begin(), positions.end()); };
    if (positions.size() < prompt / kWord) return by_comparison();
    std::vector<std::uint64_t> present(prompt / kWord + 1, 0);
    for (const Position position : positions) {
        if (position >= prompt) return by_comparison();
        const std::uint64_t bit = std::uint64_t{1} << (position % kWord);
        if ((present[position / kWord] & bit) != 0) return by_comparison();  // given twice
        present[position / kWord] |= bit;
    }
    std::size_t next = 0;
    for (std::size_t word = 0; word < present.size(); ++word) {
        for (std::uint64_t left = present[word]; left != 0; left &= left - 1) {
            positions[next++] = static_cast<Position>(
                word * kWord + static_cast<std::size_t>(std::countr_zero(left)));
        }
    }
}

}  // namespace

void top_k(std::span<const float> scores, std::size_t k, Positions& ascending) {
    check_no_nan(scores);
    if (k >= scores.size()) {
        all_positions(0, scores.size(), ascending);
        return;
    }
    ascending.resize(k);
    if (k == 0) return;
    Boundary boundary = find_boundary(scores, k);
    std::size_t count = 0;
    for (std::size_t i = 0; count < k; ++i) {
        const std::uint32_t key = order_key(scores[i]);
        if (key < boundary.key) continue;
        if (key == boundary.key) {
            if (boundary.equal == 0) continue;
            --boundary.equal;
        }
        ascending[count++] = static_cast<Position>(i);
    }
}

void rank_top(std::span<const float> scores, std::size_t k, Positions& ranked) {
    top_k(scores, k, ranked);
    std::sort(ranked.begin(), ranked.end(), [scores](Position a, Position b) {
        if (scores[a] != scores[b]) return scores[a] > scores[b];
        return a < b;
    });
}

void mean_filter(std::span<const float> in, std::int32_t width, std::vector<float>& out) {
    HC_CHECK(width >= 1);
    const auto n = static_cast<std::int64_t>(in.size());
    const std::int64_t w = std::min<std::int64_t>(width, n);
    if (w == 0) {
        out.clear();
        return;
    }
    const std::int64_t half = w / 2;
    const std::int64_t length = n + 2 * half - w + 1;
    out.resize(static_cast<std::size_t>(length));
    const auto divisor = static_cast<float>(w);
    for (std::int64_t i = 0; i < length; ++i) {
        float sum = 0.0F;
        const std::int64_t end = std::min(i - half + w, n);
        for (std::int64_t j = std::max<std::int64_t>(i - half, 0); j < end; ++j) {
            sum += in[static_cast<std::size_t>(j)];
        }
        out[static_cast<std::size_t>(i)] = sum / divisor;
    }
}

double overlap(std::span<const Position> a, std::span<const Position> b) {
    if (a.empty() || b.empty()) return 0.0;
    std::size_t common = 0;
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.size() && j < b.size()) {
        const Position x = a[i];
        const Position y = b[j];
        common += x == y ? 1 : 0;
        i += x <= y ? 1 : 0;
        j += y <= x ? 1 : 0;
    }
    return static_cast<double>(common) / static_cast<double>(a.size());
}

void difference(std::span<const Position> a, std::span<const Position> b, Positions& out) {
    out.clear();
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
}

double median(std::vector<double> values) {
    if (values.empty()) return 0.0;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    if (values.size() % 2 == 1) return values[middle];
    return (values[middle - 1] + values[middle]) / 2.0;
}

ScoreRow ScoreRow::dense(std::span<const float> scores) {
    ScoreRow row;
    row.scores_ = scores;
    row.prompt_ = scores.size();
    row.depth_ = scores.size();
    return row;
}

ScoreRow ScoreRow::ranked(std::span<const Position> ranked, std::size_t prompt) {
    ScoreRow row;
    row.ranked_ = ranked;
    row.prompt_ = prompt;
    row.depth_ = std::min(ranked.size(), prompt);
    return row;
}

void ScoreRow::best(std::size_t n, Positions& ranked) const {
    n = std::min(n, prompt_);
    if (n > depth_) {
        throw_refused("a score row holds the best " + std::to_string(depth_) + " of " +
                      std::to_string(prompt_) + " positions, and the best " + std::to_string(n) +
                      " are needed");
    }
    if (ranked_.empty()) {
        rank_top(scores_, n, ranked);
    } else {
        ranked.assign(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(n));
    }
}

void ScoreRow::best_set(std::size_t n, Positions& ascending) const {
    best_set_within(0, prompt_, n, ascending);
}

void ScoreRow::best_set_within(std::size_t first, std::size_t last, std::size_t n,
                               Positions& ascending) const {
    HC_CHECK(first <= last);
    HC_CHECK(last <= prompt_);
    if (n >= last - first) {
        all_positions(first, last, ascending);
        return;
    }
    if (!scores_.empty()) {
        top_k(scores_.subspan(first, last - first), n, ascending);
        for (Position& position : ascending) position += static_cast<Position>(first);
        return;
    }
    ascending.clear();
    for (const Position position : ranked_) {
        if (ascending.size() == n) break;
        if (position >= first && position < last) ascending.push_back(position);
    }
    if (ascending.size() < n) {
        throw_refused("a score row holds the best " + std::to_string(depth_) + " of " +
                      std::to_string(prompt_) + " positions, too few to choose " +
                      std::to_string(n) + " of them");
    }
    sort_positions(prompt_, ascending);
}

void select_kept(const ScoreRow& row, std::int64_t capacity, std::int32_t sink, std::int32_t recent,
                 Positions& ascending) {
    HC_CHECK(capacity >= 0);
    HC_CHECK(sink >= 0);
    HC_CHECK(recent >= 0);
    const std::size_t prompt = row.prompt();
    const std::size_t kept = std::min(static_cast<std::size_t>(capacity), prompt);
    const std::size_t first = std::min(static_cast<std::size_t>(sink), kept);
    const std::size_t last = prompt - std::min(static_cast<std::size_t>(recent), kept - first);
    // Where the capacity ends inside the forced tokens nothing is left to choose.
    const std::size_t chosen = kept - first - (prompt - last);
    row.best_set_within(first, std::max(first, last), chosen, ascending);
    if (first > 0) {
        const std::size_t size = ascending.size();
        ascending.resize(size + first);
        std::copy_backward(ascending.begin(), ascending.begin() + static_cast<std::ptrdiff_t>(size),
                           ascending.end());
        std::iota(ascending.begin(), ascending.begin() + static_cast<std::ptrdiff_t>(first),
                  Position{0});
    }
    for (std::size_t i = last; i < prompt; ++i) ascending.push_back(static_cast<Position>(i));
}

}  // namespace hc::policy
