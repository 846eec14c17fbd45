#include "profiler/cupti/record_fields.h"

#include <bit>
#include <string>

namespace hc::cupti {

const char* overhead_sign(CUpti_ActivityOverheadKind kind) {
    switch (kind) {
        case CUPTI_ACTIVITY_OVERHEAD_CUPTI_BUFFER_FLUSH: return "buffer_flush";
        case CUPTI_ACTIVITY_OVERHEAD_CUPTI_RESOURCE: return "resource";
        case CUPTI_ACTIVITY_OVERHEAD_COMMAND_BUFFER_FULL: return "command_buffer_full";
        case CUPTI_ACTIVITY_OVERHEAD_ACTIVITY_BUFFER_REQUEST: return "activity_buffer_request";
        default: return nullptr;
    }
}

trace::Launch launch_of(const CUpti_ActivityKernel10& record, trace::StringId name,
                        trace::StringId short_name, trace::StringId mangled) {
    trace::Launch launch;
    launch.name = name;
    launch.short_name = short_name;
    launch.mangled_name = mangled;
    launch.grid = {record.gridX, record.gridY, record.gridZ};
    launch.block = {record.blockX, record.blockY, record.blockZ};
    launch.registers_per_thread = record.registersPerThread;
    launch.static_shared_bytes = record.staticSharedMemory;
    launch.dynamic_shared_bytes = record.dynamicSharedMemory;
    launch.executed_shared_bytes = clamped(record.sharedMemoryExecuted);
    launch.local_bytes_per_thread = clamped(record.localMemoryPerThread);
    launch.local_bytes_total = as_time(record.localMemoryTotal_v2);
    launch.launch_type = record.launchType;
    launch.cache_config = record.cacheConfig.both;
    launch.shared_limit_config = record.shmemLimitConfig;
    if (record.clusterX > 0) {
        launch.cluster = {clamped(record.clusterX), clamped(record.clusterY),
                          clamped(record.clusterZ)};
        launch.cluster_policy = clamped(record.clusterSchedulingPolicy);
        launch.max_potential_cluster = clamped(record.maxPotentialClusterSize);
        launch.max_active_clusters = clamped(record.maxActiveClusters);
    }
    if (record.isSharedMemoryCarveoutRequested != 0) {
        launch.shared_percentage = record.sharedMemoryCarveoutRequested;
    }
    return launch;
}

trace::Gpu gpu_of(const CUpti_ActivityDevice5& record) {
    constexpr std::int64_t kKilo = 1000;  // CUPTI gives kB/s and kHz
    trace::Gpu gpu;
    gpu.device = static_cast<std::int32_t>(record.id);
    gpu.name = record.name != nullptr ? record.name : "";
    constexpr char kDigits[] = "0123456789abcdef";
    for (const char byte : record.uuid.bytes) {
        gpu.uuid += kDigits[(static_cast<unsigned char>(byte) >> 4) & 15];
        gpu.uuid += kDigits[static_cast<unsigned char>(byte) & 15];
    }
    gpu.compute_major = clamped(record.computeCapabilityMajor);
    gpu.compute_minor = clamped(record.computeCapabilityMinor);
    gpu.num_sms = clamped(record.numMultiprocessors);
    gpu.memory_bytes = as_time(record.globalMemorySize);
    gpu.l2_bytes = record.l2CacheSize;
    gpu.memory_bandwidth = as_time(record.globalMemoryBandwidth) * kKilo;
    gpu.clock_hz = std::int64_t{record.coreClockRate} * kKilo;
    gpu.constant_memory_bytes = record.constantMemorySize;
    gpu.async_engines = clamped(record.numMemcpyEngines);
    gpu.threads_per_warp = clamped(record.numThreadsPerWarp);
    gpu.max_warps_per_sm = clamped(record.maxWarpsPerMultiprocessor);
    gpu.max_blocks_per_sm = clamped(record.maxBlocksPerMultiprocessor);
    gpu.max_threads_per_block = clamped(record.maxThreadsPerBlock);
    gpu.max_registers_per_block = record.maxRegistersPerBlock;
    gpu.max_registers_per_sm = record.maxRegistersPerMultiprocessor;
    gpu.max_shared_per_block = record.maxSharedMemoryPerBlock;
    gpu.max_shared_per_sm = record.maxSharedMemoryPerMultiprocessor;
    gpu.max_block = {record.maxBlockDimX, record.maxBlockDimY, record.maxBlockDimZ};
    gpu.max_grid = {record.maxGridDimX, record.maxGridDimY, record.maxGridDimZ};
    return gpu;
}

void read_payload(const CUpti_ActivityMarkerData2& record, activity::MarkerDetail& detail) {
    // NVTX_PAYLOAD_TYPE_*
    constexpr std::int32_t kUnsigned = 1;
    constexpr std::int32_t kSigned = 2;
    constexpr std::int32_t kDouble = 3;
    switch (record.payloadKind) {
        case CUPTI_METRIC_VALUE_KIND_DOUBLE:
            detail.payload = std::bit_cast<std::int64_t>(record.payload.metricValueDouble);
            detail.payload_type = kDouble;
            break;
        case CUPTI_METRIC_VALUE_KIND_UINT64:
            detail.payload = static_cast<std::int64_t>(record.payload.metricValueUint64);
            detail.payload_type = kUnsigned;
            break;
        case CUPTI_METRIC_VALUE_KIND_INT64:
            detail.payload = record.payload.metricValueInt64;
            detail.payload_type = kSigned;
            break;
        default: return;
    }
    // CUPTI has no word for "no payload": it leaves a zero of the first kind.
    detail.has_payload = detail.payload != 0 || record.payloadKind != CUPTI_METRIC_VALUE_KIND_DOUBLE;
}

}  // namespace hc::cupti
