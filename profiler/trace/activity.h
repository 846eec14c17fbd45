/// CUDA activity on its way into a trace: one flat struct per narrow table of schema.sql, which
/// documents each column. Producers (the CUPTI session, an import) fill batches; the writer and
/// the readers move them as blocks of memory, so a row costs a copy and nothing else.
///
/// Times are absolute on the producer's clock; the writer takes the session's zero from them.
/// -1 says "none" where schema.sql allows NULL.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace hc::trace {

/// Ids that the writer gives out (Writer::string_id, launch_id, stream_key); valid in its file.
using StringId = std::int32_t;
using LaunchId = std::int32_t;
using StreamKey = std::int32_t;

/// (process id << 24) | thread id, as in the Nsight Systems export.
[[nodiscard]] constexpr std::int64_t global_thread_id(std::int64_t pid, std::int64_t tid) {
    return (pid << 24) | (tid & 0xffffff);
}

/// A distinct kernel configuration: a row of hc_launch. Numbers after the shared memory are
/// CUPTI's own.
struct Launch {
    StringId name = -1;  ///< demangled
    StringId short_name = -1;
    StringId mangled_name = -1;
    std::array<std::int32_t, 3> grid{};   ///< blocks
    std::array<std::int32_t, 3> block{};  ///< threads
    std::int32_t registers_per_thread = 0;
    std::int32_t static_shared_bytes = 0;
    std::int32_t dynamic_shared_bytes = 0;
    std::int32_t executed_shared_bytes = -1;
    std::int32_t local_bytes_per_thread = 0;
    std::int64_t local_bytes_total = 0;
    std::int32_t launch_type = -1;
    std::int32_t cache_config = -1;
    std::int32_t shared_limit_config = -1;
    std::array<std::int32_t, 3> cluster{-1, -1, -1};
    std::int32_t cluster_policy = -1;
    std::int32_t max_potential_cluster = -1;
    std::int32_t max_active_clusters = -1;
    std::int32_t shared_percentage = -1;

    bool operator==(const Launch&) const = default;
};

struct KernelRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = 0;
    std::int64_t correlation_id = 0;
    std::int64_t graph_node_id = -1;
    StreamKey stream = -1;
    LaunchId launch = -1;
};

struct MemcpyRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = 0;
    std::int64_t correlation_id = 0;
    std::int64_t graph_node_id = -1;
    std::int64_t bytes = 0;
    StreamKey stream = -1;
    std::int32_t copy_kind = 0;
    std::int32_t src_kind = -1;
    std::int32_t dst_kind = -1;
    std::int32_t src_device = -1;
    std::int32_t dst_device = -1;
    std::int32_t copy_count = -1;
};

struct MemsetRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = 0;
    std::int64_t correlation_id = 0;
    std::int64_t graph_node_id = -1;
    std::int64_t bytes = 0;
    std::int64_t value = 0;
    StreamKey stream = -1;
    std::int32_t mem_kind = -1;
};

struct ApiRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = 0;
    std::int64_t correlation_id = 0;
    std::int64_t thread = 0;  ///< global_thread_id()
    StringId name = -1;
    std::int32_t api_class = 0;  ///< 0 runtime, 1 driver
    std::int32_t result = 0;
};

struct SyncRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = 0;
    std::int64_t correlation_id = 0;
    std::int64_t event_id = 0;
    std::int64_t event_sync_id = -1;
    StreamKey stream = -1;
    std::int32_t type = 0;
};

struct NvtxRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = -1;  ///< -1: a mark, or a range that never ended
    std::int64_t thread = 0;
    std::int64_t end_thread = -1;
    std::int64_t range_id = -1;
    std::int64_t payload = 0;  ///< std::bit_cast from double for types 3 and 6
    bool has_payload = false;
    std::int32_t payload_type = 2;  ///< NVTX_PAYLOAD_TYPE_*: 1 uint64, 2 int64, 3 double, 4 uint32,
                                    ///< 5 int32, 6 float (widened to double)
    std::int32_t type = 59;         ///< ENUM_NSYS_EVENT_TYPE
    StringId name = -1;
    std::int32_t domain = -1;  ///< Writer::nvtx_domain()
    std::int32_t category = -1;
    std::int64_t color = -1;
};

/// What the profiler itself took: a row of hc_overhead.
struct OverheadRow {
    std::int64_t start_ns = 0;
    std::int64_t duration_ns = 0;
    std::int32_t kind = 0;  ///< CUPTI's number
    std::int64_t thread = -1;
};

/// An allocation or a release: a row of hc_memory_event.
struct MemoryEventRow {
    std::int64_t time_ns = 0;
    std::int64_t bytes = 0;
    std::int64_t address = 0;
    std::int64_t correlation_id = 0;
    StreamKey stream = -1;
    std::int32_t operation = 0;  ///< CUPTI's numbers: 1 allocate, 2 release
    std::int32_t mem_kind = -1;
    std::int64_t pool_address = -1;
    std::int64_t pool_size_bytes = -1;
};

/// Ties an API call to an id that the program pushed: a row of hc_external.
struct ExternalRow {
    std::int64_t correlation_id = 0;
    std::int64_t external_id = 0;
    std::int32_t kind = 0;  ///< CUPTI's number
    std::int64_t pid = -1;  ///< -1: the process that writes the file
};

/// A GPU: a row of hc_gpu. -1 and "" where it is not known.
struct Gpu {
    std::int32_t device = 0;  ///< ordinal
    std::string name, uuid, bus_location;
    std::int32_t compute_major = -1, compute_minor = -1;
    std::int32_t num_sms = -1;
    std::int64_t memory_bytes = -1;
    std::int64_t l2_bytes = -1;
    std::int64_t memory_bandwidth = -1;  ///< bytes per second
    std::int64_t clock_hz = -1;
    std::int64_t constant_memory_bytes = -1;
    std::int32_t async_engines = -1;
    std::int32_t threads_per_warp = -1;
    std::int32_t max_warps_per_sm = -1;
    std::int32_t max_blocks_per_sm = -1;
    std::int32_t max_threads_per_block = -1;
    std::int64_t max_registers_per_block = -1;
    std::int64_t max_registers_per_sm = -1;
    std::int64_t max_shared_per_block = -1;
    std::int64_t max_shared_per_block_optin = -1;
    std::int64_t max_shared_per_sm = -1;
    std::array<std::int64_t, 3> max_block{-1, -1, -1};
    std::array<std::int64_t, 3> max_grid{-1, -1, -1};
};

/// Rows that are handed over together, in any order of time.
struct ActivityBatch {
    std::vector<KernelRow> kernels;
    std::vector<MemcpyRow> memcpys;
    std::vector<MemsetRow> memsets;
    std::vector<ApiRow> apis;
    std::vector<SyncRow> syncs;
    std::vector<NvtxRow> nvtx;
    std::vector<OverheadRow> overheads;
    std::vector<MemoryEventRow> memory_events;
    std::vector<ExternalRow> externals;

    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] std::size_t size() const {
        return kernels.size() + memcpys.size() + memsets.size() + apis.size() + syncs.size() +
               nvtx.size() + overheads.size() + memory_events.size() + externals.size();
    }
    /// Keeps the memory, for the next batch.
    void clear() {
        kernels.clear(), memcpys.clear(), memsets.clear(), apis.clear(), syncs.clear();
        nvtx.clear(), overheads.clear(), memory_events.clear(), externals.clear();
    }
};

}  // namespace hc::trace
