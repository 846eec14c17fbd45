#include "kernels/cuda/dequantize.h"

#include <algorithm>

#include "engine/core/dtype.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;
using kernels::cuda::HalfSplit;

constexpr DType kTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0,
                            DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                            DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// Any finite half, subnormal ones and both zeros among them.
void put_half(std::byte* p, std::mt19937& random) {
    std::uint16_t bits = 0x7c00;
    while ((bits & 0x7c00U) == 0x7c00U) bits = static_cast<std::uint16_t>(random());
    std::memcpy(p, &bits, 2);
}

// Random bytes, so that every code of the format occurs.
std::vector<std::byte> random_blocks(DType type, std::size_t values, std::mt19937& random) {
    const BlockGeometry g = block_geometry(type);
    std::vector<std::byte> bytes(values / g.elements * g.bytes);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    for (std::size_t at = 0; at < bytes.size(); at += g.bytes) {
        std::byte* p = bytes.data() + at;
        if (type == DType::kF32 || type == DType::kBF16) {  // of any exponent, but finite
            std::byte& top = p[g.bytes - 1];
            if ((top & std::byte{0x7f}) == std::byte{0x7f}) top &= std::byte{0xbf};
        } else if (type == DType::kQ6_K) {
            put_half(p + 208, random);
        } else {
            put_half(p, random);
            const bool two = type == DType::kQ4_1 || type == DType::kQ5_1 || type == DType::kQ4_K ||
                             type == DType::kQ5_K;
            if (two) put_half(p + 2, random);
        }
    }
    return bytes;
}

std::int64_t source_row(std::int64_t row, HalfSplit split) {
    if (split.head_dim == 0) return row;
    const std::int64_t at = row % split.head_dim;
    const std::int64_t half = split.head_dim / 2;
    return row - at + (at < half ? 2 * at : 2 * (at - half) + 1);
}

void check(DType type, std::int64_t rows, std::int64_t cols, HalfSplit split,
           std::mt19937& random) {
    SCOPED_TRACE(testing::Message()
                 << dtype_name(type) << " " << rows << " x " << cols << " head " << split.head_dim);
    const auto count = static_cast<std::size_t>(rows * cols);
    const auto blocks = random_blocks(type, count, random);
    const DeviceArray<std::byte> in(blocks);
    const DeviceArray<Bf16> out(count);
    HC_ASSERT_CUDA(
        kernels::cuda::dequantize(type, in.get(), rows, cols, out.get(), nullptr, split));
    const WeightView view{type, blocks.data(), rows, cols};
    std::vector<float> row(static_cast<std::size_t>(cols));
    std::vector<Bf16> expected;
    for (std::int64_t r = 0; r < rows; ++r) {
        kernels::reference::dequantize_row(view, source_row(r, split), row.data());
        for (const float v : row) expected.push_back(to_bf16(v));
    }
    EXPECT_EQ(out.read(), expected);
}

class DeviceDequantize : public DeviceTest {};

TEST_F(DeviceDequantize, EqualsTheTwinBitForBitForEveryType) {
    std::mt19937 random(41);
    for (const DType type : kTypes) {
        const std::int64_t block = std::max<std::int64_t>(8, block_geometry(type).elements);
        for (const std::int64_t blocks : {1, 3, 9, 130}) check(type, 5, blocks * block, {}, random);
        check(type, 1, block, {}, random);
        check(type, 300, 2 * block, {}, random);
    }
}

TEST_F(DeviceDequantize, SplitsTheRowsOfEachHeadIntoHalves) {
    std::mt19937 random(42);
    for (const DType type : kTypes) {
        check(type, 3 * 64, 256, {3, 64}, random);
        check(type, 2 * 128, 512, {2, 128}, random);
        check(type, 6, 256, {3, 2}, random);
    }
}

TEST_F(DeviceDequantize, UndoesTheOrderInWhichRotatedRowsAreStored) {
    // As conversion to GGUF does it: stored row 2i of a head is row i, stored row 2i + 1 is row
    // i + head_dim / 2. Row r holds the value r.
    constexpr std::int64_t kHeads = 2, kDim = 8, kCols = 8;
    std::vector<float> stored;
    std::vector<Bf16> expected;
    for (std::int64_t r = 0; r < kHeads * kDim; ++r) {
        const std::int64_t at = r % kDim;
        const std::int64_t original = r - at + at / 2 + at % 2 * (kDim / 2);
        stored.insert(stored.end(), kCols, static_cast<float>(original));
        expected.insert(expected.end(), kCols, to_bf16(static_cast<float>(r)));
    }
    const DeviceArray<float> in(stored);
    const DeviceArray<Bf16> out(expected.size());
    HC_ASSERT_CUDA(kernels::cuda::dequantize(DType::kF32, in.get(), kHeads * kDim, kCols, out.get(),
                                             nullptr, {kHeads, kDim}));
    EXPECT_EQ(out.read(), expected);
}

TEST_F(DeviceDequantize, RefusesShapesItDoesNotHave) {
    const auto run = [](DType type, std::int64_t rows, std::int64_t cols, HalfSplit split) {
        return kernels::cuda::dequantize(type, nullptr, rows, cols, nullptr, nullptr, split);
    };
    EXPECT_EQ(run(DType::kQ4_0, 2, 40, {}), cudaErrorInvalidValue);
    EXPECT_EQ(run(DType::kQ4_K, 2, 128, {}), cudaErrorInvalidValue);
    EXPECT_EQ(run(DType::kF16, 2, 12, {}), cudaErrorInvalidValue);
    EXPECT_EQ(run(static_cast<DType>(9), 2, 64, {}), cudaErrorInvalidValue);
    EXPECT_EQ(run(DType::kF16, 12, 64, {2, 8}), cudaErrorInvalidValue);
    EXPECT_EQ(run(DType::kF16, 6, 64, {2, 3}), cudaErrorInvalidValue);
    EXPECT_EQ(run(DType::kF16, 0, 64, {}), cudaSuccess);
}

}  // namespace
}  // namespace hc::test
