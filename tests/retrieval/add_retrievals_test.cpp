// The runs made of NVTX ranges, in a file: what is written is what reads back, once, all or
// nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "engine/core/error.h"
#include "profiler/retrieval/retrieval_from_nvtx.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/sqlite_database.h"
#include "profiler/trace/writer.h"
#include "tests/support/paths.h"

namespace hc::retrieval {
namespace {

using ::testing::SizeIs;

constexpr std::int64_t kPid = 4242;

class AddRetrievals : public ::testing::Test {
protected:
    [[nodiscard]] std::string path() const { return (folder_.path() / "t.sqlite").string(); }

    /// A step with a fetch of one copy and its use of one kernel; `domain` names its ranges'.
    void write(const std::string& domain, bool with_run = false) {
        trace::Writer writer(path(), {});
        const std::int64_t thread = trace::global_thread_id(kPid, kPid);
        const trace::StreamKey compute = writer.stream_key({.key = 0,
                                                            .pid = kPid,
                                                            .device = 1,
                                                            .context = 1,
                                                            .stream_id = 7,
                                                            .name = "s7",
                                                            .role = "other"});
        const trace::StreamKey copies = writer.stream_key({.key = 0,
                                                           .pid = kPid,
                                                           .device = 1,
                                                           .context = 1,
                                                           .stream_id = 8,
                                                           .name = "s8",
                                                           .role = "other"});
        trace::Gpu gpu;
        gpu.device = 1;
        gpu.name = "Test GPU";
        gpu.compute_major = 9;
        gpu.compute_minor = 0;
        gpu.num_sms = 132;
        gpu.memory_bytes = 1 << 30;
        writer.add_gpu(gpu);
        trace::Launch launch;
        launch.name = launch.short_name = writer.string_id("kernel");
        trace::ActivityBatch batch;
        const auto range = [&](const char* text, std::int64_t start, std::int64_t end) {
            trace::NvtxRow row;
            row.start_ns = start;
            row.duration_ns = end - start;
            row.thread = thread;
            row.name = writer.string_id(text);
            row.domain = writer.nvtx_domain(kPid, domain);
            batch.nvtx.push_back(row);
        };
        range("step", 100, 900);
        batch.nvtx.back().has_payload = true;
        batch.nvtx.back().payload = 40;
        range("fetch id=7 layer=2 rows=64 due=40", 200, 300);
        range("use fetch=7", 400, 500);
        const auto call = [&](std::int64_t time, std::int64_t correlation) {
            trace::ApiRow row;
            row.start_ns = time;
            row.duration_ns = 10;
            row.correlation_id = correlation;
            row.thread = thread;
            row.name = writer.string_id("call");
            batch.apis.push_back(row);
        };
        call(210, 1), call(410, 2);
        trace::MemcpyRow copy;
        copy.start_ns = 1000;
        copy.duration_ns = 500;
        copy.correlation_id = 1;
        copy.bytes = 8192;
        copy.stream = copies;
        copy.copy_kind = 1;
        batch.memcpys.push_back(copy);
        trace::KernelRow kernel;
        kernel.start_ns = 1600;
        kernel.duration_ns = 100;
        kernel.correlation_id = 2;
        kernel.stream = compute;
        kernel.launch = writer.launch_id(launch);
        batch.kernels.push_back(kernel);
        writer.add_activity(batch, 0);
        if (with_run) static_cast<void>(writer.begin_run({}, {}));
        writer.finish();
    }

    test::TemporaryFolder folder_;
    NoProgress progress_;
};

TEST_F(AddRetrievals, WhatIsAddedReadsBack) {
    write("hcprof");
    const ImportedRuns added = add_retrievals(path(), progress_);
    EXPECT_EQ(added.num_fetches(), 1);
    const trace::Trace trace(path());
    EXPECT_EQ(trace.warning(), "");
    ASSERT_THAT(trace.runs(), SizeIs(1));
    EXPECT_EQ(trace.runs()[0].policy, "nvtx");
    const trace::RunData data = trace.read(0, {}, progress_);
    EXPECT_EQ(data.machine.name, "Test GPU");
    EXPECT_EQ(data.machine.compute_capability, "9.0");
    EXPECT_EQ(data.machine.num_sms, 132);
    ASSERT_EQ(data.ops.size(), 2U);
    EXPECT_EQ(data.ops.start_ns[0], 1000);
    EXPECT_EQ(data.ops.end_ns[0], 1500);
    EXPECT_EQ(data.ops.bytes_written[0], 8192);
    ASSERT_THAT(data.fetches, SizeIs(1));
    EXPECT_EQ(data.fetches[0].way, FetchWay::kCopy);
    EXPECT_EQ(data.fetches[0].bytes, 8192);
    EXPECT_EQ(data.fetches[0].due_step, 1) << "the program's step 40 is the trace's step 1";
    EXPECT_EQ(data.fetches[0].first_use_op, 1);
    EXPECT_EQ(data.fetches[0].exposed_ns, 500) << "nothing ran before the use";
    for (const trace::Stream& stream : trace.streams()) {
        if (stream.device != 1) continue;
        EXPECT_EQ(stream.role, stream.stream_id == 7 ? "compute" : "fetch");
    }
    // The operation names its launches, for queries against hc_kernel and hc_memcpy.
    const trace::Database database(path(), trace::Database::Open::kReadOnly);
    EXPECT_EQ(database.query_integer("SELECT bytes FROM hc_op o JOIN hc_memcpy m ON "
                                     "m.correlation_id = o.correlation_first WHERE kind = 'fetch'"),
              8192);
}

TEST_F(AddRetrievals, ASecondTimeChangesNothing) {
    write("hcprof");
    EXPECT_THAT(add_retrievals(path(), progress_).runs, SizeIs(1));
    EXPECT_THAT(add_retrievals(path(), progress_).runs, SizeIs(0));
    EXPECT_THAT(trace::Trace(path()).runs(), SizeIs(1));
}

TEST_F(AddRetrievals, ATraceWithRunsOrWithoutTheDomainIsLeftAlone) {
    write("hcprof", true);
    EXPECT_THAT(add_retrievals(path(), progress_).runs, SizeIs(0));
    EXPECT_THAT(trace::Trace(path()).runs(), SizeIs(1));
    write("other");
    EXPECT_THAT(add_retrievals(path(), progress_).runs, SizeIs(0));
    EXPECT_THAT(trace::Trace(path()).runs(), SizeIs(0));
}

TEST_F(AddRetrievals, AFileThatCannotBeWrittenKeepsNothingOfIt) {
    write("hcprof");
    {
        // Somebody else writes: the lock is waited for, and then it is said whose file it is.
        trace::Database other(path(), trace::Database::Open::kReadWrite);
        other.execute("BEGIN IMMEDIATE");
        try {
            static_cast<void>(add_retrievals(path(), progress_));
            FAIL() << "a locked file was written";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::kIo);
            EXPECT_THAT(error.what(), ::testing::HasSubstr(path()));
        }
        other.rollback();
    }
    EXPECT_THAT(trace::Trace(path()).runs(), SizeIs(0));
}

}  // namespace
}  // namespace hc::retrieval
