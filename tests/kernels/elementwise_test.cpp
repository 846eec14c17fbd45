/// Element-wise operators of every level against the reference, and the conversions they use.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "engine/core/half.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/ops.h"
#include "kernels/reference/ops.h"
#include "random_data.h"

namespace hc::kernels::cpu {
namespace {

using test::random_floats;

constexpr std::int64_t kSizes[] = {0, 1, 3, 4, 15, 16, 17, 33, 64, 100, 576};

TEST(Half, ComesBackFromEveryBitPattern) {
    for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
        const float value = half_to_float(static_cast<std::uint16_t>(bits));
        if (std::isnan(value)) continue;
        ASSERT_EQ(float_to_half(value), bits);
    }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
    // Halfway between any two neighbouring finite halves lies a float; its neighbours decide.
    for (std::uint16_t bits = 0; bits < 0x7bffu; ++bits) {
        const float low = half_to_float(bits);
        const float high = half_to_float(static_cast<std::uint16_t>(bits + 1));
        const float middle = low + (high - low) / 2;
        ASSERT_EQ(float_to_half(middle), bits % 2 == 0 ? bits : bits + 1);
        ASSERT_EQ(float_to_half(std::nextafter(middle, low)), bits);
        ASSERT_EQ(float_to_half(std::nextafter(middle, high)), bits + 1);
    }
    EXPECT_EQ(float_to_half(65519.99f), 0x7bff);
    EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
    EXPECT_EQ(float_to_half(-1e-9f), 0x8000);
    EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xfc00);
    EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::nanf("")))));
}

class ElementwiseAtLevel : public testing::TestWithParam<Level> {
protected:
    const KernelTable& kernels() const { return kernels_for(GetParam()); }
    std::mt19937 random_{5};
};

TEST_P(ElementwiseAtLevel, AddAddsExactly) {
    for (const std::int64_t size : kSizes) {
        auto x = random_floats(static_cast<std::size_t>(size), random_);
        const auto y = random_floats(x.size(), random_);
        auto expected = x;
        for (std::size_t i = 0; i < x.size(); ++i) expected[i] += y[i];
        kernels().add(x.data(), y.data(), size);
        EXPECT_EQ(x, expected);
    }
}

TEST_P(ElementwiseAtLevel, SiluMulEqualsTheReferenceFromFlatToSteep) {
    for (const std::int64_t size : kSizes) {
        auto gate = random_floats(static_cast<std::size_t>(size), random_, 30.0f);
        if (size > 15) {
            gate[0] = -200.0f;
            gate[1] = 200.0f;
            gate[2] = 0.0f;
        }
        const auto up = random_floats(gate.size(), random_);
        std::vector<float> expected(gate.size());
        std::vector<float> out(gate.size());
        reference::silu_mul(gate.data(), up.data(), size, expected.data());
        kernels().silu_mul(gate.data(), up.data(), size, out.data());
        for (std::size_t i = 0; i < out.size(); ++i) {
            ASSERT_NEAR(out[i], expected[i], 1e-6 * std::fabs(expected[i]) + 1e-30) << gate[i];
        }
    }
}

TEST_P(ElementwiseAtLevel, RmsNormEqualsTheReference) {
    for (const std::int64_t size : kSizes) {
        if (size == 0) continue;
        const auto x = random_floats(static_cast<std::size_t>(3 * size), random_, 4.0f);
        const auto weight = random_floats(static_cast<std::size_t>(size), random_);
        std::vector<float> expected(x.size());
        std::vector<float> out(x.size());
        reference::rms_norm(x.data(), weight.data(), 3, size, 1e-5f, expected.data());
        kernels().rms_norm(x.data(), weight.data(), 3, size, 1e-5f, out.data());
        for (std::size_t i = 0; i < out.size(); ++i) {
            ASSERT_NEAR(out[i], expected[i], 2e-6 * std::fabs(expected[i]));
        }
    }
}

TEST_P(ElementwiseAtLevel, RopeFromATableEqualsTheReference) {
    for (const bool interleaved : {false, true}) {
        for (const std::int64_t dim : {2, 6, 16, 64, 80, 128}) {
            std::vector<float> frequency(static_cast<std::size_t>(dim / 2));
            for (std::size_t i = 0; i < frequency.size(); ++i) {
                frequency[i] =
                    std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(dim));
            }
            auto expected = random_floats(static_cast<std::size_t>(3 * dim), random_);
            auto x = expected;
            auto through_best = expected;
            const std::int64_t position = 4321;
            std::vector<float> cosine(frequency.size());
            std::vector<float> sine(frequency.size());
            for (std::size_t i = 0; i < frequency.size(); ++i) {
                cosine[i] = std::cos(static_cast<float>(position) * frequency[i]);
                sine[i] = std::sin(static_cast<float>(position) * frequency[i]);
            }
            reference::rope(expected.data(), 3, dim, position, frequency.data(), interleaved);
            kernels().rope_table(x.data(), 3, dim, cosine.data(), sine.data(), interleaved);
            rope(through_best.data(), 3, dim, position, frequency.data(), interleaved);
            for (std::size_t i = 0; i < x.size(); ++i) {
                ASSERT_NEAR(x[i], expected[i], 1e-6);
                ASSERT_NEAR(through_best[i], expected[i], 1e-6);
            }
        }
    }
}

TEST_P(ElementwiseAtLevel, StoreKvKeepsFloatsAndRoundsHalvesExactly) {
    for (const std::int64_t size : kSizes) {
        auto src = random_floats(static_cast<std::size_t>(size), random_);
        if (size > 20) {
            src[0] = 1e6f;
            src[1] = 1e-7f;
            src[2] = -0.0f;
        }
        std::vector<std::byte> wide(src.size() * 4 + 1);
        std::vector<std::byte> narrow(src.size() * 2 + 1);
        kernels().store_kv(src.data(), size, KvType::kF32, wide.data());
        kernels().store_kv(src.data(), size, KvType::kF16, narrow.data());
        if (size > 0) {
            EXPECT_EQ(std::memcmp(wide.data(), src.data(), src.size() * 4), 0);
        }
        for (std::size_t i = 0; i < src.size(); ++i) {
            std::uint16_t half = 0;
            std::memcpy(&half, narrow.data() + 2 * i, 2);
            ASSERT_EQ(half, float_to_half(src[i])) << src[i];
        }
        EXPECT_EQ(narrow.back(), std::byte{0});
    }
}

TEST_P(ElementwiseAtLevel, DequantizesEveryTypeAsTheReference) {
    for (const DType type : test::kAllTypes) {
        const std::int64_t block = block_geometry(type).elements;
        const test::RandomWeight w(type, 3, block == 1 ? 77 : 3 * block, random_);
        std::vector<float> expected(static_cast<std::size_t>(w.view.cols));
        std::vector<float> out(expected.size());
        for (std::int64_t row = 0; row < 3; ++row) {
            reference::dequantize_row(w.view, row, expected.data());
            kernels().dequantize_row(w.view, row, out.data());
            for (std::size_t i = 0; i < out.size(); ++i) {
                ASSERT_NEAR(out[i], expected[i], 1e-6 * (std::fabs(expected[i]) + 0.1))
                    << dtype_name(type);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, ElementwiseAtLevel, testing::ValuesIn(supported_levels()),
                         test::level_title);

TEST(GatherRows, CopiesRowsInOrderAndCountsRuns) {
    std::vector<std::byte> src(100 * 24);
    for (std::size_t i = 0; i < src.size(); ++i) src[i] = static_cast<std::byte>(i * 7);
    const std::vector<std::uint32_t> rows = {3, 4, 5, 9, 8, 50, 51, 99};
    std::vector<std::byte> dst(rows.size() * 24);
    EXPECT_EQ(gather_rows(src.data(), 24, rows.data(), 8, dst.data()), 5);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(std::memcmp(dst.data() + i * 24, src.data() + rows[i] * 24, 24), 0);
    }
    EXPECT_EQ(gather_rows(src.data(), 24, rows.data(), 0, dst.data()), 0);
}

}  // namespace
}  // namespace hc::kernels::cpu
