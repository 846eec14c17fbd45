/// Sets of prompt positions as bitmaps on the device (top_k.h says how bits lie). Twins:
/// policy::overlap and policy::difference.
///
/// All pointers are device pointers and borrowed; a stride is in elements, and a stride of 0
/// makes every row use the same one. No host sync.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hc::kernels::cuda {

/// Neighbouring positions start .. start + length - 1; `first` bits of the bitmap come before.
struct Run {
    std::int32_t start;
    std::int32_t length;
    std::int32_t first;
};

/// common[r] = |a_r and b_r|, rows of `words` words.
[[nodiscard]] cudaError_t bitmap_overlap(const std::uint32_t* a, std::int64_t a_stride,
                                         const std::uint32_t* b, std::int64_t b_stride,
                                         std::int32_t num_rows, std::int32_t words,
                                         std::int32_t* common, cudaStream_t stream);

/// fetched = wanted and not resident, evicted = resident and not wanted; all [num_rows, words].
/// The outputs may be the inputs.
[[nodiscard]] cudaError_t bitmap_delta(const std::uint32_t* wanted, const std::uint32_t* resident,
                                       std::int32_t num_rows, std::int32_t words,
                                       std::uint32_t* fetched, std::uint32_t* evicted,
                                       cudaStream_t stream);

/// What is set in each row of bitmaps [num_rows, words], ascending.
struct CompactionArguments {
    const std::uint32_t* bitmaps = nullptr;
    std::int32_t num_rows = 0;
    std::int32_t words = 0;
    std::int32_t* positions = nullptr;      ///< out [num_rows, position_stride]; null: not wanted
    std::int64_t position_stride = 0;       ///< room for the row's bits
    std::int32_t* num_positions = nullptr;  ///< out [num_rows]
    Run* runs = nullptr;                    ///< out [num_rows, run_stride]; null: not wanted
    std::int64_t run_stride = 0;            ///< room for the row's runs
    std::int32_t* num_runs = nullptr;       ///< out [num_rows]; null only where runs is
};

/// At most 65,535 rows.
[[nodiscard]] cudaError_t bitmap_compact(const CompactionArguments& arguments, cudaStream_t stream);

}  // namespace hc::kernels::cuda
