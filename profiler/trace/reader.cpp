#include "profiler/trace/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sqlite3.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "engine/core/error.h"
#include "profiler/trace/activity_reader.h"
#include "profiler/trace/run_reader.h"
#include "profiler/trace/schema.h"
#include "profiler/trace/sqlite_database.h"
#include "profiler/trace/trace_file.h"

namespace hc::trace {
namespace {

/// A writer beats about once a second; after this silence it is taken for dead.
constexpr std::int64_t kDeadAfterSeconds = 10;
/// Up to here a scan of whole tables is quicker than the index.
constexpr std::size_t kScanRuns = 2;

/// The file can be opened at all, and is not empty.
void check_file(const std::filesystem::path& path) {
    const auto cannot = [&](std::string_view why) {
        throw_io(fmt::format("cannot open trace '{}': {}", path.string(), why));
    };
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) cannot(error ? error.message() : "no such file");
    if (std::filesystem::is_directory(status)) cannot("it is a folder");
    if (!std::filesystem::is_regular_file(status)) cannot("it is no regular file");
    if (::access(path.c_str(), R_OK) != 0) cannot(std::strerror(errno));
    if (std::filesystem::file_size(path, error) == 0) {
        throw_input(fmt::format("'{}' is empty, expected an hcprof trace", path.string()));
    }
}

/// It is a trace, of a version that this program reads, with its tables in place.
void check_schema(const Database& database, const std::filesystem::path& path) {
    if (database.query_integer("PRAGMA application_id") != kApplicationId) {
        throw_input(fmt::format("'{}' is an SQLite file but no hcprof trace", path.string()));
    }
    const std::int64_t version = database.query_integer("PRAGMA user_version").value_or(0);
    if (version / 1000 > kVersionMajor) {
        throw_input(fmt::format(
            "trace '{}' has format version {}.{}, newer than this program reads (up to {}.x)",
            path.string(), version / 1000, version % 1000, kVersionMajor));
    }
    if (version < 1000) throw BadData(fmt::format("format version {} does not exist", version));
    // A view of that name would make us run whatever the file says.
    Statement table = database.prepare(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name = ?");
    std::vector<std::string_view> names = tables_read();
    if (version >= kActivityVersion) {
        const std::vector<std::string_view> more = activity_tables();
        names.insert(names.end(), more.begin(), more.end());
    }
    for (const std::string_view name : names) {
        table.bind(1, name);
        if (!table.step() || table.integer(0) != 1) {
            throw BadData(fmt::format("it has no table {}", name));
        }
        table.reset();
    }
}

std::map<std::string, std::string> read_meta(const Database& database) {
    std::map<std::string, std::string> meta;
    Statement row = database.prepare("SELECT key, value FROM hc_meta");
    while (row.step()) meta.emplace(row.text(0), row.text(1));
    return meta;
}

std::string meta_or(const std::map<std::string, std::string>& meta, const std::string& key,
                    const std::string& otherwise) {
    const auto found = meta.find(key);
    return found == meta.end() ? otherwise : found->second;
}

bool writer_is_dead(const Database& database) {
    const std::optional<std::int64_t> age = database.query_integer(
        "SELECT CAST(strftime('%s', 'now') AS INTEGER) - CAST(strftime('%s', value) AS INTEGER) "
        "FROM hc_meta WHERE key = 'heartbeat_utc'");
    return !age || *age > kDeadAfterSeconds || *age < -kDeadAfterSeconds;
}

/// What the writer would have done at its end. Only a convenience: where the file cannot be
/// changed, readers do without.
void make_missing_indexes(const std::string& file) {
    try {
        Database database(file, Database::Open::kReadWrite);
        sqlite3_busy_timeout(database.handle(), 0);
        database.execute("BEGIN IMMEDIATE");
        database.execute(indexes_sql());
        database.execute("COMMIT");
        database.checkpoint();
        database.execute("PRAGMA journal_mode = DELETE");
    } catch (const SqliteFailure&) {
    }
}

std::int64_t count_indexes(const Database& database) {
    return database
        .query_integer(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'index' "
            "AND name = 'hc_op_by_step'")
        .value_or(0);
}

std::string lost_records(const std::map<std::string, std::string>& meta) {
    std::string text;
    for (const auto& [key, value] : meta) {
        if (!key.starts_with("lost_") || value == "0") continue;
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", value, key.substr(5));
    }
    return text;
}

struct LogState {
    bool present = false;
    bool empty = true;
};

LogState log_state(const std::string& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file + "-wal", error);
    return {!error, error || size == 0};
}

std::string unfinished_warning(const std::map<std::string, std::string>& meta, bool log_mode,
                               const LogState& log, bool immutable) {
    double heartbeat_s = 0;
    try {
        heartbeat_s = std::stod(meta_or(meta, "heartbeat_ns", "0")) * 1e-9;
    } catch (const std::exception&) {
        // A damaged number: the date beside it remains.
    }
    std::string text = fmt::format(
        "not closed cleanly (crashed, killed, or still being written); last heartbeat {:.1f} s "
        "after its start, {}",
        heartbeat_s, meta_or(meta, "heartbeat_utc", "at an unknown time"));
    if (log_mode && !log.present) {
        text += "; there is no -wal file beside it, so the last rows may be missing";
    } else if (immutable && !log.empty) {
        text += "; the folder is read-only, so the rows in its -wal file are not shown";
    }
    return text;
}

}  // namespace

Trace::Trace(const std::filesystem::path& path) : impl_(std::make_unique<Impl>()) {
    impl_->path = path;
    check_file(path);
    impl_->file = std::filesystem::absolute(path);
    impl_->identity = file_identity(impl_->file.string());
    const std::string file = impl_->file.string();
    const LogState log = log_state(file);
    guarded(path, [&] {
        impl_->opened = open_database(file);
        check_schema(impl_->opened.database, path);
        impl_->has_activity =
            impl_->opened.database.query_integer("PRAGMA user_version") >= kActivityVersion;
        impl_->meta = read_meta(impl_->opened.database);
        const bool unfinished = meta_or(impl_->meta, "clean_exit", "0") != "1";
        if (unfinished) {
            Statement mode = impl_->opened.database.prepare("PRAGMA journal_mode");
            const bool log_mode = mode.step() && mode.text(0) == "wal";
            impl_->warning =
                unfinished_warning(impl_->meta, log_mode, log, impl_->opened.immutable);
        }
        const std::string lost = lost_records(impl_->meta);
        if (!lost.empty()) {
            impl_->warning +=
                fmt::format("{}records are missing: {}", impl_->warning.empty() ? "" : "; ", lost);
        }
        if (unfinished && !impl_->opened.immutable && ::access(file.c_str(), W_OK) == 0 &&
            count_indexes(impl_->opened.database) == 0 && writer_is_dead(impl_->opened.database)) {
            impl_->opened.database.close();
            make_missing_indexes(file);
            impl_->opened = open_database(file);
        }
        impl_->runs = read_runs(impl_->opened.database);
        impl_->streams = read_streams(impl_->opened.database);
    });
}

Trace::~Trace() = default;
Trace::Trace(Trace&&) noexcept = default;
Trace& Trace::operator=(Trace&&) noexcept = default;

const std::filesystem::path& Trace::path() const {
    return impl_->path;
}
std::string Trace::warning() const {
    return impl_->warning;
}

std::optional<std::string> Trace::meta(const std::string& key) const {
    const auto found = impl_->meta.find(key);
    if (found == impl_->meta.end()) return std::nullopt;
    return found->second;
}

const std::vector<Run>& Trace::runs() const {
    return impl_->runs;
}
const std::vector<Stream>& Trace::streams() const {
    return impl_->streams;
}

std::vector<Value> Trace::values() const {
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path, [&] { return read_values(impl_->opened.database); });
}

const Run& Trace::run(RunId id) const {
    std::vector<std::string> known;
    for (const Run& run : impl_->runs) {
        if (run.id == id) return run;
        known.push_back(fmt::format("{} ({})", run.id, run.policy));
    }
    throw_refused(fmt::format("trace '{}' has no run {}, it has {}", impl_->path.string(), id,
                              known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

RunData Trace::read(RunId id, const Parts& parts, Progress& progress) const {
    const Run& found = run(id);
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path, [&] {
        Database& database = impl_->opened.database;
        std::error_code error;
        ReadPlan plan;
        plan.parts = parts;
        plan.ops.scan = impl_->runs.size() <= kScanRuns;
        const auto bytes = std::filesystem::file_size(impl_->file, error);
        plan.ops.file_bytes = error ? 0 : static_cast<std::size_t>(bytes);
        // One transaction: a file that is being written shows one moment in all its tables.
        database.execute("BEGIN");
        try {
            RunData data = read_run(database, found, plan, progress);
            database.execute("COMMIT");
            return data;
        } catch (...) {
            database.rollback();
            throw;
        }
    });
}

std::vector<RecallRecord> Trace::recall(RunId id) const {
    const Run& found = run(id);
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path, [&] { return read_recall(impl_->opened.database, found.id); });
}

}  // namespace hc::trace
