#include "profiler/activity/clock_fit.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/core/clock.h"

namespace hc::activity {
namespace {

constexpr std::int64_t kEpoch = 1'790'000'000'000'000'000;  // CLOCK_REALTIME's order of size

/// The other clock's reading of our time `ours`, `ppm` fast.
std::int64_t other(std::int64_t ours, double ppm) {
    return kEpoch + ours + static_cast<std::int64_t>(static_cast<double>(ours) * ppm * 1e-6);
}

ClockPair pair_at(std::int64_t ours, double ppm, std::int64_t width = 100) {
    return {ours - width / 2, other(ours, ppm), ours + width / 2};
}

TEST(ClockFit, ConvertsBetweenPairsAlongTheDrift) {
    ClockFit fit;
    for (std::int64_t ours = 0; ours <= 10'000'000'000; ours += 200'000'000) {
        fit.add(pair_at(ours, 50));
    }
    ClockConverter convert = fit.converter();
    for (std::int64_t ours = 0; ours <= 10'000'000'000; ours += 33'333'333) {
        EXPECT_NEAR(ours, convert(other(ours, 50)), 2) << ours;
    }
    // 50 ppm of 200 ms, and half of the bracket.
    EXPECT_EQ(10'000 + 50, fit.error_ns());
    EXPECT_EQ(0, fit.steps());
}

TEST(ClockFit, UsesTheNearestOffsetOutsideOfItsPairs) {
    ClockFit fit;
    fit.add(pair_at(1'000'000'000, 0));
    fit.add(pair_at(2'000'000'000, 0));
    ClockConverter convert = fit.converter();
    EXPECT_EQ(0, convert(kEpoch));
    EXPECT_EQ(5'000'000'123, convert(kEpoch + 5'000'000'123));
    EXPECT_EQ(-7, convert(kEpoch - 7));
}

TEST(ClockFit, WithoutAPairTimesStayAsTheyAre) {
    ClockFit fit;
    ClockConverter convert = fit.converter();
    EXPECT_EQ(kEpoch, convert(kEpoch));
    EXPECT_EQ(0, fit.error_ns());
}

TEST(ClockFit, CountsAStepOfTheOtherClockAndAdmitsTheError) {
    for (const std::int64_t step : {5'000'000'000LL, -5'000'000'000LL}) {
        ClockFit fit;
        fit.add(pair_at(0, 0));
        fit.add(pair_at(1'000'000'000, 0));
        ClockPair after = pair_at(2'000'000'000, 0);
        after.other_ns += step;
        fit.add(after);
        EXPECT_EQ(1, fit.steps());
        EXPECT_GE(fit.error_ns(), std::abs(step));
        ClockConverter convert = fit.converter();
        EXPECT_EQ(2'500'000'000, convert(kEpoch + 2'500'000'000 + step));
    }
}

TEST(ClockFit, KeepsTheLatestPairsOnly) {
    ClockFit fit(8);
    for (std::int64_t i = 0; i < 1000; ++i) fit.add(pair_at(i * 1'000'000, 100));
    ClockConverter convert = fit.converter();
    EXPECT_NEAR(998'500'000, convert(other(998'500'000, 100)), 2);
}

TEST(ClockFit, TakesTheTightestOfItsReadings) {
    int calls = 0;
    const auto pair = read_pair([&]() -> std::optional<std::int64_t> {
        if (++calls != 3) {
            const std::int64_t until = now_ns() + 200'000;
            while (now_ns() < until) {
            }
        }
        return calls;
    }, 5);
    ASSERT_TRUE(pair);
    EXPECT_EQ(3, pair->other_ns);
    EXPECT_EQ(5, calls);
    EXPECT_LE(pair->before_ns, pair->after_ns);
    EXPECT_FALSE(read_pair([]() -> std::optional<std::int64_t> { return std::nullopt; }));
}

}  // namespace
}  // namespace hc::activity
