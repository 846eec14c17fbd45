/// What sets that are the best n of one ranked row have in common whatever n is, kept so that a new
/// budget costs little: bitmaps and probability masses at every so many ranks.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/core/records.h"
#include "simulator/replay/position_set.h"

namespace hc::sim {

/// Bitmaps of the best 512, 1024, ... positions of ranked rows, as far as memory allows.
class PrefixSets {
public:
    explicit PrefixSets(std::int64_t prompt) : prompt_(prompt) {}
    /// The best `count` of `ranked`, at most as many as it holds. `ranked` must stay where it is.
    [[nodiscard]] PositionSet best(std::span<const Position> ranked, std::int64_t count);

private:
    std::int64_t prompt_;
    std::unordered_map<const Position*, std::vector<std::uint64_t>> rows_;  // bitmaps, one by one
    std::size_t bytes_ = 0;
};

/// Probability on the best n positions of a ranked row, for a probability row of another step.
struct PrefixMass {
    double known = 0;       ///< on positions that the probability row holds
    std::int64_t held = 0;  ///< how many these are
};

class PrefixMasses {
public:
    explicit PrefixMasses(std::int64_t prompt) : prompt_(prompt) {}
    /// Rows must stay where they are. Positions of `ranked` are below the prompt.
    [[nodiscard]] PrefixMass of(std::span<const Position> ranked, std::int64_t count,
                                const AttentionRecord& row);

private:
    struct Key {
        const Position* ranked = nullptr;
        const AttentionRecord* row = nullptr;
        [[nodiscard]] bool operator==(const Key&) const = default;
    };
    struct KeyHash {
        std::size_t operator()(const Key& key) const {
            return std::hash<const void*>()(key.ranked) * 0x9e3779b97f4a7c15ULL ^
                   std::hash<const void*>()(key.row);
        }
    };
    const std::vector<float>& dense(const AttentionRecord& row);

    std::int64_t prompt_;
    std::unordered_map<const AttentionRecord*, std::vector<float>> dense_;  // -1: not held
    std::unordered_map<Key, std::vector<PrefixMass>, KeyHash> sums_;        // at every kMassStride
    std::size_t dense_bytes_ = 0;
    std::size_t sums_bytes_ = 0;
};

}  // namespace hc::sim
