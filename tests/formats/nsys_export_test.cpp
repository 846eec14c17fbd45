// SQL that was written for an Nsight Systems export gives the same answers on the views of a trace
// and on the tables that `hcprof export --nsys` makes of them.
#include "profiler/formats/nsys_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fstream>
#include <map>
#include <sstream>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/writer.h"
#include "tests/collect/activity_maker.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::formats {
namespace {

using namespace hc::trace;
using test::ActivityMaker;
using test::SqliteFile;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using Row = std::vector<std::string>;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// Two processes' decode steps; returns the rows of the first.
ActivityBatch write_activity(const std::filesystem::path& path, int steps) {
    Writer writer(path, {});
    ActivityMaker maker(writer, 1, 5, 1000);
    ActivityMaker other(writer, 2, 6, 2000);
    Gpu gpu;
    gpu.name = "H100", gpu.memory_bytes = std::int64_t{80} << 30, gpu.compute_major = 9;
    gpu.compute_minor = 0;
    writer.add_gpu(gpu);
    writer.name_nvtx_category(5, writer.nvtx_domain(5, "engine"), 1, "layers");
    ActivityBatch batch, more;
    for (int i = 0; i < steps; ++i) maker.add_step(batch);
    writer.add_activity(batch, 0);
    for (int i = 0; i < steps / 10; ++i) other.add_step(more);
    more.nvtx.push_back({50, -1, global_thread_id(6, 6), -1, -1, 0, false, 2, 34});
    writer.add_activity(more, 0);
    writer.finish();
    return batch;
}

void export_to(const std::filesystem::path& from, const std::filesystem::path& to) {
    NoProgress progress;
    export_nsys(Trace(from), to, progress);
}

/// As in NVIDIA's own reports and in scripts that people keep.
const std::map<std::string, std::string>& queries() {
    static const std::map<std::string, std::string> all = {
        {"top kernels",
         "SELECT s.value, count(*), sum(k.\"end\" - k.start) AS total, min(k.\"end\" - k.start), "
         "max(k.\"end\" - k.start) FROM CUPTI_ACTIVITY_KIND_KERNEL AS k "
         "JOIN StringIds AS s ON s.id = k.shortName GROUP BY k.shortName ORDER BY total DESC, 1"},
        {"kernel names on API ranges",
         "SELECT api.value, name.value, count(*), sum(k.start - r.start) "
         "FROM CUPTI_ACTIVITY_KIND_RUNTIME AS r JOIN CUPTI_ACTIVITY_KIND_KERNEL AS k "
         "ON k.correlationId = r.correlationId "
         "AND k.globalPid = (r.globalTid & 0xFFFFFFFFFF000000) "
         "JOIN StringIds AS api ON api.id = r.nameId "
         "JOIN StringIds AS name ON name.id = k.demangledName GROUP BY 1, 2 ORDER BY 1, 2"},
        {"API calls with and without a kernel",
         "SELECT s.value, count(*), count(k.start) FROM CUPTI_ACTIVITY_KIND_RUNTIME AS r "
         "LEFT JOIN CUPTI_ACTIVITY_KIND_KERNEL AS k ON k.correlationId = r.correlationId "
         "AND k.globalPid = (r.globalTid & 0xFFFFFFFFFF000000) "
         "JOIN StringIds AS s ON s.id = r.nameId GROUP BY 1 ORDER BY 1"},
        {"copies by kind",
         "SELECT e.label, src.label, dst.label, count(*), sum(m.bytes), sum(m.\"end\" - m.start) "
         "FROM CUPTI_ACTIVITY_KIND_MEMCPY AS m "
         "LEFT JOIN ENUM_CUDA_MEMCPY_OPER AS e ON e.id = m.copyKind "
         "LEFT JOIN ENUM_CUDA_MEM_KIND AS src ON src.id = m.srcKind "
         "LEFT JOIN ENUM_CUDA_MEM_KIND AS dst ON dst.id = m.dstKind GROUP BY 1, 2, 3 ORDER BY 1"},
        {"time of API calls",
         "SELECT s.value, count(*), sum(\"end\" - start) FROM CUPTI_ACTIVITY_KIND_RUNTIME "
         "LEFT JOIN StringIds AS s ON s.id = nameId GROUP BY 1 ORDER BY 3 DESC"},
        {"NVTX ranges projected on kernels",
         "SELECT coalesce(n.text, t.value), n.start, count(*), min(k.start), max(k.\"end\") "
         "FROM NVTX_EVENTS AS n LEFT JOIN StringIds AS t ON t.id = n.textId "
         "JOIN CUPTI_ACTIVITY_KIND_RUNTIME AS r ON r.globalTid = n.globalTid "
         "AND r.start BETWEEN n.start AND n.\"end\" AND r.\"end\" <= n.\"end\" "
         "JOIN CUPTI_ACTIVITY_KIND_KERNEL AS k ON k.correlationId = r.correlationId "
         "AND k.globalPid = (r.globalTid & 0xFFFFFFFFFF000000) "
         "WHERE n.eventType IN (59, 60) GROUP BY 1, 2, n.\"end\", n.globalTid ORDER BY 2, 1, 3"},
        {"idle gaps of each device and process",
         "SELECT deviceId, globalPid, count(*), sum(gap), max(gap) FROM (SELECT deviceId, "
         "globalPid, start - max(\"end\") OVER (PARTITION BY deviceId, globalPid ORDER BY start "
         "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS gap "
         "FROM CUPTI_ACTIVITY_KIND_KERNEL) WHERE gap > 0 GROUP BY 1, 2 ORDER BY 2"},
        {"what ran on the GPU in order",
         "WITH recs AS (SELECT start, \"end\" - start AS d, deviceId, streamId, (SELECT value FROM "
         "StringIds WHERE id = shortName) AS name FROM CUPTI_ACTIVITY_KIND_KERNEL UNION ALL "
         "SELECT start, \"end\" - start, deviceId, streamId, (SELECT label FROM "
         "ENUM_CUDA_MEMCPY_OPER WHERE id = copyKind) FROM CUPTI_ACTIVITY_KIND_MEMCPY UNION ALL "
         "SELECT start, \"end\" - start, deviceId, streamId, 'memset' "
         "FROM CUPTI_ACTIVITY_KIND_MEMSET) "
         "SELECT recs.*, gpu.name FROM recs LEFT JOIN TARGET_INFO_GPU AS gpu "
         "ON gpu.id = recs.deviceId ORDER BY recs.start, recs.streamId, recs.d LIMIT 1000"},
        {"waits by kind",
         "SELECT e.label, count(*), sum(y.\"end\" - y.start) "
         "FROM CUPTI_ACTIVITY_KIND_SYNCHRONIZATION AS y "
         "LEFT JOIN ENUM_CUPTI_SYNC_TYPE AS e ON e.id = y.syncType GROUP BY 1"},
        {"NVTX ranges under their domains",
         "WITH domains AS (SELECT min(start), domainId AS id, globalTid, text AS name "
         "FROM NVTX_EVENTS WHERE eventType = 75 GROUP BY 2, 3) "
         "SELECT d.name, coalesce(n.text, s.value), count(*), sum(n.\"end\" - n.start), "
         "sum(n.int64Value), sum(n.int32Value) FROM NVTX_EVENTS AS n "
         "LEFT JOIN domains AS d ON d.id = n.domainId "
         "AND (n.globalTid & 0x0000FFFFFF000000) = (d.globalTid & 0x0000FFFFFF000000) "
         "LEFT JOIN StringIds AS s ON s.id = n.textId "
         "WHERE n.eventType IN (34, 59) GROUP BY 1, 2 ORDER BY 1, 2"},
        {"processes", "SELECT pid, name, globalPid FROM PROCESSES ORDER BY pid"},
    };
    return all;
}

TEST(NsysExport, AnswersAsTheViewsDo) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite", out = folder.path() / "nsys.sqlite";
    write_activity(path, 60);
    export_to(path, out);
    SqliteFile views(path), tables(out);
    for (const auto& [name, sql] : queries()) {
        const auto rows = views.rows(sql);
        EXPECT_FALSE(rows.empty()) << name;
        EXPECT_EQ(rows, tables.rows(sql)) << name;
    }
    EXPECT_EQ(tables.one("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(tables.one("SELECT count(*) FROM sqlite_schema WHERE type <> 'table'"), "0");
}

TEST(NsysExport, AnswersAreTrue) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    const ActivityBatch batch = write_activity(path, 60);
    // By hand, from the rows of the first process.
    std::map<std::int64_t, const KernelRow*> kernel_of;
    for (const KernelRow& k : batch.kernels) kernel_of[k.correlation_id] = &k;
    std::map<std::int64_t, std::int64_t> kernels_in;  // [start of a step's range]
    for (const NvtxRow& range : batch.nvtx) {
        if (range.color < 0) continue;  // a layer
        for (const ApiRow& api : batch.apis) {
            if (api.start_ns >= range.start_ns &&
                api.start_ns + api.duration_ns <= range.start_ns + range.duration_ns) {
                kernels_in[range.start_ns] += kernel_of.contains(api.correlation_id) ? 1 : 0;
            }
        }
    }
    std::map<std::string, std::pair<std::int64_t, std::int64_t>> copied;  // bytes, ns
    for (const MemcpyRow& m : batch.memcpys) {
        auto& [bytes, ns] = copied[m.copy_kind == 1 ? "Host-to-Device" : "Device-to-Host"];
        bytes += m.bytes, ns += m.duration_ns;
    }
    SqliteFile file(path);
    int steps = 0;
    for (const Row& row : file.rows(queries().at("NVTX ranges projected on kernels"))) {
        if (row[0] != "step" || !kernels_in.contains(std::stoll(row[1]))) continue;
        EXPECT_EQ(std::stoll(row[2]), kernels_in.at(std::stoll(row[1])));
        ++steps;
    }
    EXPECT_GE(steps, 60);
    for (const auto& [label, sums] : copied) {
        EXPECT_EQ(file.one("SELECT sum(m.bytes) FROM CUPTI_ACTIVITY_KIND_MEMCPY m JOIN "
                           "ENUM_CUDA_MEMCPY_OPER e ON e.id = m.copyKind WHERE e.label = '" +
                           label + "' AND m.globalPid = 5 << 24"),
                  std::to_string(sums.first));
    }
    std::int64_t busy_until = 0, idle = 0;
    for (const KernelRow& k : batch.kernels) {
        if (busy_until > 0 && k.start_ns > busy_until) idle += k.start_ns - busy_until;
        busy_until = std::max(busy_until, k.start_ns + k.duration_ns);
    }
    EXPECT_EQ(file.rows(queries().at("idle gaps of each device and process")).at(0).at(3),
              std::to_string(idle));
}

TEST(NsysExport, IsQuickOnAMillionEvents) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    constexpr int kSteps = kSanitized ? 500 : 10'000;  // 970,000 events
    write_activity(path, kSteps);
    SqliteFile file(path);
    for (const auto& [name, sql] : queries()) {
        const std::clock_t start = std::clock();
        EXPECT_FALSE(file.rows(sql).empty()) << name;
        const double cpu_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
        // Without an index the joins take minutes.
        EXPECT_LT(cpu_s, 12) << name;
        std::printf("%s: %.2f s\n", name.c_str(), cpu_s);
    }
}

/// name, type and NOT NULL of each column.
std::vector<Row> columns_of(SqliteFile& file, const std::string& table) {
    return file.rows("SELECT name, type, \"notnull\" FROM pragma_table_info('" + table + "')");
}

TEST(NsysSchema, TablesAreThoseOfTheExport) {
    std::ifstream in(test::source_dir() / ".." / "shared" / "design" / "nsys_schema.sql");
    std::stringstream text;
    text << in.rdbuf();
    if (text.str().empty()) GTEST_SKIP() << "../shared/design/nsys_schema.sql not found";
    SqliteFile theirs(":memory:"), ours(":memory:");
    theirs.rows(text.str());
    ours.rows(std::string(nsys_tables_sql()));
    const std::string names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    const auto tables = theirs.rows(names);
    ASSERT_GE(tables.size(), 20U);
    EXPECT_EQ(tables, ours.rows(names));
    for (const Row& table : tables) {
        EXPECT_EQ(columns_of(theirs, table[0]), columns_of(ours, table[0])) << table[0];
    }
}

TEST(NsysSchema, ViewsHaveTheColumnsInOrderAndValuesOfTheirTypes) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    write_activity(path, 20);
    SqliteFile expected(":memory:"), views(path);
    expected.rows(std::string(nsys_tables_sql()));
    const std::map<std::string, std::string> storage = {
        {"INTEGER", "integer"}, {"TEXT", "text"}, {"REAL", "real"}};
    int seen = 0;
    for (const Row& table :
         expected.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")) {
        const auto wanted = columns_of(expected, table[0]);
        const auto found = columns_of(views, table[0]);
        ASSERT_EQ(found.size(), wanted.size()) << table[0];
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            const std::string& column = wanted[i][0];
            EXPECT_EQ(found[i][0], column) << table[0];
            // An expression of a view has no declared type.
            EXPECT_THAT(found[i][1], ::testing::AnyOf("", "ANY", wanted[i][1]))
                << table[0] << '.' << column;
            for (const Row& type :
                 views.rows("SELECT DISTINCT typeof(\"" + column + "\") FROM " + table[0])) {
                const bool required = wanted[i][2] == "1";
                if (type[0] == "null" && !required) continue;
                EXPECT_EQ(type[0], storage.at(wanted[i][1])) << table[0] << '.' << column;
                ++seen;
            }
        }
    }
    EXPECT_GT(seen, 100);
}

TEST(NsysExport, HoldsStepsOfACpuRunAndOfAnOlderFile) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite", out = folder.path() / "nsys.sqlite";
    {
        Writer writer(path, {});
        writer.add_stream({0, 5, -1, -1, 6, "decode", "compute"});
        const RunId run = writer.begin_run({}, {});
        OpRecord op;
        op.kind = OpKind::kMlp, op.layer = 3, op.start_ns = now_ns(), op.end_ns = op.start_ns + 40;
        writer.add_step(run, {1, Phase::kDecode, 1, op.start_ns, op.end_ns}, std::span(&op, 1), {});
        writer.finish();
    }
    const std::string ranges =
        "SELECT text, \"end\" - start, int32Value FROM NVTX_EVENTS ORDER BY text";
    const std::vector<Row> expected = {{"decode", "40", "NULL"}, {"mlp", "40", "3"}};
    export_to(path, out);
    EXPECT_EQ(SqliteFile(out).rows(ranges), expected);
    // As version 1.0 had it.
    SqliteFile(path).rows(
        "DROP VIEW TARGET_INFO_GPU; DROP TABLE hc_gpu; DROP VIEW PROCESSES; DROP TABLE hc_process;"
        "DROP VIEW NVTX_EVENTS; DROP TABLE hc_nvtx_name; DROP TABLE hc_nvtx;"
        "CREATE TABLE hc_nvtx (start_ns INTEGER); DROP TABLE hc_overhead;"
        "DROP TABLE hc_memory_event; DROP TABLE hc_external; PRAGMA user_version = 1000");
    export_to(path, out);
    EXPECT_EQ(SqliteFile(out).rows(ranges), expected);
    EXPECT_EQ(SqliteFile(out).one("SELECT s.value FROM ThreadNames t JOIN StringIds s "
                                  "ON s.id = t.nameId"),
              "decode");
}

class Cancelled final : public Progress {
public:
    void begin(std::string_view, std::int64_t) override {}
    void update(std::int64_t) override {}
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return true; }
};

TEST(NsysExport, CancelledOrSpoiledLeavesTheOldFile) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite", out = folder.path() / "nsys.sqlite";
    write_activity(path, 400);
    std::ofstream(out) << "old";
    Cancelled cancelled;
    try {
        export_nsys(Trace(path), out, cancelled);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInterrupted);
    }
    // Its end would be no integer.
    SqliteFile(path).rows("UPDATE hc_kernel SET start_ns = 9223372036854775807 WHERE rowid = 3");
    const Trace trace(path);
    NoProgress progress;
    try {
        export_nsys(trace, out, progress);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInput);
        EXPECT_THAT(error.what(), HasSubstr("hc_kernel"));
    }
    try {
        export_nsys(trace, "/no/such/folder/nsys.sqlite", progress);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kIo);
        EXPECT_THAT(error.what(), HasSubstr("/no/such/folder/nsys.sqlite"));
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        EXPECT_THAT(entry.path().filename().string(),
                    ::testing::AnyOf("trace.sqlite", "nsys.sqlite"));
    }
}

}  // namespace
}  // namespace hc::formats
