#include "profiler/cupti/decoder.h"

#include <cupti.h>

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

void Decoder::decode(std::uint8_t* buffer, std::size_t valid_bytes, activity::ClockConverter& clock,
                     trace::ActivityBatch& batch) {
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
        case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
            return decode_kernel(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMCPY:
            return decode_memcpy(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMCPY2:
            return decode_peer_memcpy(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMSET:
            return decode_memset(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_RUNTIME:
        case CUPTI_ACTIVITY_KIND_DRIVER:
            return decode_api(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION:
            return decode_sync(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_OVERHEAD:
            return decode_overhead(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMORY2:
            return decode_memory(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MEMORY_POOL:
            return decode_memory_pool(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
            return decode_external(record, batch);
        case CUPTI_ACTIVITY_KIND_MARKER:
            return decode_marker(record, clock, batch);
        case CUPTI_ACTIVITY_KIND_MARKER_DATA:
            return decode_marker_data(record, batch);
        case CUPTI_ACTIVITY_KIND_NAME:
            return decode_name(record);
        case CUPTI_ACTIVITY_KIND_CONTEXT:
            return decode_context(record);
        case CUPTI_ACTIVITY_KIND_STREAM:
            return decode_stream(record);
        case CUPTI_ACTIVITY_KIND_DEVICE:
            return decode_device(record);
        case CUPTI_ACTIVITY_KIND_PCIE:
            return decode_pcie(record);
        default:
            ++ignored_;
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
    if (record.cudaEventId != CUPTI_SYNCHRONIZATION_INVALID_VALUE)
        row.event_id = record.cudaEventId;
    row.event_sync_id = id_or_none(record.cudaEventSyncId);
    row.stream = stream({device_of_context(record.contextId), record.contextId, record.streamId});
    row.type = record.type;
}

}  // namespace hc::cupti
