#include "random_data.h"

#include <algorithm>
#include <cstring>

#include "engine/core/half.h"

namespace hc::test {
namespace {

// Where a block keeps its halves, so that random bytes do not make infinite scales.
struct HalfPlaces {
    int count = 0;
    std::size_t offset[2] = {};
};
HalfPlaces half_places(DType type) {
    switch (type) {
        case DType::kQ4_0:
        case DType::kQ5_0:
        case DType::kQ8_0:
            return {1, {0, 0}};
        case DType::kQ4_1:
        case DType::kQ5_1:
        case DType::kQ4_K:
        case DType::kQ5_K:
            return {2, {0, 2}};
        case DType::kQ6_K:
            return {1, {208, 0}};
        default:
            return {};
    }
}

void put_half(std::byte* p, float value) {
    const std::uint16_t bits = float_to_half(value);
    std::memcpy(p, &bits, 2);
}

}  // namespace

RandomWeight::RandomWeight(DType type, std::int64_t rows, std::int64_t cols, std::mt19937& random)
    : view{type, nullptr, rows, cols} {
    bytes.resize(std::max<std::size_t>(1, view.size_bytes()));
    view.data = bytes.data();
    std::normal_distribution<float> normal;
    const BlockGeometry g = block_geometry(type);
    for (std::size_t at = 0; at + g.bytes <= view.size_bytes(); at += g.bytes) {
        std::byte* p = bytes.data() + at;
        const float value = normal(random);
        if (type == DType::kF32) {
            std::memcpy(p, &value, 4);
        } else if (type == DType::kF16) {
            put_half(p, value);
        } else if (type == DType::kBF16) {
            const std::uint32_t bits = std::bit_cast<std::uint32_t>(value) >> 16;
            std::memcpy(p, &bits, 2);
        } else {
            for (std::size_t i = 0; i < g.bytes; ++i) p[i] = static_cast<std::byte>(random());
            const HalfPlaces places = half_places(type);
            for (int i = 0; i < places.count; ++i) {
                put_half(p + places.offset[i], 0.01f * normal(random));
            }
        }
    }
}

std::string level_title(const testing::TestParamInfo<kernels::cpu::Level>& level) {
    switch (level.param) {
        case kernels::cpu::Level::kPlain:
            return "Plain";
        case kernels::cpu::Level::kAvx2:
            return "Avx2";
        case kernels::cpu::Level::kAvxVnni:
            return "AvxVnni";
        case kernels::cpu::Level::kAvx512Vnni:
            return "Avx512Vnni";
    }
    return "Unknown";
}

std::vector<float> random_floats(std::size_t count, std::mt19937& random, float deviation) {
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> values(count);
    for (float& v : values) v = normal(random);
    return values;
}

RandomKv::RandomKv(kernels::KvType type, std::int64_t length, std::int64_t page_size,
                   std::int64_t head_dim, std::mt19937& random) {
    const auto elements = static_cast<std::size_t>(2 * page_size * head_dim);
    for (std::int64_t begin = 0; begin < length; begin += page_size) {
        const std::vector<float> values = random_floats(elements, random);
        std::vector<std::byte> page(elements * kernels::kv_bytes(type));
        for (std::size_t i = 0; i < elements; ++i) {
            if (type == kernels::KvType::kF32) {
                std::memcpy(page.data() + 4 * i, &values[i], 4);
            } else {
                put_half(page.data() + 2 * i, values[i]);
            }
        }
        storage.push_back(std::move(page));
    }
    for (const auto& page : storage) pages.push_back(page.data());
    view = {pages.data(), length, page_size, head_dim, type};
}

}  // namespace hc::test
