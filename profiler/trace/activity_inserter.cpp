#include "profiler/trace/activity_inserter.h"

#include <string_view>

#include "profiler/trace/insert_values.h"

namespace hc::trace {

ActivityInserter::ActivityInserter(Database& database)
    : string_(prepare_insert(database, "hc_string", 2)),
      launch_(prepare_insert(database, "hc_launch", 26)),
      gpu_(prepare_insert(database, "hc_gpu", 28, "INSERT OR REPLACE")),
      process_(prepare_insert(database, "hc_process", 2, "INSERT OR REPLACE")),
      nvtx_name_(prepare_insert(database, "hc_nvtx_name", 4, "INSERT OR REPLACE")),
      kernel_(database, "hc_kernel", 6),
      memcpy_(database, "hc_memcpy", 12),
      memset_(database, "hc_memset", 8),
      api_(database, "hc_api", 7),
      sync_(database, "hc_sync", 7),
      nvtx_(database, "hc_nvtx", 12),
      overhead_(database, "hc_overhead", 4),
      memory_event_(database, "hc_memory_event", 9),
      external_(database, "hc_external", 4) {}

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
            return kernel_.insert<KernelRow>(bytes);
        case RecordType::kMemcpys:
            return memcpy_.insert<MemcpyRow>(bytes);
        case RecordType::kMemsets:
            return memset_.insert<MemsetRow>(bytes);
        case RecordType::kApis:
            return api_.insert<ApiRow>(bytes);
        case RecordType::kSyncs:
            return sync_.insert<SyncRow>(bytes);
        case RecordType::kNvtx:
            return nvtx_.insert<NvtxRow>(bytes);
        case RecordType::kOverheads:
            return overhead_.insert<OverheadRow>(bytes);
        case RecordType::kMemoryEvents:
            return memory_event_.insert<MemoryEventRow>(bytes);
        case RecordType::kExternals:
            return external_.insert<ExternalRow>(bytes);
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

}  // namespace hc::trace
