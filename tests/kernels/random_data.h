/// Seeded weights, vectors and KV caches for the kernel tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "engine/core/dtype.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/types/arguments.h"

namespace hc::test {

inline constexpr DType kAllTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0,
                                      DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                                      DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

/// A matrix that owns its bytes: every code of the format occurs, scales are of usual size.
struct RandomWeight {
    RandomWeight(DType type, std::int64_t rows, std::int64_t cols, std::mt19937& random);
    std::vector<std::byte> bytes;
    WeightView view;
};

/// Names the test cases of a level.
[[nodiscard]] std::string level_title(const testing::TestParamInfo<kernels::cpu::Level>& level);

[[nodiscard]] std::vector<float> random_floats(std::size_t count, std::mt19937& random,
                                               float deviation = 1.0f);

/// Keys and values in pages whose addresses are in no order.
struct RandomKv {
    RandomKv(kernels::KvType type, std::int64_t length, std::int64_t page_size,
             std::int64_t head_dim, std::mt19937& random);
    std::vector<std::vector<std::byte>> storage;
    std::vector<const std::byte*> pages;
    kernels::PagedKv view;
};

}  // namespace hc::test
