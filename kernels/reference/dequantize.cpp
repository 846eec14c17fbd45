/// Block formats of GGUF files, after the public format description of ggml (block layouts are
/// facts of the file format; the test data come from the Python `gguf` package).

#include <cstring>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "kernels/reference/ops.h"

namespace hc::kernels::reference {
namespace {

using Byte = std::uint8_t;

std::uint16_t read_u16(const Byte* p) {
    return static_cast<std::uint16_t>(p[0] | (p[1] << 8));
}

float read_half(const Byte* p) {
    return half_to_float(read_u16(p));
}

std::uint32_t read_u32(const Byte* p) {
    return read_u16(p) | (static_cast<std::uint32_t>(read_u16(p + 2)) << 16);
}

// The 4-bit types keep element j in the low and element j + 16 in the high nibble of byte j;
// the 5-bit types keep the fifth bits of all 32 elements in one little-endian word.
void small_block(const Byte* quants, std::uint32_t fifth_bits, float scale, float offset,
                 float minimum, float* out) {
    for (int j = 0; j < 16; ++j) {
        const auto low =
            static_cast<std::uint32_t>(quants[j] & 0xf) | (((fifth_bits >> j) & 1u) << 4);
        const auto high =
            static_cast<std::uint32_t>(quants[j] >> 4) | (((fifth_bits >> (j + 16)) & 1u) << 4);
        out[j] = scale * (static_cast<float>(low) - offset) + minimum;
        out[j + 16] = scale * (static_cast<float>(high) - offset) + minimum;
    }
}

void block_q8_0(const Byte* block, float* out) {
    const float scale = read_half(block);
    for (int j = 0; j < 32; ++j)
        out[j] = scale * static_cast<float>(static_cast<std::int8_t>(block[2 + j]));
}

// Eight pairs of 6-bit (scale, minimum) in 12 bytes: the first four lie in the low six bits of
// bytes 0-3 and 4-7; of the last four, the low nibbles share bytes 8-11 and the two top bits
// sit in the spare top bits of bytes 0-7.
struct ScaleMin {
    float scale;
    float min;
};
ScaleMin sub_block_scale(const Byte* packed, int j) {
    if (j < 4) return {static_cast<float>(packed[j] & 63), static_cast<float>(packed[j + 4] & 63)};
    return {static_cast<float>((packed[j + 4] & 0xf) | ((packed[j - 4] >> 6) << 4)),
            static_cast<float>((packed[j + 4] >> 4) | ((packed[j] >> 6) << 4))};
}

// Q4_K and Q5_K: `high_bits` is null for four bits, else bit j of byte l belongs to element l of
// sub-block j.
void block_k45(const Byte* block, const Byte* high_bits, const Byte* quants, float* out) {
    const float d = read_half(block);
    const float dmin = read_half(block + 2);
    for (int j = 0; j < 8; ++j) {
        const ScaleMin s = sub_block_scale(block + 4, j);
        const float scale = d * s.scale;
        const float minimum = dmin * s.min;
        for (int l = 0; l < 32; ++l) {
            const Byte byte = quants[(j / 2) * 32 + l];
            int q = j % 2 == 0 ? byte & 0xf : byte >> 4;
            if (high_bits != nullptr) q |= ((high_bits[l] >> j) & 1) << 4;
            out[j * 32 + l] = scale * static_cast<float>(q) - minimum;
        }
    }
}

// Q6_K: low nibbles [128], two high bits [64], signed scales per 16 elements [16], d.
void block_q6_k(const Byte* block, float* out) {
    const float d = read_half(block + 208);
    for (int half = 0; half < 2; ++half) {
        const Byte* low = block + half * 64;
        const Byte* high = block + 128 + half * 32;
        const Byte* scales = block + 192 + half * 8;
        for (int quarter = 0; quarter < 4; ++quarter) {
            for (int l = 0; l < 32; ++l) {
                const Byte byte = low[(quarter % 2) * 32 + l];
                const int nibble = quarter < 2 ? byte & 0xf : byte >> 4;
                const int q = (nibble | (((high[l] >> (2 * quarter)) & 3) << 4)) - 32;
                const auto scale = static_cast<std::int8_t>(scales[quarter * 2 + l / 16]);
                out[half * 128 + quarter * 32 + l] =
                    d * static_cast<float>(scale) * static_cast<float>(q);
            }
        }
    }
}

void block_to_floats(DType type, const Byte* b, float* out) {
    switch (type) {
        case DType::kF32:
            std::memcpy(out, b, sizeof(float));
            return;
        case DType::kF16:
            *out = read_half(b);
            return;
        case DType::kBF16:
            *out = bfloat16_to_float(read_u16(b));
            return;
        case DType::kQ4_0:
            small_block(b + 2, 0, read_half(b), 8, 0, out);
            return;
        case DType::kQ4_1:
            small_block(b + 4, 0, read_half(b), 0, read_half(b + 2), out);
            return;
        case DType::kQ5_0:
            small_block(b + 6, read_u32(b + 2), read_half(b), 16, 0, out);
            return;
        case DType::kQ5_1:
            small_block(b + 8, read_u32(b + 4), read_half(b), 0, read_half(b + 2), out);
            return;
        case DType::kQ8_0:
            block_q8_0(b, out);
            return;
        case DType::kQ4_K:
            block_k45(b, nullptr, b + 16, out);
            return;
        case DType::kQ5_K:
            block_k45(b, b + 16, b + 48, out);
            return;
        case DType::kQ6_K:
            block_q6_k(b, out);
            return;
    }
    HC_CHECK(false);
}

}  // namespace

void dequantize_row(const WeightView& w, std::int64_t row, float* out) {
    const BlockGeometry g = block_geometry(w.type);
    HC_CHECK(g.elements != 0);
    HC_CHECK(w.cols % g.elements == 0);
    HC_CHECK(row >= 0 && row < w.rows);
    const auto* block =
        reinterpret_cast<const Byte*>(w.data) + static_cast<std::size_t>(row) * w.row_bytes();
    for (std::int64_t c = 0; c < w.cols; c += g.elements, block += g.bytes) {
        block_to_floats(w.type, block, out + c);
    }
}

}  // namespace hc::kernels::reference
