// CUDA activity on its way into the file: every column arrives, ids are shared, and callers that
// must not wait do not.
#include <gtest/gtest.h>
#include <bit>
#include <thread>

#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using test::SqliteFile;
using test::TemporaryFolder;
using Row = std::vector<std::string>;

Launch gemm(Writer& writer) {
    Launch launch;
    launch.name = writer.string_id("gemm(float*)");
    launch.short_name = writer.string_id("gemm");
    launch.grid = {8, 2, 1};
    launch.block = {128, 1, 1};
    launch.registers_per_thread = 40;
    launch.local_bytes_total = std::int64_t{1} << 33;
    return launch;
}

TEST(ActivityWriter, BringsEveryColumn) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        const StreamKey stream = writer.stream_key({-1, 5, 0, 1, 13, "compute", "compute"});
        const LaunchId launch = writer.launch_id(gemm(writer));
        const std::int64_t thread = global_thread_id(5, 6);
        const StringId name = writer.string_id("cudaLaunchKernel_v7000");
        const std::int32_t domain = writer.nvtx_domain(5, "vllm");
        writer.name_nvtx_category(5, domain, 3, "step");
        writer.add_process(5, "python3");
        ActivityBatch batch;
        batch.kernels = {{1100, 50, 9, -1, stream, launch}, {1200, 60, 10, 77, stream, launch}};
        batch.memcpys = {{1300, 5, 11, -1, 4096, stream, 1, 1, 2, -1, -1, 1}};
        batch.memsets = {{1310, 4, 12, -1, 64, 255, stream, 2}};
        batch.apis = {{1090, 20, 9, thread, name, 0, 0}};
        batch.syncs = {{1400, 8, 13, 3, 4, stream, 2}};
        NvtxRow range{1000, 500, thread, -1, -1, -7, true, 2, 59, name, domain, 3, 0xff00};
        NvtxRow mark = range;
        mark.duration_ns = -1, mark.type = 34, mark.payload_type = 3;
        mark.payload = std::bit_cast<std::int64_t>(2.5);
        batch.nvtx = {range, mark};
        batch.overheads = {{1500, 3, 131072, -1}};
        batch.memory_events = {{1600, 1 << 20, -4096, 14, stream, 1, 2, -1, -1}};
        batch.externals = {{9, 42, 3}};
        writer.add_activity(batch, 1000);
        writer.finish();
    }
    SqliteFile file(path);
    EXPECT_EQ(file.rows("SELECT * FROM hc_kernel"),
              (std::vector<Row>{{"100", "50", "9", "16", "NULL", "1"},
                                {"200", "60", "10", "16", "77", "1"}}));
    EXPECT_EQ(file.rows("SELECT * FROM hc_memcpy"),
              (std::vector<Row>{
                  {"300", "5", "11", "16", "NULL", "4096", "1", "1", "2", "NULL", "NULL", "1"}}));
    EXPECT_EQ(file.rows("SELECT * FROM hc_memset"),
              (std::vector<Row>{{"310", "4", "12", "16", "NULL", "64", "255", "2"}}));
    EXPECT_EQ(file.rows("SELECT a.start_ns, a.duration_ns, a.correlation_id, a.thread, a.class, "
                        "s.value, a.result FROM hc_api a JOIN hc_string s ON s.id = a.name_id"),
              (std::vector<Row>{{"90", "20", "9", std::to_string((5LL << 24) | 6), "0",
                                 "cudaLaunchKernel_v7000", "0"}}));
    EXPECT_EQ(file.rows("SELECT * FROM hc_sync"),
              (std::vector<Row>{{"400", "8", "13", "16", "2", "3", "4"}}));
    EXPECT_EQ(file.rows("SELECT eventType, start, \"end\", int64Value, doubleValue, domainId, "
                        "category, color, text FROM NVTX_EVENTS ORDER BY eventType"),
              (std::vector<Row>{{"33", "0", "NULL", "NULL", "NULL", "1", "3", "NULL", "step"},
                                {"34", "0", "NULL", "NULL", "2.5", "1", "3", "65280", "NULL"},
                                {"59", "0", "500", "-7", "NULL", "1", "3", "65280", "NULL"},
                                {"75", "0", "NULL", "NULL", "NULL", "1", "NULL", "NULL", "vllm"}}));
    EXPECT_EQ(file.rows("SELECT * FROM hc_overhead"),
              (std::vector<Row>{{"500", "3", "131072", "NULL"}}));
    EXPECT_EQ(
        file.rows("SELECT * FROM hc_memory_event"),
        (std::vector<Row>{{"600", "1048576", "-4096", "14", "16", "1", "2", "NULL", "NULL"}}));
    EXPECT_EQ(file.rows("SELECT * FROM hc_external"), (std::vector<Row>{{"9", "42", "3", "NULL"}}));
    EXPECT_EQ(file.one("SELECT name FROM PROCESSES WHERE globalPid = 5 << 24"), "python3");
    EXPECT_EQ(file.one("SELECT s.value FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN StringIds s "
                       "ON s.id = k.shortName WHERE k.graphNodeId = 77"),
              "gemm");
    EXPECT_EQ(file.one("SELECT localMemoryTotal FROM CUPTI_ACTIVITY_KIND_KERNEL LIMIT 1"),
              std::to_string(std::int64_t{1} << 33));
    EXPECT_EQ(Trace(path).warning(), "");
}

TEST(ActivityWriter, GivesEqualValuesEqualIds) {
    const TemporaryFolder folder;
    Writer writer(folder.path() / "trace.sqlite", {});
    EXPECT_EQ(writer.string_id("a"), writer.string_id("a"));
    EXPECT_NE(writer.string_id("a"), writer.string_id("b"));
    Launch launch = gemm(writer);
    const LaunchId first = writer.launch_id(launch);
    EXPECT_EQ(first, writer.launch_id(launch));
    launch.shared_percentage = 10;
    EXPECT_NE(first, writer.launch_id(launch));
    EXPECT_EQ(writer.nvtx_domain(1, ""), 0);
    EXPECT_EQ(writer.nvtx_domain(1, "d"), writer.nvtx_domain(1, "d"));
    EXPECT_NE(writer.nvtx_domain(1, "d"), writer.nvtx_domain(2, "d"));
    writer.finish();
}

TEST(ActivityWriter, KnowsAStreamByItsNumbersAndTakesALaterName) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        writer.add_stream({1, 5, 0, 1, 20, "fetch", "fetch"});
        EXPECT_EQ(writer.stream_key({-1, 5, 0, 1, 20, "", ""}), 1) << "the engine's own";
        const StreamKey key = writer.stream_key({-1, 5, 0, 1, 7, "", ""});
        EXPECT_GE(key, 2);
        EXPECT_NE(key, writer.stream_key({-1, 5, 1, 1, 7, "", ""}));
        EXPECT_EQ(key, writer.stream_key({-1, 5, 0, 1, 7, "copies", ""}));
        EXPECT_EQ(key, writer.stream_key({-1, 5, 0, 1, 7, "", ""}));
        writer.finish();
    }
    SqliteFile file(path);
    EXPECT_EQ(file.rows("SELECT name, role FROM hc_stream ORDER BY key, device"),
              (std::vector<Row>{{"fetch", "fetch"}, {"copies", "other"}, {"", "other"}}));
}

TEST(ActivityWriter, ManyThreadsShareNames) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    constexpr int kThreads = 4, kBatches = 50, kRows = 100;
    {
        Writer writer(path, {.queue_bytes = 1 << 16});
        std::vector<std::jthread> threads;
        for (int t = 0; t < kThreads; ++t) {
            threads.emplace_back([&writer, t] {
                ActivityBatch batch;
                for (int b = 0; b < kBatches; ++b) {
                    batch.clear();
                    for (int i = 0; i < kRows; ++i) {
                        const StringId name = writer.string_id("call " + std::to_string(i % 37));
                        batch.apis.push_back({i, 1, b, t, name, 0, 0});
                    }
                    writer.add_activity(batch, 0);
                }
            });
        }
        threads.clear();
        writer.finish();
    }
    SqliteFile file(path);
    EXPECT_EQ(file.one("SELECT count(*) FROM hc_api JOIN hc_string ON id = name_id"),
              std::to_string(kThreads * kBatches * kRows));
    EXPECT_EQ(file.one("SELECT count(*) FROM hc_string WHERE value LIKE 'call %'"), "37");
    EXPECT_EQ(file.one("SELECT count(*) FROM (SELECT DISTINCT thread, correlation_id FROM hc_api)"),
              std::to_string(kThreads * kBatches));
}

TEST(ActivityWriter, LeavesOutAndCountsWhatFindsTheQueueFull) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    std::size_t taken = 0;
    constexpr std::size_t kRows = 3000;
    {
        // The first piece of 2048 rows is alone and passes; the second finds the queue full.
        Writer writer(path, {.queue_bytes = 1000, .commit_interval_ms = 60'000});
        ActivityBatch batch;
        batch.syncs.resize(kRows);
        taken = writer.try_add_activity(batch, 0);
        EXPECT_GE(taken, 2048U);
        EXPECT_EQ(writer.lost_rows(), kRows - taken);
        writer.finish();
    }
    EXPECT_EQ(SqliteFile(path).one("SELECT count(*) FROM hc_sync"), std::to_string(taken));
    const Trace trace(path);
    if (taken < kRows) {
        EXPECT_EQ(trace.meta("lost_writer"), std::to_string(kRows - taken));
        EXPECT_NE(trace.warning().find("writer"), std::string::npos);
    }
}

}  // namespace
}  // namespace hc::trace
