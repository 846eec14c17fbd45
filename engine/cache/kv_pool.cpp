#include "engine/cache/kv_pool.h"

#include <algorithm>
#include <utility>

#include "engine/core/error.h"

namespace hc::cache {
namespace {

// A slab is at least this large, so that a growing pool asks the system rarely, and at most one
// eighth of the pool, so that it does not overshoot much.
constexpr std::int64_t kSmallestSlabBytes = std::int64_t{1} << 20;

std::int64_t pages_for(std::int64_t slots, std::int64_t page_size) {
    return (slots + page_size - 1) / page_size;
}

}  // namespace

KvPool::KvPool(const PoolGeometry& geometry) : geometry_(geometry) {
    HC_CHECK(geometry.page_size > 0);
    HC_CHECK(geometry.head_dim > 0);
}

KvPool::~KvPool() = default;

void KvPool::reserve(std::int64_t pages) {
    const std::int64_t missing = pages - static_cast<std::int64_t>(free_.size());
    if (missing <= 0) return;
    const auto page_bytes = static_cast<std::size_t>(geometry_.page_bytes());
    // Left uninitialised: a slot is written before it is read, and untouched pages cost nothing.
    slabs_.push_back(std::make_unique_for_overwrite<std::byte[]>(
        page_bytes * static_cast<std::size_t>(missing)));
    std::byte* slab = slabs_.back().get();
    total_pages_ += missing;
    free_.reserve(static_cast<std::size_t>(total_pages_));
    // Taken from the back: later pages first into the list, so that pages go out in order.
    for (std::int64_t page = missing - 1; page >= 0; --page) {
        free_.push_back(slab + static_cast<std::size_t>(page) * page_bytes);
    }
}

std::byte* KvPool::take_page() {
    if (free_.empty()) {
        const std::int64_t smallest =
            std::max<std::int64_t>(1, kSmallestSlabBytes / geometry_.page_bytes());
        reserve(std::max(smallest, total_pages_ / 8));
    }
    std::byte* page = free_.back();
    free_.pop_back();
    ++used_pages_;
    return page;
}

void KvPool::give_back(std::byte* page) {
    HC_CHECK(used_pages_ > 0);
    --used_pages_;
    free_.push_back(page);  // within the capacity that reserve() made for every page there is
}

std::int64_t KvPool::used_bytes() const {
    return used_pages_ * geometry_.page_bytes();
}

std::int64_t KvPool::reserved_bytes() const {
    return total_pages_ * geometry_.page_bytes();
}

HeadKv::~HeadKv() {
    for (std::byte* page : pages_) pool_->give_back(page);
}

HeadKv::HeadKv(HeadKv&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      length_(std::exchange(other.length_, 0)) {}

void HeadKv::extend(std::int64_t count) {
    HC_CHECK(count >= 0);
    const auto needed =
        static_cast<std::size_t>(pages_for(length_ + count, pool_->geometry().page_size));
    while (pages_.size() < needed) pages_.push_back(pool_->take_page());
    length_ += count;
}

void HeadKv::shrink(std::int64_t length) {
    HC_CHECK(length >= 0);
    HC_CHECK(length <= length_);
    length_ = length;
    const auto needed = static_cast<std::size_t>(pages_for(length, pool_->geometry().page_size));
    while (pages_.size() > needed) {
        pool_->give_back(pages_.back());
        pages_.pop_back();
    }
}

void HeadKv::reserve(std::int64_t length) {
    pages_.reserve(static_cast<std::size_t>(pages_for(length, pool_->geometry().page_size)));
}

std::int64_t HeadKv::pages_to_reach(std::int64_t length) const {
    const std::int64_t needed = pages_for(length, pool_->geometry().page_size);
    return std::max<std::int64_t>(0, needed - static_cast<std::int64_t>(pages_.size()));
}

std::byte* HeadKv::key(std::int64_t slot) {
    const PoolGeometry& g = pool_->geometry();
    return pages_[static_cast<std::size_t>(slot / g.page_size)] +
           slot % g.page_size * g.row_bytes();
}

std::byte* HeadKv::value(std::int64_t slot) {
    const PoolGeometry& g = pool_->geometry();
    return key(slot) + g.page_size * g.row_bytes();
}

const std::byte* HeadKv::key(std::int64_t slot) const {
    return const_cast<HeadKv*>(this)->key(slot);
}

const std::byte* HeadKv::value(std::int64_t slot) const {
    return const_cast<HeadKv*>(this)->value(slot);
}

kernels::PagedKv HeadKv::view() const {
    const PoolGeometry& g = pool_->geometry();
    return {pages_.data(), length_, g.page_size, g.head_dim, g.type};
}

}  // namespace hc::cache
