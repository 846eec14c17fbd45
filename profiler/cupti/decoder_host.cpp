// The decoder's other half: records of the host, NVTX, and what things are called.
#include <cupti.h>

#include <cstdlib>

#include "profiler/cupti/decoder.h"
#include "profiler/cupti/record_fields.h"

namespace hc::cupti {

// ---------------------------------------------------------------------------------------------
// The host

void Decoder::decode_api(const void* raw, activity::ClockConverter& clock,
                         trace::ActivityBatch& batch) {
    const auto& record = *static_cast<const CUpti_ActivityAPI*>(raw);
    if (!has_times(record.start, record.end)) return;
    const bool is_driver = record.kind == CUPTI_ACTIVITY_KIND_DRIVER;
    const ApiName& name =
        api_name(is_driver ? CUPTI_CB_DOMAIN_DRIVER_API : CUPTI_CB_DOMAIN_RUNTIME_API, record.cbid);
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
        row.thread =
            trace::global_thread_id(record.objectId.pt.processId, record.objectId.pt.threadId);
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
    point.thread =
        trace::global_thread_id(record.objectId.pt.processId, record.objectId.pt.threadId);
    if (point.kind != activity::MarkerPoint::Kind::kEnd) {
        point.name = string(record.name != nullptr ? record.name : "");
        const std::string_view domain = record.domain != nullptr ? record.domain : "";
        const auto found = domains_.find(domain);
        point.domain =
            found != domains_.end()
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
    if (record.category != 0) detail.category = clamped(record.category);
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
    value.machine = found == device_names_.end() ? "GPU " + std::to_string(device) : found->second;
    value.name = std::move(name);
    value.argument = argument;
    value.number = number;
    value.unit = std::move(unit);
    value.origin = trace::ValueOrigin::kMeasured;
    value.source = "CUPTI";
    sink_.add_value(value);
}

}  // namespace hc::cupti
