/// Expands the stored blocks of a weight into bf16 on the device, once, at load. Twin:
/// reference::dequantize_row.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "engine/core/dtype.h"
#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

/// Reorders the rows of each head on the way. GGUF stores the query and key rows of Llama models
/// so that rotation pairs rows (2i, 2i + 1) of a head; this turns them into the order in which it
/// pairs (i, i + head_dim / 2): for i < head_dim / 2, output row h * head_dim + i takes stored row
/// h * head_dim + 2i, and output row h * head_dim + head_dim / 2 + i takes stored row
/// h * head_dim + 2i + 1. Scores do not change, since queries and keys move alike.
struct HalfSplit {
    std::int32_t num_heads = 0;
    std::int32_t head_dim = 0;  ///< even; 0: rows stay where they are
};

/// out [rows, cols] = the values of `blocks`, `rows` rows of `cols` values of `type` back to back
/// as in WeightView: the fp32 value of the twin, bit for bit, rounded to the nearest bf16 (ties to
/// even; a NaN stays one). Both pointers are device pointers and 16-byte aligned; the blocks
/// inside need not be. Moves rows * (row bytes + 2 * cols) bytes.
///
/// cudaErrorInvalidValue unless cols is a multiple of 8 and of the type's block, and num_heads *
/// head_dim is rows where a split is asked for.
[[nodiscard]] cudaError_t dequantize(DType type, const void* blocks, std::int64_t rows,
                                     std::int64_t cols, Bf16* out, cudaStream_t stream,
                                     HalfSplit split = {});

}  // namespace hc::kernels::cuda
