#include "kernels/cpu/packed_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "kernels/reference/ops.h"

namespace hc::kernels::cpu {
namespace {

// 32 neighbouring weights of a row: scale * (code - zero point) or scale * code + minimum.
struct Block {
    std::uint8_t codes[kBlock] = {};
    std::uint16_t scale = 0;  // as halves
    std::uint16_t minimum = 0;
};

using Byte = std::uint8_t;

std::uint16_t read_u16(const Byte* p) {
    return static_cast<std::uint16_t>(p[0] | (p[1] << 8));
}

void read_nibbles(const Byte* quants, Block& block) {
    for (int j = 0; j < 16; ++j) {
        block.codes[j] = quants[j] & 0xf;
        block.codes[j + 16] = static_cast<Byte>(quants[j] >> 4);
    }
}

void add_fifth_bits(const Byte* bits, Block& block) {
    for (int j = 0; j < 32; ++j) {
        block.codes[j] |= static_cast<Byte>(((bits[j / 8] >> (j % 8)) & 1) << 4);
    }
}

// Sub-block `sub` of eight of a Q4_K or Q5_K block; the layout is told in
// kernels/reference/dequantize.cpp.
void read_k45(const Byte* p, int sub, bool five, Block& block) {
    const Byte* packed = p + 4;
    int scale = packed[sub % 4] & 63;
    int minimum = packed[sub % 4 + 4] & 63;
    if (sub >= 4) {
        scale = (packed[sub + 4] & 0xf) | ((packed[sub - 4] >> 6) << 4);
        minimum = (packed[sub + 4] >> 4) | ((packed[sub] >> 6) << 4);
    }
    block.scale = float_to_half(half_to_float(read_u16(p)) * static_cast<float>(scale));
    block.minimum = float_to_half(-half_to_float(read_u16(p + 2)) * static_cast<float>(minimum));
    const Byte* quants = p + (five ? 48 : 16) + (sub / 2) * 32;
    for (int l = 0; l < 32; ++l) {
        block.codes[l] = sub % 2 == 0 ? quants[l] & 0xf : static_cast<Byte>(quants[l] >> 4);
        if (five) block.codes[l] |= static_cast<Byte>(((p[16 + l] >> sub) & 1) << 4);
    }
}

void quantize_anew(const float* values, Block& block) {
    float top = 0;
    for (int l = 0; l < kBlock; ++l) top = std::max(top, std::fabs(values[l]));
    block.scale = float_to_half(top / 127.0f);
    const float scale = half_to_float(block.scale);  // codes fit the scale that will be used
    for (int l = 0; l < kBlock; ++l) {
        const float code = scale > 0 ? std::nearbyint(values[l] / scale) : 0.0f;
        block.codes[l] =
            static_cast<Byte>(128 + static_cast<int>(std::clamp(code, -127.0f, 127.0f)));
    }
}

void read_q6_k(const Byte* p, std::int64_t index, Block& block) {
    float values[256];
    const WeightView one{DType::kQ6_K, reinterpret_cast<const std::byte*>(p), 1, 256};
    reference::dequantize_row(one, 0, values);
    quantize_anew(values + (index % 8) * kBlock, block);
}

// Block `index` (of 32 columns) of the row at `row`.
Block read_block(DType type, const Byte* row, std::int64_t index) {
    const BlockGeometry g = block_geometry(type);
    const Byte* p = row + index * kBlock / g.elements * g.bytes;
    Block block;
    block.scale = read_u16(p);
    switch (type) {
        case DType::kQ4_0:
            read_nibbles(p + 2, block);
            break;
        case DType::kQ4_1:
            block.minimum = read_u16(p + 2);
            read_nibbles(p + 4, block);
            break;
        case DType::kQ5_0:
            read_nibbles(p + 6, block);
            add_fifth_bits(p + 2, block);
            break;
        case DType::kQ5_1:
            block.minimum = read_u16(p + 2);
            read_nibbles(p + 8, block);
            add_fifth_bits(p + 4, block);
            break;
        case DType::kQ8_0:
            for (int l = 0; l < kBlock; ++l) block.codes[l] = static_cast<Byte>(p[2 + l] ^ 0x80);
            break;
        case DType::kQ4_K:
            read_k45(p, static_cast<int>(index % 8), false, block);
            break;
        case DType::kQ5_K:
            read_k45(p, static_cast<int>(index % 8), true, block);
            break;
        case DType::kQ6_K:
            read_q6_k(p, index, block);
            break;
        case DType::kF32:
        case DType::kF16:
        case DType::kBF16:
            HC_CHECK(false);
    }
    return block;
}

void write_block(const Block& block, PackKind kind, std::int64_t row, std::byte* out) {
    const std::int64_t code_bytes = pack_code_bytes(kind);
    const bool four = code_bytes == kPanelRows * kBlock / 2;
    for (int j = 0; j < (four ? 4 : 8); ++j) {
        Byte line[4];
        for (int i = 0; i < 4; ++i) {
            line[i] = block.codes[4 * j + i];
            if (four) line[i] = static_cast<Byte>(line[i] | (block.codes[16 + 4 * j + i] << 4));
        }
        std::memcpy(out + j * 64 + row * 4, line, sizeof(line));
    }
    std::memcpy(out + code_bytes + row * 2, &block.scale, 2);
    if (pack_has_min(kind)) {
        std::memcpy(out + code_bytes + kPanelRows * 2 + row * 2, &block.minimum, 2);
    }
}

}  // namespace

std::optional<PackKind> pack_kind(DType type) {
    switch (type) {
        case DType::kQ4_0:
            return PackKind::kU4Zero;
        case DType::kQ4_1:
        case DType::kQ4_K:
            return PackKind::kU4Min;
        case DType::kQ5_0:
            return PackKind::kU7Zero;
        case DType::kQ5_1:
        case DType::kQ5_K:
            return PackKind::kU7Min;
        case DType::kQ8_0:
        case DType::kQ6_K:
            return PackKind::kU8Zero;
        case DType::kF32:
        case DType::kF16:
        case DType::kBF16:
            return std::nullopt;
    }
    return std::nullopt;
}

void pack_panel(const WeightView& w, PackKind kind, std::int64_t panel, std::byte* out) {
    const std::int64_t blocks = w.cols / kBlock;
    const std::int64_t block_bytes = pack_block_bytes(kind);
    const std::int64_t first = panel * kPanelRows;
    std::memset(out, 0, static_cast<std::size_t>(blocks * block_bytes));
    for (std::int64_t r = 0; r < std::min(kPanelRows, w.rows - first); ++r) {
        const auto* row = reinterpret_cast<const Byte*>(w.data) +
                          static_cast<std::size_t>(first + r) * w.row_bytes();
        for (std::int64_t b = 0; b < blocks; ++b) {
            write_block(read_block(w.type, row, b), kind, r, out + b * block_bytes);
        }
    }
}

}  // namespace hc::kernels::cpu
