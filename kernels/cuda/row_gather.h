/// Brings rows of the host tier to the device, and puts them into a head's pages.
///
/// A row is one token's key and value side by side: bf16 [2, head_dim].
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

constexpr std::int32_t kMaxGatherBlocks = 64;

struct RowGatherArguments {
    /// Device address of mapped pinned host memory, rows [.., 2, head_dim], 16-byte aligned.
    const Bf16* host_rows = nullptr;
    const std::int32_t* positions = nullptr;  ///< [*num_rows] device, which rows, ascending
    const std::int32_t* num_rows = nullptr;   ///< device, so that a graph can hold the launch
    Bf16* staging = nullptr;                  ///< out [*num_rows, 2, head_dim], 16-byte aligned
    std::int32_t head_dim = 0;                ///< a multiple of 8
    /// 1 .. kMaxGatherBlocks blocks of 1,024 threads. On an H200 four fill the link for runs of two
    /// tokens or more (51 GB/s), two reach four fifths of it; more only disturb what runs beside.
    std::int32_t num_blocks = 4;
};

/// Neighbouring positions are read by one warp as one piece of up to 2 KiB, so the link sees runs
/// as long rows. Moves *num_rows * head_dim * 4 bytes.
[[nodiscard]] cudaError_t gather_rows(const RowGatherArguments& arguments, cudaStream_t stream);

struct RowCommitArguments {
    const Bf16* staging = nullptr;           ///< [*num_rows, 2, head_dim]
    const std::int32_t* slots = nullptr;     ///< [*num_rows] slot of each row in the head's list
    const std::int32_t* num_rows = nullptr;  ///< device
    Bf16* pages = nullptr;                   ///< as PagedKvCache::pages
    const std::int32_t* page_indices = nullptr;  ///< the head's list
    std::int32_t page_size = 16;
    std::int32_t head_dim = 0;  ///< a multiple of 8
    std::int32_t max_rows = 0;  ///< sizes the grid; more rows than this are done all the same
};

/// Slot s lies in page page_indices[s / page_size]. Slots must differ from each other.
[[nodiscard]] cudaError_t commit_rows(const RowCommitArguments& arguments, cudaStream_t stream);

}  // namespace hc::kernels::cuda
