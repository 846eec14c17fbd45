/// Selection scores of one pivot on the device (algorithm.md §4): softmax over the prompt, mean
/// filter, maximum over the group. Twin: kernels::reference::selection_score.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

constexpr std::int32_t kMaxPoolWidth = 9;
constexpr std::int32_t kMaxWindow = 16;
constexpr std::int32_t kMaxGroup = 16;

/// All pointers are device pointers and borrowed.
struct SelectionScoreArguments {
    /// bf16 [window, group, head_dim], oldest query first, 16-byte aligned.
    const Bf16* queries = nullptr;
    /// As PagedKvCache::pages: [num_pages, 2, page_size, head_dim], keys before values.
    const Bf16* pages = nullptr;
    const std::int32_t* page_indices = nullptr;  ///< [ceil(prompt / page_size)], the pivot's list
    std::int32_t page_size = 16;
    std::int32_t prompt = 0;
    std::int32_t window = 1;      ///< 1 .. kMaxWindow
    std::int32_t group = 1;       ///< 1 .. kMaxGroup
    std::int32_t head_dim = 0;    ///< 64, 96, 128 or 256
    std::int32_t pool_width = 5;  ///< 1 .. kMaxPoolWidth
    float* scores = nullptr;      ///< out [window, score_stride]; the first `prompt` of each row
    std::int64_t score_stride = 0;
    /// selection_score_workspace_bytes() bytes, 16-byte aligned, no need to clear them.
    void* workspace = nullptr;
};

/// Logits [window * group, prompt] in fp32 and the partial maxima and sums.
[[nodiscard]] std::size_t selection_score_workspace_bytes(std::int32_t window, std::int32_t group,
                                                          std::int32_t prompt);

/// Moves at least prompt * head_dim * 2 bytes (the keys, once for all queries) and writes
/// window * prompt scores. Two kernels; no host sync, fit for graph capture. The result does not
/// depend on timing. cudaErrorInvalidValue for shapes outside the limits above.
[[nodiscard]] cudaError_t selection_score(const SelectionScoreArguments& arguments,
                                          cudaStream_t stream);

}  // namespace hc::kernels::cuda
