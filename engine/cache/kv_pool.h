/// The resident pool: pages of KV with an own length per (sequence, layer, KV head).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"
#include "kernels/types/arguments.h"

namespace hc::cache {

struct PoolGeometry {
    std::int32_t num_layers = 0;
    std::int32_t num_kv_heads = 0;
    std::int64_t head_dim = 0;
    std::int64_t page_size = 256;  ///< tokens
    kernels::KvType type = kernels::KvType::kF32;
    [[nodiscard]] std::int64_t row_bytes() const {
        return head_dim * static_cast<std::int64_t>(kernels::kv_bytes(type));
    }
    [[nodiscard]] std::int64_t page_bytes() const { return 2 * page_size * row_bytes(); }
};

/// Free pages in slabs; grows by a slab when empty (row 22: no fixed generation length). Slots
/// of a head's pages are numbered from 0; which prompt position lies in a slot is the caller's
/// knowledge.
class KvPool {
public:
    explicit KvPool(const PoolGeometry& geometry);
    ~KvPool();
    KvPool(const KvPool&) = delete;
    KvPool& operator=(const KvPool&) = delete;

    [[nodiscard]] const PoolGeometry& geometry() const { return geometry_; }
    /// Grows the pool so that `pages` more can be taken without allocating.
    void reserve(std::int64_t pages);
    [[nodiscard]] std::byte* take_page();
    void give_back(std::byte* page);
    [[nodiscard]] std::int64_t used_bytes() const;
    [[nodiscard]] std::int64_t reserved_bytes() const;

private:
    PoolGeometry geometry_;
    std::vector<std::unique_ptr<std::byte[]>> slabs_;
    std::vector<std::byte*> free_;
    std::int64_t used_pages_ = 0;
    std::int64_t total_pages_ = 0;
};

/// The KV of one head of one sequence. Move-only; gives its pages back.
class HeadKv {
public:
    explicit HeadKv(KvPool& pool) : pool_(&pool) {}
    ~HeadKv();
    HeadKv(HeadKv&& other) noexcept;
    HeadKv& operator=(HeadKv&&) = delete;
    HeadKv(const HeadKv&) = delete;

    [[nodiscard]] std::int64_t length() const { return length_; }
    /// Adds `count` slots at the end, taking pages as needed.
    void extend(std::int64_t count);
    /// Drops slots from the end and gives empty pages back.
    void shrink(std::int64_t length);
    /// Makes room in the page list for `length` slots without taking pages yet; the pool's pages
    /// are reserved by its owner, for all heads at once.
    void reserve(std::int64_t length);
    /// Pages that extending to `length` slots would take.
    [[nodiscard]] std::int64_t pages_to_reach(std::int64_t length) const;
    [[nodiscard]] std::byte* key(std::int64_t slot);
    [[nodiscard]] std::byte* value(std::int64_t slot);
    [[nodiscard]] const std::byte* key(std::int64_t slot) const;
    [[nodiscard]] const std::byte* value(std::int64_t slot) const;
    /// The kernels' view; valid until extend or shrink.
    [[nodiscard]] kernels::PagedKv view() const;

private:
    KvPool* pool_;
    std::vector<std::byte*> pages_;
    std::int64_t length_ = 0;
};

}  // namespace hc::cache
