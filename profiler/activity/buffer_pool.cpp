#include "profiler/activity/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "engine/core/clock.h"
#include "engine/core/error.h"

namespace hc::activity {

BufferPool::BufferPool(std::size_t buffer_bytes, std::size_t num_buffers,
                       std::chrono::milliseconds patience)
    : buffer_bytes_(buffer_bytes), patience_(patience), places_(num_buffers, Place::kFree) {
    HC_CHECK(buffer_bytes >= 4096 && buffer_bytes % 4096 == 0);
    HC_CHECK(num_buffers > 0);
    void* memory = ::mmap(nullptr, buffer_bytes * num_buffers, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        throw Error(ExitCode::kUnavailable, "no memory for " + std::to_string(num_buffers) +
                                                " activity buffers of " +
                                                std::to_string(buffer_bytes) + " bytes");
    }
    memory_ = static_cast<std::byte*>(memory);
    // Reversed, so that the first ones are handed out first.
    for (std::size_t index = num_buffers; index-- > 0;) free_.push_back(index);
    // The first few are made real now and not by the application's thread.
    std::memset(memory_, 0, buffer_bytes * std::min<std::size_t>(num_buffers, 4));
}

BufferPool::~BufferPool() {
    if (counts_.with_cupti == 0) ::munmap(memory_, buffer_bytes_ * places_.size());
}

std::optional<std::size_t> BufferPool::index_of(const std::byte* buffer) const {
    if (buffer < memory_) return std::nullopt;
    const auto offset = static_cast<std::size_t>(buffer - memory_);
    if (offset % buffer_bytes_ != 0 || offset / buffer_bytes_ >= places_.size()) {
        return std::nullopt;
    }
    return offset / buffer_bytes_;
}

std::byte* BufferPool::request() {
    std::unique_lock lock(mutex_);
    ++counts_.requests;
    if (free_.empty() && !closed_ && !refusing_ && patience_.count() > 0) {
        ++counts_.waits;
        const std::int64_t begin = now_ns();
        freed_.wait_for(lock, patience_, [this] { return !free_.empty() || closed_; });
        counts_.waited_ns += now_ns() - begin;
    }
    if (free_.empty() || closed_) {
        ++counts_.refused;
        refusing_ = true;
        return nullptr;
    }
    const std::size_t index = free_.back();
    free_.pop_back();
    places_[index] = Place::kCupti;
    ++counts_.with_cupti;
    counts_.peak_in_use = std::max(counts_.peak_in_use, places_.size() - free_.size());
    return memory_ + index * buffer_bytes_;
}

void BufferPool::complete(std::byte* buffer, std::size_t valid_bytes) {
    const std::lock_guard lock(mutex_);
    const std::optional<std::size_t> index = index_of(buffer);
    if (!index || places_[*index] != Place::kCupti) return;
    places_[*index] = Place::kFilled;
    --counts_.with_cupti;
    ++counts_.completed;
    filled_.push_back({buffer, std::min(valid_bytes, buffer_bytes_)});
    filled_ready_.notify_one();
}

std::optional<BufferPool::Filled> BufferPool::take(std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    filled_ready_.wait_for(lock, wait, [this] { return !filled_.empty() || closed_; });
    if (filled_.empty()) return std::nullopt;
    const Filled filled = filled_.front();
    filled_.pop_front();
    places_[*index_of(filled.data)] = Place::kDecoder;
    return filled;
}

void BufferPool::recycle(std::byte* buffer) {
    const std::optional<std::size_t> index = index_of(buffer);
    HC_CHECK(index.has_value());
    // Here and not in CUPTI, which would do it on the application's thread.
    std::memset(buffer, 0, buffer_bytes_);
    const std::lock_guard lock(mutex_);
    HC_CHECK(places_[*index] == Place::kDecoder);
    places_[*index] = Place::kFree;
    free_.push_back(*index);
    ++counts_.recycled;
    refusing_ = false;
    freed_.notify_one();
}

void BufferPool::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    freed_.notify_all();
    filled_ready_.notify_all();
}

BufferPool::Counts BufferPool::counts() const {
    const std::lock_guard lock(mutex_);
    Counts counts = counts_;
    counts.filled = filled_.size();
    return counts;
}

}  // namespace hc::activity
