#include "profiler/trace/activity_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "profiler/trace/row_fields.h"

namespace hc::trace {
namespace {

constexpr std::int64_t kBlockRows = 65'536;
/// A row takes at least this much of a file; bounds what a damaged count makes us reserve.
constexpr std::int64_t kMinRowBytes = 8;

/// What a column may hold.
enum class Is : std::uint8_t {
    kTime,
    kAmount,
    kAmountOrNone,
    kAny,  // 64 bits that nothing is computed from: ids, addresses, threads
    kAnyOrNone,
    kInt,  // 32 bits
    kIntOrNone,
    kStream,
    kStreamOrNone,
    kLaunch,
    kName,
    kNameOrNone,
    kPayload,  // a number of either kind; the next column says which
};

/// A table: the columns in the order of Columns::for_columns, and their contents.
template <typename Columns>
struct Table;

template <>
struct Table<Kernels> {
    static constexpr std::string_view
        name = "hc_kernel",
        shown = "kernels",
        columns = "start_ns, duration_ns, correlation_id, stream, graph_node_id, launch";
    static constexpr auto count = &ActivityCounts::kernels;
    static constexpr std::array is{Is::kTime,   Is::kAmount,    Is::kAny,
                                   Is::kStream, Is::kAnyOrNone, Is::kLaunch};
};

template <>
struct Table<Memcpys> {
    static constexpr std::string_view
        name = "hc_memcpy",
        shown = "copies",
        columns =
            "start_ns, duration_ns, correlation_id, stream, graph_node_id, bytes, copy_kind, "
            "src_kind, dst_kind, src_device, dst_device, copy_count";
    static constexpr auto count = &ActivityCounts::memcpys;
    static constexpr std::array is{Is::kTime,      Is::kAmount,    Is::kAny,       Is::kStream,
                                   Is::kAnyOrNone, Is::kAmount,    Is::kInt,       Is::kIntOrNone,
                                   Is::kIntOrNone, Is::kIntOrNone, Is::kIntOrNone, Is::kIntOrNone};
};

template <>
struct Table<Memsets> {
    static constexpr std::string_view
        name = "hc_memset",
        shown = "memsets",
        columns =
            "start_ns, duration_ns, correlation_id, stream, graph_node_id, bytes, value, "
            "mem_kind";
    static constexpr auto count = &ActivityCounts::memsets;
    static constexpr std::array is{Is::kTime,      Is::kAmount, Is::kAny, Is::kStream,
                                   Is::kAnyOrNone, Is::kAmount, Is::kAny, Is::kIntOrNone};
};

template <>
struct Table<Apis> {
    static constexpr std::string_view
        name = "hc_api",
        shown = "API calls",
        columns = "start_ns, duration_ns, correlation_id, thread, class, name_id, result";
    static constexpr auto count = &ActivityCounts::apis;
    static constexpr std::array is{Is::kTime, Is::kAmount, Is::kAny, Is::kAny,
                                   Is::kInt,  Is::kName,   Is::kInt};
};

template <>
struct Table<Syncs> {
    static constexpr std::string_view
        name = "hc_sync",
        shown = "synchronizations",
        columns = "start_ns, duration_ns, correlation_id, stream, type, event_id, event_sync_id";
    static constexpr auto count = &ActivityCounts::syncs;
    static constexpr std::array is{Is::kTime, Is::kAmount, Is::kAny,      Is::kStream,
                                   Is::kInt,  Is::kAny,    Is::kAnyOrNone};
};

template <>
struct Table<NvtxRanges> {
    static constexpr std::string_view
        name = "hc_nvtx",
        shown = "NVTX ranges",
        columns =
            "start_ns, duration_ns, type, thread, end_thread, range_id, name_id, domain, "
            "category, color, payload, payload_type";
    static constexpr auto count = &ActivityCounts::nvtx;
    static constexpr std::array is{Is::kTime,       Is::kAmountOrNone, Is::kInt,
                                   Is::kAny,        Is::kAnyOrNone,    Is::kAnyOrNone,
                                   Is::kNameOrNone, Is::kIntOrNone,    Is::kIntOrNone,
                                   Is::kAnyOrNone,  Is::kPayload,      Is::kIntOrNone};
};

template <>
struct Table<Overheads> {
    static constexpr std::string_view name = "hc_overhead", shown = "overheads",
                                      columns = "start_ns, duration_ns, kind, thread";
    static constexpr auto count = &ActivityCounts::overheads;
    static constexpr std::array is{Is::kTime, Is::kAmount, Is::kInt, Is::kAnyOrNone};
};

template <>
struct Table<MemoryEvents> {
    static constexpr std::string_view
        name = "hc_memory_event",
        shown = "allocations",
        columns =
            "time_ns, bytes, address, correlation_id, stream, operation, mem_kind, "
            "pool_address, pool_size_bytes";
    static constexpr auto count = &ActivityCounts::memory_events;
    static constexpr std::array is{Is::kTime,      Is::kAmount,       Is::kAny,
                                   Is::kAny,       Is::kStreamOrNone, Is::kInt,
                                   Is::kIntOrNone, Is::kAnyOrNone,    Is::kAmountOrNone};
};

template <>
struct Table<Externals> {
    static constexpr std::string_view name = "hc_external", shown = "external ids",
                                      columns = "correlation_id, external_id, kind";
    static constexpr auto count = &ActivityCounts::externals;
    static constexpr std::array is{Is::kAny, Is::kAny, Is::kInt};
};

[[noreturn]] void throw_range(std::string_view table, std::size_t column, std::int64_t value) {
    throw BadData(fmt::format("{}: value {} of column {} is out of range", table, value, column));
}

constexpr bool may_be_none(Is is) {
    return is == Is::kAmountOrNone || is == Is::kAnyOrNone || is == Is::kIntOrNone ||
           is == Is::kStreamOrNone || is == Is::kNameOrNone;
}

bool in_range(Is is, std::int64_t value, const ActivityTexts& texts) {
    using Int = std::numeric_limits<std::int32_t>;
    switch (is) {
        case Is::kTime:
            return value >= -kMaxTime && value <= kMaxTime;
        case Is::kAmount:
        case Is::kAmountOrNone:
            return value >= 0 && value <= kMaxAmount;
        case Is::kInt:
        case Is::kIntOrNone:
            return value >= Int::min() && value <= Int::max();
        case Is::kStream:
        case Is::kStreamOrNone:
            return value >= 0 && value <= Int::max() &&
                   std::binary_search(texts.streams.begin(), texts.streams.end(),
                                      static_cast<StreamKey>(value));
        case Is::kLaunch:
            return value <= Int::max() && texts.launches.contains(static_cast<LaunchId>(value));
        case Is::kName:
        case Is::kNameOrNone:
            return value <= Int::max() && texts.strings.contains(static_cast<StringId>(value));
        case Is::kAny:
        case Is::kAnyOrNone:
        case Is::kPayload:
            return true;
    }
    return false;
}

/// A NULL reads as 0, so only a 0 needs the second question.
bool is_none(const Statement& row, int column, std::int64_t value) {
    return value == 0 && row.is_null(column);
}

template <typename Columns>
void append_row(const Statement& row, const ActivityTexts& texts, Columns& block) {
    std::size_t at = 0;
    block.for_columns([&]<typename Column>(Column& column) {
        using Value = typename Column::value_type;
        const Is is = Table<Columns>::is[at];
        const int index = static_cast<int>(at);
        std::int64_t value = row.integer(index);
        if (may_be_none(is) && is_none(row, index, value)) {
            value = -1;
        } else if (is == Is::kPayload) {
            const std::int64_t type = row.integer(index + 1);
            if (type == 3 || type == 6) value = std::bit_cast<std::int64_t>(row.real(index));
        } else if (!in_range(is, value, texts)) {
            throw_range(Table<Columns>::name, at, value);
        }
        column.push_back(static_cast<Value>(value));
        ++at;
    });
}

}  // namespace

std::vector<std::string_view> activity_tables() {
    return {"hc_string", "hc_launch",  "hc_kernel",   "hc_memcpy",      "hc_memset",
            "hc_api",    "hc_sync",    "hc_nvtx",     "hc_nvtx_name",   "hc_overhead",
            "hc_gpu",    "hc_process", "hc_external", "hc_memory_event"};
}

namespace {

/// Ids make indexes: with gaps, but not so large that a damaged one takes all memory.
std::int32_t dense_id(const Statement& row, std::int64_t count, std::string_view what) {
    const std::int64_t limit = std::min<std::int64_t>(16 * count + 4096, 1 << 30);
    return static_cast<std::int32_t>(ranged(row, 0, 0, limit, what));
}

StringId name_at(const Statement& row, int column, const Strings& strings) {
    const std::int32_t id = int_at(row, column, "name id");
    if (!strings.contains(id)) throw BadData(fmt::format("name id {} is not in hc_string", id));
    return id;
}

std::int32_t int_or_none(const Statement& row, int column, std::string_view what) {
    return row.is_null(column) ? -1 : int_at(row, column, what);
}

Launch launch_at(const Statement& row, const Strings& strings) {
    Launch l;
    int at = 1;
    l.name = name_at(row, at++, strings);
    l.short_name = name_at(row, at++, strings);
    if (!row.is_null(at)) l.mangled_name = name_at(row, at, strings);
    ++at;
    for (std::int32_t& n : l.grid) n = int_at(row, at++, "grid");
    for (std::int32_t& n : l.block) n = int_at(row, at++, "block");
    l.registers_per_thread = int_at(row, at++, "registers");
    l.static_shared_bytes = int_at(row, at++, "shared memory");
    l.dynamic_shared_bytes = int_at(row, at++, "shared memory");
    l.executed_shared_bytes = int_or_none(row, at++, "shared memory");
    l.local_bytes_per_thread = int_at(row, at++, "local memory");
    l.local_bytes_total = amount_at(row, at++);
    for (std::int32_t* n :
         {&l.launch_type, &l.cache_config, &l.shared_limit_config, &l.cluster[0], &l.cluster[1],
          &l.cluster[2], &l.cluster_policy, &l.max_potential_cluster, &l.max_active_clusters,
          &l.shared_percentage}) {
        *n = int_or_none(row, at++, "number of a launch");
    }
    return l;
}

}  // namespace

ActivityTexts read_activity_texts(const Database& database) {
    ActivityTexts texts;
    const auto count = [&](const char* sql) { return database.query_integer(sql).value_or(0); };
    Statement strings = database.prepare("SELECT id, value FROM hc_string");
    const std::int64_t num_strings = count("SELECT count(*) FROM hc_string");
    while (strings.step()) {
        texts.strings.put(dense_id(strings, num_strings, "string id"), string_at(strings, 1));
    }
    Statement launches = database.prepare(
        "SELECT id, name_id, short_name_id, mangled_name_id, grid_x, grid_y, grid_z, block_x, "
        "block_y, block_z, registers_per_thread, static_shared_bytes, dynamic_shared_bytes, "
        "executed_shared_bytes, local_bytes_per_thread, local_bytes_total, launch_type, "
        "cache_config, shared_limit_config, cluster_x, cluster_y, cluster_z, cluster_policy, "
        "max_potential_cluster, max_active_clusters, shared_percentage FROM hc_launch");
    const std::int64_t num_launches = count("SELECT count(*) FROM hc_launch");
    while (launches.step()) {
        texts.launches.put(dense_id(launches, num_launches, "launch id"),
                           launch_at(launches, texts.strings));
    }
    Statement streams = database.prepare("SELECT key FROM hc_stream ORDER BY key");
    while (streams.step()) texts.streams.push_back(int_at(streams, 0, "stream key"));
    return texts;
}

std::vector<Gpu> read_gpus(const Database& database) {
    Statement row = database.prepare(
        "SELECT device, name, uuid, bus_location, compute_major, compute_minor, num_sms, "
        "async_engines, threads_per_warp, max_warps_per_sm, max_blocks_per_sm, "
        "max_threads_per_block, memory_bytes, l2_bytes, memory_bandwidth, clock_hz, "
        "constant_memory_bytes, max_registers_per_block, max_registers_per_sm, "
        "max_shared_per_block, max_shared_per_block_optin, max_shared_per_sm, max_block_x, "
        "max_block_y, max_block_z, max_grid_x, max_grid_y, max_grid_z FROM hc_gpu ORDER BY device");
    std::vector<Gpu> gpus;
    while (row.step()) {
        Gpu g;
        g.device = index_at(row, 0, "device");
        g.name = string_at(row, 1), g.uuid = string_at(row, 2), g.bus_location = string_at(row, 3);
        int at = 4;
        for (std::int32_t* n :
             {&g.compute_major, &g.compute_minor, &g.num_sms, &g.async_engines, &g.threads_per_warp,
              &g.max_warps_per_sm, &g.max_blocks_per_sm, &g.max_threads_per_block}) {
            *n = int_or_none(row, at++, "number of a GPU");
        }
        for (std::int64_t* n :
             {&g.memory_bytes, &g.l2_bytes, &g.memory_bandwidth, &g.clock_hz,
              &g.constant_memory_bytes, &g.max_registers_per_block, &g.max_registers_per_sm,
              &g.max_shared_per_block, &g.max_shared_per_block_optin, &g.max_shared_per_sm,
              &g.max_block[0], &g.max_block[1], &g.max_block[2], &g.max_grid[0], &g.max_grid[1],
              &g.max_grid[2]}) {
            *n = row.is_null(at) ? -1 : amount_at(row, at);
            ++at;
        }
        gpus.push_back(std::move(g));
    }
    return gpus;
}

std::vector<Process> read_processes(const Database& database) {
    Statement row = database.prepare("SELECT pid, name FROM hc_process ORDER BY pid");
    std::vector<Process> processes;
    while (row.step()) processes.push_back({row.integer(0), string_at(row, 1)});
    return processes;
}

std::vector<NvtxName> read_nvtx_names(const Database& database, const ActivityTexts& texts) {
    Statement row = database.prepare(
        "SELECT pid, domain, category, name_id FROM hc_nvtx_name ORDER BY pid, domain, category");
    std::vector<NvtxName> names;
    while (row.step()) {
        names.push_back({row.integer(0), int_at(row, 1, "domain"), int_at(row, 2, "category"),
                         std::string(texts.strings[name_at(row, 3, texts.strings)])});
    }
    return names;
}

ActivityCounts count_activity(const Database& database, std::int64_t file_bytes) {
    ActivityCounts counts;
    const auto count = [&]<typename Columns>(const Columns*) {
        const std::string sql = fmt::format("SELECT max(rowid) FROM {}", Table<Columns>::name);
        counts.*Table<Columns>::count = std::clamp<std::int64_t>(
            database.query_integer(sql).value_or(0), 0, file_bytes / kMinRowBytes);
    };
    std::apply([&](auto... table) { (count(table), ...); },
               std::tuple<Kernels*, Memcpys*, Memsets*, Apis*, Syncs*, NvtxRanges*, Overheads*,
                          MemoryEvents*, Externals*>{});
    return counts;
}

namespace {

/// Appends every row to `rows`; `after` hears of every kBlockRows and may empty it.
template <typename Columns, typename After>
void append_rows(const Database& database, const ActivityTexts& texts, std::int64_t expected_rows,
                 Progress& progress, Columns& rows, After&& after) {
    progress.begin(fmt::format("reading {}", Table<Columns>::shown), expected_rows);
    Statement row = database.prepare(
        fmt::format("SELECT {} FROM {}", Table<Columns>::columns, Table<Columns>::name));
    std::int64_t done = 0;
    while (row.step()) {
        append_row(row, texts, rows);
        if (++done % kBlockRows == 0) {
            after();
            progress.update(done);
            if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        }
    }
    progress.update(done);
    progress.end();
}

template <typename Columns>
void reserve(Columns& rows, std::int64_t count) {
    rows.for_columns([count](auto& column) { column.reserve(static_cast<std::size_t>(count)); });
}

}  // namespace

template <typename Columns>
void read_blocks(const Database& database, const ActivityTexts& texts, std::int64_t expected_rows,
                 Progress& progress, const std::function<void(const Columns&)>& each) {
    Columns block;
    reserve(block, std::min(expected_rows, kBlockRows));
    const auto hand_over = [&] {
        if (block.size() > 0) each(block);
        block.for_columns([](auto& column) { column.clear(); });
    };
    append_rows(database, texts, expected_rows, progress, block, hand_over);
    hand_over();
}

template <typename Columns>
Columns read_table(const Database& database, const ActivityTexts& texts, std::int64_t expected_rows,
                   Progress& progress) {
    Columns table;
    reserve(table, expected_rows);
    append_rows(database, texts, expected_rows, progress, table, [] {});
    return table;
}

template <typename Columns>
std::int64_t rows_of(const ActivityCounts& counts) {
    return counts.*Table<Columns>::count;
}

#define HC_TABLE(Columns)                                                                      \
    template void read_blocks<Columns>(const Database&, const ActivityTexts&, std::int64_t,    \
                                       Progress&, const std::function<void(const Columns&)>&); \
    template Columns read_table<Columns>(const Database&, const ActivityTexts&, std::int64_t,  \
                                         Progress&);                                           \
    template std::int64_t rows_of<Columns>(const ActivityCounts&);
HC_TABLE(Kernels)
HC_TABLE(Memcpys)
HC_TABLE(Memsets)
HC_TABLE(Apis)
HC_TABLE(Syncs)
HC_TABLE(NvtxRanges)
HC_TABLE(Overheads)
HC_TABLE(MemoryEvents)
HC_TABLE(Externals)
#undef HC_TABLE

}  // namespace hc::trace
