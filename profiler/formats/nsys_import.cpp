#include "profiler/formats/nsys_import.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "engine/core/error.h"
#include "profiler/formats/nsys_table.h"
#include "profiler/trace/new_trace_file.h"
#include "profiler/trace/position_codec.h"
#include "profiler/trace/row_fields.h"
#include "profiler/trace/schema.h"
#include "profiler/trace/writer.h"

namespace hc::formats {
namespace {

using namespace hc::trace;

constexpr std::size_t kBatchRows = 16'384;
constexpr std::int64_t kPidBits = (std::int64_t{1} << 48) - 1;  // process and thread
constexpr std::int64_t kNumberBits = (1 << 24) - 1;             // either of them

// NVTX_EVENTS.eventType.
enum EventType : std::int32_t { kCategory = 33, kThreadName = 39, kDomain = 75, kDomainEnd = 76 };

/// Columns that stand at the front of every table of the device.
constexpr std::array<NsysColumn, 7> kDeviceColumns = {{{"start", true},
                                                       {"end", true},
                                                       {"deviceId", true},
                                                       {"contextId"},
                                                       {"streamId", true},
                                                       {"correlationId"},
                                                       {"globalPid"}}};
constexpr int kMore = static_cast<int>(kDeviceColumns.size());

template <std::size_t N>
constexpr auto device_columns(const std::array<NsysColumn, N>& more) {
    std::array<NsysColumn, kDeviceColumns.size() + N> all;
    std::copy(kDeviceColumns.begin(), kDeviceColumns.end(), all.begin());
    std::copy(more.begin(), more.end(), all.begin() + kMore);
    return all;
}

/// Reads one export into one writer.
class Importer {
public:
    Importer(const Database& database, Writer& writer, Progress& progress)
        : database_(database), writer_(writer), progress_(progress) {}

    ImportResult run() {
        read_strings();
        read_processes();
        read_gpus();
        read_thread_names();
        read_nvtx_names();
        read_kernels();
        read_memcpys();
        read_memsets();
        read_apis();
        read_syncs();
        read_nvtx();
        if (result_.skipped > 0) {
            result_.warnings.push_back(fmt::format(
                "{} rows left out: they end before they start, or have no time", result_.skipped));
        }
        return std::move(result_);
    }

private:
    // -- names --------------------------------------------------------------------------------

    void read_strings() {
        static constexpr std::array<NsysColumn, 2> columns = {{{"id", true}, {"value", true}}};
        NsysTable table(database_, "StringIds", columns);
        while (table.next()) {
            strings_.emplace(table.integer_or(0, -1), std::string(table.text(1).value_or("")));
        }
    }

    const std::string& string_at(const NsysTable& row, std::int64_t id) const {
        const auto found = strings_.find(id);
        if (found == strings_.end()) {
            throw BadData(fmt::format("{}: string {} is not in StringIds", row.here(), id));
        }
        return found->second;
    }

    /// The new id of a string of the file.
    StringId name(const NsysTable& row, std::int64_t id) {
        const auto found = names_.find(id);
        if (found != names_.end()) return found->second;
        const StringId name = writer_.string_id(string_at(row, id));
        names_.emplace(id, name);
        return name;
    }
    StringId name_or_none(const NsysTable& row, int column) {
        const std::optional<std::int64_t> id = row.integer(column);
        return id ? name(row, *id) : -1;
    }

    static std::int64_t pid_of(std::int64_t global) { return (global >> 24) & kNumberBits; }

    void read_processes() {
        static constexpr std::array<NsysColumn, 3> columns = {{{"globalPid"}, {"pid"}, {"name"}}};
        NsysTable table(database_, "PROCESSES", columns);
        while (table.next()) {
            const std::optional<std::int64_t> global = table.integer(0);
            const std::int64_t pid = global ? pid_of(*global) : table.integer_or(1, 0);
            writer_.add_process(pid, table.text(2).value_or(""));
            only_pid_ = pid;
        }
    }

    void read_thread_names() {
        static constexpr std::array<NsysColumn, 2> columns = {{{"nameId", true}, {"globalTid"}}};
        NsysTable table(database_, "ThreadNames", columns);
        while (table.next()) {
            const std::optional<std::int64_t> thread = table.integer(1);
            if (thread) name_thread(*thread, string_at(table, table.integer_or(0, -1)));
        }
    }

    void name_thread(std::int64_t thread, std::string_view text) {
        writer_.stream_key(
            {-1, pid_of(thread), -1, -1, thread & kNumberBits, std::string(text), "other"});
    }

    void read_gpus() {
        static constexpr std::array<NsysColumn, 28> columns = {{{"id", true},
                                                                {"name"},
                                                                {"uuid"},
                                                                {"busLocation"},
                                                                {"computeMajor"},
                                                                {"computeMinor"},
                                                                {"smCount"},
                                                                {"asyncEngines"},
                                                                {"threadsPerWarp"},
                                                                {"maxWarpsPerSm"},
                                                                {"maxBlocksPerSm"},
                                                                {"maxThreadsPerBlock"},
                                                                {"totalMemory"},
                                                                {"l2CacheSize"},
                                                                {"memoryBandwidth"},
                                                                {"clockRate"},
                                                                {"constantMemory"},
                                                                {"maxRegistersPerBlock"},
                                                                {"maxRegistersPerSm"},
                                                                {"maxShmemPerBlock"},
                                                                {"maxShmemPerBlockOptin"},
                                                                {"maxShmemPerSm"},
                                                                {"maxBlockDimX"},
                                                                {"maxBlockDimY"},
                                                                {"maxBlockDimZ"},
                                                                {"maxGridDimX"},
                                                                {"maxGridDimY"},
                                                                {"maxGridDimZ"}}};
        NsysTable table(database_, "TARGET_INFO_GPU", columns);
        while (table.next()) {
            Gpu g;
            g.device = table.int_or(0, 0);
            if (g.device < 0 || g.device > kMaxIndex) {
                throw BadData(fmt::format("{}: id {} is out of range", table.here(), g.device));
            }
            g.name = table.text(1).value_or(""), g.uuid = table.text(2).value_or("");
            g.bus_location = table.text(3).value_or("");
            int at = 4;
            for (std::int32_t* n : {&g.compute_major, &g.compute_minor, &g.num_sms,
                                    &g.async_engines, &g.threads_per_warp, &g.max_warps_per_sm,
                                    &g.max_blocks_per_sm, &g.max_threads_per_block}) {
                *n = table.int_or(at++, -1);
            }
            for (std::int64_t* n :
                 {&g.memory_bytes, &g.l2_bytes, &g.memory_bandwidth, &g.clock_hz,
                  &g.constant_memory_bytes, &g.max_registers_per_block, &g.max_registers_per_sm,
                  &g.max_shared_per_block, &g.max_shared_per_block_optin, &g.max_shared_per_sm,
                  &g.max_block[0], &g.max_block[1], &g.max_block[2], &g.max_grid[0], &g.max_grid[1],
                  &g.max_grid[2]}) {
                *n = amount(table, at++, -1);
            }
            writer_.add_gpu(g);
        }
    }

    // -- rows ---------------------------------------------------------------------------------

    static std::int64_t amount(const NsysTable& row, int column, std::int64_t otherwise) {
        const std::int64_t value = row.integer_or(column, otherwise);
        if (value < -1 || value > kMaxAmount) {
            throw BadData(fmt::format("{}: amount {} is out of range", row.here(), value));
        }
        return value;
    }

    struct Span {
        std::int64_t start_ns = 0, duration_ns = 0;
    };
    /// nullopt for a row without times, or with its end before its start. An open end, where
    /// the table allows one, gives -1.
    std::optional<Span> span(const NsysTable& row, bool may_be_open = false) {
        const std::optional<std::int64_t> start = row.integer(0), end = row.integer(1);
        const auto far = [](std::optional<std::int64_t> time) {
            return time && (*time < -kMaxTime || *time > kMaxTime);
        };
        if (far(start) || far(end)) {
            throw BadData(fmt::format("{}: its time is out of range", row.here()));
        }
        if (start && !end && may_be_open) return Span{*start, -1};
        if (!start || !end || *end < *start) {
            ++result_.skipped;
            return std::nullopt;
        }
        return Span{*start, *end - *start};
    }

    /// What the columns of kDeviceColumns say.
    struct Device {
        Span span;
        StreamKey stream = -1;
        std::int64_t correlation_id = 0;
    };
    std::optional<Device> device(const NsysTable& row) {
        const std::optional<Span> times = span(row);
        if (!times) return std::nullopt;
        const std::optional<std::int64_t> global_pid = row.integer(6);
        const std::int64_t pid = global_pid ? pid_of(*global_pid) : only_pid_;
        const StreamId id{pid, row.int_or(2, 0), row.int_or(3, 0), row.integer_or(4, 0)};
        const auto found = streams_.find(id);
        const StreamKey key =
            found != streams_.end()
                ? found->second
                : writer_.stream_key({-1, id.pid, id.device, id.context, id.stream, "", "other"});
        if (found == streams_.end()) streams_.emplace(id, key);
        return Device{*times, key, row.integer_or(5, 0)};
    }

    template <typename Row>
    void add(std::vector<Row> ActivityBatch::*rows, const Row& row, std::int64_t& count) {
        (batch_.*rows).push_back(row);
        if (++count % static_cast<std::int64_t>(kBatchRows) == 0) {
            hand_over();
            progress_.update(count);
            if (progress_.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        }
    }
    void hand_over() {
        writer_.add_activity(batch_, 0);
        batch_.clear();
    }
    void begin(const NsysTable& table, std::string_view what) {
        progress_.begin(fmt::format("importing {}", what), table.expected_rows());
    }
    void end() {
        hand_over();
        progress_.end();
    }

    void read_kernels() {
        static constexpr auto columns =
            device_columns(std::array<NsysColumn, 26>{{{"demangledName", true},
                                                       {"shortName", true},
                                                       {"mangledName"},
                                                       {"gridX"},
                                                       {"gridY"},
                                                       {"gridZ"},
                                                       {"blockX"},
                                                       {"blockY"},
                                                       {"blockZ"},
                                                       {"registersPerThread"},
                                                       {"staticSharedMemory"},
                                                       {"dynamicSharedMemory"},
                                                       {"localMemoryPerThread"},
                                                       {"sharedMemoryExecuted"},
                                                       {"launchType"},
                                                       {"cacheConfig"},
                                                       {"sharedMemoryLimitConfig"},
                                                       {"clusterX"},
                                                       {"clusterY"},
                                                       {"clusterZ"},
                                                       {"clusterSchedulingPolicy"},
                                                       {"maxPotentialClusterSize"},
                                                       {"maxActiveClusters"},
                                                       {"sharedMemoryRequestedPercentage"},
                                                       {"localMemoryTotal"},
                                                       {"graphNodeId"}}});
        NsysTable table(database_, "CUPTI_ACTIVITY_KIND_KERNEL", columns);
        begin(table, "kernels");
        while (table.next()) {
            const std::optional<Device> d = device(table);
            if (!d) continue;
            Launch l;
            l.name = name_or_none(table, kMore);
            l.short_name = name_or_none(table, kMore + 1);
            l.mangled_name = name_or_none(table, kMore + 2);
            if (l.name < 0 || l.short_name < 0) {
                throw BadData(fmt::format("{}: the kernel has no name", table.here()));
            }
            int at = kMore + 3;
            for (std::int32_t* n : {&l.grid[0], &l.grid[1], &l.grid[2], &l.block[0], &l.block[1],
                                    &l.block[2], &l.registers_per_thread, &l.static_shared_bytes,
                                    &l.dynamic_shared_bytes, &l.local_bytes_per_thread}) {
                *n = table.int_or(at++, 0);
            }
            for (std::int32_t* n :
                 {&l.executed_shared_bytes, &l.launch_type, &l.cache_config, &l.shared_limit_config,
                  &l.cluster[0], &l.cluster[1], &l.cluster[2], &l.cluster_policy,
                  &l.max_potential_cluster, &l.max_active_clusters, &l.shared_percentage}) {
                *n = table.int_or(at++, -1);
            }
            l.local_bytes_total = std::max<std::int64_t>(0, amount(table, at++, 0));
            add(&ActivityBatch::kernels,
                {d->span.start_ns, d->span.duration_ns, d->correlation_id, table.integer_or(at, -1),
                 d->stream, writer_.launch_id(l)},
                result_.kernels);
        }
        end();
    }

    void read_memcpys() {
        static constexpr auto columns =
            device_columns(std::array<NsysColumn, 8>{{{"bytes", true},
                                                      {"copyKind", true},
                                                      {"srcKind"},
                                                      {"dstKind"},
                                                      {"srcDeviceId"},
                                                      {"dstDeviceId"},
                                                      {"copyCount"},
                                                      {"graphNodeId"}}});
        NsysTable table(database_, "CUPTI_ACTIVITY_KIND_MEMCPY", columns);
        begin(table, "copies");
        while (table.next()) {
            const std::optional<Device> d = device(table);
            if (!d) continue;
            MemcpyRow row{d->span.start_ns, d->span.duration_ns, d->correlation_id,
                          table.integer_or(kMore + 7, -1)};
            row.bytes = std::max<std::int64_t>(0, amount(table, kMore, 0));
            row.stream = d->stream;
            row.copy_kind = table.int_or(kMore + 1, 0);
            row.src_kind = table.int_or(kMore + 2, -1), row.dst_kind = table.int_or(kMore + 3, -1);
            row.src_device = table.int_or(kMore + 4, -1);
            row.dst_device = table.int_or(kMore + 5, -1);
            row.copy_count = table.int_or(kMore + 6, -1);
            add(&ActivityBatch::memcpys, row, result_.memcpys);
        }
        end();
    }

    void read_memsets() {
        static constexpr auto columns = device_columns(
            std::array<NsysColumn, 4>{{{"bytes", true}, {"value"}, {"memKind"}, {"graphNodeId"}}});
        NsysTable table(database_, "CUPTI_ACTIVITY_KIND_MEMSET", columns);
        begin(table, "memsets");
        while (table.next()) {
            const std::optional<Device> d = device(table);
            if (!d) continue;
            add(&ActivityBatch::memsets,
                {d->span.start_ns, d->span.duration_ns, d->correlation_id,
                 table.integer_or(kMore + 3, -1),
                 std::max<std::int64_t>(0, amount(table, kMore, 0)), table.integer_or(kMore + 1, 0),
                 d->stream, table.int_or(kMore + 2, -1)},
                result_.memsets);
        }
        end();
    }

    void read_syncs() {
        static constexpr auto columns = device_columns(
            std::array<NsysColumn, 3>{{{"syncType", true}, {"eventId"}, {"eventSyncId"}}});
        NsysTable table(database_, "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", columns);
        begin(table, "synchronizations");
        while (table.next()) {
            const std::optional<Device> d = device(table);
            if (!d) continue;
            add(&ActivityBatch::syncs,
                {d->span.start_ns, d->span.duration_ns, d->correlation_id,
                 table.integer_or(kMore + 1, 0), table.integer_or(kMore + 2, -1), d->stream,
                 table.int_or(kMore, 0)},
                result_.syncs);
        }
        end();
    }

    void read_apis() {
        static constexpr std::array<NsysColumn, 7> columns = {{{"start", true},
                                                               {"end", true},
                                                               {"eventClass"},
                                                               {"globalTid"},
                                                               {"correlationId"},
                                                               {"nameId", true},
                                                               {"returnValue"}}};
        NsysTable table(database_, "CUPTI_ACTIVITY_KIND_RUNTIME", columns);
        begin(table, "API calls");
        while (table.next()) {
            const std::optional<Span> times = span(table);
            if (!times) continue;
            const StringId called = name_or_none(table, 5);
            if (called < 0) throw BadData(fmt::format("{}: nameId is NULL", table.here()));
            add(&ActivityBatch::apis,
                {times->start_ns, times->duration_ns, table.integer_or(4, 0), thread(table, 3),
                 called, table.int_or(2, 0), table.int_or(6, 0)},
                result_.apis);
        }
        end();
    }

    [[nodiscard]] std::int64_t thread(const NsysTable& row, int column) const {
        return row.integer_or(column, only_pid_ << 24) & kPidBits;
    }

    // -- NVTX ---------------------------------------------------------------------------------

    std::string nvtx_text(const NsysTable& row, int text, int text_id) const {
        if (const auto own = row.text(text)) return std::string(*own);
        const std::optional<std::int64_t> id = row.integer(text_id);
        return id ? string_at(row, *id) : std::string();
    }

    /// Domains, then categories, then names of threads: events refer to them.
    void read_nvtx_names() {
        static constexpr std::array<NsysColumn, 6> columns = {
            {{"eventType", true}, {"globalTid"}, {"domainId"}, {"category"}, {"text"}, {"textId"}}};
        for (const EventType type : {kDomain, kCategory, kThreadName}) {
            NsysTable table(database_, "NVTX_EVENTS", columns,
                            fmt::format("WHERE eventType = {}", static_cast<int>(type)));
            while (table.next()) {
                const std::int64_t pid = pid_of(thread(table, 1));
                const std::int32_t number = table.int_or(2, 0);
                const std::string text = nvtx_text(table, 4, 5);
                if (type == kDomain) {
                    domains_[{pid, number}] = writer_.nvtx_domain(pid, text);
                } else if (type == kThreadName) {
                    name_thread(thread(table, 1), text);
                } else if (table.int_or(3, -1) >= 0) {
                    writer_.name_nvtx_category(pid, domain(pid, number), table.int_or(3, -1), text);
                }
            }
        }
    }

    std::int32_t domain(std::int64_t pid, std::int32_t number) {
        if (number <= 0) return number < 0 ? -1 : 0;
        const auto found = domains_.find({pid, number});
        if (found != domains_.end()) return found->second;
        // Its creation was not recorded; nothing but its number is known.
        return domains_[{pid, number}] = writer_.nvtx_domain(pid, fmt::format("domain {}", number));
    }

    void read_nvtx() {
        static constexpr std::array<NsysColumn, 17> columns = {{{"start", true},
                                                                {"end"},
                                                                {"eventType", true},
                                                                {"rangeId"},
                                                                {"category"},
                                                                {"color"},
                                                                {"text"},
                                                                {"textId"},
                                                                {"globalTid"},
                                                                {"endGlobalTid"},
                                                                {"domainId"},
                                                                {"uint64Value"},
                                                                {"int64Value"},
                                                                {"doubleValue"},
                                                                {"uint32Value"},
                                                                {"int32Value"},
                                                                {"floatValue"}}};
        NsysTable table(database_, "NVTX_EVENTS", columns);
        begin(table, "NVTX events");
        while (table.next()) {
            const std::int32_t type = table.int_or(2, 0);
            if (type == kDomain || type == kDomainEnd || type == kCategory || type == kThreadName) {
                continue;
            }
            const std::optional<Span> times = span(table, true);
            if (!times) continue;
            NvtxRow row;
            row.start_ns = times->start_ns, row.duration_ns = times->duration_ns, row.type = type;
            row.thread = thread(table, 8);
            if (const auto other = table.integer(9)) row.end_thread = *other & kPidBits;
            row.range_id = table.integer_or(3, -1);
            if (const auto own = table.text(6)) {
                row.name = writer_.string_id(*own);
            } else {
                row.name = name_or_none(table, 7);
            }
            const std::optional<std::int64_t> number = table.integer(10);
            if (number) row.domain = domain(pid_of(row.thread), table.int_or(10, 0));
            row.category = table.int_or(4, -1);
            row.color = table.integer_or(5, -1);
            read_payload(table, row);
            add(&ActivityBatch::nvtx, row, result_.nvtx);
        }
        end();
    }

    /// The first payload that is there; the columns come in the order of NVTX's types.
    static void read_payload(const NsysTable& table, NvtxRow& row) {
        for (std::int32_t type = 1; type <= 6 && !row.has_payload; ++type) {
            const int column = 10 + type;
            if (type == 3 || type == 6) {
                const std::optional<double> value = table.real(column);
                if (!value) continue;
                row.payload = std::bit_cast<std::int64_t>(*value);
            } else {
                const std::optional<std::int64_t> value = table.integer(column);
                if (!value) continue;
                row.payload = *value;
            }
            row.has_payload = true;
            row.payload_type = type;
        }
    }

    struct StreamId {
        std::int64_t pid = 0;
        std::int32_t device = 0, context = 0;
        std::int64_t stream = 0;
        auto operator<=>(const StreamId&) const = default;
    };

    const Database& database_;
    Writer& writer_;
    Progress& progress_;
    std::unordered_map<std::int64_t, std::string> strings_;
    std::unordered_map<std::int64_t, StringId> names_;
    std::map<StreamId, StreamKey> streams_;
    std::map<std::pair<std::int64_t, std::int32_t>, std::int32_t> domains_;
    std::int64_t only_pid_ = 0;  // for rows that name no process
    ActivityBatch batch_;
    ImportResult result_;
};

/// What hc_meta says of a session that another tool recorded.
std::map<std::string, std::string> imported_meta(const Database& database,
                                                 const std::filesystem::path& input) {
    std::map<std::string, std::string> meta = {{"imported_from", input.filename().string()},
                                               {"host", ""},
                                               {"writer_pid", "-1"},
                                               {"epoch_ns", "0"},
                                               {"start_utc", ""},
                                               {"clock", "CLOCK_REALTIME"}};
    static constexpr std::array<NsysColumn, 2> start = {{{"utcEpochNs"}, {"utcTime"}}};
    NsysTable session(database, "TARGET_INFO_SESSION_START_TIME", start);
    if (session.next()) {
        meta["epoch_ns"] = std::to_string(std::max<std::int64_t>(0, session.integer_or(0, 0)));
        meta["start_utc"] = session.text(1).value_or("");
    }
    static constexpr std::array<NsysColumn, 1> details = {{{"duration"}}};
    NsysTable analysis(database, "ANALYSIS_DETAILS", details);
    if (analysis.next()) meta["heartbeat_ns"] = std::to_string(analysis.integer_or(0, 0));
    static constexpr std::array<NsysColumn, 2> facts = {{{"name", true}, {"value"}}};
    NsysTable exported(database, "META_DATA_EXPORT", facts);
    while (exported.next()) {
        const std::string_view key = exported.text(0).value_or("");
        if (key == "EXPORT_SCHEMA_VERSION")
            meta["nsys_schema_version"] = exported.text(1).value_or("");
        if (key == "EXPORT_PRODUCT_VERSION") {
            meta["nsys_product_version"] = exported.text(1).value_or("");
        }
    }
    return meta;
}

/// It holds at least one of the tables that are read.
void check_is_export(const Database& database, const std::filesystem::path& input) {
    if (database.query_integer("PRAGMA application_id") == kApplicationId) {
        throw_input(fmt::format("'{}' is an hcprof trace already", input.string()));
    }
    const bool known =
        database
            .query_integer(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN "
                "('StringIds', 'CUPTI_ACTIVITY_KIND_KERNEL', 'CUPTI_ACTIVITY_KIND_MEMCPY', "
                "'CUPTI_ACTIVITY_KIND_RUNTIME', 'NVTX_EVENTS')")
            .value_or(0) > 0;
    if (known) return;
    throw_input(fmt::format(
        "'{}' is no Nsight Systems export: it has none of the tables StringIds, NVTX_EVENTS, "
        "CUPTI_ACTIVITY_KIND_* (make one with: nsys export --type sqlite)",
        input.string()));
}

Database open_export(const std::filesystem::path& input) {
    std::error_code error;
    const auto cannot = [&](std::string_view why) {
        throw_io(fmt::format("cannot open '{}': {}", input.string(), why));
    };
    const auto status = std::filesystem::status(input, error);
    if (!std::filesystem::exists(status)) cannot("no such file");
    if (!std::filesystem::is_regular_file(status)) cannot("it is no regular file");
    const std::string file = std::filesystem::absolute(input).string();
    try {
        Database database(file, Database::Open::kReadOnly);
        (void)database.query_integer("PRAGMA schema_version");
        return database;
    } catch (const SqliteFailure& failure) {
        if (failure.is_corruption()) throw;
    }
    return {file, Database::Open::kImmutable};
}

}  // namespace

ImportResult import_nsys(const std::filesystem::path& input, const std::filesystem::path& output,
                         const std::string& command_line, Progress& progress) {
    std::error_code error;
    if (std::filesystem::equivalent(input, output, error)) {
        throw_refused(
            fmt::format("'{}' is to be imported and is the output as well, which would "
                        "replace it",
                        input.string()));
    }
    try {
        const Database database = open_export(input);
        check_is_export(database, input);
        WriterOptions options{.command_line = command_line, .shown_path = output};
        options.final_meta = imported_meta(database, input);
        NewTraceFile file(output);
        ImportResult result;
        {
            Writer writer(file.temporary(), options);
            result = Importer(database, writer, progress).run();
            if (result.skipped > 0) {
                writer.add_meta("lost_import", std::to_string(result.skipped));
            }
            writer.finish();
        }
        result.schema_version = options.final_meta["nsys_schema_version"];
        file.commit();
        return result;
    } catch (const SqliteFailure& failure) {
        if (failure.code() == SqliteFailure::kNotADatabase) {
            throw_input(fmt::format("'{}' is not an SQLite file, expected an Nsight Systems export",
                                    input.string()));
        }
        if (failure.is_corruption()) {
            throw_input(fmt::format("'{}' is damaged: {}", input.string(), failure.what()));
        }
        throw_io(fmt::format("cannot read '{}': {}", input.string(), failure.what()));
    } catch (const BadData& bad) {
        throw_input(fmt::format("'{}' cannot be imported: {}", input.string(), bad.what()));
    }
}

}  // namespace hc::formats
