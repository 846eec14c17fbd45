/// Records as CUPTI would write them, for tests: a double of the library, which measures nothing.
#pragma once

#include <cupti.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>

namespace hc::test {

/// Size of a record of this kind, 0 for one that the double does not know.
inline std::size_t record_size(CUpti_ActivityKind kind) {
    switch (kind) {
        case CUPTI_ACTIVITY_KIND_KERNEL:
        case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: return sizeof(CUpti_ActivityKernel10);
        case CUPTI_ACTIVITY_KIND_MEMCPY: return sizeof(CUpti_ActivityMemcpy6);
        case CUPTI_ACTIVITY_KIND_MEMCPY2: return sizeof(CUpti_ActivityMemcpyPtoP4);
        case CUPTI_ACTIVITY_KIND_MEMSET: return sizeof(CUpti_ActivityMemset4);
        case CUPTI_ACTIVITY_KIND_RUNTIME:
        case CUPTI_ACTIVITY_KIND_DRIVER: return sizeof(CUpti_ActivityAPI);
        case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION: return sizeof(CUpti_ActivitySynchronization2);
        case CUPTI_ACTIVITY_KIND_OVERHEAD: return sizeof(CUpti_ActivityOverhead3);
        case CUPTI_ACTIVITY_KIND_MEMORY2: return sizeof(CUpti_ActivityMemory4);
        case CUPTI_ACTIVITY_KIND_MEMORY_POOL: return sizeof(CUpti_ActivityMemoryPool3);
        case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
            return sizeof(CUpti_ActivityExternalCorrelation);
        case CUPTI_ACTIVITY_KIND_MARKER: return sizeof(CUpti_ActivityMarker2);
        case CUPTI_ACTIVITY_KIND_MARKER_DATA: return sizeof(CUpti_ActivityMarkerData2);
        case CUPTI_ACTIVITY_KIND_NAME: return sizeof(CUpti_ActivityName);
        case CUPTI_ACTIVITY_KIND_CONTEXT: return sizeof(CUpti_ActivityContext3);
        case CUPTI_ACTIVITY_KIND_STREAM: return sizeof(CUpti_ActivityStream);
        case CUPTI_ACTIVITY_KIND_DEVICE: return sizeof(CUpti_ActivityDevice5);
        case CUPTI_ACTIVITY_KIND_PCIE: return sizeof(CUpti_ActivityPcie);
        case CUPTI_ACTIVITY_KIND_GRAPH_TRACE: return sizeof(CUpti_ActivityGraphTrace2);
        default: return 0;
    }
}

/// As cuptiActivityGetNextRecord.
inline CUptiResult next_record(std::uint8_t* buffer, std::size_t valid, void** record) {
    std::size_t at = 0;
    if (*record != nullptr) {
        CUpti_ActivityKind last;
        std::memcpy(&last, *record, sizeof(last));
        at = static_cast<std::size_t>(static_cast<std::uint8_t*>(*record) - buffer) +
             record_size(last);
    }
    if (at >= valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
    CUpti_ActivityKind kind = CUPTI_ACTIVITY_KIND_INVALID;
    if (valid - at < sizeof(kind)) return CUPTI_ERROR_INVALID_KIND;
    std::memcpy(&kind, buffer + at, sizeof(kind));
    const std::size_t size = record_size(kind);
    if (size == 0 || valid - at < size) return CUPTI_ERROR_INVALID_KIND;
    *record = buffer + at;
    return CUPTI_SUCCESS;
}

/// Fills buffers as CUPTI does: asks for one when it needs one, hands it over when it is full or
/// at a flush, and counts what it had no room for.
class RecordFiller {
public:
    std::function<void(std::uint8_t**, std::size_t*)> request;
    std::function<void(std::uint8_t*, std::size_t size, std::size_t valid)> complete;

    template <typename Record>
    void put(const Record& record) {
        const std::lock_guard lock(mutex_);
        if (buffer_ == nullptr || size_ - used_ < sizeof(Record)) {
            hand_over();
            buffer_ = nullptr;
            request(&buffer_, &size_);
            used_ = 0;
        }
        if (buffer_ == nullptr || size_ < sizeof(Record)) {
            ++dropped_;
            return;
        }
        std::memcpy(buffer_ + used_, &record, sizeof(Record));
        used_ += sizeof(Record);
    }
    void flush() {
        const std::lock_guard lock(mutex_);
        hand_over();
    }
    std::size_t take_dropped() {
        const std::lock_guard lock(mutex_);
        return std::exchange(dropped_, 0);
    }

private:
    void hand_over() {
        if (buffer_ != nullptr) complete(std::exchange(buffer_, nullptr), size_, used_);
    }

    std::mutex mutex_;
    std::uint8_t* buffer_ = nullptr;
    std::size_t size_ = 0, used_ = 0, dropped_ = 0;
};

// Records with everything that a test does not care about at zero.

inline CUpti_ActivityKernel10 kernel_record(const char* name, std::uint32_t correlation,
                                            std::uint64_t start, std::uint64_t end,
                                            std::uint32_t stream = 7) {
    CUpti_ActivityKernel10 record{};
    record.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    record.name = name;
    record.correlationId = correlation;
    record.start = start;
    record.end = end;
    record.contextId = 1;
    record.streamId = stream;
    record.gridX = record.gridY = record.gridZ = 1;
    record.blockX = 32;
    record.blockY = record.blockZ = 1;
    return record;
}

inline CUpti_ActivityAPI api_record(std::uint32_t cbid, std::uint32_t correlation,
                                    std::uint64_t start, std::uint64_t end, std::uint32_t pid,
                                    std::uint32_t tid,
                                    CUpti_ActivityKind kind = CUPTI_ACTIVITY_KIND_RUNTIME) {
    CUpti_ActivityAPI record{};
    record.kind = kind;
    record.cbid = cbid;
    record.correlationId = correlation;
    record.start = start;
    record.end = end;
    record.processId = pid;
    record.threadId = tid;
    return record;
}

inline CUpti_ActivityMarker2 marker_record(CUpti_ActivityFlag flags, std::uint32_t id,
                                           std::uint64_t time, std::uint32_t pid,
                                           std::uint32_t tid, const char* name,
                                           const char* domain = nullptr) {
    CUpti_ActivityMarker2 record{};
    record.kind = CUPTI_ACTIVITY_KIND_MARKER;
    record.flags = flags;
    record.id = id;
    record.timestamp = time;
    record.objectKind = CUPTI_ACTIVITY_OBJECT_THREAD;
    record.objectId.pt.processId = pid;
    record.objectId.pt.threadId = tid;
    record.name = name;
    record.domain = domain;
    return record;
}

}  // namespace hc::test
