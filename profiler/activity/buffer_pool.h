/// The buffers that CUPTI fills: a bounded number, all reserved at the start.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

namespace hc::activity {

/// Buffers go round: free, with CUPTI, filled, with the decoder, free. The last one freed is
/// handed out first, so that a quiet program touches few pages.
///
/// When none is free, the thread that asks (the application's) waits for up to `patience` and is
/// then refused; CUPTI drops the records that it has no room for and counts them. Threads wait
/// one after the other for a second at most: after a refusal nobody waits again until a buffer
/// came back, so that a writer that is stuck slows the program once and not at every call.
class BufferPool {
public:
    /// Buffers are handed out zeroed.
    BufferPool(std::size_t buffer_bytes, std::size_t num_buffers,
               std::chrono::milliseconds patience);
    /// CUPTI may hold buffers for threads that never came back: then the memory stays.
    ~BufferPool();
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    [[nodiscard]] std::size_t buffer_bytes() const { return buffer_bytes_; }

    /// CUPTI: a free buffer, nullptr when refused.
    [[nodiscard]] std::byte* request();
    /// CUPTI: filled up to `valid_bytes`. A pointer that is not ours is ignored.
    void complete(std::byte* buffer, std::size_t valid_bytes);

    struct Filled {
        std::byte* data = nullptr;
        std::size_t valid_bytes = 0;
    };
    /// Decoder: the oldest filled one; nullopt when none came within `wait`.
    [[nodiscard]] std::optional<Filled> take(std::chrono::milliseconds wait);
    /// Decoder: read, free again.
    void recycle(std::byte* buffer);

    /// From now on requests are refused and take() does not wait.
    void close();

    struct Counts {
        std::uint64_t requests = 0;
        std::uint64_t refused = 0;
        std::uint64_t completed = 0;
        std::uint64_t recycled = 0;
        std::uint64_t waits = 0;      ///< requests that had to wait
        std::int64_t waited_ns = 0;   ///< altogether, by threads of the application
        std::size_t peak_in_use = 0;  ///< buffers
        std::size_t with_cupti = 0;   ///< buffers, now
        std::size_t filled = 0;       ///< buffers not yet taken, now
    };
    [[nodiscard]] Counts counts() const;

private:
    enum class Place : std::uint8_t { kFree, kCupti, kFilled, kDecoder };

    [[nodiscard]] std::optional<std::size_t> index_of(const std::byte* buffer) const;

    const std::size_t buffer_bytes_;
    const std::chrono::milliseconds patience_;
    std::byte* memory_ = nullptr;  // num_buffers * buffer_bytes_
    mutable std::mutex mutex_;     // guards everything below
    std::condition_variable freed_;
    std::condition_variable filled_ready_;
    std::vector<std::size_t> free_;
    std::vector<Place> places_;
    std::deque<Filled> filled_;
    Counts counts_;
    bool refusing_ = false;  // a wait was in vain and nothing was freed since
    bool closed_ = false;
};

}  // namespace hc::activity
