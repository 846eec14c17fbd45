// CUDA activity when the writer is killed, the disk is full or the file was cut: what was committed
// opens, and whatever a row refers to is there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "tests/collect/activity_maker.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using hc::test::ActivityMaker;
using hc::test::SqliteFile;
using hc::test::TemporaryFolder;
using ::testing::HasSubstr;

/// Adds calls made "now" until killed, each batch with a name of its own, and tells the pipe when.
[[noreturn]] void write_forever(const std::filesystem::path& path, int pipe) {
    Writer writer(path, {});
    const StreamKey stream = writer.stream_key({-1, 5, 0, 1, 7, "", "compute"});
    ActivityBatch batch;
    for (std::int64_t i = 0;; ++i) {
        batch.clear();
        Launch launch;
        launch.name = launch.short_name = writer.string_id("kernel " + std::to_string(i));
        const LaunchId id = writer.launch_id(launch);
        const std::int64_t now = now_ns();
        for (std::int64_t row = 0; row < 100; ++row) {
            batch.kernels.push_back({now, 10, i, -1, stream, id});
            batch.apis.push_back({now, 10, i, 6, launch.name, 0, 0});
        }
        writer.add_activity(batch);
        if (::write(pipe, &now, sizeof(now)) != sizeof(now)) ::_exit(3);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

TEST(KilledActivityWriter, LosesAtMostTheLastSecondAndNoName) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    int fds[2];
    ASSERT_EQ(::pipe(fds), 0);
    const pid_t child = ::fork();
    if (child == 0) write_forever(path, fds[1]);
    ::close(fds[1]);
    std::vector<std::int64_t> added_ns;
    const std::int64_t until = now_ns() + 2'500'000'000;
    std::int64_t at = 0;
    while (now_ns() < until && ::read(fds[0], &at, sizeof(at)) == sizeof(at)) {
        added_ns.push_back(at);
    }
    const std::int64_t killed_ns = now_ns();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(fds[0]);
    ASSERT_GT(added_ns.size(), 50U);

    const Trace trace(path);
    EXPECT_THAT(trace.warning(), HasSubstr("not closed cleanly"));
    NoProgress progress;
    // The reader refuses a row whose stream, launch or name is missing.
    const Kernels kernels = trace.read_activity<Kernels>(progress);
    const Apis apis = trace.read_activity<Apis>(progress);
    std::size_t expected = 0;
    while (expected < added_ns.size() && added_ns[expected] < killed_ns - 1'000'000'000) ++expected;
    EXPECT_GE(kernels.size(), expected * 100);
    EXPECT_EQ(kernels.size() % 100, 0U) << "a list is whole or absent";
    EXPECT_EQ(SqliteFile(path).one("PRAGMA integrity_check"), "ok");
    EXPECT_GE(apis.size(), expected * 100);
}

/// What the child below found out, as its exit code.
enum Outcome : int { kGood = 0, kNoError = 20, kWrongError, kStillTakes, kNotCounted };

/// Writes until the file may not grow any more.
Outcome write_with_limit(const std::filesystem::path& path, std::size_t limit) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit files{limit, limit};
    ::setrlimit(RLIMIT_FSIZE, &files);
    Writer writer(path, {.commit_interval_ms = 20});
    ActivityMaker maker(writer, 1, 5, 0);
    ActivityBatch batch;
    bool failed = false;
    for (int round = 0; round < 200 && !failed; ++round) {
        batch.clear();
        for (int i = 0; i < 50; ++i) maker.add_step(batch);
        try {
            writer.add_activity(batch, 0);
            writer.flush();
        } catch (const Error& error) {
            const bool named = std::string(error.what()).find(path.string()) != std::string::npos;
            if (error.code() != ExitCode::kIo || !named) return kWrongError;
            failed = true;
        }
    }
    if (!failed) return kNoError;
    // The same for those that must not wait: nothing taken, everything counted, no exception.
    if (writer.try_add_activity(batch, 0) != 0) return kStillTakes;
    if (writer.lost_rows() != batch.size()) return kNotCounted;
    try {
        (void)writer.string_id("new");
        return kStillTakes;
    } catch (const Error&) {
        return kGood;
    }
}

TEST(FullDisk, OfActivityIsAnErrorAndWhatWasWrittenOpens) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    const pid_t child = ::fork();
    if (child == 0) {
        Outcome outcome = kWrongError;
        try {
            outcome = write_with_limit(path, 3 << 20);
        } catch (...) {
        }
        ::_exit(outcome);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), kGood);
    const Trace trace(path);
    EXPECT_THAT(trace.warning(), HasSubstr("not closed cleanly"));
    NoProgress progress;
    const Kernels kernels = trace.read_activity<Kernels>(progress);
    EXPECT_GT(kernels.size(), 2000U);
    EXPECT_EQ(kernels.size() % 2000, 0U) << "a transaction is whole or absent";
    EXPECT_EQ(trace.read_activity<Apis>(progress).size() % 2300, 0U);
    EXPECT_EQ(SqliteFile(path).one("PRAGMA integrity_check"), "ok");
}

TEST(CutFile, IsRefusedOrReadButNeverWrong) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        ActivityMaker maker(writer, 1, 5, 0);
        ActivityBatch batch;
        for (int i = 0; i < 300; ++i) maker.add_step(batch);
        writer.add_activity(batch, 0);
        writer.finish();
    }
    std::ifstream in(path, std::ios::binary);
    const std::string whole{std::istreambuf_iterator<char>(in), {}};
    int refused = 0;
    for (const double share : {0.01, 0.2, 0.4, 0.6, 0.8, 0.99}) {
        const auto size = static_cast<std::size_t>(share * static_cast<double>(whole.size()));
        std::ofstream(path, std::ios::binary) << whole.substr(0, size);
        NoProgress progress;
        try {
            const Trace trace(path);
            const std::size_t kernels = trace.read_activity<Kernels>(progress).size();
            const std::size_t apis = trace.read_activity<Apis>(progress).size();
            EXPECT_EQ(kernels, 300U * 40) << "cut behind the tables, in the indexes";
            EXPECT_EQ(apis, 300U * 46);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::kInput) << error.what();
            EXPECT_THAT(error.what(), HasSubstr(path.string()));
            ++refused;
        }
    }
    EXPECT_GE(refused, 4);
}

}  // namespace
}  // namespace hc::trace
