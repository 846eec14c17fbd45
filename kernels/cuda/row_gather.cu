#include "kernels/cuda/row_gather.h"

#include <algorithm>
#include <cstdint>

namespace hc::kernels::cuda {
namespace {

constexpr int kGatherThreads = 1024;
constexpr int kInFlight = 4;  // 16-byte loads of a lane: 2 KiB a warp, 64 KiB a block
constexpr int kCommitThreads = 256;
constexpr int kMaxCommitBlocks = 1056;  // eight for each of Hopper's multiprocessors

/// The staging buffer is one stretch of 16-byte units; a warp takes pieces of 128 of them.
__global__ void __launch_bounds__(kGatherThreads) gather_kernel(RowGatherArguments a) {
    const auto* source = reinterpret_cast<const uint4*>(a.host_rows);
    auto* staging = reinterpret_cast<uint4*>(a.staging);
    const int row_units = a.head_dim / 4;
    const std::int64_t units = static_cast<std::int64_t>(*a.num_rows) * row_units;
    constexpr int kPiece = 32 * kInFlight;
    const int lane = threadIdx.x % 32;
    const int warp = static_cast<int>(blockIdx.x * (kGatherThreads / 32) + threadIdx.x / 32);
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * (kGatherThreads / 32) * kPiece;
    for (std::int64_t first = static_cast<std::int64_t>(warp) * kPiece; first < units;
         first += step) {
        const auto first_row = static_cast<int>(first / row_units);
        const int offset =
            static_cast<int>(first - static_cast<std::int64_t>(first_row) * row_units) + lane;
        uint4 values[kInFlight];
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            if (first + lane + i * 32 < units) {
                const int within = offset + i * 32;
                const int rows = within / row_units;
                const std::int64_t position = a.positions[first_row + rows];
                values[i] = __ldcs(source + position * row_units + (within - rows * row_units));
            }
        }
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            if (first + lane + i * 32 < units) staging[first + lane + i * 32] = values[i];
        }
    }
}

__global__ void __launch_bounds__(kCommitThreads) commit_kernel(RowCommitArguments a) {
    const auto* staging = reinterpret_cast<const uint4*>(a.staging);
    auto* pages = reinterpret_cast<uint4*>(a.pages);
    const int half_units = a.head_dim / 8;  // of a key or a value
    const std::int64_t units = static_cast<std::int64_t>(*a.num_rows) * half_units * 2;
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kCommitThreads;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kCommitThreads + threadIdx.x;
         i < units; i += step) {
        const auto half = static_cast<int>(i / half_units);  // row * 2 + (0 key, 1 value)
        const int unit = static_cast<int>(i - static_cast<std::int64_t>(half) * half_units);
        const int slot = a.slots[half / 2];
        const int page = slot / a.page_size;
        const std::int64_t token =
            (static_cast<std::int64_t>(a.page_indices[page]) * 2 + half % 2) * a.page_size +
            (slot - page * a.page_size);
        pages[token * half_units + unit] = staging[i];
    }
}

}  // namespace

cudaError_t gather_rows(const RowGatherArguments& a, cudaStream_t stream) {
    if (a.head_dim <= 0 || a.head_dim % 8 != 0 || a.num_blocks < 1 ||
        a.num_blocks > kMaxGatherBlocks) {
        return cudaErrorInvalidValue;
    }
    gather_kernel<<<static_cast<unsigned>(a.num_blocks), kGatherThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

cudaError_t commit_rows(const RowCommitArguments& a, cudaStream_t stream) {
    if (a.head_dim <= 0 || a.head_dim % 8 != 0 || a.page_size < 1 || a.max_rows < 0) {
        return cudaErrorInvalidValue;
    }
    if (a.max_rows == 0) return cudaSuccess;
    const std::int64_t units = static_cast<std::int64_t>(a.max_rows) * (a.head_dim / 4);
    const std::int64_t blocks = (units + kCommitThreads - 1) / kCommitThreads;
    commit_kernel<<<static_cast<unsigned>(std::min<std::int64_t>(blocks, kMaxCommitBlocks)),
                    kCommitThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
