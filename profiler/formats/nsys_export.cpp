#include "profiler/formats/nsys_export.h"

#include <fmt/format.h>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "profiler/trace/new_trace_file.h"
#include "profiler/trace/row_fields.h"
#include "profiler/trace/schema.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::formats {
namespace {

using trace::Database;
using trace::SqliteFailure;
using trace::Statement;

constexpr std::string_view kSource = "source";
/// Tables with a row per event; the others are small.
constexpr std::array<std::string_view, 6> kEventTables = {
    "CUPTI_ACTIVITY_KIND_KERNEL",          "CUPTI_ACTIVITY_KIND_MEMCPY",
    "CUPTI_ACTIVITY_KIND_MEMSET",          "CUPTI_ACTIVITY_KIND_RUNTIME",
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", "NVTX_EVENTS"};

/// The statement that makes `name` in a new trace, for the temporary schema.
class TraceSchema {
public:
    TraceSchema() : database_(":memory:", Database::Open::kReadWrite) {
        database_.execute(trace::tables_sql());
    }
    [[nodiscard]] std::vector<std::string> names(std::string_view type) const {
        Statement row = database_.prepare("SELECT name FROM sqlite_schema WHERE type = ?");
        row.bind(1, type);
        std::vector<std::string> names;
        while (row.step()) names.emplace_back(row.text(0));
        return names;
    }
    [[nodiscard]] std::string temporary(std::string_view name) const {
        Statement row = database_.prepare("SELECT sql FROM sqlite_schema WHERE name = ?");
        row.bind(1, name);
        HC_CHECK(row.step());
        std::string sql(row.text(0));
        return sql.insert(sql.find(' '), " TEMP");
    }
    /// Copies a table of fixed rows, which are ours rather than the file's.
    void copy_table(std::string_view name, Database& to) const {
        Statement row = database_.prepare(fmt::format("SELECT id, name, label FROM {}", name));
        Statement insert = to.prepare(fmt::format("INSERT INTO main.{} VALUES (?,?,?)", name));
        while (row.step()) {
            insert.bind(1, row.integer(0));
            insert.bind(2, row.text(1));
            insert.bind(3, row.text(2));
            insert.run();
        }
    }

private:
    Database database_;
};

std::vector<std::string> tables_of(const Database& database) {
    Statement row = database.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table'");
    std::vector<std::string> names;
    while (row.step()) names.emplace_back(row.text(0));
    return names;
}

/// The views that give the export's rows, over the tables of `source`. They are ours, not those
/// that the file brings along. What a file of an older version lacks is made, empty.
void create_views(const TraceSchema& schema, bool has_activity, Database& database) {
    if (!has_activity) {
        for (const std::string& name : schema.names("table")) {
            // Names of streams stood in hc_string from the start.
            if (!name.starts_with("hc_") || name == "hc_string") continue;
            const bool present =
                database
                    .query_integer(fmt::format("SELECT 1 FROM {}.sqlite_schema WHERE name = '{}'",
                                               kSource, name))
                    .has_value();
            // Its hc_nvtx is empty and lacks columns.
            if (!present || name == "hc_nvtx") database.execute(schema.temporary(name));
        }
    }
    for (const std::string& name : schema.names("view")) {
        if (!name.starts_with("hc_")) database.execute(schema.temporary(name));
    }
}

/// Sums of start and duration that would not be whole numbers any more.
void check_times(const Database& database) {
    for (const char* table :
         {"hc_kernel", "hc_memcpy", "hc_memset", "hc_api", "hc_sync", "hc_nvtx"}) {
        const std::optional<std::int64_t> bad = database.query_integer(
            fmt::format("SELECT rowid FROM {}.{} WHERE start_ns NOT BETWEEN -{} AND {} "
                        "OR duration_ns NOT BETWEEN 0 AND {} LIMIT 1",
                        kSource, table, trace::kMaxTime, trace::kMaxTime, trace::kMaxTime));
        if (bad) {
            throw trace::BadData(
                fmt::format("{}: the time of row {} is out of range", table, *bad));
        }
    }
}

class Exporter {
public:
    Exporter(const trace::Trace& trace, const std::filesystem::path& file, Progress& progress)
        : database_(std::filesystem::absolute(file).string(), Database::Open::kCreate),
          progress_(progress) {
        // The file is nobody's until it is complete: a crash leaves a temporary one.
        database_.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
        database_.execute("PRAGMA cache_size = -65536");
        database_.interrupt_when([&progress] { return progress.cancelled(); });
        database_.attach_read_only(std::filesystem::absolute(trace.path()).string(), kSource);
        total_ = trace.activity_counts().total();
        has_activity_ =
            database_.query_integer(fmt::format("PRAGMA {}.user_version", kSource)) >= 1001;
    }

    std::int64_t run() {
        const TraceSchema schema;
        progress_.begin("writing the Nsight Systems tables", total_);
        database_.execute("BEGIN");
        database_.execute(nsys_tables_sql());
        create_views(schema, has_activity_, database_);
        if (has_activity_) check_times(database_);
        std::int64_t rows = 0;
        for (const std::string& table : tables_of(database_)) {
            if (table.starts_with("ENUM_")) {
                schema.copy_table(table, database_);
                continue;
            }
            database_.execute(fmt::format("INSERT INTO main.{0} SELECT * FROM temp.{0}", table));
            for (const std::string_view events : kEventTables) {
                if (table == events)
                    rows += database_.query_integer("SELECT changes()").value_or(0);
            }
            progress_.update(rows);
        }
        database_.execute("COMMIT");
        database_.execute(fmt::format("DETACH {}", kSource));
        progress_.end();
        return rows;
    }

private:
    Database database_;
    Progress& progress_;
    std::int64_t total_ = 0;
    bool has_activity_ = true;
};

}  // namespace

std::int64_t export_nsys(const trace::Trace& trace, const std::filesystem::path& output,
                         Progress& progress) {
    trace::NewTraceFile file(output);
    std::int64_t rows = 0;
    try {
        rows = Exporter(trace, file.temporary(), progress).run();
    } catch (const trace::BadData& bad) {
        throw_input(fmt::format("trace '{}' is damaged: {}", trace.path().string(), bad.what()));
    } catch (const SqliteFailure& failure) {
        if (failure.was_interrupted()) throw Error(ExitCode::kInterrupted, "interrupted");
        if (failure.is_corruption() || failure.is_constraint()) {
            throw_input(
                fmt::format("trace '{}' is damaged: {}", trace.path().string(), failure.what()));
        }
        throw_io(fmt::format("cannot write '{}': {}", output.string(), failure.what()));
    }
    file.commit();
    return rows;
}

}  // namespace hc::formats
