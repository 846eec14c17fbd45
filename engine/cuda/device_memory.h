/// Device and pinned host memory with one owner each, counted by name: what the engine says it
/// uses is what it allocated.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace hc::cuda {

/// Throws Error(kUnavailable) "cuda: WHAT: the runtime's words" unless `status` is success. Out of
/// memory becomes kRefused.
void check(cudaError_t status, const char* what);

/// Bytes in use by name, and the most that were. Thread-safe: the fetch worker allocates too.
class MemoryLedger {
public:
    void add(const std::string& name, std::int64_t bytes) {
        const std::lock_guard lock(mutex_);
        bytes_[name] += bytes;
        total_ += bytes;
        peak_ = std::max(peak_, total_);
    }
    [[nodiscard]] std::int64_t total() const {
        const std::lock_guard lock(mutex_);
        return total_;
    }
    [[nodiscard]] std::int64_t peak() const {
        const std::lock_guard lock(mutex_);
        return peak_;
    }
    [[nodiscard]] std::int64_t of(const std::string& name) const {
        const std::lock_guard lock(mutex_);
        const auto found = bytes_.find(name);
        return found == bytes_.end() ? 0 : found->second;
    }
    [[nodiscard]] std::map<std::string, std::int64_t> by_name() const {
        const std::lock_guard lock(mutex_);
        return bytes_;
    }

private:
    mutable std::mutex mutex_;  // of all below
    std::map<std::string, std::int64_t> bytes_;
    std::int64_t total_ = 0;
    std::int64_t peak_ = 0;
};

/// Plain device memory. Move-only: freed once.
class DeviceBuffer {
public:
    DeviceBuffer() = default;
    /// Contents are undefined. `ledger` is borrowed and must outlive the buffer.
    DeviceBuffer(MemoryLedger& ledger, std::string name, std::int64_t bytes);
    ~DeviceBuffer();
    DeviceBuffer(DeviceBuffer&& other) noexcept;
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
    DeviceBuffer(const DeviceBuffer&) = delete;
    DeviceBuffer& operator=(const DeviceBuffer&) = delete;

    template <typename T>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(data_);
    }
    [[nodiscard]] std::int64_t size_bytes() const { return bytes_; }
    [[nodiscard]] bool empty() const { return data_ == nullptr; }

private:
    void release() noexcept;
    MemoryLedger* ledger_ = nullptr;
    std::string name_;
    void* data_ = nullptr;
    std::int64_t bytes_ = 0;
};

/// Pinned host memory that the device can read and write at `device()`. Move-only.
class PinnedBuffer {
public:
    PinnedBuffer() = default;
    PinnedBuffer(MemoryLedger& ledger, std::string name, std::int64_t bytes);
    ~PinnedBuffer();
    PinnedBuffer(PinnedBuffer&& other) noexcept;
    PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
    PinnedBuffer(const PinnedBuffer&) = delete;
    PinnedBuffer& operator=(const PinnedBuffer&) = delete;

    template <typename T>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(host_);
    }
    template <typename T>
    [[nodiscard]] T* device() const {
        return static_cast<T*>(device_);
    }
    [[nodiscard]] std::int64_t size_bytes() const { return bytes_; }
    [[nodiscard]] bool empty() const { return host_ == nullptr; }

private:
    void release() noexcept;
    MemoryLedger* ledger_ = nullptr;
    std::string name_;
    void* host_ = nullptr;
    void* device_ = nullptr;
    std::int64_t bytes_ = 0;
};

/// Device memory that grows in place: addresses are reserved once and backed as needed, so that
/// page numbers and pointers in captured graphs stay valid while the pool grows.
class GrowableMemory {
public:
    /// Reserves `most_bytes` of addresses; backs none of them.
    GrowableMemory(MemoryLedger& ledger, std::string name, std::int64_t most_bytes);
    ~GrowableMemory();
    GrowableMemory(const GrowableMemory&) = delete;
    GrowableMemory& operator=(const GrowableMemory&) = delete;

    /// Backs the first `bytes`, rounded up to the device's granularity. Throws Error(kRefused)
    /// when the device has no more, leaving what was backed.
    void grow(std::int64_t bytes);
    [[nodiscard]] std::int64_t size_bytes() const { return backed_; }
    [[nodiscard]] std::int64_t granularity() const { return granularity_; }
    template <typename T>
    [[nodiscard]] T* as() const {
        return reinterpret_cast<T*>(address_);
    }

private:
    MemoryLedger* ledger_;
    std::string name_;
    unsigned long long address_ = 0;
    std::int64_t most_ = 0;
    std::int64_t backed_ = 0;
    std::int64_t granularity_ = 0;
    int device_ = 0;
    struct Chunks;  // what lies behind the addresses, in order
    std::unique_ptr<Chunks> chunks_;
};

}  // namespace hc::cuda
