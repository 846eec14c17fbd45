/// Seeded inputs that hit ties, zeros and subnormals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/core/head_profile.h"

namespace hc::test {

class RandomScores {
public:
    explicit RandomScores(std::uint64_t seed) : random_(seed) {}

    [[nodiscard]] std::size_t below(std::size_t limit) { return random_() % limit; }
    [[nodiscard]] double unit() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

    /// `levels` distinct values (few: many ties), some negative, both zeros among them.
    [[nodiscard]] std::vector<float> tied(std::size_t n, std::size_t levels) {
        std::vector<float> values;
        for (std::size_t i = 0; i < n; ++i) {
            const auto level = static_cast<float>(below(levels)) - static_cast<float>(levels / 2);
            values.push_back(level == 0.0F && below(2) == 0 ? -0.0F : level * 0x1p-140F);
        }
        return values;
    }
    [[nodiscard]] std::vector<float> distinct(std::size_t n) {
        std::vector<float> values;
        for (std::size_t i = 0; i < n; ++i) values.push_back(static_cast<float>(unit()));
        return values;
    }
    [[nodiscard]] Positions subset(std::size_t of, double probability) {
        Positions chosen;
        for (std::size_t i = 0; i < of; ++i) {
            if (unit() < probability) chosen.push_back(static_cast<Position>(i));
        }
        return chosen;
    }

private:
    std::mt19937_64 random_;
};

}  // namespace hc::test
