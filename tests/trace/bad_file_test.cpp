// Whatever a file holds: it opens, or one clear Error comes; never a crash, never a wrong index.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fstream>
#include <random>

#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/schema.h"
#include "random_run.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using test::SqliteFile;
using test::TemporaryFolder;
using ::testing::HasSubstr;

std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

/// Opens and reads everything.
void use(const std::filesystem::path& path) {
    const Trace trace(path);
    NoProgress progress;
    (void)trace.values();
    for (const auto& run : trace.runs()) {
        (void)trace.read(run.id, {}, progress);
        (void)trace.recall(run.id);
    }
}

void expect_error(const std::filesystem::path& path, ExitCode code, const std::string& text) {
    try {
        use(path);
        ADD_FAILURE() << "no error for " << path << ", expected: " << text;
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(text));
        EXPECT_THAT(error.what(), HasSubstr(path.filename().string()));
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
}

class BadFile : public ::testing::Test {
protected:
    TemporaryFolder folder_;
    std::filesystem::path path_ = folder_.path() / "trace.sqlite";

    void spoil(const std::string& sql) {
        test::write_small_trace(path_);
        SqliteFile(path_).rows(sql);
    }
};

TEST_F(BadFile, AbsentOrAFolder) {
    expect_error(folder_.path() / "absent.sqlite", ExitCode::kIo, "No such file");
    expect_error(folder_.path(), ExitCode::kIo, "folder");
}

TEST_F(BadFile, Empty) {
    write_file(path_, "");
    expect_error(path_, ExitCode::kInput, "is empty");
}

TEST_F(BadFile, Text) {
    write_file(path_, std::string(5000, 'x'));
    expect_error(path_, ExitCode::kInput, "not an SQLite file");
    write_file(path_, "short");
    expect_error(path_, ExitCode::kInput, "trace");
}

TEST_F(BadFile, AnotherDatabase) {
    SqliteFile(path_).rows("CREATE TABLE hc_run (id); INSERT INTO hc_run VALUES (1)");
    expect_error(path_, ExitCode::kInput, "no hcprof trace");
}

TEST_F(BadFile, OfANewerMajorVersion) {
    spoil("PRAGMA user_version = 3003");
    expect_error(path_, ExitCode::kInput, "version 3.3");
}

TEST_F(BadFile, OfANewerMinorVersionOpens) {
    spoil(
        "PRAGMA user_version = 1999; ALTER TABLE hc_run ADD COLUMN extra TEXT;"
        "CREATE TABLE hc_new (a) ");
    EXPECT_NO_THROW(use(path_));
}

TEST_F(BadFile, WithASchemaThatIsNoSqlIsOneLine) {
    spoil(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE hc_step (a ''b' || "
        "char(10) || 'never closed' WHERE name = 'hc_step'");
    expect_error(path_, ExitCode::kInput, "trace.sqlite");
}

TEST_F(BadFile, WithoutATable) {
    spoil("DROP TABLE hc_drift");
    expect_error(path_, ExitCode::kInput, "no table hc_drift");
}

TEST_F(BadFile, WithAViewInPlaceOfATable) {
    spoil(
        "DROP TABLE hc_drift; CREATE VIEW hc_drift AS WITH RECURSIVE r(x) AS (SELECT 1 UNION "
        "ALL SELECT x + 1 FROM r) SELECT x FROM r");
    expect_error(path_, ExitCode::kInput, "no table hc_drift");
}

TEST_F(BadFile, WithUnknownWords) {
    spoil("UPDATE hc_step SET phase = 'dreaming' WHERE step = 3");
    expect_error(path_, ExitCode::kInput, "unknown phase 'dreaming'");
    spoil("UPDATE hc_op_row SET kind = 99 WHERE op_id = 3");
    expect_error(path_, ExitCode::kInput, "unknown operation kind 99");
}

TEST_F(BadFile, WithNumbersOutOfRange) {
    spoil("UPDATE hc_head SET layer = 1 << 40 WHERE head = 0");
    expect_error(path_, ExitCode::kInput, "layer 1099511627776 is out of range");
    spoil("UPDATE hc_head SET layer = -1 WHERE head = 0");
    expect_error(path_, ExitCode::kInput, "layer -1 is out of range");
    spoil("UPDATE hc_step SET end_ns = 9223372036854775807");
    expect_error(path_, ExitCode::kInput, "out of range");
    spoil("UPDATE hc_run SET prompt_tokens = 1 << 50");
    expect_error(path_, ExitCode::kInput, "prompt length");
    spoil("UPDATE hc_drift SET overlaps = '[0.5,'");
    expect_error(path_, ExitCode::kInput, "overlaps");
}

TEST_F(BadFile, WithDamagedBlobs) {
    spoil("UPDATE hc_rows SET fetched = x'00ff', fetched_count = 7 WHERE rowid = 2");
    expect_error(path_, ExitCode::kInput, "position list");
    spoil("UPDATE hc_attention SET k = 1 << 40");
    expect_error(path_, ExitCode::kInput, "longer than any prompt");
    spoil("UPDATE hc_run SET prompt_tokens = 3");
    expect_error(path_, ExitCode::kInput, "beyond the prompt");
    spoil("UPDATE hc_attention SET value_list = zeroblob(50)");
    expect_error(path_, ExitCode::kInput, "value list");
}

TEST_F(BadFile, CutOffAnywhere) {
    test::write_small_trace(path_);
    const std::string whole = read_file(path_);
    const auto cut = folder_.path() / "cut.sqlite";
    for (std::size_t size = 1; size < whole.size(); size = size * 3 / 2 + 1) {
        write_file(cut, whole.substr(0, size));
        expect_error(cut, ExitCode::kInput, "cut.sqlite");
    }
}

TEST_F(BadFile, WithRandomBytesChanged) {
    test::write_small_trace(path_, 6);
    const std::string whole = read_file(path_);
    const auto changed = folder_.path() / "changed.sqlite";
    std::mt19937_64 random(3);
    int opened = 0;
    for (int round = 0; round < 300; ++round) {
        std::string bytes = whole;
        for (std::uint64_t n = 1 + random() % 20; n > 0; --n) {
            // Half of them where the structure is: the first pages.
            const std::size_t span = n % 2 == 0 ? bytes.size() : 40'000;
            bytes[random() % span] = static_cast<char>(random());
        }
        write_file(changed, bytes);
        try {
            use(changed);
            ++opened;
        } catch (const Error& error) {
            EXPECT_THAT(error.what(), HasSubstr("changed.sqlite"));
        }
    }
    EXPECT_GT(opened, 0) << "some changes hit free space";
    EXPECT_LT(opened, 300);
}

/// Runs `body` as a user without special rights; root may write everywhere.
template <typename Body>
bool succeeds_unprivileged(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(2);
        ::_exit(body() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(BadFile, ReadOnlyFoldersAreNoObstacle) {
    const auto unfinished = folder_.path() / "unfinished.sqlite";
    test::write_small_trace(path_);
    {
        Writer writer(unfinished, {});
        writer.begin_run({}, {});
    }
    SqliteFile(unfinished).rows("PRAGMA journal_mode = WAL");
    std::filesystem::remove(unfinished.string() + "-wal");
    std::filesystem::remove(unfinished.string() + "-shm");
    ::chmod(path_.c_str(), 0444);
    ::chmod(unfinished.c_str(), 0444);
    ::chmod(folder_.path().c_str(), 0555);
    const auto opens = [](const std::filesystem::path& path) {
        try {
            use(path);
            return true;
        } catch (const Error& error) {
            std::fprintf(stderr, "%s\n", error.what());
            return false;
        }
    };
    EXPECT_TRUE(succeeds_unprivileged([&] { return opens(path_); }));
    EXPECT_TRUE(succeeds_unprivileged([&] { return opens(unfinished); }));
    EXPECT_FALSE(succeeds_unprivileged([&] { return ::access(folder_.path().c_str(), W_OK) == 0; }))
        << "the folder was not read-only";
    ::chmod(folder_.path().c_str(), 0755);
}

}  // namespace
}  // namespace hc::trace
