/// The resident pool on the device: pages of KV, numbered, and the lists that say which pages a
/// head holds. Both live at addresses that never change, so captured graphs stay valid.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/cuda/device_memory.h"
#include "kernels/cuda/types.h"

namespace hc::cuda {

class PagePool {
public:
    /// `page_elements`: of keys and values together. Backs nothing yet.
    PagePool(MemoryLedger& ledger, std::int64_t page_elements, std::int64_t most_bytes);

    /// Makes `pages` more pages available. Throws Error(kRefused) when the device has no more.
    void reserve(std::int64_t pages);
    /// The free page of the lowest number; reserves when there is none.
    [[nodiscard]] std::int32_t take();
    void give_back(std::int32_t page);

    [[nodiscard]] kernels::cuda::Bf16* pages() const { return memory_.as<kernels::cuda::Bf16>(); }
    [[nodiscard]] std::int64_t used_bytes() const { return used_ * 2 * page_elements_; }
    [[nodiscard]] std::int64_t reserved_bytes() const { return memory_.size_bytes(); }
    [[nodiscard]] std::int64_t free_pages() const {
        return static_cast<std::int64_t>(free_.size());
    }

private:
    GrowableMemory memory_;
    std::int64_t page_elements_;
    std::vector<std::int32_t> free_;  // a heap, lowest number first
    std::int64_t total_ = 0;
    std::int64_t used_ = 0;
};

/// Page lists of all heads of all sequences in one array of int32.
class PageTable {
public:
    explicit PageTable(MemoryLedger& ledger);

    /// First entry of a new region of `entries`. Regions of sequences that are gone are reused
    /// when they fit.
    [[nodiscard]] std::int64_t take(std::int64_t entries);
    void give_back(std::int64_t first, std::int64_t entries);
    void set(std::int64_t entry, std::int32_t page) {
        host_[static_cast<std::size_t>(entry)] = page;
    }
    /// Copies entries first .. first + count - 1 to the device, in stream order; the source may
    /// change afterwards.
    void upload(std::int64_t first, std::int64_t count, cudaStream_t stream);
    [[nodiscard]] const std::int32_t* device() const { return memory_.as<std::int32_t>(); }

private:
    struct Region {
        std::int64_t first;
        std::int64_t entries;
    };
    GrowableMemory memory_;
    std::vector<std::int32_t> host_;
    std::vector<Region> free_;
};

}  // namespace hc::cuda
