#include "profiler/trace/domain_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_set>

#include "engine/core/error.h"
#include "profiler/trace/row_fields.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {
namespace {

/// Texts longer than this say nothing in our words.
constexpr std::size_t kMaxText = 4096;
constexpr std::int64_t kPushPop = 59;
constexpr std::int64_t kMark = 34;
/// NVTX_PAYLOAD_TYPE_*: 1 uint64, 2 int64, 4 uint32, 5 int32 are integers.
bool is_integer_payload(std::int64_t type) {
    return type == 1 || type == 2 || type == 4 || type == 5;
}

/// Calls `each` for every row, and tells `progress`.
template <typename Each>
void every_row(Statement& rows, Progress& progress, Each&& each) {
    std::int64_t done = 0;
    while (rows.step()) {
        each(rows);
        if (++done % kProgressRows == 0) {
            progress.update(done);
            if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        }
    }
}

std::int64_t end_of(const Statement& row, std::int64_t start, int column) {
    return start + ranged(row, column, 0, kMaxTime, "duration");
}

void read_events(const Database& database, std::string_view domain, Progress& progress,
                 DomainActivity& out) {
    Statement rows = database.prepare(
        "SELECT n.start_ns, n.duration_ns, n.type, n.thread, t.value, n.payload, n.payload_type "
        "FROM hc_nvtx_name AS d JOIN hc_string AS s ON s.id = d.name_id AND s.value = ?1 "
        "JOIN hc_nvtx AS n ON n.domain = d.domain AND n.thread >> 24 = d.pid "
        "JOIN hc_string AS t ON t.id = n.name_id WHERE d.category = -1");
    rows.bind(1, domain);
    every_row(rows, progress, [&](const Statement& row) {
        DomainEvent event;
        event.start_ns = time_at(row, 0);
        if (!row.is_null(1)) event.end_ns = end_of(row, event.start_ns, 1);
        event.nested = row.integer(2) == kPushPop;
        event.mark = row.integer(2) == kMark;
        event.thread = row.integer(3);
        event.text = row.text(4).substr(0, kMaxText);
        if (!row.is_null(5) && !row.is_null(6) && is_integer_payload(row.integer(6))) {
            event.payload = row.integer(5);
        }
        out.events.push_back(std::move(event));
    });
    // Of two that begin together the longer one is the outer one.
    std::stable_sort(out.events.begin(), out.events.end(), [](const auto& a, const auto& b) {
        return std::tuple(a.thread, a.start_ns, -a.end_ns) <
               std::tuple(b.thread, b.start_ns, -b.end_ns);
    });
}

void read_calls(const Database& database, Progress& progress, DomainActivity& out) {
    std::set<std::int64_t> threads;
    for (const DomainEvent& event : out.events) threads.insert(event.thread);
    Statement rows =
        database.prepare("SELECT start_ns, duration_ns, thread, correlation_id FROM hc_api");
    every_row(rows, progress, [&](const Statement& row) {
        const std::int64_t thread = row.integer(2);
        if (!threads.contains(thread)) return;
        const std::int64_t start = time_at(row, 0);
        out.calls.push_back({start, end_of(row, start, 1), thread, row.integer(3)});
    });
    std::sort(out.calls.begin(), out.calls.end(), [](const CallRow& a, const CallRow& b) {
        return std::tuple(a.thread, a.start_ns, a.correlation_id) <
               std::tuple(b.thread, b.start_ns, b.correlation_id);
    });
}

void read_work(const Database& database, Progress& progress, DomainActivity& out) {
    std::unordered_set<std::int64_t> pids;
    for (const DomainEvent& event : out.events) pids.insert(event.thread >> 24);
    constexpr const char* kTables[] = {
        "SELECT k.start_ns, k.duration_ns, k.correlation_id, s.pid, k.stream, s.device, 0, 1, -1 "
        "FROM hc_kernel AS k JOIN hc_stream AS s ON s.key = k.stream",
        "SELECT m.start_ns, m.duration_ns, m.correlation_id, s.pid, m.stream, s.device, m.bytes, "
        "0, m.copy_kind FROM hc_memcpy AS m JOIN hc_stream AS s ON s.key = m.stream",
        "SELECT m.start_ns, m.duration_ns, m.correlation_id, s.pid, m.stream, s.device, m.bytes, "
        "0, -1 FROM hc_memset AS m JOIN hc_stream AS s ON s.key = m.stream"};
    for (const char* sql : kTables) {
        Statement rows = database.prepare(sql);
        every_row(rows, progress, [&](const Statement& row) {
            GpuWork work;
            work.pid = row.integer(3);
            if (!pids.contains(work.pid)) return;
            work.start_ns = time_at(row, 0);
            work.end_ns = end_of(row, work.start_ns, 1);
            work.correlation_id = row.integer(2);
            work.stream = int_at(row, 4, "stream");
            work.device = row.is_null(5) ? -1 : int_at(row, 5, "device");
            work.bytes = amount_at(row, 6);
            work.kernel = row.integer(7) == 1;
            work.copy_kind = int_at(row, 8, "copy kind");
            out.work.push_back(work);
        });
    }
    std::sort(out.work.begin(), out.work.end(), [](const GpuWork& a, const GpuWork& b) {
        return std::tuple(a.start_ns, a.end_ns, a.stream, a.correlation_id) <
               std::tuple(b.start_ns, b.end_ns, b.stream, b.correlation_id);
    });
    std::set<std::int32_t> devices;
    for (const GpuWork& work : out.work) devices.insert(work.device);
    Statement name = database.prepare("SELECT name FROM hc_gpu WHERE device = ?");
    for (const std::int32_t device : devices) {
        name.bind(1, std::int64_t{device});
        out.devices.push_back(device);
        out.device_names.push_back(name.step() ? string_at(name, 0) : "");
        name.reset();
    }
}

}  // namespace

DomainActivity read_domain(const std::filesystem::path& path, std::string_view domain,
                           Progress& progress) {
    DomainActivity out;
    try {
        const Database database(std::filesystem::absolute(path).string(),
                                Database::Open::kReadOnly);
        // Files before format 1.1 have neither names of domains nor GPUs.
        if (database.query_integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND "
                                   "name IN ('hc_nvtx_name', 'hc_gpu')") != 2) {
            return out;
        }
        progress.begin("reading NVTX ranges of retrievals", 0);
        read_events(database, domain, progress, out);
        if (!out.events.empty()) {
            read_calls(database, progress, out);
            read_work(database, progress, out);
        }
        progress.end();
    } catch (const SqliteFailure& failure) {
        throw_input(fmt::format("cannot read trace '{}': {}", path.string(), failure.what()));
    } catch (const BadData& bad) {
        throw_input(fmt::format("trace '{}' is damaged: {}", path.string(), bad.what()));
    }
    return out;
}

}  // namespace hc::trace
