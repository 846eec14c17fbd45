// The schema: versions agree, comments are there, and SQL written for the Nsight Systems export
// finds its tables and columns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fstream>
#include <sstream>

#include "engine/core/clock.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/schema.h"
#include "profiler/trace/writer.h"
#include "random_run.h"
#include "tests/collect/activity_maker.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using test::SqliteFile;
using test::TemporaryFolder;

TEST(Schema, CarriesTheVersionThatTheReaderChecks) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    SqliteFile file(path);
    EXPECT_EQ(file.one("PRAGMA application_id"), std::to_string(kApplicationId));
    EXPECT_EQ(file.one("PRAGMA user_version"), std::to_string(kUserVersion));
    EXPECT_EQ(file.one("SELECT value FROM hc_meta WHERE key = 'format_version'"), "2.1");
    EXPECT_GE(std::stoi(file.one("PRAGMA page_size")), 16384);
    EXPECT_EQ(file.one("PRAGMA journal_mode"), "delete") << "a finished trace is one file";
    EXPECT_EQ(file.one("PRAGMA integrity_check"), "ok");
}

TEST(Schema, IsOneTextWithTablesAndIndexes) {
    EXPECT_EQ(std::string(tables_sql()) + std::string(indexes_sql()), schema_sql());
    EXPECT_EQ(tables_sql().find("CREATE INDEX"), std::string_view::npos);
    EXPECT_EQ(indexes_sql().find("CREATE TABLE"), std::string_view::npos);
    EXPECT_NE(indexes_sql().find("hc_op_by_step"), std::string_view::npos);
}

TEST(Schema, TablesOfOursAreStrict) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    SqliteFile file(path);
    EXPECT_EQ(file.rows("SELECT name FROM pragma_table_list WHERE name LIKE 'hc\\_%' ESCAPE '\\' "
                        "AND type = 'table' AND NOT strict")
                  .size(),
              0U);
}

TEST(Schema, OperationsAreReadByName) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    SqliteFile file(path);
    EXPECT_EQ(file.one("SELECT count(*) FROM hc_op"), file.one("SELECT count(*) FROM hc_op_row"));
    EXPECT_EQ(file.one("SELECT count(*) FROM hc_op WHERE end_ns - start_ns <> duration_ns"), "0");
    EXPECT_NE(file.one("SELECT count(*) FROM hc_op WHERE kind = 'attention'"), "0");
}

TEST(Documentation, ExamplesRun) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        test::write_run(writer, test::random_run(7, now_ns(), 20));
        test::ActivityMaker maker(writer, 1, 5, 1000);
        ActivityBatch batch;
        for (int i = 0; i < 20; ++i) maker.add_step(batch);
        writer.add_activity(batch, 0);
        writer.finish();
    }
    SqliteFile file(path);
    std::ifstream in(test::source_dir() / "docs" / "trace.md");
    std::string sql;
    bool inside = false;
    int examples = 0;
    for (std::string line; std::getline(in, line);) {
        if (line == "```sql") {
            inside = true;
            sql.clear();
        } else if (line == "```" && inside) {
            inside = false;
            EXPECT_FALSE(file.rows(sql).empty()) << sql;
            ++examples;
        } else if (inside) {
            sql += line + '\n';
        }
    }
    EXPECT_GE(examples, 12);
}

std::filesystem::path nsys_schema_file() {
    return test::source_dir() / ".." / "shared" / "design" / "nsys_schema.sql";
}

std::string nsys_schema() {
    std::ifstream in(nsys_schema_file());
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

TEST(NsightViews, HaveTheColumnsOfTheExportInOrder) {
    const std::string schema = nsys_schema();
    if (schema.empty()) GTEST_SKIP() << "../shared/design/nsys_schema.sql not found";
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    SqliteFile ours(path);
    SqliteFile theirs(":memory:");
    theirs.rows(schema);
    const auto tables = theirs.rows("SELECT name FROM sqlite_schema WHERE type = 'table'");
    ASSERT_GE(tables.size(), 20U);
    for (const auto& table : tables) {
        const std::string columns = "SELECT name FROM pragma_table_info('" + table[0] + "')";
        EXPECT_EQ(ours.rows(columns), theirs.rows(columns)) << table[0];
    }
    for (const std::string table : {"ENUM_CUDA_MEMCPY_OPER", "ENUM_CUDA_MEM_KIND",
                                    "ENUM_CUPTI_SYNC_TYPE", "ENUM_NSYS_EVENT_TYPE"}) {
        const std::string all = "SELECT * FROM " + table + " ORDER BY id";
        EXPECT_THAT(ours.rows(all), ::testing::IsSupersetOf(theirs.rows(all))) << table;
    }
}

TEST(NsightViews, ShowStepsAndOperationsOfTheCpuAsRanges) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        writer.add_stream({0, 5, -1, -1, 6, "decode", "compute"});
        const RunId run = writer.begin_run({}, {});
        const std::int64_t now = now_ns();
        OpRecord op;
        op.kind = OpKind::kMlp, op.layer = 3, op.start_ns = now, op.end_ns = now + 40;
        writer.add_step(run, {1, Phase::kDecode, 1, now, now + 100}, std::span(&op, 1), {});
        writer.finish();
    }
    SqliteFile file(path);
    const auto ranges = file.rows(
        "SELECT text, \"end\" - start, eventType, globalTid, int32Value FROM NVTX_EVENTS "
        "ORDER BY text");
    const std::string thread = std::to_string((5LL << 24) | 6);
    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(ranges[0], (std::vector<std::string>{"decode", "100", "59", thread, "NULL"}));
    EXPECT_EQ(ranges[1], (std::vector<std::string>{"mlp", "40", "59", thread, "3"}));
    EXPECT_EQ(file.one("SELECT s.value FROM ThreadNames t JOIN StringIds s ON s.id = t.nameId"),
              "decode");
}

/// The CUDA side, filled by hand as a CUPTI session would.
TEST(NsightViews, AnswerSqlWrittenForTheExport) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        writer.begin_run({}, {0, "GPU", "9.0", 132, std::int64_t{80} << 30});
        writer.add_stream({7, 5, 0, 1, 13, "compute", "compute"});
        writer.finish();
    }
    SqliteFile file(path);
    file.rows(
        "INSERT INTO hc_string (id, value) VALUES (100, 'gemm(float*)'), (101, 'gemm'),"
        " (102, 'cudaLaunchKernel_v7000');"
        "INSERT INTO hc_launch (id, name_id, short_name_id, grid_x, grid_y, grid_z, block_x,"
        " block_y, block_z, registers_per_thread, static_shared_bytes, dynamic_shared_bytes,"
        " local_bytes_per_thread, local_bytes_total) VALUES (1,100,101,8,1,1,128,1,1,32,0,0,0,0);"
        "INSERT INTO hc_kernel VALUES (1000, 50, 9, 7, NULL, 1), (2000, 70, 10, 7, 4, 1);"
        "INSERT INTO hc_api VALUES (900, 20, 9, 83886086, 0, 102, 0);"
        "INSERT INTO hc_memcpy VALUES (3000, 10, 11, 7, NULL, 4096, 1, 1, 2, NULL, NULL, 1);"
        "INSERT INTO hc_memset VALUES (3100, 5, 12, 7, NULL, 64, 0, 2);"
        "INSERT INTO hc_sync VALUES (3200, 5, 13, 7, 3, 0, NULL);");
    const auto top = file.rows(
        "SELECT s.value, sum(k.\"end\" - k.start), count(*), k.deviceId, k.streamId, k.gridX "
        "FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN StringIds s ON s.id = k.shortName GROUP BY 1");
    ASSERT_EQ(top.size(), 1U);
    EXPECT_EQ(top[0], (std::vector<std::string>{"gemm", "120", "2", "0", "13", "8"}));
    const auto launch = file.rows(
        "SELECT a.value, n.value FROM CUPTI_ACTIVITY_KIND_RUNTIME r "
        "JOIN CUPTI_ACTIVITY_KIND_KERNEL k ON k.correlationId = r.correlationId "
        "JOIN StringIds a ON a.id = r.nameId JOIN StringIds n ON n.id = k.demangledName "
        "WHERE r.globalTid >> 24 = k.globalPid >> 24");
    ASSERT_EQ(launch.size(), 1U);
    EXPECT_EQ(launch[0], (std::vector<std::string>{"cudaLaunchKernel_v7000", "gemm(float*)"}));
    EXPECT_EQ(file.one("SELECT e.label FROM CUPTI_ACTIVITY_KIND_MEMCPY m "
                       "JOIN ENUM_CUDA_MEMCPY_OPER e ON e.id = m.copyKind"),
              "Host-to-Device");
    EXPECT_EQ(file.one("SELECT bytes FROM CUPTI_ACTIVITY_KIND_MEMSET"), "64");
    EXPECT_EQ(file.one("SELECT e.label FROM CUPTI_ACTIVITY_KIND_SYNCHRONIZATION y "
                       "JOIN ENUM_CUPTI_SYNC_TYPE e ON e.id = y.syncType"),
              "Stream sync");
    EXPECT_EQ(file.one("SELECT name || computeMajor || computeMinor || smCount FROM "
                       "TARGET_INFO_GPU"),
              "GPU90132");
}

}  // namespace
}  // namespace hc::trace
