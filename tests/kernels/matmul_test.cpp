/// The matrix products of every level against the reference.

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/reference/ops.h"
#include "random_data.h"

namespace hc::kernels::cpu {
namespace {

using test::random_floats;
using test::RandomWeight;

class MatmulAtLevel : public testing::TestWithParam<Level> {
protected:
    std::mt19937 random_{7};
    ThreadPool pool_{2};
};

std::vector<float> run(const WeightView& w, Precision precision, Level level, const float* bias,
                       const std::vector<float>& x, std::int64_t n, ThreadPool& pool) {
    const PreparedWeight prepared(w, precision, pool, level);
    MatmulWorkspace workspace(std::max<std::int64_t>(1, n), w.cols, w.rows, pool.size());
    const std::int64_t stride = w.rows + 3;
    std::vector<float> y(static_cast<std::size_t>(n * stride), -77.0f);
    matmul(prepared, bias, x.data(), n, y.data(), stride, workspace, pool);
    std::vector<float> dense;
    for (std::int64_t i = 0; i < n; ++i) {
        dense.insert(dense.end(), y.begin() + i * stride, y.begin() + i * stride + w.rows);
        for (std::int64_t r = w.rows; r < stride; ++r) {
            EXPECT_EQ(y[static_cast<std::size_t>(i * stride + r)], -77.0f) << "wrote past a row";
        }
    }
    return dense;
}

// |w| |x| per output: what rounding errors of a dot product are proportional to.
std::vector<double> absolute_products(const WeightView& w, const std::vector<float>& x,
                                      std::int64_t n) {
    std::vector<float> row(static_cast<std::size_t>(w.cols));
    std::vector<double> sums(static_cast<std::size_t>(n * w.rows));
    for (std::int64_t r = 0; r < w.rows; ++r) {
        reference::dequantize_row(w, r, row.data());
        for (std::int64_t i = 0; i < n; ++i) {
            double sum = 0;
            for (std::int64_t c = 0; c < w.cols; ++c) {
                sum += std::fabs(static_cast<double>(row[static_cast<std::size_t>(c)]) *
                                 x[static_cast<std::size_t>(i * w.cols + c)]);
            }
            sums[static_cast<std::size_t>(i * w.rows + r)] = sum;
        }
    }
    return sums;
}

struct Shape {
    std::int64_t rows, cols, n;
};

std::vector<Shape> shapes_for(DType type) {
    const std::int64_t block = block_geometry(type).elements;
    const std::int64_t cols = block == 1 ? 45 : block;
    return {{1, cols, 1},       {5, 2 * cols, 0},  {16, cols, 2},     {17, 3 * cols, 3},
            {33, 2 * cols, 4},  {48, cols, 5},     {7, 3 * cols, 12}, {65, 2 * cols, 13},
            {40, 3 * cols, 31}, {16, 5 * cols, 1}, {130, cols, 50}};
}

// fp32 sums of up to a thousand terms in another order: a few hundred units in the last place of
// the sum of absolute products at the very most, 1e-5 of it.
TEST_P(MatmulAtLevel, InFp32EqualsTheReferenceForEveryTypeAndShape) {
    for (const DType type : test::kAllTypes) {
        for (const Shape& s : shapes_for(type)) {
            const RandomWeight w(type, s.rows, s.cols, random_);
            const auto x = random_floats(static_cast<std::size_t>(s.n * s.cols), random_);
            const auto bias = random_floats(static_cast<std::size_t>(s.rows), random_);
            const float* b = s.rows % 2 == 1 ? bias.data() : nullptr;
            std::vector<float> expected(static_cast<std::size_t>(s.n * s.rows));
            reference::matmul(w.view, b, x.data(), s.n, expected.data());
            const auto got = run(w.view, Precision::kFp32, GetParam(), b, x, s.n, pool_);
            const auto bound = absolute_products(w.view, x, s.n);
            for (std::size_t i = 0; i < expected.size(); ++i) {
                ASSERT_NEAR(got[i], expected[i], 1e-5 * (bound[i] + 1.0))
                    << dtype_name(type) << " " << s.rows << "x" << s.cols << " n=" << s.n;
            }
        }
    }
}

// What quantize_panel is to do, written down plainly.
std::vector<float> through_int8(const std::vector<float>& x) {
    std::vector<float> out(x.size());
    for (std::size_t b = 0; b < x.size(); b += 32) {
        float top = 0;
        for (std::size_t i = b; i < b + 32; ++i) top = std::max(top, std::fabs(x[i]));
        if (top == 0) continue;
        for (std::size_t i = b; i < b + 32; ++i) {
            out[i] = std::nearbyint(x[i] * (127.0f / top)) * (top / 127.0f);
        }
    }
    return out;
}

// Types whose packing is exact: the product with the int8 inputs is then exact up to fp32 sums.
TEST_P(MatmulAtLevel, InInt8IsTheExactProductOfTheRoundedInputs) {
    for (const DType type :
         {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0}) {
        for (const Shape& s : shapes_for(type)) {
            const RandomWeight w(type, s.rows, s.cols, random_);
            const auto x = random_floats(static_cast<std::size_t>(s.n * s.cols), random_);
            const auto bias = random_floats(static_cast<std::size_t>(s.rows), random_);
            const float* b = s.rows % 2 == 1 ? bias.data() : nullptr;
            const auto rounded = through_int8(x);
            std::vector<float> expected(static_cast<std::size_t>(s.n * s.rows));
            reference::matmul(w.view, b, rounded.data(), s.n, expected.data());
            const auto got = run(w.view, Precision::kFast, GetParam(), b, x, s.n, pool_);
            const auto bound = absolute_products(w.view, x, s.n);
            for (std::size_t i = 0; i < expected.size(); ++i) {
                // A zero point of 128 adds cancelling terms up to 128 times a weight's scale.
                ASSERT_NEAR(got[i], expected[i], 4e-5 * (bound[i] + 1.0))
                    << dtype_name(type) << " " << s.rows << "x" << s.cols << " n=" << s.n;
            }
        }
    }
}

// An int8 step of the largest of 32 Gaussian inputs is an error of about 0.5 % of their RMS;
// Q6_K's second rounding is of the same kind. Types that stay fp32 are bound far tighter above.
TEST_P(MatmulAtLevel, InFastPrecisionErrsByAtMostOnePercentRms) {
    for (const DType type : test::kAllTypes) {
        const RandomWeight w(type, 96, 1536, random_);
        const std::int64_t n = 9;
        const auto x = random_floats(static_cast<std::size_t>(n * w.view.cols), random_);
        std::vector<float> expected(static_cast<std::size_t>(n * w.view.rows));
        reference::matmul(w.view, nullptr, x.data(), n, expected.data());
        const auto got = run(w.view, Precision::kFast, GetParam(), nullptr, x, n, pool_);
        double error = 0;
        double total = 0;
        for (std::size_t i = 0; i < got.size(); ++i) {
            error += (got[i] - expected[i]) * static_cast<double>(got[i] - expected[i]);
            total += expected[i] * static_cast<double>(expected[i]);
        }
        EXPECT_LT(std::sqrt(error / total), 0.01) << dtype_name(type);
    }
}

TEST_P(MatmulAtLevel, OfManyTargetsEqualsOneByOne) {
    const std::int64_t cols = 512;
    std::vector<RandomWeight> weights;
    weights.emplace_back(DType::kQ4_1, 70, cols, random_);
    weights.emplace_back(DType::kF16, 33, cols, random_);
    weights.emplace_back(DType::kQ8_0, 16, cols, random_);
    weights.emplace_back(DType::kQ6_K, 1, cols, random_);
    for (const std::int64_t n : {1, 2, 6, 40}) {
        const auto x = random_floats(static_cast<std::size_t>(n * cols), random_);
        std::vector<PreparedWeight> prepared;
        std::vector<std::vector<float>> y;
        for (const auto& w : weights) {
            prepared.emplace_back(w.view, Precision::kFast, pool_, GetParam());
            y.emplace_back(static_cast<std::size_t>(n * w.view.rows));
        }
        MatmulWorkspace workspace(n, cols, 70, pool_.size());
        MatmulTarget targets[4];
        for (std::size_t t = 0; t < 4; ++t) {
            targets[t] = {&prepared[t], nullptr, y[t].data(), weights[t].view.rows};
        }
        matmul_many(targets, 4, x.data(), n, workspace, pool_);
        for (std::size_t t = 0; t < 4; ++t) {
            EXPECT_EQ(y[t],
                      run(weights[t].view, Precision::kFast, GetParam(), nullptr, x, n, pool_));
        }
    }
}

TEST_P(MatmulAtLevel, OfZeroInputsIsTheBias) {
    const RandomWeight w(DType::kQ8_0, 20, 64, random_);
    const auto bias = random_floats(20, random_);
    const std::vector<float> x(2 * 64, 0.0f);
    const auto y = run(w.view, Precision::kFast, GetParam(), bias.data(), x, 2, pool_);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], bias[i % 20]);
}

TEST_P(MatmulAtLevel, SurvivesTheLargestCodes) {
    // 255 * 127 twice overflows 16 bits, which the AVX2 path must avoid.
    std::vector<std::byte> bytes(34 * 16);
    for (std::size_t r = 0; r < 16; ++r) {
        bytes[r * 34] = std::byte{0x00};
        bytes[r * 34 + 1] = std::byte{0x3c};  // scale 1
        for (std::size_t i = 0; i < 32; ++i) {
            bytes[r * 34 + 2 + i] = r % 2 == 0 ? std::byte{127} : std::byte{0x80};
        }
    }
    const WeightView w{DType::kQ8_0, bytes.data(), 16, 32};
    const std::vector<float> x(32, -127.0f);
    const auto y = run(w, Precision::kFast, GetParam(), nullptr, x, 1, pool_);
    EXPECT_NEAR(y[0], -127.0 * 127 * 32, 1.0);
    EXPECT_NEAR(y[1], 127.0 * 128 * 32, 1.0);
}

INSTANTIATE_TEST_SUITE_P(All, MatmulAtLevel, testing::ValuesIn(supported_levels()),
                         test::level_title);

TEST(PreparedWeight, OfPackedQ41ReadsAsManyBytesAsTheFile) {
    std::mt19937 random(3);
    ThreadPool pool(1);
    const RandomWeight w(DType::kQ4_1, 64, 320, random);
    EXPECT_EQ(PreparedWeight(w.view, Precision::kFast, pool).size_bytes(),
              static_cast<std::int64_t>(w.view.size_bytes()));
    EXPECT_EQ(PreparedWeight(w.view, Precision::kFp32, pool).size_bytes(),
              static_cast<std::int64_t>(w.view.size_bytes()));
}

}  // namespace
}  // namespace hc::kernels::cpu
