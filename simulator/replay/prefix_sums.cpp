#include "simulator/replay/prefix_sums.h"

#include <algorithm>

namespace hc::sim {
namespace {

constexpr std::int64_t kSetStride = 512;  // ranks
constexpr std::int64_t kMassStride = 64;
constexpr std::size_t kMostSetBytes = std::size_t{96} << 20;
constexpr std::size_t kMostDenseBytes = std::size_t{96} << 20;
constexpr std::size_t kMostSumBytes = std::size_t{64} << 20;

}  // namespace

PositionSet PrefixSets::best(std::span<const Position> ranked, std::int64_t count) {
    const auto words = static_cast<std::size_t>((prompt_ + 63) / 64);
    const std::int64_t stop = count / kSetStride;
    if (stop == 0)
        return PositionSet::from(ranked.first(static_cast<std::size_t>(count)), {}, words);
    auto found = rows_.find(ranked.data());
    if (found == rows_.end()) {
        const std::size_t stops = ranked.size() / kSetStride;
        const std::size_t bytes = stops * words * sizeof(std::uint64_t);
        if (bytes_ + bytes > kMostSetBytes) {
            return PositionSet::from(ranked.first(static_cast<std::size_t>(count)), {}, words);
        }
        bytes_ += bytes;
        std::vector<std::uint64_t> maps(stops * words, 0);
        for (std::size_t s = 0; s < stops; ++s) {
            std::uint64_t* map = maps.data() + s * words;
            if (s > 0) std::copy(map - words, map, map);
            for (std::size_t i = s * kSetStride; i < (s + 1) * kSetStride; ++i) {
                map[ranked[i] / 64] |= std::uint64_t{1} << (ranked[i] % 64);
            }
        }
        found = rows_.emplace(ranked.data(), std::move(maps)).first;
    }
    const std::span<const std::uint64_t> map(
        found->second.data() + static_cast<std::size_t>(stop - 1) * words, words);
    const auto from = static_cast<std::size_t>(stop * kSetStride);
    PositionSet set =
        PositionSet::from(ranked.subspan(from, static_cast<std::size_t>(count) - from), map, words);
    return set;
}

const std::vector<float>& PrefixMasses::dense(const AttentionRecord& row) {
    const auto found = dense_.find(&row);
    if (found != dense_.end()) return found->second;
    const std::size_t bytes = static_cast<std::size_t>(prompt_) * sizeof(float);
    if (dense_bytes_ + bytes > kMostDenseBytes) {
        dense_.clear();
        dense_bytes_ = 0;
    }
    dense_bytes_ += bytes;
    std::vector<float> values(static_cast<std::size_t>(prompt_), -1.0F);
    for (std::size_t i = 0; i < row.ranked.size(); ++i) {
        if (row.ranked[i] < values.size()) values[row.ranked[i]] = std::max(0.0F, row.values[i]);
    }
    return dense_.emplace(&row, std::move(values)).first->second;
}

PrefixMass PrefixMasses::of(std::span<const Position> ranked, std::int64_t count,
                            const AttentionRecord& row) {
    const std::vector<float>& values = dense(row);
    const auto add = [&](PrefixMass& sum, std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            const float value = values[ranked[i]];
            sum.known += value > 0 ? static_cast<double>(value) : 0.0;
            sum.held += value >= 0 ? 1 : 0;
        }
    };
    std::vector<PrefixMass>& sums = sums_[{ranked.data(), &row}];
    const auto stop = static_cast<std::size_t>(count / kMassStride);
    if (sums.size() <= stop) {
        // Up to where it was asked, and from there on when more is.
        if (sums.empty()) sums.emplace_back();
        sums.reserve(stop + 1);
        while (sums.size() <= stop) {
            PrefixMass next = sums.back();
            const std::size_t first = (sums.size() - 1) * kMassStride;
            add(next, first, first + kMassStride);
            sums.push_back(next);
            sums_bytes_ += sizeof(PrefixMass);
        }
    }
    PrefixMass sum = sums[stop];
    add(sum, stop * kMassStride, static_cast<std::size_t>(count));
    if (sums_bytes_ > kMostSumBytes) {
        sums_.clear();
        sums_bytes_ = 0;
    }
    return sum;
}

}  // namespace hc::sim
