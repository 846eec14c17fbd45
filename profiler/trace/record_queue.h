/// The bounded queue between the threads that add records and the one that writes them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace hc::trace {

enum class RecordType : std::uint8_t {
    kRun,
    kMachine,
    kStream,
    kValue,
    kMeta,
    kStep,
    kToken,
    kHeads,
    kDrift,
    kFetch,
    kRows,
    kAttention,
    kMemory,
    kRecall,
    kString,
    kLaunch,
    kGpu,
    kProcess,
    kNvtxName,
    kKernels,  // from here on: ns taken from the times, then a list of rows of activity.h
    kMemcpys,
    kMemsets,
    kApis,
    kSyncs,
    kNvtx,
    kOverheads,
    kMemoryEvents,
    kExternals,
};

struct RecordHeader {
    RecordType type{};
    std::uint64_t size = 0;  ///< bytes that follow
};

/// A block of records back to back. Blocks are reused, so that adding touches warm memory.
struct RecordChunk {
    std::unique_ptr<std::byte[]> data;
    std::size_t capacity = 0;
    std::size_t used = 0;
    std::uint64_t records = 0;
};

/// Producers copy into the current chunk under one short lock. One consumer takes chunks.
class RecordQueue {
public:
    explicit RecordQueue(std::size_t limit_bytes);

    /// Adds a record of `size` bytes that `fill(std::byte*)` writes. Waits while the queue is
    /// full. Throws Error(kIo) once fail() was called.
    template <typename Fill>
    void push(RecordType type, std::size_t size, Fill&& fill) {
        std::unique_lock lock(mutex_);
        wait_for_room(lock, size);
        fill(reserve(type, size));
    }

    /// The same without waiting: false, and nothing added, while the queue is full or once
    /// fail() was called.
    template <typename Fill>
    [[nodiscard]] bool try_push(RecordType type, std::size_t size, Fill&& fill) {
        const std::lock_guard lock(mutex_);
        if (!failure_.empty() || !has_room(size)) {
            work_.notify_one();
            return false;
        }
        fill(reserve(type, size));
        return true;
    }

    /// Waits until everything pushed before this call is committed or fail() was called.
    void flush();
    /// No more pushes; the consumer gets what is left.
    void close();

    struct Batch {
        std::vector<RecordChunk> chunks;
        bool last = false;  ///< closed and nothing left after this
    };
    /// Consumer: waits for `interval`, less when the queue fills up or someone flushes.
    [[nodiscard]] Batch take(std::chrono::milliseconds interval);
    /// Consumer: the chunk was read, its memory is free again.
    void recycle(RecordChunk chunk);
    /// Consumer: so many records are on disk.
    void committed(std::uint64_t records);
    /// Consumer: nothing can be written any more, for this reason. What is queued is dropped.
    void fail(const std::string& message);
    /// Empty while all is well.
    [[nodiscard]] std::string failure() const;

private:
    // All three under the lock.
    [[nodiscard]] bool has_room(std::size_t size) const;
    void wait_for_room(std::unique_lock<std::mutex>& lock, std::size_t size);
    [[nodiscard]] std::byte* reserve(RecordType type, std::size_t size);
    RecordChunk fresh_chunk(std::size_t size);

    const std::size_t limit_bytes_;
    mutable std::mutex mutex_;          // guards everything below
    std::condition_variable room_;      // producers: bytes were freed, or failure
    std::condition_variable work_;      // the consumer: worth waking up
    std::condition_variable progress_;  // flush(): records were committed, or failure
    std::deque<RecordChunk> full_;
    std::vector<RecordChunk> spare_;
    std::size_t bytes_ = 0;  // queued and taken, not yet recycled
    std::uint64_t pushed_ = 0;
    std::uint64_t committed_ = 0;
    std::uint64_t flush_until_ = 0;
    bool closed_ = false;
    std::string failure_;
};

}  // namespace hc::trace
