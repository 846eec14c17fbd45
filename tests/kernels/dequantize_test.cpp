/// Stored blocks against the values that the Python package `gguf` gives for them.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "dequant_goldens.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/reference/ops.h"

namespace hc::kernels {
namespace {

WeightView view_of(const test::DequantGolden& golden) {
    return {golden.type, reinterpret_cast<const std::byte*>(golden.blocks), 1,
            static_cast<std::int64_t>(golden.num_values)};
}

TEST(Dequantize, OfTheReferenceEqualsThePythonPackageBitForBit) {
    for (const test::DequantGolden& golden : test::kDequantGoldens) {
        const WeightView w = view_of(golden);
        ASSERT_EQ(w.size_bytes(), golden.num_bytes) << dtype_name(golden.type);
        std::vector<float> out(golden.num_values);
        reference::dequantize_row(w, 0, out.data());
        for (std::size_t i = 0; i < out.size(); ++i) {
            const float expected = std::bit_cast<float>(golden.values[i]);
#if defined(__x86_64__)
            ASSERT_EQ(out[i], expected) << dtype_name(golden.type) << " at " << i;
#else  // other compilers' baselines fuse multiply and add
            ASSERT_NEAR(out[i], expected, 1e-6f * (std::fabs(expected) + 0.1f))
                << dtype_name(golden.type) << " at " << i;
#endif
        }
    }
}

TEST(Dequantize, OfEveryLevelEqualsThePythonPackageUpToRounding) {
    for (const cpu::Level level : cpu::supported_levels()) {
        for (const test::DequantGolden& golden : test::kDequantGoldens) {
            std::vector<float> out(golden.num_values);
            cpu::kernels_for(level).dequantize_row(view_of(golden), 0, out.data());
            for (std::size_t i = 0; i < out.size(); ++i) {
                const float expected = std::bit_cast<float>(golden.values[i]);
                // scale * code - minimum may cancel; both are below 0.1 * 63 * 31 here.
                ASSERT_NEAR(out[i], expected, 1e-6f * (std::fabs(expected) + 10.0f))
                    << dtype_name(golden.type) << " at " << i;
            }
        }
    }
}

TEST(Dequantize, ReadsFloatsAsTheyAre) {
    const float values[] = {1.5f, -0.0f, 3e38f};
    float out[3] = {};
    reference::dequantize_row({DType::kF32, reinterpret_cast<const std::byte*>(values), 1, 3}, 0,
                              out);
    EXPECT_EQ(std::memcmp(values, out, sizeof(out)), 0);
}

}  // namespace
}  // namespace hc::kernels
