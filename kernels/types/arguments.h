/// Argument structs shared by every set of kernels. Raw pointers only; shapes beside each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hc::kernels {

/// How the KV cache stores an element.
enum class KvType : std::uint8_t { kF32, kF16 };

[[nodiscard]] constexpr std::size_t kv_bytes(KvType type) { return type == KvType::kF32 ? 4 : 2; }

/// The keys and values of one (sequence, layer, KV head), in pages. A page holds `page_size`
/// keys [page_size, head_dim] and then as many values [page_size, head_dim]. The last page may
/// be partly filled: `length` tokens in all, slot s lies in page s / page_size.
struct PagedKv {
    const std::byte* const* pages = nullptr;  ///< [ceil(length / page_size)]
    std::int64_t length = 0;
    std::int64_t page_size = 256;
    std::int64_t head_dim = 0;
    KvType type = KvType::kF32;
};

}  // namespace hc::kernels
