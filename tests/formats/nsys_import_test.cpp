// Nsight Systems exports become traces: whole ones, old ones, and bad ones not at all.
#include "profiler/formats/nsys_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <bit>
#include <fstream>
#include <functional>
#include <iterator>

#include "engine/core/error.h"
#include "profiler/formats/nsys_export.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "tests/collect/activity_maker.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::formats {
namespace {

namespace fs = std::filesystem;
using namespace hc::trace;
using test::ActivityMaker;
using test::SqliteFile;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using Row = std::vector<std::string>;

void write_activity(const fs::path& path, int steps) {
    Writer writer(path, {});
    ActivityMaker maker(writer, 1, 5, 1000), other(writer, 2, 6, 2000);
    Gpu gpu;
    gpu.device = 0, gpu.name = "H100", gpu.uuid = "GPU-1",
    gpu.memory_bytes = std::int64_t{80} << 30;
    gpu.num_sms = 132, gpu.max_grid = {1 << 30, 65535, 65535};
    writer.add_gpu(gpu);
    writer.stream_key({-1, 5, -1, -1, 77, "loader", "other"});
    const std::int32_t domain = writer.nvtx_domain(5, "engine");
    writer.name_nvtx_category(5, domain, 1, "layers");
    ActivityBatch batch;
    for (int i = 0; i < steps; ++i) maker.add_step(batch), other.add_step(batch);
    batch.nvtx.push_back({50, -1, global_thread_id(6, 6), -1, -1, 0, false, 2, 34,
                          writer.string_id("mark"), 0, -1, 0xff});
    batch.nvtx.push_back({60, 20, global_thread_id(6, 6), global_thread_id(6, 9), 123,
                          std::bit_cast<std::int64_t>(0.25), true, 3, 60,
                          writer.string_id("across"), writer.nvtx_domain(6, "io"), 1, -1});
    writer.add_activity(batch, 0);
    writer.finish();
}

ImportResult import(const fs::path& from, const fs::path& to) {
    NoProgress progress;
    return import_nsys(from, to, "hcprof import", progress);
}

/// Every row of the export with names in place of ids, which an import gives anew.
const std::vector<std::string>& named_rows() {
    static const std::vector<std::string> all = {
        "SELECT k.*, d.value, s.value, m.value FROM CUPTI_ACTIVITY_KIND_KERNEL k "
        "JOIN StringIds d ON d.id = k.demangledName JOIN StringIds s ON s.id = k.shortName "
        "LEFT JOIN StringIds m ON m.id = k.mangledName ORDER BY k.globalPid, k.correlationId",
        "SELECT * FROM CUPTI_ACTIVITY_KIND_MEMCPY ORDER BY globalPid, correlationId",
        "SELECT * FROM CUPTI_ACTIVITY_KIND_MEMSET ORDER BY globalPid, correlationId",
        "SELECT start, \"end\", eventClass, globalTid, correlationId, value, returnValue "
        "FROM CUPTI_ACTIVITY_KIND_RUNTIME JOIN StringIds ON id = nameId "
        "ORDER BY globalTid, correlationId",
        "SELECT * FROM CUPTI_ACTIVITY_KIND_SYNCHRONIZATION ORDER BY globalPid, correlationId",
        "SELECT n.start, n.\"end\", n.eventType, n.rangeId, n.category, n.color, "
        "coalesce(n.text, s.value), n.globalTid, n.endGlobalTid, n.domainId, n.uint64Value, "
        "n.int64Value, n.doubleValue, n.uint32Value, n.int32Value, n.floatValue FROM NVTX_EVENTS n "
        "LEFT JOIN StringIds s ON s.id = n.textId ORDER BY n.globalTid, n.start, n.eventType, "
        "n.\"end\" DESC, n.domainId, n.category",
        "SELECT * FROM TARGET_INFO_GPU ORDER BY id",
        "SELECT * FROM PROCESSES ORDER BY pid",
        "SELECT t.globalTid, s.value FROM ThreadNames t JOIN StringIds s ON s.id = t.nameId",
    };
    return all;
}

/// `sql` without the columns that hold ids of the file.
std::vector<Row> rows_without_ids(const fs::path& path, const std::string& sql) {
    auto rows = SqliteFile(path).rows(sql);
    if (sql.find("KERNEL k") == std::string::npos) return rows;
    for (Row& row : rows) row[8] = row[9] = row[10] = "";
    return rows;
}

TEST(NsysImport, BringsBackWhatAnExportHolds) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "trace.sqlite", out = folder.path() / "nsys.sqlite",
                   back = folder.path() / "back.sqlite", again = folder.path() / "again.sqlite";
    write_activity(path, 30);
    NoProgress progress;
    export_nsys(Trace(path), out, progress);
    const ImportResult result = import(out, back);
    EXPECT_EQ(result.kernels, 30 * 2 * 40);
    EXPECT_EQ(result.skipped, 0);
    EXPECT_EQ(result.schema_version, "3.28.1");
    EXPECT_TRUE(result.warnings.empty());
    for (const std::string& sql : named_rows()) {
        const auto rows = rows_without_ids(path, sql);
        ASSERT_FALSE(rows.empty()) << sql;
        EXPECT_EQ(rows, rows_without_ids(back, sql)) << sql;
    }
    export_nsys(Trace(back), again, progress);
    for (const std::string& sql : named_rows()) {
        EXPECT_EQ(rows_without_ids(out, sql), rows_without_ids(again, sql)) << sql;
    }
}

TEST(NsysImport, PassesEveryReader) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "trace.sqlite", out = folder.path() / "nsys.sqlite",
                   back = folder.path() / "back.sqlite";
    write_activity(path, 10);
    NoProgress progress;
    export_nsys(Trace(path), out, progress);
    const ImportResult result = import(out, back);
    const Trace trace(back);
    EXPECT_EQ(trace.warning(), "");
    EXPECT_EQ(trace.meta("imported_from"), "nsys.sqlite");
    EXPECT_EQ(trace.meta("nsys_schema_version"), "3.28.1");
    EXPECT_EQ(trace.activity_counts().total(), result.total());
    EXPECT_EQ(trace.read_activity<Kernels>(progress).start_ns,
              Trace(path).read_activity<Kernels>(progress).start_ns);
    EXPECT_EQ(trace.read_activity<NvtxRanges>(progress).size(),
              static_cast<std::size_t>(result.nvtx));
    EXPECT_EQ(trace.gpus().at(0).max_grid, (std::array<std::int64_t, 3>{1 << 30, 65535, 65535}));
    SqliteFile file(back);
    EXPECT_EQ(file.one("PRAGMA integrity_check"), "ok");
}

/// An export as schema 3.16 had it, by hand: fewer tables and columns, big ids, upper bits set.
void write_old_export(const fs::path& path) {
    SqliteFile file(path);
    file.rows(
        "CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);"
        "INSERT INTO StringIds VALUES (7000000001, 'gemm(float*)'), (3, 'gemm'),"
        " (4, 'cudaLaunchKernel_v7000'), (5, 'step'), (6, 'unused');"
        "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL,"
        " deviceId INTEGER NOT NULL, contextId INTEGER NOT NULL, streamId INTEGER NOT NULL,"
        " correlationId INTEGER, globalPid INTEGER, demangledName INTEGER NOT NULL,"
        " shortName INTEGER NOT NULL, registersPerThread INTEGER NOT NULL,"
        " gridX INTEGER NOT NULL, gridY INTEGER NOT NULL, gridZ INTEGER NOT NULL,"
        " blockX INTEGER NOT NULL, blockY INTEGER NOT NULL, blockZ INTEGER NOT NULL,"
        " staticSharedMemory INTEGER NOT NULL, dynamicSharedMemory INTEGER NOT NULL,"
        " localMemoryPerThread INTEGER NOT NULL, localMemoryTotal INTEGER NOT NULL,"
        " gridId INTEGER NOT NULL);"
        "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES"
        " (100, 150, 0, 1, 7, 11, 281474976710656 + (42 << 24), 7000000001, 3, 32, 8, 1, 1, 128, 1,"
        "  1, 0, 0, 0, 0, 1),"
        " (200, 190, 0, 1, 7, 12, 281474976710656 + (42 << 24), 7000000001, 3, 32, 8, 1, 1, 128, 1,"
        "  1, 0, 0, 0, 0, 2);"
        "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL,"
        " eventClass INTEGER NOT NULL, globalTid INTEGER, correlationId INTEGER,"
        " nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, callchainId INTEGER);"
        "INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES"
        " (90, 99, 0, 281474976710656 + (42 << 24) + 43, 11, 4, 0, NULL);"
        "CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL,"
        " rangeId INTEGER, category INTEGER, color INTEGER, text TEXT, globalTid INTEGER,"
        " endGlobalTid INTEGER, textId INTEGER, domainId INTEGER);"
        "INSERT INTO NVTX_EVENTS VALUES"
        " (80, 160, 59, NULL, NULL, NULL, NULL, 281474976710656 + (42 << 24) + 43, NULL, 5, 0),"
        " (85, 155, 59, NULL, 2, NULL, 'inner', 281474976710656 + (42 << 24) + 43, NULL, NULL, 9),"
        " (86, NULL, 59, NULL, NULL, NULL, 'open', 281474976710656 + (42 << 24) + 43, NULL, NULL,"
        "  9);"
        "CREATE TABLE META_DATA_EXPORT (name TEXT NOT NULL, value TEXT);"
        "INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION', '3.16.0');");
}

TEST(NsysImport, ReadsAnOlderSchema) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "old.sqlite", out = folder.path() / "out.sqlite";
    write_old_export(path);
    const ImportResult result = import(path, out);
    EXPECT_EQ(result.schema_version, "3.16.0");
    EXPECT_EQ(result.kernels, 1);
    EXPECT_EQ(result.skipped, 1) << "a kernel that ends before it starts";
    ASSERT_EQ(result.warnings.size(), 1U);
    EXPECT_EQ(result.nvtx, 3);
    const Trace trace(out);
    EXPECT_THAT(trace.warning(), HasSubstr("1 import"));
    SqliteFile file(out);
    EXPECT_EQ(file.rows("SELECT k.start, k.\"end\", k.streamId, k.globalPid >> 24, s.value, "
                        "k.clusterX, r.globalTid & 16777215, a.value "
                        "FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN StringIds s ON s.id = "
                        "k.demangledName JOIN CUPTI_ACTIVITY_KIND_RUNTIME r USING (correlationId) "
                        "JOIN StringIds a ON a.id = r.nameId"),
              (std::vector<Row>{{"100", "150", "7", "42", "gemm(float*)", "NULL", "43",
                                 "cudaLaunchKernel_v7000"}}));
    EXPECT_EQ(file.rows("SELECT s.value, n.\"end\", d.text, n.category FROM NVTX_EVENTS n "
                        "JOIN StringIds s ON s.id = n.textId LEFT JOIN NVTX_EVENTS d ON "
                        "d.domainId = n.domainId AND d.eventType = 75 WHERE n.eventType = 59 "
                        "ORDER BY n.start"),
              (std::vector<Row>{{"step", "160", "NULL", "NULL"},
                                {"inner", "155", "domain 9", "2"},
                                {"open", "NULL", "domain 9", "NULL"}}));
}

TEST(NsysImport, TablesMayBeMissing) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "old.sqlite", out = folder.path() / "out.sqlite";
    write_old_export(path);
    SqliteFile(path).rows(
        "DROP TABLE NVTX_EVENTS; DROP TABLE META_DATA_EXPORT;"
        "DROP TABLE CUPTI_ACTIVITY_KIND_RUNTIME");
    const ImportResult result = import(path, out);
    EXPECT_EQ(result.kernels, 1);
    EXPECT_EQ(result.apis + result.nvtx, 0);
    EXPECT_EQ(result.schema_version, "");
}

class BadExport : public ::testing::Test {
protected:
    BadExport() { write_old_export(path_); }

    /// What an import says after `sql`; the output must stay what it was.
    std::string complaint(const std::string& sql, ExitCode code = ExitCode::kInput) {
        if (!sql.empty()) SqliteFile(path_).rows(sql);
        std::ofstream(out_) << "old";
        std::string text;
        try {
            import(path_, out_);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            EXPECT_THAT(error.what(), HasSubstr(path_.string()));
            text = error.what();
        }
        std::ifstream in(out_);
        if (!text.empty()) {
            EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "old");
        }
        int files = 0;
        for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_.path())) ++files;
        EXPECT_EQ(files, 2) << "something half-written is left";
        return text;
    }
    void again() {
        fs::remove(path_);
        write_old_export(path_);
    }

    TemporaryFolder folder_;
    fs::path path_ = folder_.path() / "old.sqlite", out_ = folder_.path() / "out.sqlite";
};

TEST_F(BadExport, IsRefusedWithTableAndRow) {
    const auto expect = [this](const std::string& sql, const std::string& what) {
        EXPECT_THAT(complaint(sql), HasSubstr(what)) << sql;
        again();
    };
    const std::string kernel = "UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET ";
    expect(kernel + "demangledName = 99", "KERNEL row 1: string 99 is not in StringIds");
    expect(kernel + "start = 'soon'", "start is 'soon', expected a whole number");
    expect(kernel + "start = -9000000000000000000", "time is out of range");
    expect(kernel + "gridX = 1 << 40", "gridX");
    expect(kernel + "deviceId = 1 << 40", "deviceId");
    expect(kernel + "localMemoryTotal = -5", "amount -5");
    expect("UPDATE NVTX_EVENTS SET text = x'00' WHERE rowid = 2", "NVTX_EVENTS row 2: text");
    expect("UPDATE NVTX_EVENTS SET domainId = 1 << 40", "domainId");
    expect("ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL DROP COLUMN shortName",
           "KERNEL has no column shortName");
    expect("DROP TABLE StringIds", "is not in StringIds");
    expect("CREATE TABLE TARGET_INFO_GPU (vmId, id); INSERT INTO TARGET_INFO_GPU VALUES (0, -3)",
           "id -3 is out of range");
    // What looks like a table is a query of the file's own: not run.
    EXPECT_EQ(complaint("DROP TABLE CUPTI_ACTIVITY_KIND_KERNEL; CREATE VIEW "
                        "CUPTI_ACTIVITY_KIND_KERNEL AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                        "SELECT i + 1 FROM n) SELECT i FROM n"),
              "");
}

TEST_F(BadExport, IsNoExportAtAll) {
    SqliteFile(folder_.path() / "empty.sqlite").rows("CREATE TABLE t (a)");
    fs::rename(folder_.path() / "empty.sqlite", path_);
    EXPECT_THAT(complaint(""), HasSubstr("no Nsight Systems export"));
    std::ofstream(path_) << std::string(5000, 'x');
    EXPECT_THAT(complaint(""), HasSubstr("not an SQLite file"));
    fs::remove(path_);
    write_activity(path_, 1);
    EXPECT_THAT(complaint(""), HasSubstr("an hcprof trace already"));
    try {
        import(folder_.path() / "gone", out_);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kIo);
    }
    try {
        import(path_, path_);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kRefused);
    }
}

TEST_F(BadExport, MutatedBytesGiveAnErrorOrATrace) {
    fs::remove(path_);
    const fs::path trace = folder_.path() / "trace.sqlite";
    write_activity(trace, 3);
    NoProgress progress;
    export_nsys(Trace(trace), path_, progress);
    fs::remove(trace);
    std::ifstream in(path_, std::ios::binary);
    const std::string good{std::istreambuf_iterator<char>(in), {}};
    std::uint64_t state = 1;
    const auto random = [&state](std::size_t bound) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<std::size_t>(state >> 33) % bound;
    };
    int refused = 0;
    for (int round = 0; round < 60; ++round) {
        std::string bytes = good;
        if (round % 5 == 0) bytes.resize(1 + random(bytes.size()));
        for (int i = 0; i < 8; ++i) bytes[random(bytes.size())] = static_cast<char>(random(256));
        std::ofstream(path_, std::ios::binary) << bytes;
        try {
            import(path_, out_);
            // What came of it is a trace that every reader takes.
            const Trace made(out_);
            (void)made.read_activity<Kernels>(progress);
            (void)made.read_activity<Apis>(progress);
            (void)made.read_activity<NvtxRanges>(progress);
        } catch (const Error& error) {
            EXPECT_THAT(error.code(), ::testing::AnyOf(ExitCode::kInput, ExitCode::kIo));
            ++refused;
        }
    }
    EXPECT_GT(refused, 10);
    EXPECT_LT(refused, 60);
}

}  // namespace
}  // namespace hc::formats
