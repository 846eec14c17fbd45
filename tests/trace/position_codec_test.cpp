// Positions and values survive their coding; damaged codings are refused, never a crash.
#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "profiler/trace/position_codec.h"

namespace hc::trace {
namespace {

Positions shuffled(std::size_t prompt, std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Positions all(prompt);
    std::iota(all.begin(), all.end(), 0U);
    std::shuffle(all.begin(), all.end(), random);
    all.resize(count);
    return all;
}

TEST(PositionCodec, KeepsAnyOrder) {
    for (std::size_t prompt : {1U, 2U, 7U, 64U, 1000U, 300'000U}) {
        for (std::size_t count : {std::size_t{0}, std::size_t{1}, prompt / 3, prompt}) {
            Positions ranked = shuffled(prompt, std::min(count, prompt), prompt + count);
            EXPECT_EQ(decode_positions(encode_positions(ranked), ranked.size(), prompt), ranked);
            std::sort(ranked.begin(), ranked.end());
            EXPECT_EQ(decode_positions(encode_positions(ranked), ranked.size(), prompt), ranked);
        }
    }
    const Positions extremes = {0xfffffffeU, 0, 0xfffffffeU, 1};
    EXPECT_EQ(decode_positions(encode_positions(extremes), 4, 0xffffffffU), extremes);
}

TEST(PositionCodec, TakesFewBytes) {
    Positions run(5000);
    std::iota(run.begin(), run.end(), 100U);
    EXPECT_LT(encode_positions(run).size(), 40U);
    // Ranks in random order: 11 bits each of a prompt of 2048.
    EXPECT_LE(encode_positions(shuffled(2048, 1024, 1)).size(), 2 + 1024 * 11 / 8);
}

TEST(PositionCodec, RefusesWhatIsNotExactlyItsClaim) {
    const Positions set = {3, 5, 8, 100};
    const Blob blob = encode_positions(set);
    EXPECT_THROW((void)decode_positions(blob, 3, 200), BadData);
    EXPECT_THROW((void)decode_positions(blob, 5, 200), BadData);
    EXPECT_THROW((void)decode_positions(blob, 4, 100), BadData) << "100 is beyond the prompt";
    EXPECT_THROW((void)decode_positions({}, 4, 200), BadData);
    EXPECT_THROW((void)decode_positions(blob, 0, 200), BadData);
    EXPECT_THROW((void)decode_positions(blob, kMaxPositions + 1, 200), BadData);
    EXPECT_THROW((void)decode_positions(std::span(blob).first(blob.size() - 1), 4, 200), BadData);
}

TEST(PositionCodec, SurvivesDamage) {
    std::mt19937_64 random(9);
    const auto byte = [&] { return static_cast<std::byte>(random() & 0xff); };
    for (int round = 0; round < 20'000; ++round) {
        const std::size_t count = random() % 300;
        Positions set = shuffled(400, count, random());
        if (random() % 2 == 0) std::sort(set.begin(), set.end());
        Blob blob = encode_positions(set);
        for (std::uint64_t n = random() % 3; n > 0 && !blob.empty(); --n) {
            blob[random() % blob.size()] = byte();
        }
        if (random() % 4 == 0) blob.resize(random() % (blob.size() + 5), byte());
        try {
            const Positions back = decode_positions(blob, count, 400);
            EXPECT_EQ(back.size(), count);
            for (const Position p : back) EXPECT_LT(p, 400U);
        } catch (const BadData&) {
        }
        try {
            EXPECT_EQ(decode_values(blob, count).size() % std::max<std::size_t>(count, 1), 0U);
        } catch (const BadData&) {
        }
    }
}

TEST(ValueCodec, KeepsRatiosWithinItsStepAndTheSumExactly) {
    std::vector<float> values;
    double sum = 0;
    for (int i = 0; i < 1000; ++i) {
        values.push_back(static_cast<float>(0.2 * std::exp(-0.02 * i)));
        sum += static_cast<double>(values.back());
    }
    const std::vector<float> back = decode_values(encode_values(values), values.size());
    ASSERT_EQ(back.size(), values.size());
    // ln(max/min) = 19.98 over 254 steps: half a step is 3.9 %.
    double back_sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(back[i] / values[i], 1, 0.045);
        back_sum += static_cast<double>(back[i]);
        EXPECT_LE(back[i], back[i == 0 ? 0 : i - 1]) << "ranks stay ranks";
    }
    EXPECT_NEAR(back_sum, sum, 1e-6 * sum);
}

TEST(ValueCodec, KnowsZeroAndEqualValues) {
    const std::vector<float> values = {0.5F, 0.5F, 0, 0.5F, 0};
    EXPECT_EQ(decode_values(encode_values(values), 5), values);
    const std::vector<float> zeros(7, 0.0F);
    EXPECT_EQ(decode_values(encode_values(zeros), 7), zeros);
    EXPECT_TRUE(decode_values(encode_values({}), 0).empty());
    const std::vector<float> tiny = {1e-40F, 1e-30F, 1e-3F};
    for (const float v : decode_values(encode_values(tiny), 3)) EXPECT_TRUE(std::isfinite(v));
}

}  // namespace
}  // namespace hc::trace
