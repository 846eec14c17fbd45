#include "kernels/cuda/ops.h"

#include <cmath>

#include "engine/core/dtype.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;
namespace reference = kernels::reference;

// One rounding to bf16 of a value computed in fp32: half a unit is 2^-9.
void expect_rounded(const std::vector<float>& found, const std::vector<float>& expected,
                    double absolute = 1e-4) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], absolute + std::abs(expected[i]) / 250)
            << "element " << i;
    }
}

class DeviceOps : public DeviceTest {};

TEST_F(DeviceOps, EmbeddingCopiesRowsAndGivesZerosForUnknownIds) {
    std::mt19937 random(1);
    constexpr std::int64_t kDim = 1032;
    const auto table = random_bf16(50 * kDim, random);
    const std::vector<std::int32_t> ids = {49, 0, -1, 50, 7};
    const DeviceArray<Bf16> device_table(table);
    const DeviceArray<std::int32_t> device_ids(ids);
    const DeviceArray<Bf16> out(ids.size() * kDim);
    HC_ASSERT_CUDA(kernels::cuda::embedding(device_table.get(), 50, kDim, device_ids.get(), 5,
                                            out.get(), nullptr));
    std::vector<Bf16> expected;
    for (const auto id : ids) {
        for (std::int64_t d = 0; d < kDim; ++d) {
            const bool known = id >= 0 && id < 50;
            expected.push_back(known ? table[static_cast<std::size_t>(id * kDim + d)] : Bf16{0});
        }
    }
    EXPECT_EQ(out.read(), expected);
}

TEST_F(DeviceOps, RmsNormEqualsTheTwinAndAddsTheResidual) {
    std::mt19937 random(2);
    for (const std::size_t dim : {8u, 576u, 4096u, 5120u, 16384u}) {
        const auto x = random_bf16(3 * dim, random, 3.0f);
        const auto add = random_bf16(3 * dim, random, 3.0f);
        const auto weight = random_bf16(dim, random);
        const DeviceArray<Bf16> dx(x);
        const DeviceArray<Bf16> dw(weight);
        for (const bool with_residual : {false, true}) {
            const DeviceArray<Bf16> residual(add);
            const DeviceArray<Bf16> out(3 * dim);
            HC_ASSERT_CUDA(kernels::cuda::rms_norm(
                dx.get(), with_residual ? residual.get() : nullptr, dw.get(), 3,
                static_cast<std::int64_t>(dim), 1e-5f, out.get(), nullptr));
            std::vector<float> sum = from_bf16(x);
            if (with_residual) {
                for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += from_bf16(add[i]);
                expect_rounded(from_bf16(residual.read()), sum);
            }
            std::vector<float> expected(3 * dim);
            const auto w = from_bf16(weight);
            reference::rms_norm(sum.data(), w.data(), 3, static_cast<std::int64_t>(dim), 1e-5f,
                                expected.data());
            expect_rounded(from_bf16(out.read()), expected);
        }
    }
}

TEST_F(DeviceOps, SiluMulEqualsTheTwin) {
    std::mt19937 random(3);
    for (const std::size_t width : {8u, 1536u, 14336u}) {
        const auto gate_up = random_bf16(2 * 2 * width, random, 4.0f);
        const DeviceArray<Bf16> in(gate_up);
        const DeviceArray<Bf16> out(2 * width);
        HC_ASSERT_CUDA(kernels::cuda::silu_mul(in.get(), 2, static_cast<std::int64_t>(width),
                                               out.get(), nullptr));
        const auto values = from_bf16(gate_up);
        std::vector<float> expected(2 * width);
        for (std::size_t row = 0; row < 2; ++row) {
            reference::silu_mul(&values[2 * width * row], &values[2 * width * row + width],
                                static_cast<std::int64_t>(width), &expected[width * row]);
        }
        expect_rounded(from_bf16(out.read()), expected);
    }
}

TEST_F(DeviceOps, RopeAppendRotatesAndFillsTheNextSlotOfEveryPair) {
    std::mt19937 random(4);
    constexpr std::int32_t kQo = 6, kKv = 2, kPage = 16, kPages = 12, kSequences = 3;
    for (const std::int32_t dim : {64, 96, 128, 256}) {
        for (const bool interleaved : {false, true}) {
            const auto half = static_cast<std::size_t>(dim / 2);
            const auto width = static_cast<std::size_t>(dim);
            std::vector<float> inv_freq(half);
            for (std::size_t i = 0; i < half; ++i) {
                inv_freq[i] =
                    std::pow(500000.0f, -static_cast<float>(i) / static_cast<float>(half));
            }
            const std::vector<std::int32_t> positions = {0, 31, 200123};
            const std::vector<std::int32_t> lengths = {0, 15, 16, 17, 31, 5};
            const std::vector<std::int32_t> indptr = {0, 2, 4, 6, 8, 10};
            const std::vector<std::int32_t> indices = {3, 7, 1, 0, 11, 5, 2, 4, 6, 8, 9, 10};
            const auto qkv = random_bf16(kSequences * (kQo + 2 * kKv) * width, random);
            const DeviceArray<Bf16> pages(std::size_t{kPages} * 2 * kPage * width);
            const auto before = pages.read();
            const DeviceArray<Bf16> in(qkv), q_out(kSequences * kQo * width);
            const DeviceArray<std::int32_t> p(positions), l(lengths), ptr(indptr), ind(indices);
            const DeviceArray<float> f(inv_freq);
            const kernels::cuda::PagedKvCache cache{pages.get(),      ind.get(), ptr.get(), l.get(),
                                                    kSequences * kKv, kPage,     dim};
            HC_ASSERT_CUDA(kernels::cuda::rope_append(in.get(), p.get(), f.get(), interleaved,
                                                      kSequences, kQo, kKv, cache, q_out.get(),
                                                      nullptr));
            const auto found_q = from_bf16(q_out.read());
            const auto found_pages = pages.read();
            const auto found_lengths = l.read();
            std::vector<Bf16> untouched = found_pages;
            for (std::size_t s = 0; s < kSequences; ++s) {
                std::vector<float> token = from_bf16(std::vector<Bf16>(
                    qkv.begin() + static_cast<std::ptrdiff_t>(s * (kQo + 2 * kKv) * width),
                    qkv.begin() + static_cast<std::ptrdiff_t>((s + 1) * (kQo + 2 * kKv) * width)));
                reference::rope(token.data(), kQo + kKv, dim, positions[s], inv_freq.data(),
                                interleaved);
                expect_rounded(
                    {found_q.begin() + static_cast<std::ptrdiff_t>(s * kQo * width),
                     found_q.begin() + static_cast<std::ptrdiff_t>((s + 1) * kQo * width)},
                    {token.begin(), token.begin() + static_cast<std::ptrdiff_t>(kQo * width)},
                    2e-3);
                for (std::size_t h = 0; h < kKv; ++h) {
                    const std::size_t pair = s * kKv + h;
                    EXPECT_EQ(found_lengths[pair], lengths[pair] + 1);
                    const auto slot = static_cast<std::size_t>(lengths[pair]);
                    const auto page = static_cast<std::size_t>(
                        indices[static_cast<std::size_t>(indptr[pair]) + slot / kPage]);
                    const std::size_t key = (page * 2 * kPage + slot % kPage) * width;
                    const std::size_t value = key + kPage * width;
                    for (std::size_t d = 0; d < width; ++d) {
                        const float k = token[(kQo + h) * width + d];
                        ASSERT_NEAR(from_bf16(found_pages[key + d]), k, 2e-3 + std::abs(k) / 250);
                        ASSERT_EQ(from_bf16(found_pages[value + d]),
                                  token[(kQo + kKv + h) * width + d]);
                        untouched[key + d] = before[key + d];
                        untouched[value + d] = before[value + d];
                    }
                }
            }
            EXPECT_EQ(untouched, before);
        }
    }
}

TEST_F(DeviceOps, SmallMatmulEqualsTheTwinForBatchesOfOneToEight) {
    std::mt19937 random(5);
    struct Size {
        std::size_t rows, cols;
    };
    for (const Size size : {Size{1, 32}, Size{17, 96}, Size{576, 1536}, Size{100, 4096},
                            Size{16400, 288}, Size{64, 14336}}) {
        for (std::int32_t n = 1; n <= 8; ++n) {
            const auto w = random_bf16(size.rows * size.cols, random, 0.05f);
            const auto x = random_bf16(static_cast<std::size_t>(n) * size.cols, random);
            const auto bias = random_bf16(size.rows, random);
            const bool with_bias = n % 2 == 0;
            const DeviceArray<Bf16> dw(w), dx(x), db(bias);
            const std::size_t count = static_cast<std::size_t>(n) * size.rows;
            const DeviceArray<float> wide(count);
            const DeviceArray<Bf16> narrow(count);
            const auto rows = static_cast<std::int64_t>(size.rows);
            const auto cols = static_cast<std::int64_t>(size.cols);
            using kernels::cuda::OutType;
            const Bf16* b = with_bias ? db.get() : nullptr;
            HC_ASSERT_CUDA(kernels::cuda::small_matmul(dw.get(), rows, cols, b, dx.get(), n,
                                                       wide.get(), OutType::kF32, nullptr));
            HC_ASSERT_CUDA(kernels::cuda::small_matmul(dw.get(), rows, cols, b, dx.get(), n,
                                                       narrow.get(), OutType::kBf16, nullptr));
            const WeightView view{DType::kBF16, reinterpret_cast<const std::byte*>(w.data()), rows,
                                  cols};
            const auto bias_values = from_bf16(bias);
            const auto x_values = from_bf16(x);
            std::vector<float> expected(count);
            reference::matmul(view, with_bias ? bias_values.data() : nullptr, x_values.data(), n,
                              expected.data());
            const auto found = wide.read();
            // fp32 sums of up to 14336 products of deviation 0.05.
            for (std::size_t i = 0; i < count; ++i) {
                ASSERT_NEAR(found[i], expected[i], 1e-3 + 1e-5 * std::abs(expected[i]))
                    << size.rows << " x " << size.cols << ", n " << n << ", element " << i;
            }
            expect_rounded(from_bf16(narrow.read()), expected, 2e-3);
        }
    }
}

TEST_F(DeviceOps, RefuseShapesTheyDoNotHave) {
    using kernels::cuda::OutType;
    EXPECT_EQ(kernels::cuda::small_matmul(nullptr, 4, 33, nullptr, nullptr, 1, nullptr,
                                          OutType::kF32, nullptr),
              cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::small_matmul(nullptr, 4, 32, nullptr, nullptr, 9, nullptr,
                                          OutType::kF32, nullptr),
              cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::silu_mul(nullptr, 1, 12, nullptr, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc::test
