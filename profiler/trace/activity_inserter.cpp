#include "profiler/trace/activity_inserter.h"

#include <bit>
#include <string_view>

#include "profiler/trace/insert_values.h"

namespace hc::trace {

ActivityInserter::ActivityInserter(Database& database)
    : string_(prepare_insert(database, "hc_string", 2)),
      launch_(prepare_insert(database, "hc_launch", 26)),
      gpu_(prepare_insert(database, "hc_gpu", 28, "INSERT OR REPLACE")),
      process_(prepare_insert(database, "hc_process", 2, "INSERT OR REPLACE")),
      nvtx_name_(prepare_insert(database, "hc_nvtx_name", 4, "INSERT OR REPLACE")),
      kernel_(prepare_insert(database, "hc_kernel", 6)),
      memcpy_(prepare_insert(database, "hc_memcpy", 12)),
      memset_(prepare_insert(database, "hc_memset", 8)),
      api_(prepare_insert(database, "hc_api", 7)),
      sync_(prepare_insert(database, "hc_sync", 7)),
      nvtx_(prepare_insert(database, "hc_nvtx", 12)),
      overhead_(prepare_insert(database, "hc_overhead", 4)),
      memory_event_(prepare_insert(database, "hc_memory_event", 9)),
      external_(prepare_insert(database, "hc_external", 4)) {}

void ActivityInserter::insert_record(RecordType type, Unpacker& bytes) {
    const auto unpack = [&bytes]<typename R>(R record) {
        fields(bytes, record);
        return record;
    };
    switch (type) {
        case RecordType::kString:
            return insert_string(unpack(StringEntry{}));
        case RecordType::kLaunch:
            return insert_launch(unpack(LaunchEntry{}));
        case RecordType::kGpu:
            return insert_gpu(unpack(Gpu{}));
        case RecordType::kProcess: {
            const ProcessEntry entry = unpack(ProcessEntry{});
            return insert(process_, entry.pid, entry.name);
        }
        case RecordType::kNvtxName: {
            const NvtxNameEntry entry = unpack(NvtxNameEntry{});
            return insert(nvtx_name_, entry.pid, entry.domain, entry.category, entry.name);
        }
        case RecordType::kKernels:
            return insert_rows<KernelRow>(bytes);
        case RecordType::kMemcpys:
            return insert_rows<MemcpyRow>(bytes);
        case RecordType::kMemsets:
            return insert_rows<MemsetRow>(bytes);
        case RecordType::kApis:
            return insert_rows<ApiRow>(bytes);
        case RecordType::kSyncs:
            return insert_rows<SyncRow>(bytes);
        case RecordType::kNvtx:
            return insert_rows<NvtxRow>(bytes);
        case RecordType::kOverheads:
            return insert_rows<OverheadRow>(bytes);
        case RecordType::kMemoryEvents:
            return insert_rows<MemoryEventRow>(bytes);
        case RecordType::kExternals:
            return insert_rows<ExternalRow>(bytes);
        default:
            HC_CHECK(false);
    }
}

void ActivityInserter::insert_string(const StringEntry& entry) {
    insert(string_, entry.id, entry.text);
}

void ActivityInserter::insert_launch(const LaunchEntry& entry) {
    const Launch& l = entry.launch;
    insert(launch_, entry.id, l.name, l.short_name, none_if_negative(l.mangled_name), l.grid[0],
           l.grid[1], l.grid[2], l.block[0], l.block[1], l.block[2], l.registers_per_thread,
           l.static_shared_bytes, l.dynamic_shared_bytes, none_if_negative(l.executed_shared_bytes),
           l.local_bytes_per_thread, l.local_bytes_total, none_if_negative(l.launch_type),
           none_if_negative(l.cache_config), none_if_negative(l.shared_limit_config),
           none_if_negative(l.cluster[0]), none_if_negative(l.cluster[1]),
           none_if_negative(l.cluster[2]), none_if_negative(l.cluster_policy),
           none_if_negative(l.max_potential_cluster), none_if_negative(l.max_active_clusters),
           none_if_negative(l.shared_percentage));
}

void ActivityInserter::insert_gpu(const Gpu& g) {
    const auto known = [](std::int64_t value) { return none_if_negative(value); };
    insert(gpu_, g.device, g.name, g.uuid, g.bus_location, known(g.compute_major),
           known(g.compute_minor), known(g.num_sms), known(g.memory_bytes), known(g.l2_bytes),
           known(g.memory_bandwidth), known(g.clock_hz), known(g.constant_memory_bytes),
           known(g.async_engines), known(g.threads_per_warp), known(g.max_warps_per_sm),
           known(g.max_blocks_per_sm), known(g.max_threads_per_block),
           known(g.max_registers_per_block), known(g.max_registers_per_sm),
           known(g.max_shared_per_block), known(g.max_shared_per_block_optin),
           known(g.max_shared_per_sm), known(g.max_block[0]), known(g.max_block[1]),
           known(g.max_block[2]), known(g.max_grid[0]), known(g.max_grid[1]), known(g.max_grid[2]));
}

template <typename Row>
void ActivityInserter::insert_rows(Unpacker& bytes) {
    const auto zero = bytes.next<std::int64_t>();
    for (auto left = bytes.next<std::uint64_t>(); left > 0; --left) {
        insert_row(bytes.next<Row>(), zero);
    }
}

void ActivityInserter::insert_row(const KernelRow& r, std::int64_t zero) {
    insert(kernel_, r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream,
           none_if_negative(r.graph_node_id), r.launch);
}

void ActivityInserter::insert_row(const MemcpyRow& r, std::int64_t zero) {
    insert(memcpy_, r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream,
           none_if_negative(r.graph_node_id), r.bytes, r.copy_kind, none_if_negative(r.src_kind),
           none_if_negative(r.dst_kind), none_if_negative(r.src_device),
           none_if_negative(r.dst_device), none_if_negative(r.copy_count));
}

void ActivityInserter::insert_row(const MemsetRow& r, std::int64_t zero) {
    insert(memset_, r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream,
           none_if_negative(r.graph_node_id), r.bytes, r.value, none_if_negative(r.mem_kind));
}

void ActivityInserter::insert_row(const ApiRow& r, std::int64_t zero) {
    insert(api_, r.start_ns - zero, r.duration_ns, r.correlation_id, r.thread, r.api_class, r.name,
           r.result);
}

void ActivityInserter::insert_row(const SyncRow& r, std::int64_t zero) {
    insert(sync_, r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream, r.type, r.event_id,
           none_if_negative(r.event_sync_id));
}

void ActivityInserter::insert_row(const NvtxRow& r, std::int64_t zero) {
    const bool is_real = r.payload_type == 3 || r.payload_type == 6;
    int index = 0;
    const auto next = [&](const auto& value) { bind_one(nvtx_, ++index, value); };
    next(r.start_ns - zero), next(none_if_negative(r.duration_ns)), next(r.type), next(r.thread);
    next(none_if_negative(r.end_thread)), next(none_if_negative(r.range_id));
    next(none_if_negative(r.name)), next(none_if_negative(r.domain));
    next(none_if_negative(r.category)), next(none_if_negative(r.color));
    if (!r.has_payload) {
        next(Number{});
    } else if (is_real) {
        next(std::bit_cast<double>(r.payload));
    } else {
        next(r.payload);
    }
    next(r.has_payload ? Number{r.payload_type} : Number{});
    nvtx_.run();
}

void ActivityInserter::insert_row(const OverheadRow& r, std::int64_t zero) {
    insert(overhead_, r.start_ns - zero, r.duration_ns, r.kind, none_if_negative(r.thread));
}

void ActivityInserter::insert_row(const MemoryEventRow& r, std::int64_t zero) {
    // Addresses fill 64 bits, so only -1 is none.
    const Number pool = r.pool_address == -1 ? Number{} : Number{r.pool_address};
    insert(memory_event_, r.time_ns - zero, r.bytes, r.address, r.correlation_id,
           none_if_negative(r.stream), r.operation, none_if_negative(r.mem_kind), pool,
           none_if_negative(r.pool_size_bytes));
}

void ActivityInserter::insert_row(const ExternalRow& r, std::int64_t) {
    insert(external_, r.correlation_id, r.external_id, r.kind, none_if_negative(r.pid));
}

}  // namespace hc::trace
