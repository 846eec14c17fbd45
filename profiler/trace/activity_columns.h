/// CUDA activity as readers get it: one struct of arrays per narrow table, all vectors of a struct
/// equally long. schema.sql documents each column; -1 stands for NULL unless said otherwise.
///
/// Whatever the file claims, what is handed out is in range: times within +-2^60 ns, durations and
/// sizes from 0 to 2^60, and every stream, launch and name is one that Trace::streams(),
/// launches() or strings() holds, so readers index without looking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "profiler/trace/activity.h"

namespace hc::trace {

/// Rows of hc_kernel; 40 bytes each.
struct Kernels {
    std::vector<std::int64_t> start_ns, duration_ns, correlation_id, graph_node_id;
    std::vector<StreamKey> stream;
    std::vector<LaunchId> launch;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(duration_ns), each(correlation_id), each(stream), each(graph_node_id);
        each(launch);
    }
};

/// Rows of hc_memcpy; 68 bytes each.
struct Memcpys {
    std::vector<std::int64_t> start_ns, duration_ns, correlation_id, graph_node_id, bytes;
    std::vector<StreamKey> stream;
    std::vector<std::int32_t> copy_kind, src_kind, dst_kind, src_device, dst_device, copy_count;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(duration_ns), each(correlation_id), each(stream), each(graph_node_id);
        each(bytes), each(copy_kind), each(src_kind), each(dst_kind), each(src_device);
        each(dst_device), each(copy_count);
    }
};

/// Rows of hc_memset; 56 bytes each.
struct Memsets {
    std::vector<std::int64_t> start_ns, duration_ns, correlation_id, graph_node_id, bytes, value;
    std::vector<StreamKey> stream;
    std::vector<std::int32_t> mem_kind;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(duration_ns), each(correlation_id), each(stream), each(graph_node_id);
        each(bytes), each(value), each(mem_kind);
    }
};

/// Rows of hc_api; 44 bytes each.
struct Apis {
    std::vector<std::int64_t> start_ns, duration_ns, correlation_id, thread;
    std::vector<std::int32_t> api_class;  ///< 0 runtime, 1 driver
    std::vector<StringId> name;
    std::vector<std::int32_t> result;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(duration_ns), each(correlation_id), each(thread), each(api_class);
        each(name), each(result);
    }
};

/// Rows of hc_sync; 48 bytes each.
struct Syncs {
    std::vector<std::int64_t> start_ns, duration_ns, correlation_id;
    std::vector<StreamKey> stream;
    std::vector<std::int32_t> type;
    std::vector<std::int64_t> event_id, event_sync_id;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(duration_ns), each(correlation_id), each(stream), each(type);
        each(event_id), each(event_sync_id);
    }
};

/// Rows of hc_nvtx; 76 bytes each.
struct NvtxRanges {
    std::vector<std::int64_t> start_ns;
    std::vector<std::int64_t> duration_ns;  ///< -1: a mark, or a range that never ended
    std::vector<std::int32_t> type;         ///< ENUM_NSYS_EVENT_TYPE
    std::vector<std::int64_t> thread, end_thread, range_id;
    std::vector<StringId> name;  ///< -1: none
    std::vector<std::int32_t> domain, category;
    std::vector<std::int64_t> color;
    std::vector<std::int64_t> payload;       ///< bits of a double for types 3 and 6
    std::vector<std::int32_t> payload_type;  ///< NvtxRow::payload_type, -1: no payload

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(duration_ns), each(type), each(thread), each(end_thread);
        each(range_id), each(name), each(domain), each(category), each(color), each(payload);
        each(payload_type);
    }
};

/// Rows of hc_overhead; 28 bytes each.
struct Overheads {
    std::vector<std::int64_t> start_ns, duration_ns;
    std::vector<std::int32_t> kind;
    std::vector<std::int64_t> thread;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) { each(start_ns), each(duration_ns), each(kind), each(thread); }
};

/// Rows of hc_memory_event; 60 bytes each.
struct MemoryEvents {
    std::vector<std::int64_t> start_ns;  ///< hc_memory_event.time_ns
    std::vector<std::int64_t> bytes, address, correlation_id;
    std::vector<StreamKey> stream;  ///< -1: not in a stream's order
    std::vector<std::int32_t> operation, mem_kind;
    std::vector<std::int64_t> pool_address, pool_size_bytes;

    [[nodiscard]] std::size_t size() const { return start_ns.size(); }
    void for_columns(auto&& each) {
        each(start_ns), each(bytes), each(address), each(correlation_id), each(stream);
        each(operation), each(mem_kind), each(pool_address), each(pool_size_bytes);
    }
};

/// Rows of hc_external, ordered by correlation id; 20 bytes each.
struct Externals {
    std::vector<std::int64_t> correlation_id, external_id;
    std::vector<std::int32_t> kind;

    [[nodiscard]] std::size_t size() const { return correlation_id.size(); }
    void for_columns(auto&& each) { each(correlation_id), each(external_id), each(kind); }
};

/// Memory that the columns take.
template <typename Columns>
[[nodiscard]] std::size_t column_bytes(Columns& columns) {
    std::size_t bytes = 0;
    columns.for_columns(
        [&](const auto& column) { bytes += column.capacity() * sizeof(column[0]); });
    return bytes;
}

/// Rows of each table; tables that the file lacks count 0.
struct ActivityCounts {
    std::int64_t kernels = 0, memcpys = 0, memsets = 0, apis = 0, syncs = 0, nvtx = 0;
    std::int64_t overheads = 0, memory_events = 0, externals = 0;

    [[nodiscard]] std::int64_t total() const {
        return kernels + memcpys + memsets + apis + syncs + nvtx + overheads + memory_events +
               externals;
    }
};

/// hc_string. Ids are small numbers, not necessarily without gaps.
class Strings {
public:
    /// The text of `id`; "" for -1 and for ids that are not there.
    [[nodiscard]] std::string_view operator[](StringId id) const {
        return contains(id) ? std::string_view(text_[static_cast<std::size_t>(id)]) : "";
    }
    [[nodiscard]] bool contains(StringId id) const {
        return id >= 0 && static_cast<std::size_t>(id) < present_.size() &&
               present_[static_cast<std::size_t>(id)] != 0;
    }
    /// One more than the largest id.
    [[nodiscard]] StringId end_id() const { return static_cast<StringId>(text_.size()); }
    void put(StringId id, std::string text) {
        const auto at = static_cast<std::size_t>(id);
        if (at >= text_.size()) text_.resize(at + 1), present_.resize(at + 1);
        text_[at] = std::move(text);
        present_[at] = 1;
    }

private:
    std::vector<std::string> text_;      // [id]
    std::vector<std::uint8_t> present_;  // [id]
};

/// hc_launch. Ids are small numbers, not necessarily without gaps.
class Launches {
public:
    /// Only for ids that contains() holds, as those of Kernels do.
    [[nodiscard]] const Launch& operator[](LaunchId id) const {
        return rows_[static_cast<std::size_t>(id)];
    }
    [[nodiscard]] bool contains(LaunchId id) const {
        return id >= 0 && static_cast<std::size_t>(id) < present_.size() &&
               present_[static_cast<std::size_t>(id)] != 0;
    }
    /// One more than the largest id.
    [[nodiscard]] LaunchId end_id() const { return static_cast<LaunchId>(rows_.size()); }
    void put(LaunchId id, const Launch& launch) {
        const auto at = static_cast<std::size_t>(id);
        if (at >= rows_.size()) rows_.resize(at + 1), present_.resize(at + 1);
        rows_[at] = launch;
        present_[at] = 1;
    }

private:
    std::vector<Launch> rows_;           // [id]
    std::vector<std::uint8_t> present_;  // [id]
};

/// A row of hc_process.
struct Process {
    std::int64_t pid = 0;
    std::string name;
};

/// A row of hc_nvtx_name: a category of a domain, or the domain itself (category -1).
struct NvtxName {
    std::int64_t pid = 0;
    std::int32_t domain = 0;
    std::int32_t category = -1;
    std::string name;
};

}  // namespace hc::trace
