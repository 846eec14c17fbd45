/// Exact top-k of fp32 scores into bitmaps. Twin: policy::top_k (larger value first, equal values
/// by lower index, both zeros equal).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace hc::kernels::cuda {

/// Words of a bitmap of `bits` bits; bit i is bit i % 32 of word i / 32, bits past the end are 0.
[[nodiscard]] constexpr std::int64_t bitmap_words(std::int64_t bits) {
    return (bits + 31) / 32;
}

/// All pointers are device pointers and borrowed.
struct TopKArguments {
    const float* scores = nullptr;  ///< rows of `count` values; no NaN among them
    std::int64_t score_stride = 0;
    /// [num_rows] which row of scores each output row ranks; null: its own.
    const std::int32_t* source_rows = nullptr;
    const std::int32_t* k = nullptr;  ///< [num_rows]; below 0 is 0, above `count` is `count`
    std::int32_t num_rows = 0;
    std::int32_t count = 0;
    std::uint32_t* bitmaps = nullptr;  ///< out [num_rows, bitmap_stride], every word written
    std::int64_t bitmap_stride = 0;    ///< in words, at least bitmap_words(count)
    void* workspace = nullptr;         ///< top_k_workspace_bytes(), 16-byte aligned, not cleared
    /// On devices that have clusters, and for at most 262,144 values, a cluster of eight blocks
    /// does a row; false: always the whole grid. The sets are the same.
    bool may_use_clusters = true;
};

[[nodiscard]] std::size_t top_k_workspace_bytes(std::int32_t num_rows, std::int32_t count);

/// Radix select over 11, 11 and 10 bits, then the bitmap is written. A cluster reads its row once
/// and is one node in a graph; the grid reads it four times, from the second on mostly out of L2,
/// in five nodes. No host sync.
[[nodiscard]] cudaError_t top_k(const TopKArguments& arguments, cudaStream_t stream);

}  // namespace hc::kernels::cuda
