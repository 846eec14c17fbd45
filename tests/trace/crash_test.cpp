// A writer that is killed, or runs out of disk: what was written opens.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "random_run.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using test::SqliteFile;
using test::TemporaryFolder;
using ::testing::HasSubstr;

/// Adds steps of 30 operations until killed, and tells the pipe the number of each.
[[noreturn]] void write_forever(const std::filesystem::path& path, int pipe) {
    Writer writer(path, {});
    const RunId run = writer.begin_run({}, {});
    for (std::int64_t s = 0;; ++s) {
        std::vector<OpRecord> ops(30);
        const std::int64_t now = now_ns();
        for (OpRecord& op : ops) op.op_id = s, op.step = s, op.start_ns = op.end_ns = now;
        writer.add_step(run, {s, Phase::kDecode, 1, now, now}, ops, {});
        if (::write(pipe, &now, sizeof(now)) != sizeof(now)) ::_exit(3);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

TEST(KilledWriter, LosesAtMostTheLastSecond) {
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
    EXPECT_THAT(trace.warning(), HasSubstr("last heartbeat"));
    EXPECT_THAT(trace.warning(), ::testing::Not(HasSubstr("-wal")));
    NoProgress progress;
    const RunData data = trace.read(0, {}, progress);
    std::size_t expected = 0;
    while (expected < added_ns.size() && added_ns[expected] < killed_ns - 1'000'000'000) ++expected;
    EXPECT_GE(data.steps.size(), expected);
    EXPECT_EQ(data.ops.size(), data.steps.size() * 30) << "a step is whole or absent";
    SqliteFile file(path);
    EXPECT_EQ(file.one("PRAGMA integrity_check"), "ok");
    // The heartbeat is at most about two beats old.
    EXPECT_GT(std::stoll(trace.meta("heartbeat_ns").value()), 500'000'000);
}

TEST(KilledWriter, AMissingLogIsSaid) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    int fds[2];
    ASSERT_EQ(::pipe(fds), 0);
    const pid_t child = ::fork();
    if (child == 0) write_forever(path, fds[1]);
    std::int64_t at = 0;
    for (int i = 0; i < 300; ++i) ASSERT_EQ(::read(fds[0], &at, sizeof(at)), ssize_t{sizeof(at)});
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(fds[0]);
    ::close(fds[1]);
    ASSERT_TRUE(std::filesystem::remove(path.string() + "-wal"));
    std::filesystem::remove(path.string() + "-shm");
    EXPECT_THAT(Trace(path).warning(), HasSubstr("no -wal file"));
}

TEST(KilledWriter, IndexesAreMadeOnFirstOpen) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        test::write_run(writer, test::random_run(1, now_ns()));
        // Not finished.
    }
    SqliteFile(path).rows(
        "UPDATE hc_meta SET value = '2020-01-01T00:00:00Z' "
        "WHERE key = 'heartbeat_utc'");
    const std::string count = "SELECT count(*) FROM sqlite_schema WHERE name = 'hc_op_by_step'";
    EXPECT_EQ(SqliteFile(path).one(count), "0");
    NoProgress progress;
    const Trace trace(path);
    EXPECT_THAT(trace.warning(), HasSubstr("2020-01-01"));
    EXPECT_EQ(trace.read(0, {}, progress).steps.size(), 20U);
    EXPECT_EQ(SqliteFile(path).one(count), "1");
}

TEST(UnfinishedWriter, LeavesAFileThatOpensWithAWarning) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        test::write_run(writer, test::random_run(1, now_ns()));
    }
    EXPECT_FALSE(std::filesystem::exists(path.string() + "-wal"));
    const Trace trace(path);
    EXPECT_THAT(trace.warning(), HasSubstr("not closed cleanly"));
    NoProgress progress;
    EXPECT_EQ(trace.read(0, {}, progress).steps.size(), 20U);
}

/// In a child, whose files may not grow beyond `limit` bytes: exit code 0 when the writer said
/// Error(kIo) naming the path.
int write_with_limit(const std::filesystem::path& path, std::size_t limit) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit files{limit, limit};
        ::setrlimit(RLIMIT_FSIZE, &files);
        int code = 10;
        try {
            Writer writer(path, {.commit_interval_ms = 20});
            code = 11;
            const RunId run = writer.begin_run({}, {});
            std::vector<OpRecord> ops(1000);
            for (std::int64_t s = 0; s < 200; ++s) {
                for (OpRecord& op : ops) op.step = s, op.flops = 1'000'000'000'000;
                writer.add_step(run, {s, Phase::kDecode, 1, 0, 0}, ops, {});
                writer.flush();
            }
        } catch (const Error& error) {
            const bool good = error.code() == ExitCode::kIo &&
                              std::string(error.what()).find(path.string()) != std::string::npos;
            ::_exit(good ? 0 : code);
        }
        ::_exit(code + 2);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(FullDisk, IsAnErrorAndWhatWasWrittenOpens) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    ASSERT_EQ(write_with_limit(path, 3 << 20), 0);
    const Trace trace(path);
    EXPECT_THAT(trace.warning(), HasSubstr("not closed cleanly"));
    NoProgress progress;
    const RunData data = trace.read(0, {}, progress);
    EXPECT_GT(data.steps.size(), 5U);
    EXPECT_LT(data.steps.size(), 200U);
    EXPECT_EQ(data.ops.size(), data.steps.size() * 1000);
    EXPECT_EQ(SqliteFile(path).one("PRAGMA integrity_check"), "ok");
}

TEST(FullDisk, FromTheStartLeavesTheOldFile) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    EXPECT_EQ(write_with_limit(path, 50'000), 0);
    EXPECT_EQ(Trace(path).warning(), "") << "the old trace is whole";
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        EXPECT_EQ(entry.path(), path) << "something half-written is left";
    }
}

TEST(Writer, NamesAFolderThatIsNotThere) {
    try {
        const Writer writer("/no/such/folder/trace.sqlite", {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kIo);
        EXPECT_STREQ(error.what(),
                     "cannot write trace '/no/such/folder/trace.sqlite': No such file or "
                     "directory");
    }
}

TEST(Writer, ReplacesAnOldTraceAndItsLog) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    std::ofstream(path.string() + "-wal") << "left over";
    {
        Writer writer(path, {});
        writer.begin_run({}, {});
        writer.begin_run({}, {});
        writer.finish();
    }
    EXPECT_EQ(Trace(path).runs().size(), 2U);
    EXPECT_FALSE(std::filesystem::exists(path.string() + "-wal"));
}

TEST(Writer, TakesOddNames) {
    const TemporaryFolder folder;
    for (const std::string name : {"file:x?mode=memory", "a b%20'\"ü.sqlite", ":memory:"}) {
        const auto path = folder.path() / name;
        test::write_small_trace(path, 2);
        EXPECT_TRUE(std::filesystem::exists(path));
        EXPECT_EQ(Trace(path).runs().size(), 1U);
    }
}

}  // namespace
}  // namespace hc::trace
