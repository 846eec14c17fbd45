// CUDA activity comes back as it was written, in blocks and whole; a hostile file is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <algorithm>
#include <bit>
#include <thread>

#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "sqlite_file.h"
#include "tests/collect/activity_maker.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using hc::test::ActivityMaker;
using hc::test::SqliteFile;
using hc::test::TemporaryFolder;
using ::testing::HasSubstr;

/// Writes `steps` decode steps and returns what was written.
ActivityBatch write_steps(const std::filesystem::path& path, int steps) {
    Writer writer(path, {});
    ActivityMaker maker(writer, 1, 5, 1000);
    ActivityBatch batch;
    for (int i = 0; i < steps; ++i) maker.add_step(batch);
    writer.add_activity(batch, 0);
    writer.finish();
    return batch;
}

template <typename Row, typename Value>
std::vector<Value> column(const std::vector<Row>& rows, Value Row::*member) {
    std::vector<Value> values;
    for (const Row& row : rows) values.push_back(row.*member);
    return values;
}

TEST(ActivityReader, BringsBackEveryColumn) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    ActivityBatch batch = write_steps(path, 50);
    const Trace trace(path);
    NoProgress progress;
    const auto by_start = [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; };
    std::stable_sort(batch.nvtx.begin(), batch.nvtx.end(), by_start);
    const Kernels kernels = trace.read_activity<Kernels>(progress);
    EXPECT_EQ(kernels.start_ns, column(batch.kernels, &KernelRow::start_ns));
    EXPECT_EQ(kernels.duration_ns, column(batch.kernels, &KernelRow::duration_ns));
    EXPECT_EQ(kernels.correlation_id, column(batch.kernels, &KernelRow::correlation_id));
    EXPECT_EQ(kernels.graph_node_id, column(batch.kernels, &KernelRow::graph_node_id));
    EXPECT_EQ(kernels.stream, column(batch.kernels, &KernelRow::stream));
    EXPECT_EQ(kernels.launch, column(batch.kernels, &KernelRow::launch));
    const Memcpys memcpys = trace.read_activity<Memcpys>(progress);
    EXPECT_EQ(memcpys.bytes, column(batch.memcpys, &MemcpyRow::bytes));
    EXPECT_EQ(memcpys.copy_kind, column(batch.memcpys, &MemcpyRow::copy_kind));
    EXPECT_EQ(memcpys.src_kind, column(batch.memcpys, &MemcpyRow::src_kind));
    EXPECT_EQ(memcpys.dst_device, column(batch.memcpys, &MemcpyRow::dst_device));
    EXPECT_EQ(memcpys.copy_count, column(batch.memcpys, &MemcpyRow::copy_count));
    const Memsets memsets = trace.read_activity<Memsets>(progress);
    EXPECT_EQ(memsets.value, column(batch.memsets, &MemsetRow::value));
    EXPECT_EQ(memsets.mem_kind, column(batch.memsets, &MemsetRow::mem_kind));
    const Apis apis = trace.read_activity<Apis>(progress);
    EXPECT_EQ(apis.thread, column(batch.apis, &ApiRow::thread));
    EXPECT_EQ(apis.name, column(batch.apis, &ApiRow::name));
    EXPECT_EQ(apis.result, column(batch.apis, &ApiRow::result));
    const Syncs syncs = trace.read_activity<Syncs>(progress);
    EXPECT_EQ(syncs.type, column(batch.syncs, &SyncRow::type));
    EXPECT_EQ(syncs.event_sync_id, column(batch.syncs, &SyncRow::event_sync_id));
    const NvtxRanges ranges = trace.read_activity<NvtxRanges>(progress);
    EXPECT_EQ(ranges.start_ns, column(batch.nvtx, &NvtxRow::start_ns));
    EXPECT_EQ(ranges.payload, column(batch.nvtx, &NvtxRow::payload));
    EXPECT_EQ(ranges.payload_type, column(batch.nvtx, &NvtxRow::payload_type));
    EXPECT_EQ(ranges.domain, column(batch.nvtx, &NvtxRow::domain));
    EXPECT_EQ(ranges.color, column(batch.nvtx, &NvtxRow::color));
    const ActivityCounts counts = trace.activity_counts();
    EXPECT_EQ(counts.total(), static_cast<std::int64_t>(batch.size()));
    EXPECT_EQ(counts.kernels, 2000);
    EXPECT_EQ(trace.strings()[trace.launches()[kernels.launch[0]].short_name].substr(0, 7),
              "kernel_");
    EXPECT_EQ(trace.processes().at(0).name, "decode");
    EXPECT_EQ(trace.nvtx_names().at(0).name, "engine");
}

TEST(ActivityReader, BringsBackTheRarerTables) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    Gpu gpu;
    gpu.device = 2, gpu.name = "H100", gpu.bus_location = "0000:1b:00.0";
    gpu.compute_major = 9, gpu.compute_minor = 0, gpu.memory_bytes = std::int64_t{80} << 30;
    gpu.max_block = {1024, 1024, 64};
    {
        Writer writer(path, {});
        writer.add_gpu(gpu);
        const StringId name = writer.string_id("mark");
        ActivityBatch batch;
        batch.overheads = {{10, 5, 2, 77}, {5, 1, 3, -1}};
        batch.memory_events = {{7, 100, -16, 3, -1, 2, 1, -32, 4096}};
        batch.externals = {{9, 42, 3}, {8, -1, 3}};
        NvtxRow mark{3, -1, 9, -1, -1, std::bit_cast<std::int64_t>(-0.5), true, 3, 34, name};
        batch.nvtx = {mark, {4, 0, 9}};
        writer.add_activity(batch, 0);
        writer.finish();
    }
    const Trace trace(path);
    NoProgress progress;
    const Overheads overheads = trace.read_activity<Overheads>(progress);
    EXPECT_EQ(overheads.start_ns, (std::vector<std::int64_t>{5, 10})) << "ordered by start";
    EXPECT_EQ(overheads.thread, (std::vector<std::int64_t>{-1, 77}));
    const MemoryEvents events = trace.read_activity<MemoryEvents>(progress);
    EXPECT_EQ(events.address.at(0), -16);
    EXPECT_EQ(events.stream.at(0), -1);
    EXPECT_EQ(events.pool_address.at(0), -32);
    EXPECT_EQ(events.pool_size_bytes.at(0), 4096);
    const Externals externals = trace.read_activity<Externals>(progress);
    EXPECT_EQ(externals.correlation_id, (std::vector<std::int64_t>{8, 9}));
    const NvtxRanges ranges = trace.read_activity<NvtxRanges>(progress);
    EXPECT_EQ(std::bit_cast<double>(ranges.payload.at(0)), -0.5);
    EXPECT_EQ(ranges.duration_ns, (std::vector<std::int64_t>{-1, 0}));
    EXPECT_EQ(ranges.name.at(1), -1);
    EXPECT_EQ(ranges.payload_type.at(1), -1);
    ASSERT_EQ(trace.gpus().size(), 1U);
    EXPECT_EQ(trace.gpus()[0].bus_location, gpu.bus_location);
    EXPECT_EQ(trace.gpus()[0].max_block, gpu.max_block);
    EXPECT_EQ(trace.gpus()[0].memory_bytes, gpu.memory_bytes);
    EXPECT_EQ(trace.gpus()[0].num_sms, -1);
    EXPECT_EQ(SqliteFile(path).one("SELECT name || smMajor FROM TARGET_INFO_GPU WHERE id = 2"),
              "H1009");
}

TEST(ActivityReader, BlocksHoldTheSameRowsInBoundedMemory) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    write_steps(path, 1700);
    const Trace trace(path);
    NoProgress progress;
    const Kernels all = trace.read_activity<Kernels>(progress);
    ASSERT_GT(all.size(), 65'536U);
    std::vector<std::int64_t> ids;
    std::size_t largest = 0, blocks = 0;
    trace.for_each_block<Kernels>(progress, [&](const Kernels& block) {
        ++blocks;
        largest = std::max(largest, block.size());
        ids.insert(ids.end(), block.correlation_id.begin(), block.correlation_id.end());
        // The trace may be used from inside.
        EXPECT_TRUE(trace.launches().contains(block.launch[0]));
        EXPECT_GT(trace.activity_counts().apis, 0);
    });
    EXPECT_EQ(blocks, 2U);
    EXPECT_EQ(largest, 65'536U);
    EXPECT_EQ(ids, all.correlation_id);
}

class CancelledProgress final : public Progress {
public:
    void begin(std::string_view, std::int64_t total) override { total_ = total; }
    void update(std::int64_t) override {}
    void end() override { ended_ = true; }
    [[nodiscard]] bool cancelled() const override { return true; }
    std::int64_t total_ = 0;
    bool ended_ = false;
};

TEST(ActivityReader, CanBeCancelled) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    write_steps(path, 1700);
    const Trace trace(path);
    CancelledProgress progress;
    try {
        (void)trace.read_activity<Kernels>(progress);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInterrupted);
    }
    EXPECT_EQ(progress.total_, 68'000);
    EXPECT_FALSE(progress.ended_);
}

TEST(ActivityReader, ReadsTablesSideBySide) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    const ActivityBatch batch = write_steps(path, 300);
    const Trace trace(path);
    std::size_t kernels = 0, apis = 0;
    {
        std::jthread other([&] {
            NoProgress progress;
            kernels = trace.read_activity<Kernels>(progress).size();
        });
        NoProgress progress;
        apis = trace.read_activity<Apis>(progress).size();
    }
    EXPECT_EQ(kernels, batch.kernels.size());
    EXPECT_EQ(apis, batch.apis.size());
}

TEST(ActivityReader, AnOlderFileHasNone) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    write_steps(path, 2);
    SqliteFile(path).rows(
        "DROP VIEW TARGET_INFO_GPU; DROP TABLE hc_gpu; DROP VIEW PROCESSES; DROP TABLE hc_process;"
        "PRAGMA user_version = 1000");
    const Trace trace(path);
    NoProgress progress;
    EXPECT_EQ(trace.activity_counts().total(), 0);
    EXPECT_EQ(trace.read_activity<Kernels>(progress).size(), 0U);
    EXPECT_EQ(trace.strings().end_id(), 0);
    EXPECT_TRUE(trace.gpus().empty());
}

/// What a reader says after `sql` spoiled the file.
std::string complaint_after(const std::string& sql) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    write_steps(path, 3);
    SqliteFile(path).rows(sql);
    NoProgress progress;
    try {
        const Trace trace(path);
        (void)trace.read_activity<Kernels>(progress);
        (void)trace.read_activity<Memcpys>(progress);
        (void)trace.read_activity<Apis>(progress);
        (void)trace.read_activity<NvtxRanges>(progress);
        (void)trace.gpus();
        (void)trace.nvtx_names();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInput) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(path.string()));
        return error.what();
    }
    return "";
}

TEST(BadActivity, IsRefusedWithTheTableNamed) {
    EXPECT_EQ(complaint_after("SELECT 1"), "");
    const auto expect = [](const std::string& sql, const std::string& what) {
        EXPECT_THAT(complaint_after(sql), HasSubstr(what)) << sql;
    };
    expect("UPDATE hc_kernel SET start_ns = 9000000000000000000 WHERE rowid = 7", "hc_kernel");
    expect("UPDATE hc_kernel SET duration_ns = -1 WHERE rowid = 7", "value -1");
    expect("UPDATE hc_kernel SET stream = 99", "hc_kernel: value 99");
    expect("UPDATE hc_kernel SET stream = 1 << 40", "hc_kernel");
    expect("UPDATE hc_kernel SET launch = 4711", "hc_kernel: value 4711");
    expect("UPDATE hc_kernel SET launch = -1", "hc_kernel");
    expect("UPDATE hc_memcpy SET bytes = -5", "hc_memcpy");
    expect("UPDATE hc_memcpy SET copy_kind = 1 << 40", "hc_memcpy");
    expect("UPDATE hc_api SET name_id = 123456", "hc_api");
    expect("UPDATE hc_nvtx SET name_id = -1", "hc_nvtx");
    expect("UPDATE hc_launch SET name_id = 123456", "hc_string");
    expect("UPDATE hc_launch SET grid_x = 1 << 40", "grid");
    expect("UPDATE hc_string SET id = 1 << 40 WHERE id = 3", "string id");
    expect("DELETE FROM hc_string WHERE id = 3", "hc_string");
    expect("UPDATE hc_nvtx_name SET name_id = 123456", "hc_string");
    expect(
        "INSERT INTO hc_gpu (device, name, uuid, bus_location, memory_bytes) "
        "VALUES (0, '', '', '', -4)",
        "amount");
    expect("ALTER TABLE hc_kernel RENAME TO gone", "no table hc_kernel");
    expect(
        "DROP VIEW CUPTI_ACTIVITY_KIND_MEMSET; DROP TABLE hc_memset;"
        "CREATE VIEW hc_memset AS SELECT 1",
        "no table hc_memset");
}

TEST(BadActivity, AFileThatTookItsPlaceIsNoticed) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    write_steps(path, 3);
    const Trace trace(path);
    write_steps(folder.path() / "other.sqlite", 2);
    std::filesystem::rename(folder.path() / "other.sqlite", path);
    NoProgress progress;
    try {
        (void)trace.read_activity<Kernels>(progress);
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("another file took its place"));
    }
}

}  // namespace
}  // namespace hc::trace
