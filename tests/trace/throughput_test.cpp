// Many threads at once, a queue that is full, and what it all costs.
#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "engine/core/clock.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using test::TemporaryFolder;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::vector<OpRecord> some_ops(std::int64_t step, std::size_t count) {
    std::vector<OpRecord> ops(count);
    for (std::size_t i = 0; i < count; ++i) {
        OpRecord& op = ops[i];
        op.op_id = step * static_cast<std::int64_t>(count) + static_cast<std::int64_t>(i);
        op.step = step;
        op.layer = static_cast<std::int32_t>(i % 30);
        op.kind = static_cast<OpKind>(i % 13);
        op.start_ns = now_ns();
        op.end_ns = op.start_ns + 50'000;
        op.bytes_read = 2'000'000, op.bytes_written = 20'000, op.flops = 4'000'000, op.rows = 6000;
    }
    return ops;
}

TEST(WriterThreads, AddAtOnceAndNothingIsLost) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    constexpr int kThreads = 6;
    constexpr std::int64_t kSteps = 200;
    {
        // A queue so small that everyone has to wait.
        Writer writer(path, {.queue_bytes = 20'000, .commit_interval_ms = 5});
        std::vector<std::jthread> threads;
        for (int t = 0; t < kThreads; ++t) {
            threads.emplace_back([&writer] {
                const RunId run = writer.begin_run({}, {});
                for (std::int64_t s = 0; s < kSteps; ++s) {
                    const std::vector<OpRecord> ops = some_ops(s, 20);
                    writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, ops, {});
                    writer.add_memory(run, {s, 0, 0, 0, 0, 0});
                    if (s % 50 == 0) writer.flush();
                }
            });
        }
        threads.clear();
        writer.finish();
    }
    const Trace trace(path);
    ASSERT_EQ(trace.runs().size(), std::size_t{kThreads});
    NoProgress progress;
    for (const auto& run : trace.runs()) {
        const RunData data = trace.read(run.id, {}, progress);
        EXPECT_EQ(data.steps.size(), std::size_t{kSteps});
        EXPECT_EQ(data.memory.size(), std::size_t{kSteps});
        ASSERT_EQ(data.ops.size(), std::size_t{kSteps * 20});
        for (std::size_t i = 0; i < data.ops.size(); ++i) {
            ASSERT_EQ(data.ops.op_id[i], static_cast<std::int64_t>(i));
        }
    }
}

TEST(WriterThreads, ReadersMayLookOnMeanwhile) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    Writer writer(path, {.commit_interval_ms = 2});
    const RunId run = writer.begin_run({}, {});
    writer.flush();
    std::jthread producer([&](const std::stop_token& stop) {
        for (std::int64_t s = 0; s < 2000 && !stop.stop_requested(); ++s) {
            writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, some_ops(s, 20), {});
        }
    });
    std::size_t last = 0;
    for (int i = 0; i < 10; ++i) {
        NoProgress progress;
        const Trace trace(path);
        const RunData data = trace.read(run, {}, progress);
        EXPECT_GE(data.steps.size(), last);
        EXPECT_EQ(data.ops.size(), data.steps.size() * 20) << "one moment in all tables";
        last = data.steps.size();
    }
    producer.join();
    writer.finish();
}

TEST(ReaderThreads, ShareOneTrace) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        const RunId run = writer.begin_run({}, {});
        for (std::int64_t s = 0; s < 50; ++s) {
            writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, some_ops(s, 20), {});
        }
        writer.finish();
    }
    const Trace trace(path);
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&trace] {
            NoProgress progress;
            for (int i = 0; i < 5; ++i) {
                EXPECT_EQ(trace.read(0, {}, progress).ops.size(), 1000U);
                EXPECT_TRUE(trace.values().empty());
            }
        });
    }
}

TEST(WriterThreads, ARecordLargerThanTheQueuePasses) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    Writer writer(path, {.queue_bytes = 1000});
    const RunId run = writer.begin_run({}, {});
    writer.add_step(run, {0, Phase::kDecode, 1, 0, 0}, some_ops(0, 30'000), {});
    writer.finish();
    NoProgress progress;
    EXPECT_EQ(Trace(path).read(run, {}, progress).ops.size(), 30'000U);
}

TEST(WriterSpeed, AddingAStepCostsMicroseconds) {
    const TemporaryFolder folder;
    Writer writer(folder.path() / "trace.sqlite", {});
    const RunId run = writer.begin_run({}, {});
    std::vector<double> micros;
    for (std::int64_t s = 0; s < 300; ++s) {
        const std::vector<OpRecord> ops = some_ops(s, 300);
        const std::int64_t before = now_ns();
        writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, ops, {});
        micros.push_back(static_cast<double>(now_ns() - before) * 1e-3);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    writer.finish();
    std::sort(micros.begin(), micros.end());
    std::printf("add_step of 300 operations: median %.1f us, p99 %.1f us\n", micros[150],
                micros[297]);
    EXPECT_LT(micros[150], kSanitized ? 5000 : 200);
}

TEST(WriterSpeed, KeepsUpWithAFlood) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    constexpr std::int64_t kSteps = kSanitized ? 200 : 3400;  // 1.02 M operations
    constexpr auto kRows = static_cast<double>(kSteps * 300);
    const std::vector<OpRecord> ops = some_ops(1, 300);
    Writer writer(path, {});
    const RunId run = writer.begin_run({}, {});
    const std::clock_t start_cpu = std::clock();
    const std::int64_t start = now_ns();
    for (std::int64_t s = 0; s < kSteps; ++s) {
        writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, ops, {});
    }
    writer.flush();
    const double write_s = static_cast<double>(now_ns() - start) * 1e-9;
    const double cpu_s = static_cast<double>(std::clock() - start_cpu) / CLOCKS_PER_SEC;
    const std::int64_t before_finish = now_ns();
    writer.finish();
    const double finish_s = static_cast<double>(now_ns() - before_finish) * 1e-9;
    const auto bytes = static_cast<double>(std::filesystem::file_size(path));
    const std::int64_t before_read = now_ns();
    NoProgress progress;
    const std::size_t read = Trace(path).read(run, {}, progress).ops.size();
    const double read_s = static_cast<double>(now_ns() - before_read) * 1e-9;
    std::printf(
        "%.0f operations: written at %.2f M rows/s (%.2f M per second of processor time), "
        "finished in %.2f s, %.1f bytes a row with indexes, read in %.2f s\n",
        kRows, kRows / write_s * 1e-6, kRows / cpu_s * 1e-6, finish_s, bytes / kRows, read_s);
    EXPECT_EQ(static_cast<double>(read), kRows);
    EXPECT_GT(kRows / write_s, kSanitized ? 1e3 : 1.5e5);
    EXPECT_LT(bytes / kRows, 80);
}

TEST(ReaderSpeed, OpensASmallTraceAtOnce) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        const RunId run = writer.begin_run({}, {});
        for (std::int64_t s = 0; s < 333; ++s) {
            writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, some_ops(s, 300), {});
        }
        writer.finish();
    }
    const std::int64_t start = now_ns();
    const Trace trace(path);
    const std::int64_t opened = now_ns();
    NoProgress progress;
    EXPECT_EQ(trace.read(0, {}, progress).ops.size(), 99'900U);
    std::printf("100k operations: opened in %.1f ms, read in %.1f ms\n",
                static_cast<double>(opened - start) * 1e-6,
                static_cast<double>(now_ns() - opened) * 1e-6);
    EXPECT_LT(opened - start, 2'000'000'000);
}

}  // namespace
}  // namespace hc::trace
