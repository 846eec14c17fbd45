#include "profiler/cupti/decoder.h"

#include <cupti.h>

#include <cstdlib>

#include "profiler/activity/kernel_names.h"
#include "profiler/cupti/api_filter.h"
#include "profiler/cupti/record_fields.h"

namespace hc::cupti {

void RowCounts::add(const trace::ActivityBatch& batch) {
    kernel += batch.kernels.size();
    memcpy += batch.memcpys.size();
    memset += batch.memsets.size();
    api += batch.apis.size();
    sync += batch.syncs.size();
    nvtx += batch.nvtx.size();
    overhead += batch.overheads.size();
    memory += batch.memory_events.size();
    external += batch.externals.size();
}

std::uint64_t RowCounts::total() const {
    return kernel + memcpy + memset + api + sync + nvtx + overhead + memory + external;
}

namespace {

constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15;
/// Names that change at every call ("step 17") would fill the memory; asking the sink again costs
/// a little time.
constexpr std::size_t kMaxStrings = std::size_t{1} << 18;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
    hash ^= value;
    hash *= kMix;
    return hash ^ (hash >> 29);
}

}  // namespace

std::size_t Decoder::Hash::operator()(const StreamId& id) const {
    return mix(mix(id.device, id.context), id.stream);
}

std::size_t Decoder::Hash::operator()(const trace::Launch& launch) const {
    const auto pair = [](std::int32_t high, std::int32_t low) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(high)) << 32 |
               static_cast<std::uint32_t>(low);
    };
    // What tells launches apart in practice; the rest follows from the kernel.
    std::uint64_t hash = pair(launch.mangled_name, launch.dynamic_shared_bytes);
    hash = mix(hash, pair(launch.grid[0], launch.grid[1]));
    hash = mix(hash, pair(launch.grid[2], launch.block[0]));
    return mix(hash, pair(launch.block[1], launch.block[2]));
}

Decoder::Decoder(CuptiApi& api, activity::ActivitySink& sink, activity::LossAudit& audit,
                 std::int64_t pid)
    : api_(api), sink_(sink), audit_(audit), pid_(pid) {}

Decoder::~Decoder() = default;

void Decoder::decode(std::uint8_t* buffer, std::size_t valid_bytes,
                     activity::ClockConverter& clock, trace::ActivityBatch& batch) {
    void* record = nullptr;
    if (valid_bytes == 0) return;
    while (true) {
        const int result = api_.next_record(buffer, valid_bytes, &record);
        if (result == CUPTI_ERROR_MAX_LIMIT_REACHED) return;
        if (result != CUPTI_SUCCESS || record == nullptr) {
            // An incomplete record: where the next one begins, nobody knows.
            audit_.unreadable();
            return;
        }
        decode_record(record, clock, batch);
    }
}

void Decoder::decode_record(const void* record, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch) {
    switch (read_field<CUpti_ActivityKind>(record, 0)) {
        case CUPTI_ACTIVITY_KIND_KERNEL:
        case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: return decode_kernel(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMCPY: return decode_memcpy(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMCPY2: return decode_peer_memcpy(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMSET: return decode_memset(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_RUNTIME:
        case CUPTI_ACTIVITY_KIND_DRIVER: return decode_api(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION: return decode_sync(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_OVERHEAD: return decode_overhead(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMORY2: return decode_memory(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMORY_POOL: return decode_memory_pool(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION: return decode_external(record, batch);
        case CUPTI_ACTIVITY_KIND_MARKER: return decode_marker(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MARKER_DATA: return decode_marker_data(record, batch);
        case CUPTI_ACTIVITY_KIND_NAME: return decode_name(record);
        case CUPTI_ACTIVITY_KIND_CONTEXT: return decode_context(record);
        case CUPTI_ACTIVITY_KIND_STREAM: return decode_stream(record);
        case CUPTI_ACTIVITY_KIND_DEVICE: return decode_device(record);
        case CUPTI_ACTIVITY_KIND_PCIE: return decode_pcie(record);
        default: ++ignored_;
    }
}

bool Decoder::has_times(std::uint64_t start, std::uint64_t end) {
    if (start != CUPTI_TIMESTAMP_UNKNOWN && end != CUPTI_TIMESTAMP_UNKNOWN && start <= end) {
        return true;
    }
    audit_.without_time();
    return false;
}

trace::StreamKey Decoder::stream(StreamId id) {
    if (id == last_stream_id_) return last_stream_;
    const auto [found, is_new] = streams_.try_emplace(id, -1);
    if (is_new) {
        trace::Stream row;
        row.pid = pid_;
        row.device = static_cast<std::int32_t>(id.device);
        row.context = static_cast<std::int32_t>(id.context);
        row.stream_id =
            id.stream == CUPTI_SYNCHRONIZATION_INVALID_VALUE ? -1 : std::int64_t{id.stream};
        const auto context = contexts_.find(id.context);
        if (context != contexts_.end() && context->second.null_stream == id.stream) {
            row.name = "default stream";
        }
        found->second = sink_.stream_key(row);
    }
    last_stream_id_ = id;
    last_stream_ = found->second;
    return last_stream_;
}

std::uint32_t Decoder::device_of_context(std::uint32_t context) const {
    const auto found = contexts_.find(context);
    return found == contexts_.end() ? 0 : found->second.device;
}

const Decoder::KernelName& Decoder::kernel_name(const char* name) {
    if (name == nullptr) name = "(unknown)";
    KernelName& entry = kernel_names_[name];
    if (entry.mangled_id < 0 || entry.mangled != name) {
        entry.mangled = name;
        const std::string demangled = activity::demangle(name);
        entry.mangled_id = sink_.string_id(entry.mangled);
        entry.name_id = sink_.string_id(demangled);
        entry.short_id = sink_.string_id(activity::short_name(demangled));
    }
    return entry;
}

const Decoder::ApiName& Decoder::api_name(int domain, std::uint32_t cbid) {
    constexpr std::uint32_t kMaxCbid = 1 << 16;
    std::vector<ApiName>& names = api_names_[domain == CUPTI_CB_DOMAIN_DRIVER_API ? 1 : 0];
    const std::uint32_t at = std::min(cbid, kMaxCbid);
    if (at >= names.size()) names.resize(at + 1);
    ApiName& entry = names[at];
    if (entry.id < 0) {
        const char* name = api_.callback_name(domain, cbid);
        const std::string text = name != nullptr ? name : "call " + std::to_string(cbid);
        entry.id = sink_.string_id(text);
        entry.launches = launches_kernel(text);
    }
    return entry;
}

trace::StringId Decoder::string(std::string_view text) {
    const auto found = strings_.find(text);
    if (found != strings_.end()) return found->second;
    if (strings_.size() >= kMaxStrings) strings_.clear();
    const trace::StringId id = sink_.string_id(text);
    strings_.emplace(text, id);
    return id;
}

// ---------------------------------------------------------------------------------------------
// Work of the GPU

void Decoder::decode_kernel(const void* raw, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityKernel10*>(raw);
    audit_.recorded(record.correlationId);
    if (!has_times(record.start, record.end)) return;
    const KernelName& name = kernel_name(record.name);
    const trace::Launch launch = launch_of(record, name.name_id, name.short_id, name.mangled_id);
    const auto [found, is_new] = launches_.try_emplace(launch, -1);
    if (is_new) found->second = sink_.launch_id(launch);

    trace::KernelRow& row = batch.kernels.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.correlation_id = record.correlationId;
    row.graph_node_id = id_or_none(record.graphNodeId);
    row.stream = stream({record.deviceId, record.contextId, record.streamId});
    row.launch = found->second;
}

void Decoder::decode_memcpy(const void* raw, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMemcpy6*>(raw);
    audit_.recorded(record.correlationId);
    if (!has_times(record.start, record.end)) return;
    trace::MemcpyRow& row = batch.memcpys.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.correlation_id = record.correlationId;
    row.graph_node_id = id_or_none(record.graphNodeId);
    row.bytes = as_time(record.bytes);
    row.stream = stream({record.deviceId, record.contextId, record.streamId});
    row.copy_kind = record.copyKind;
    row.src_kind = export_memory_kind(record.srcKind);
    row.dst_kind = export_memory_kind(record.dstKind);
    if (record.copyCount > 0) row.copy_count = clamped(record.copyCount);
}

void Decoder::decode_peer_memcpy(const void* raw, activity::ClockConverter& clock,
                                 trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMemcpyPtoP4*>(raw);
    audit_.recorded(record.correlationId);
    if (!has_times(record.start, record.end)) return;
    trace::MemcpyRow& row = batch.memcpys.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.correlation_id = record.correlationId;
    row.graph_node_id = id_or_none(record.graphNodeId);
    row.bytes = as_time(record.bytes);
    row.stream = stream({record.deviceId, record.contextId, record.streamId});
    row.copy_kind = record.copyKind;
    row.src_kind = export_memory_kind(record.srcKind);
    row.dst_kind = export_memory_kind(record.dstKind);
    row.src_device = static_cast<std::int32_t>(record.srcDeviceId);
    row.dst_device = static_cast<std::int32_t>(record.dstDeviceId);
}

void Decoder::decode_memset(const void* raw, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMemset4*>(raw);
    audit_.recorded(record.correlationId);
    if (!has_times(record.start, record.end)) return;
    trace::MemsetRow& row = batch.memsets.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.correlation_id = record.correlationId;
    row.graph_node_id = id_or_none(record.graphNodeId);
    row.bytes = as_time(record.bytes);
    row.value = record.value;
    row.stream = stream({record.deviceId, record.contextId, record.streamId});
    row.mem_kind = export_memory_kind(record.memoryKind);
}

void Decoder::decode_sync(const void* raw, activity::ClockConverter& clock,
                          trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivitySynchronization2*>(raw);
    if (!has_times(record.start, record.end)) return;
    trace::SyncRow& row = batch.syncs.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.correlation_id = record.correlationId;
    if (record.cudaEventId != CUPTI_SYNCHRONIZATION_INVALID_VALUE) row.event_id = record.cudaEventId;
    row.event_sync_id = id_or_none(record.cudaEventSyncId);
    row.stream = stream({device_of_context(record.contextId), record.contextId, record.streamId});
    row.type = record.type;
}

// ---------------------------------------------------------------------------------------------
// The host

void Decoder::decode_api(const void* raw, activity::ClockConverter& clock,
                         trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityAPI*>(raw);
    if (!has_times(record.start, record.end)) return;
    const bool is_driver = record.kind == CUPTI_ACTIVITY_KIND_DRIVER;
    const ApiName& name = api_name(
        is_driver ? CUPTI_CB_DOMAIN_DRIVER_API : CUPTI_CB_DOMAIN_RUNTIME_API, record.cbid);
    if (name.launches && record.returnValue == 0) {
        audit_.launched(record.correlationId, record.threadId, as_time(record.start),
                        as_time(record.end));
    }
    trace::ApiRow& row = batch.apis.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.correlation_id = record.correlationId;
    row.thread = trace::global_thread_id(record.processId, record.threadId);
    row.name = name.id;
    row.api_class = is_driver ? 1 : 0;
    row.result = static_cast<std::int32_t>(record.returnValue);
}

void Decoder::decode_overhead(const void* raw, activity::ClockConverter& clock,
                              trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityOverhead3*>(raw);
    // CUPTI hands it over with the record.
    std::free(record.overheadData);
    if (const char* sign = overhead_sign(record.overheadKind)) ++signs_[sign];
    if (!has_times(record.start, record.end)) return;
    trace::OverheadRow& row = batch.overheads.emplace_back();
    row.start_ns = clock(as_time(record.start));
    row.duration_ns = as_time(record.end - record.start);
    row.kind = record.overheadKind;
    if (record.objectKind == CUPTI_ACTIVITY_OBJECT_THREAD) {
        row.thread = trace::global_thread_id(record.objectId.pt.processId,
                                             record.objectId.pt.threadId);
    }
}

void Decoder::decode_memory(const void* raw, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMemory4*>(raw);
    if (!has_times(record.timestamp, record.timestamp)) return;
    trace::MemoryEventRow& row = batch.memory_events.emplace_back();
    row.time_ns = clock(as_time(record.timestamp));
    row.bytes = as_time(record.bytes);
    row.address = static_cast<std::int64_t>(record.address);
    row.correlation_id = record.correlationId;
    row.operation = record.memoryOperationType;
    row.mem_kind = export_memory_kind(static_cast<std::uint32_t>(record.memoryKind));
    if (record.isAsync != 0) {
        row.stream = stream({record.deviceId, record.contextId, record.streamId});
    }
    if (record.memoryPoolConfig.memoryPoolType != CUPTI_ACTIVITY_MEMORY_POOL_TYPE_INVALID) {
        row.pool_address = static_cast<std::int64_t>(record.memoryPoolConfig.address);
        if (record.memoryPoolConfig.memoryPoolType == CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL) {
            row.pool_size_bytes = as_time(record.memoryPoolConfig.pool.size);
        }
    }
}

void Decoder::decode_memory_pool(const void* raw, activity::ClockConverter& clock,
                                 trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMemoryPool3*>(raw);
    if (!has_times(record.timestamp, record.timestamp)) return;
    trace::MemoryEventRow& row = batch.memory_events.emplace_back();
    row.time_ns = clock(as_time(record.timestamp));
    row.bytes = as_time(record.utilizedSize);
    row.address = static_cast<std::int64_t>(record.address);
    row.correlation_id = record.correlationId;
    row.operation = kPoolOperations + record.memoryPoolOperationType;
    row.pool_address = static_cast<std::int64_t>(record.address);
    row.pool_size_bytes = as_time(record.size);
}

void Decoder::decode_external(const void* raw, trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityExternalCorrelation*>(raw);
    trace::ExternalRow& row = batch.externals.emplace_back();
    row.correlation_id = record.correlationId;
    row.external_id = static_cast<std::int64_t>(record.externalId);
    row.kind = record.externalKind;
}

// ---------------------------------------------------------------------------------------------
// NVTX

void Decoder::decode_marker(const void* raw, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMarker2*>(raw);
    activity::MarkerPoint point;
    if ((record.flags & CUPTI_ACTIVITY_FLAG_MARKER_END) != 0) {
        point.kind = activity::MarkerPoint::Kind::kEnd;
    } else if ((record.flags & CUPTI_ACTIVITY_FLAG_MARKER_START) != 0) {
        point.kind = activity::MarkerPoint::Kind::kStart;
    } else if ((record.flags & CUPTI_ACTIVITY_FLAG_MARKER_INSTANTANEOUS) != 0) {
        point.kind = activity::MarkerPoint::Kind::kMark;
    } else {
        ++ignored_;  // synchronisation objects of the user
        return;
    }
    if (!has_times(record.timestamp, record.timestamp)) return;
    point.id = record.id;
    point.time_ns = clock(as_time(record.timestamp));
    point.thread = trace::global_thread_id(record.objectId.pt.processId,
                                           record.objectId.pt.threadId);
    if (point.kind != activity::MarkerPoint::Kind::kEnd) {
        point.name = string(record.name != nullptr ? record.name : "");
        const std::string_view domain = record.domain != nullptr ? record.domain : "";
        const auto found = domains_.find(domain);
        point.domain = found != domains_.end()
                           ? found->second
                           : domains_.emplace(domain, sink_.nvtx_domain(pid_, domain)).first->second;
    }
    markers_.add(point, batch.nvtx);
}

void Decoder::decode_marker_data(const void* raw, trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityMarkerData2*>(raw);
    activity::MarkerDetail detail;
    detail.id = record.id;
    if ((record.flags & CUPTI_ACTIVITY_FLAG_MARKER_COLOR_ARGB) != 0) detail.color = record.color;
    if (record.category != 0) detail.category = static_cast<std::int32_t>(record.category);
    read_payload(record, detail);
    markers_.add(detail, batch.nvtx);
}

// ---------------------------------------------------------------------------------------------
// What things are called and what they are

void Decoder::decode_name(const void* raw) {
    const auto& record = *static_cast<const CUpti_ActivityName*>(raw);
    if (record.name == nullptr) return;
    trace::Stream row;
    row.pid = pid_;
    row.name = record.name;
    if (record.objectKind == CUPTI_ACTIVITY_OBJECT_THREAD) {
        row.pid = record.objectId.pt.processId;
        row.stream_id = record.objectId.pt.threadId;
    } else if (record.objectKind == CUPTI_ACTIVITY_OBJECT_STREAM) {
        row.device = static_cast<std::int32_t>(record.objectId.dcs.deviceId);
        row.context = static_cast<std::int32_t>(record.objectId.dcs.contextId);
        row.stream_id = record.objectId.dcs.streamId;
    } else {
        ++ignored_;
        return;
    }
    sink_.stream_key(row);
}

void Decoder::decode_context(const void* raw) {
    const auto& record = *static_cast<const CUpti_ActivityContext3*>(raw);
    contexts_[record.contextId] = {record.deviceId, record.nullStreamId};
}

void Decoder::decode_stream(const void* raw) {
    const auto& record = *static_cast<const CUpti_ActivityStream*>(raw);
    // The sign was lost on its way into CUPTI's field: lower numbers are more urgent.
    add_device_value(device_of_context(record.contextId), "stream_priority", record.streamId,
                     static_cast<std::int32_t>(record.priority), "level");
}

void Decoder::decode_device(const void* raw) {
    const auto& record = *static_cast<const CUpti_ActivityDevice5*>(raw);
    trace::Gpu gpu = gpu_of(record);
    device_names_[record.id] = gpu.name;
    sink_.add_gpu(gpu);
}

void Decoder::decode_pcie(const void* raw) {
    const auto& record = *static_cast<const CUpti_ActivityPcie*>(raw);
    if (record.type != CUPTI_PCIE_DEVICE_TYPE_GPU) return;
    const auto device = static_cast<std::uint32_t>(record.id.devId);
    add_device_value(device, "pcie_generation", 0, record.pcieGeneration, "generation");
    add_device_value(device, "pcie_lanes", 0, record.linkWidth, "lanes");
    add_device_value(device, "pcie_rate", 0, record.linkRate, "GT/s");
}

void Decoder::add_device_value(std::uint32_t device, std::string name, double argument,
                               double number, std::string unit) {
    const auto found = device_names_.find(device);
    trace::Value value;
    value.machine =
        found == device_names_.end() ? "GPU " + std::to_string(device) : found->second;
    value.name = std::move(name);
    value.argument = argument;
    value.number = number;
    value.unit = std::move(unit);
    value.origin = trace::ValueOrigin::kMeasured;
    value.source = "CUPTI";
    sink_.add_value(value);
}

}  // namespace hc::cupti
