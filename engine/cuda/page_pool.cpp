#include "engine/cuda/page_pool.h"

#include <algorithm>
#include <functional>

#include "engine/core/error.h"

namespace hc::cuda {
namespace {

constexpr std::int64_t kPagesAtOnce = 16;  // when nobody said how many come
constexpr std::int64_t kMostTableBytes = std::int64_t{1} << 30;

}  // namespace

PagePool::PagePool(MemoryLedger& ledger, std::int64_t page_elements, std::int64_t most_bytes)
    : memory_(ledger, "KV pool", most_bytes), page_elements_(page_elements) {}

void PagePool::reserve(std::int64_t pages) {
    const std::int64_t missing = pages - free_pages();
    if (missing <= 0) return;
    memory_.grow((total_ + missing) * 2 * page_elements_);
    const std::int64_t now = memory_.size_bytes() / (2 * page_elements_);
    for (std::int64_t page = total_; page < now; ++page) {
        free_.push_back(static_cast<std::int32_t>(page));
        std::push_heap(free_.begin(), free_.end(), std::greater<>());
    }
    total_ = now;
}

std::int32_t PagePool::take() {
    if (free_.empty()) reserve(kPagesAtOnce);
    std::pop_heap(free_.begin(), free_.end(), std::greater<>());
    const std::int32_t page = free_.back();
    free_.pop_back();
    ++used_;
    return page;
}

void PagePool::give_back(std::int32_t page) {
    free_.push_back(page);
    std::push_heap(free_.begin(), free_.end(), std::greater<>());
    --used_;
}

PageTable::PageTable(MemoryLedger& ledger) : memory_(ledger, "page lists", kMostTableBytes) {}

std::int64_t PageTable::take(std::int64_t entries) {
    const auto fits = std::find_if(free_.begin(), free_.end(),
                                   [&](const Region& r) { return r.entries >= entries; });
    if (fits != free_.end()) {
        const std::int64_t first = fits->first;
        fits->first += entries;
        fits->entries -= entries;
        if (fits->entries == 0) free_.erase(fits);
        return first;
    }
    const auto first = static_cast<std::int64_t>(host_.size());
    memory_.grow((first + entries) * static_cast<std::int64_t>(sizeof(std::int32_t)));
    host_.resize(static_cast<std::size_t>(first + entries), 0);
    return first;
}

void PageTable::give_back(std::int64_t first, std::int64_t entries) {
    free_.push_back({first, entries});
}

void PageTable::upload(std::int64_t first, std::int64_t count, cudaStream_t stream) {
    if (count == 0) return;
    HC_CHECK(first >= 0 && first + count <= static_cast<std::int64_t>(host_.size()));
    // From pageable memory the call returns once the source has been read.
    check(cudaMemcpyAsync(memory_.as<std::int32_t>() + first,
                          host_.data() + static_cast<std::size_t>(first),
                          static_cast<std::size_t>(count) * sizeof(std::int32_t),
                          cudaMemcpyHostToDevice, stream),
          "uploading page lists");
}

}  // namespace hc::cuda
