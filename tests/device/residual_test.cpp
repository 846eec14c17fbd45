/// The operators of a residual stream in fp32.

#include <cmath>

#include "kernels/cuda/ops.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;

class DeviceResidual : public DeviceTest {};

TEST_F(DeviceResidual, EmbeddingHoldsTheRowsExactlyAndZerosForUnknownIds) {
    std::mt19937 random(61);
    for (const std::int64_t dim : {8, 576, 1032}) {
        const auto table = random_bf16(static_cast<std::size_t>(50 * dim), random);
        const std::vector<std::int32_t> ids = {49, 0, -1, 50, 7};
        const DeviceArray<Bf16> device_table(table);
        const DeviceArray<std::int32_t> device_ids(ids);
        const DeviceArray<float> out(ids.size() * static_cast<std::size_t>(dim));
        HC_ASSERT_CUDA(kernels::cuda::embedding_f32(device_table.get(), 50, dim, device_ids.get(),
                                                    5, out.get(), nullptr));
        std::vector<float> expected;
        for (const auto id : ids) {
            for (std::int64_t d = 0; d < dim; ++d) {
                const bool known = id >= 0 && id < 50;
                expected.push_back(known ? from_bf16(table[static_cast<std::size_t>(id * dim + d)])
                                         : 0.0f);
            }
        }
        EXPECT_EQ(out.read(), expected);
    }
}

TEST_F(DeviceResidual, RmsNormAddsInFp32AndEqualsTheTwin) {
    std::mt19937 random(62);
    std::normal_distribution<float> normal(0.0f, 3.0f);
    for (const std::size_t dim : {8u, 576u, 4096u, 5120u, 16384u}) {
        const std::size_t count = 3 * dim;
        const auto add = random_bf16(count, random, 0.01f);
        const auto weight = random_bf16(dim, random);
        std::vector<float> stream(count);
        for (auto& v : stream) v = normal(random);
        const DeviceArray<Bf16> device_add(add), device_weight(weight);
        for (const bool with_add : {false, true}) {
            for (const bool with_out : {false, true}) {
                const DeviceArray<float> residual(stream);
                const DeviceArray<Bf16> out(count);
                const auto untouched = out.read();
                HC_ASSERT_CUDA(kernels::cuda::rms_norm_residual(
                    with_add ? device_add.get() : nullptr, residual.get(), device_weight.get(), 3,
                    static_cast<std::int64_t>(dim), 1e-5f, with_out ? out.get() : nullptr,
                    nullptr));
                std::vector<float> sum = stream;
                for (std::size_t i = 0; with_add && i < count; ++i) sum[i] += from_bf16(add[i]);
                EXPECT_EQ(residual.read(), sum);
                if (!with_out) {
                    EXPECT_EQ(out.read(), untouched);
                    continue;
                }
                std::vector<float> expected(count);
                const auto w = from_bf16(weight);
                kernels::reference::rms_norm(sum.data(), w.data(), 3,
                                             static_cast<std::int64_t>(dim), 1e-5f,
                                             expected.data());
                const auto found = from_bf16(out.read());
                for (std::size_t i = 0; i < count; ++i) {
                    ASSERT_NEAR(found[i], expected[i], 1e-4 + std::abs(expected[i]) / 250)
                        << "dim " << dim << " element " << i;
                }
            }
        }
    }
}

TEST_F(DeviceResidual, RefusesShapesItDoesNotHave) {
    EXPECT_EQ(
        kernels::cuda::rms_norm_residual(nullptr, nullptr, nullptr, 1, 12, 1e-5f, nullptr, nullptr),
        cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::embedding_f32(nullptr, 4, 12, nullptr, 1, nullptr, nullptr),
              cudaErrorInvalidValue);
    EXPECT_EQ(
        kernels::cuda::rms_norm_residual(nullptr, nullptr, nullptr, 0, 8, 1e-5f, nullptr, nullptr),
        cudaSuccess);
}

}  // namespace
}  // namespace hc::test
