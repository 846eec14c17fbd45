#include "profiler/trace/record_queue.h"

#include <algorithm>
#include <cstring>

namespace hc::trace {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
/// Bounds one transaction, and with it what a crash can lose under load.
constexpr std::size_t kBatchChunks = 16;
constexpr std::size_t kSpareChunks = 4;

RecordChunk make_chunk(std::size_t capacity) {
    RecordChunk chunk;
    chunk.data = std::make_unique_for_overwrite<std::byte[]>(capacity);
    chunk.capacity = capacity;
    return chunk;
}

}  // namespace

RecordQueue::RecordQueue(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {
    for (int i = 0; i < 2; ++i) {
        RecordChunk chunk = make_chunk(kChunkBytes);
        // Touched now: a page fault inside a decode step costs more than the copy.
        std::memset(chunk.data.get(), 0, chunk.capacity);
        spare_.push_back(std::move(chunk));
    }
}

RecordChunk RecordQueue::fresh_chunk(std::size_t size) {
    if (size <= kChunkBytes && !spare_.empty()) {
        RecordChunk chunk = std::move(spare_.back());
        spare_.pop_back();
        return chunk;
    }
    return make_chunk(std::max(size, kChunkBytes));
}

bool RecordQueue::has_room(std::size_t size) const {
    // A record larger than the whole queue passes when it is alone.
    return bytes_ == 0 || bytes_ + sizeof(RecordHeader) + size <= limit_bytes_;
}

void RecordQueue::wait_for_room(std::unique_lock<std::mutex>& lock, std::size_t size) {
    const auto ready = [&] { return !failure_.empty() || has_room(size); };
    if (!ready()) {
        work_.notify_one();
        room_.wait(lock, ready);
    }
    if (!failure_.empty()) throw_io(failure_);
}

std::byte* RecordQueue::reserve(RecordType type, std::size_t size) {
    const std::size_t needed = sizeof(RecordHeader) + size;
    HC_CHECK(!closed_);
    if (full_.empty() || full_.back().capacity - full_.back().used < needed) {
        full_.push_back(fresh_chunk(needed));
    }
    RecordChunk& chunk = full_.back();
    std::byte* at = chunk.data.get() + chunk.used;
    const RecordHeader header{type, size};
    std::memcpy(at, &header, sizeof(header));
    chunk.used += needed;
    chunk.records += 1;
    bytes_ += needed;
    pushed_ += 1;
    if (bytes_ > limit_bytes_ / 2) work_.notify_one();
    return at + sizeof(header);
}

void RecordQueue::flush() {
    std::unique_lock lock(mutex_);
    const std::uint64_t until = pushed_;
    flush_until_ = std::max(flush_until_, until);
    work_.notify_one();
    progress_.wait(lock, [&] { return committed_ >= until || !failure_.empty(); });
}

void RecordQueue::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    work_.notify_one();
}

RecordQueue::Batch RecordQueue::take(std::chrono::milliseconds interval) {
    std::unique_lock lock(mutex_);
    work_.wait_for(lock, interval, [&] {
        return closed_ || flush_until_ > committed_ || bytes_ > limit_bytes_ / 2;
    });
    Batch batch;
    while (!full_.empty() && batch.chunks.size() < kBatchChunks) {
        batch.chunks.push_back(std::move(full_.front()));
        full_.pop_front();
    }
    batch.last = closed_ && full_.empty();
    return batch;
}

void RecordQueue::recycle(RecordChunk chunk) {
    const std::lock_guard lock(mutex_);
    bytes_ -= chunk.used;
    if (chunk.capacity == kChunkBytes && spare_.size() < kSpareChunks) {
        chunk.used = 0;
        chunk.records = 0;
        spare_.push_back(std::move(chunk));
    }
    room_.notify_all();
}

void RecordQueue::committed(std::uint64_t records) {
    const std::lock_guard lock(mutex_);
    committed_ += records;
    progress_.notify_all();
}

void RecordQueue::fail(const std::string& message) {
    const std::lock_guard lock(mutex_);
    failure_ = message;
    full_.clear();
    room_.notify_all();
    progress_.notify_all();
}

std::string RecordQueue::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

}  // namespace hc::trace
