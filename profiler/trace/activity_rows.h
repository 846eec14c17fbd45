/// One row of each table of activity, taken from its columns.
#pragma once

#include <cstddef>

#include "profiler/trace/activity.h"
#include "profiler/trace/activity_columns.h"

namespace hc::trace {

inline KernelRow row_at(const Kernels& c, std::size_t i) {
    return {c.start_ns[i],      c.duration_ns[i], c.correlation_id[i],
            c.graph_node_id[i], c.stream[i],      c.launch[i]};
}
inline MemcpyRow row_at(const Memcpys& c, std::size_t i) {
    return {c.start_ns[i], c.duration_ns[i], c.correlation_id[i], c.graph_node_id[i],
            c.bytes[i],    c.stream[i],      c.copy_kind[i],      c.src_kind[i],
            c.dst_kind[i], c.src_device[i],  c.dst_device[i],     c.copy_count[i]};
}
inline MemsetRow row_at(const Memsets& c, std::size_t i) {
    return {c.start_ns[i], c.duration_ns[i], c.correlation_id[i], c.graph_node_id[i],
            c.bytes[i],    c.value[i],       c.stream[i],         c.mem_kind[i]};
}
inline ApiRow row_at(const Apis& c, std::size_t i) {
    return {c.start_ns[i], c.duration_ns[i], c.correlation_id[i], c.thread[i],
            c.name[i],     c.api_class[i],   c.result[i]};
}
inline SyncRow row_at(const Syncs& c, std::size_t i) {
    return {c.start_ns[i], c.duration_ns[i], c.correlation_id[i], c.event_id[i], c.event_sync_id[i],
            c.stream[i],   c.type[i]};
}
inline NvtxRow row_at(const NvtxRanges& c, std::size_t i) {
    NvtxRow row;
    row.start_ns = c.start_ns[i], row.duration_ns = c.duration_ns[i], row.type = c.type[i];
    row.thread = c.thread[i], row.end_thread = c.end_thread[i], row.range_id = c.range_id[i];
    row.name = c.name[i], row.domain = c.domain[i], row.category = c.category[i];
    row.color = c.color[i];
    row.has_payload = c.payload_type[i] >= 0;
    if (row.has_payload) row.payload = c.payload[i], row.payload_type = c.payload_type[i];
    return row;
}
inline OverheadRow row_at(const Overheads& c, std::size_t i) {
    return {c.start_ns[i], c.duration_ns[i], c.kind[i], c.thread[i]};
}
inline MemoryEventRow row_at(const MemoryEvents& c, std::size_t i) {
    return {c.start_ns[i],  c.bytes[i],    c.address[i],      c.correlation_id[i], c.stream[i],
            c.operation[i], c.mem_kind[i], c.pool_address[i], c.pool_size_bytes[i]};
}
inline ExternalRow row_at(const Externals& c, std::size_t i) {
    return {c.correlation_id[i], c.external_id[i], c.kind[i], c.pid[i]};
}

}  // namespace hc::trace
