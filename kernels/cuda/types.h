/// What the CUDA kernels share: element type and the paged KV cache on the device. Plain
/// structs, so that host code includes it without nvcc.
#pragma once

#include <cstdint>

namespace hc::kernels::cuda {

/// The bits of a bfloat16. Host code names no CUDA type.
using Bf16 = std::uint16_t;

/// The KV cache of one layer: `num_pairs` = sequences x KV heads, pair = sequence * num_kv_heads
/// + head, each with a length and a list of pages of its own. Device pointers all.
struct PagedKvCache {
    /// [num_pages, 2, page_size, head_dim]: a page holds its keys, then its values. 16-byte
    /// aligned.
    Bf16* pages = nullptr;
    const std::int32_t* page_indices = nullptr;  ///< all lists back to back
    const std::int32_t* page_indptr = nullptr;   ///< [num_pairs] first entry of a pair's list
    std::int32_t* lengths = nullptr;             ///< [num_pairs] tokens held
    std::int32_t num_pairs = 0;
    std::int32_t page_size = 16;  ///< tokens, a multiple of 16
    std::int32_t head_dim = 0;    ///< 64, 96, 128 or 256
    /// Tokens behind lengths[pair] that are there already: lengths are advanced once a step, by
    /// advance_lengths. decode_attention counts them in; everything else reads lengths alone.
    std::int32_t appended = 0;
};

}  // namespace hc::kernels::cuda
