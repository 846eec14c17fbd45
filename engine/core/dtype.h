/// Element types of weights, with the block geometry of the GGUF format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hc {

/// Values are the type numbers that a GGUF file stores (ggml's public enumeration).
enum class DType : std::uint32_t {
    kF32 = 0,
    kF16 = 1,
    kQ4_0 = 2,
    kQ4_1 = 3,
    kQ5_0 = 6,
    kQ5_1 = 7,
    kQ8_0 = 8,
    kQ4_K = 12,
    kQ5_K = 13,
    kQ6_K = 14,
    kBF16 = 30,
};

/// `elements` neighbouring values of a row are stored together in `bytes`.
struct BlockGeometry {
    std::uint32_t elements = 0;  ///< 0: this type is not supported
    std::uint32_t bytes = 0;
};

[[nodiscard]] constexpr BlockGeometry block_geometry(DType type) {
    switch (type) {
        case DType::kF32: return {1, 4};
        case DType::kF16: return {1, 2};
        case DType::kBF16: return {1, 2};
        case DType::kQ4_0: return {32, 18};
        case DType::kQ4_1: return {32, 20};
        case DType::kQ5_0: return {32, 22};
        case DType::kQ5_1: return {32, 24};
        case DType::kQ8_0: return {32, 34};
        case DType::kQ4_K: return {256, 144};
        case DType::kQ5_K: return {256, 176};
        case DType::kQ6_K: return {256, 210};
    }
    return {};
}

[[nodiscard]] constexpr std::string_view dtype_name(DType type) {
    switch (type) {
        case DType::kF32: return "F32";
        case DType::kF16: return "F16";
        case DType::kBF16: return "BF16";
        case DType::kQ4_0: return "Q4_0";
        case DType::kQ4_1: return "Q4_1";
        case DType::kQ5_0: return "Q5_0";
        case DType::kQ5_1: return "Q5_1";
        case DType::kQ8_0: return "Q8_0";
        case DType::kQ4_K: return "Q4_K";
        case DType::kQ5_K: return "Q5_K";
        case DType::kQ6_K: return "Q6_K";
    }
    return "unknown";
}

/// A matrix as it lies in memory: `rows` rows of `cols` elements, each row a whole number of
/// blocks, rows back to back. Does not own the bytes.
struct WeightView {
    DType type = DType::kF32;
    const std::byte* data = nullptr;
    std::int64_t rows = 0;
    std::int64_t cols = 0;

    [[nodiscard]] std::size_t row_bytes() const {
        const BlockGeometry g = block_geometry(type);
        return static_cast<std::size_t>(cols) / g.elements * g.bytes;
    }
    [[nodiscard]] std::size_t size_bytes() const {
        return row_bytes() * static_cast<std::size_t>(rows);
    }
};

}  // namespace hc
