#include "engine/runtime/rope_frequencies.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace hc::runtime {
namespace {

ModelShape shape(double theta) {
    ModelShape s;
    s.head_dim = 128;
    s.rope_theta = theta;
    return s;
}

TEST(RopeFrequencies, AreAGeometricSeriesWithoutScaling) {
    const auto f = rope_frequencies(shape(10000), {});
    ASSERT_EQ(f.size(), 64U);
    EXPECT_FLOAT_EQ(f[0], 1.0F);
    EXPECT_FLOAT_EQ(f[32], 0.01F);
    EXPECT_NEAR(f[63] / f[62], std::pow(10000.0, -1.0 / 64), 1e-6);
}

TEST(RopeFrequencies, ScaleLongWavelengthsOnlyAsLlama3Does) {
    ModelShape s = shape(500000);
    s.rope_scaling = {8, 1, 4, 8192};
    const auto plain = rope_frequencies(shape(500000), {});
    const auto scaled = rope_frequencies(s, {});
    for (std::size_t i = 0; i < 64; ++i) {
        const double wavelength = 2 * std::numbers::pi / static_cast<double>(plain[i]);
        const double ratio = static_cast<double>(plain[i]) / static_cast<double>(scaled[i]);
        if (wavelength < 2048) {
            EXPECT_NEAR(ratio, 1, 1e-5);
        } else if (wavelength > 8192) {
            EXPECT_NEAR(ratio, 8, 1e-4);
        } else {
            EXPECT_GT(ratio, 1);
            EXPECT_LT(ratio, 8);
        }
    }
}

TEST(RopeFrequencies, ListedFactorsWinOverTheShapesScaling) {
    ModelShape s = shape(10000);
    s.rope_scaling.factor = 8;
    std::vector<float> factors(64, 1.0F);
    factors[10] = 4.0F;
    const auto plain = rope_frequencies(shape(10000), {});
    const auto divided = rope_frequencies(s, factors);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_FLOAT_EQ(divided[i] * factors[i], plain[i]);
    factors.pop_back();
    EXPECT_THROW(static_cast<void>(rope_frequencies(s, factors)), Error);
}

TEST(RopeAngles, AreExactAtLargePositions) {
    const std::vector<float> f = {1.0F, 0.25F};
    std::vector<float> cos(6), sin(6);
    rope_angles(f, 100000, 3, cos.data(), sin.data());
    EXPECT_NEAR(cos[0], std::cos(100000.0), 1e-6);
    EXPECT_NEAR(sin[3], std::sin(100001.0 * 0.25), 1e-6);
    EXPECT_NEAR(cos[4], std::cos(100002.0), 1e-6);
}

}  // namespace
}  // namespace hc::runtime
