// Traces of several processes become one, on one clock, whatever their order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fstream>
#include <iterator>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/merge.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "random_run.h"
#include "tests/collect/sqlite_file.h"
#include "tests/collect/activity_maker.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using hc::test::ActivityMaker;
using hc::test::SqliteFile;
using hc::test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Row = std::vector<std::string>;

/// A trace as the process `pid` would leave it, its clock's zero at `epoch_ns`.
void write_process(const std::filesystem::path& path, std::int64_t pid, std::int64_t epoch_ns,
                   int steps) {
    WriterOptions options;
    options.final_meta = {{"epoch_ns", std::to_string(epoch_ns)},
                          {"writer_pid", std::to_string(pid)},
                          {"heartbeat_ns", "5000"},
                          {"lost_cupti", std::to_string(pid)},
                          {"clock", "CLOCK_REALTIME"}};
    Writer writer(path, options);
    // Different ids for equal names in each file.
    (void)writer.string_id("only in " + std::to_string(pid));
    ActivityMaker maker(writer, static_cast<std::uint64_t>(pid), pid, 100);
    ActivityBatch batch;
    for (int i = 0; i < steps; ++i) maker.add_step(batch);
    batch.externals.push_back({1, pid * 10, 3});
    writer.add_activity(batch, 0);
    writer.finish();
}

std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

class Merge : public ::testing::Test {
protected:
    [[nodiscard]] std::filesystem::path path(const std::string& name) const {
        return folder_.path() / name;
    }
    MergeResult merge(const std::vector<std::filesystem::path>& inputs,
                      const std::string& output = "out.sqlite") {
        NoProgress progress;
        return merge_traces(inputs, path(output), "hcprof record", progress);
    }
    /// What merging says when it does not work.
    std::string complaint(const std::vector<std::filesystem::path>& inputs, ExitCode code,
                          const std::string& output = "out.sqlite") {
        try {
            merge(inputs, output);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code);
            return error.what();
        }
        return "";
    }

    TemporaryFolder folder_;
};

TEST_F(Merge, PutsProcessesOnOneClock) {
    write_process(path("a"), 11, 1'000'000, 20);
    write_process(path("b"), 22, 1'000'400, 30);
    const MergeResult result = merge({path("b"), path("a")});
    EXPECT_TRUE(result.rows > 0);
    ASSERT_EQ(result.warnings.size(), 2U) << "both say that they lost records";
    EXPECT_THAT(result.warnings[0], HasSubstr("11 cupti"));
    SqliteFile merged(path("out.sqlite"));
    for (const char* table :
         {"hc_kernel", "hc_memcpy", "hc_memset", "hc_api", "hc_sync", "hc_nvtx", "hc_external"}) {
        const std::string count = std::string("SELECT count(*) FROM ") + table;
        EXPECT_EQ(std::stoi(merged.one(count)), std::stoi(SqliteFile(path("a")).one(count)) +
                                                    std::stoi(SqliteFile(path("b")).one(count)))
            << table;
    }
    // The rows of each process, under the names of the export, are what its own file says.
    const auto rows = [](const std::string& shift) {
        return "SELECT k.start + " + shift +
               ", k.\"end\" - k.start, k.deviceId, k.streamId, s.value, k.gridX, a.value, "
               "r.globalTid FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN StringIds s ON s.id = "
               "k.shortName JOIN CUPTI_ACTIVITY_KIND_RUNTIME r ON r.correlationId = "
               "k.correlationId AND r.globalTid >> 24 = k.globalPid >> 24 "
               "JOIN StringIds a ON a.id = r.nameId WHERE k.globalPid >> 24 = ";
    };
    const auto a = SqliteFile(path("a")).rows(rows("0") + "11 ORDER BY 1, 5");
    const auto b = SqliteFile(path("b")).rows(rows("400") + "22 ORDER BY 1, 5");
    ASSERT_EQ(a.size(), 800U);
    ASSERT_EQ(b.size(), 1200U);
    EXPECT_EQ(merged.rows(rows("0") + "11 ORDER BY 1, 5"), a);
    EXPECT_EQ(merged.rows(rows("0") + "22 ORDER BY 1, 5"), b);
    EXPECT_EQ(merged.one("SELECT count(*) FROM hc_string WHERE value = 'kernel_0'"), "1");
    EXPECT_EQ(merged.one("SELECT count(*) FROM hc_stream"), "4");
    EXPECT_EQ(merged.rows("SELECT pid, external_id FROM hc_external ORDER BY pid"),
              (std::vector<Row>{{"11", "110"}, {"22", "220"}}));
    // Domains are of a process.
    EXPECT_EQ(merged.one("SELECT count(DISTINCT domain) FROM hc_nvtx"), "2");
    EXPECT_EQ(
        merged.one("SELECT count(*) FROM hc_nvtx n JOIN hc_nvtx_name d ON d.domain = n.domain "
                   "AND d.pid = n.thread >> 24 AND d.category = -1"),
        merged.one("SELECT count(*) FROM hc_nvtx"));
}

TEST_F(Merge, SumsWhatWasLostAndKeepsTheSession) {
    write_process(path("a"), 11, 1'000'000, 2);
    write_process(path("b"), 22, 1'000'400, 2);
    merge({path("a"), path("b")});
    const Trace trace(path("out.sqlite"));
    EXPECT_EQ(trace.meta("lost_cupti"), "33");
    EXPECT_EQ(trace.meta("epoch_ns"), "1000000");
    EXPECT_EQ(trace.meta("heartbeat_ns"), "5400");
    EXPECT_EQ(trace.meta("command_line"), "hcprof record");
    EXPECT_EQ(trace.meta("merged_files"), "2");
    EXPECT_THAT(trace.warning(), HasSubstr("33 cupti"));
    EXPECT_EQ(SqliteFile(path("out.sqlite")).one("PRAGMA integrity_check"), "ok");
}

TEST_F(Merge, DependsOnTheInputsNotOnTheirOrder) {
    write_process(path("a"), 11, 1'000'000, 40);
    write_process(path("b"), 22, 1'000'400, 30);
    write_process(path("c"), 33, 900'000, 20);
    merge({path("a"), path("b"), path("c")}, "first");
    merge({path("c"), path("b"), path("a")}, "second");
    for (const auto& table :
         SqliteFile(path("first")).rows("SELECT name FROM sqlite_schema WHERE type = 'table'")) {
        const std::string all = "SELECT * FROM " + table[0] + " ORDER BY rowid";
        EXPECT_TRUE(SqliteFile(path("first")).rows(all) == SqliteFile(path("second")).rows(all))
            << table[0];
    }
    // Once more: what was merged merges.
    write_process(path("d"), 44, 950'000, 5);
    merge({path("first"), path("d")}, "third");
    EXPECT_EQ(Trace(path("third")).meta("lost_cupti"), "110");
    EXPECT_EQ(Trace(path("third")).processes().size(), 4U);
}

TEST_F(Merge, NotesInputsThatWereNotClosed) {
    write_process(path("a"), 11, 1'000'000, 2);
    write_process(path("killed"), 22, 1'000'400, 2);
    SqliteFile(path("killed")).rows("UPDATE hc_meta SET value = '0' WHERE key = 'clean_exit'");
    const MergeResult result = merge({path("a"), path("killed")});
    ASSERT_EQ(result.warnings.size(), 2U);
    EXPECT_THAT(result.warnings[1], HasSubstr("not closed cleanly"));
    EXPECT_THAT(Trace(path("out.sqlite")).warning(), HasSubstr("not closed cleanly: killed"));
}

TEST_F(Merge, BringsEngineRunsWithTheirTimesMoved) {
    for (const char* name : {"a", "b"}) {
        Writer writer(path(name), {});
        writer.add_stream({0, 5, -1, -1, *name, "decode", "compute"});
        trace::RunData data = hc::test::random_run(static_cast<std::uint64_t>(*name), now_ns());
        data.run.attention_run = 0;
        hc::test::write_run(writer, data);
        Value value;
        value.run = 0, value.machine = "m", value.name = name, value.unit = "B/s";
        writer.add_value(value);
        writer.finish();
    }
    const std::int64_t shift = std::stoll(*Trace(path("b")).meta("epoch_ns")) -
                               std::stoll(*Trace(path("a")).meta("epoch_ns"));
    merge({path("b"), path("a")});
    const Trace merged(path("out.sqlite"));
    NoProgress progress;
    ASSERT_EQ(merged.runs().size(), 2U);
    EXPECT_EQ(merged.run(1).attention_run, 1);
    const RunData before = Trace(path("b")).read(0, {}, progress);
    const RunData after = merged.read(1, {}, progress);
    ASSERT_EQ(after.ops.size(), before.ops.size());
    for (std::size_t i = 0; i < before.ops.size(); ++i) {
        ASSERT_EQ(after.ops.start_ns[i], before.ops.start_ns[i] + shift);
        ASSERT_EQ(after.ops.op_id[i], before.ops.op_id[i]);
    }
    EXPECT_EQ(after.edges.from_op, before.edges.from_op);
    EXPECT_EQ(after.fetches.size(), before.fetches.size());
    EXPECT_EQ(after.drift.size(), before.drift.size());
    EXPECT_EQ(after.rows.size(), before.rows.size());
    EXPECT_EQ(after.attention.size(), before.attention.size());
    EXPECT_EQ(after.tokens.size(), before.tokens.size());
    EXPECT_EQ(after.memory.size(), before.memory.size());
    EXPECT_EQ(after.heads.size(), before.heads.size());
    ASSERT_EQ(merged.values().size(), 2U);
    EXPECT_EQ(merged.values()[1].run, 1);
}

TEST_F(Merge, RefusesWhatHasNoMeaning) {
    write_process(path("a"), 11, 1'000'000, 2);
    write_process(path("b"), 22, 1'000'400, 2);
    EXPECT_THAT(complaint({}, ExitCode::kRefused), HasSubstr("no traces"));
    EXPECT_THAT(complaint({path("a"), path("a")}, ExitCode::kRefused), HasSubstr("named twice"));
    EXPECT_THAT(complaint({path("a"), path("b")}, ExitCode::kRefused, "b"),
                HasSubstr("the output as well"));
    EXPECT_EQ(Trace(path("b")).meta("writer_pid"), "22") << "it is still there";
    EXPECT_THAT(complaint({path("a"), path("gone")}, ExitCode::kIo), HasSubstr("gone"));
    std::ofstream(path("text")) << "no trace at all, but long enough to be looked at twice or so";
    EXPECT_THAT(complaint({path("a"), path("text")}, ExitCode::kInput), HasSubstr("text"));
    SqliteFile(path("b")).rows("UPDATE hc_meta SET value = 'CLOCK_TAI' WHERE key = 'clock'");
    EXPECT_THAT(complaint({path("a"), path("b")}, ExitCode::kInput), HasSubstr("CLOCK_TAI"));
    SqliteFile(path("a")).rows("UPDATE hc_meta SET value = 'x' WHERE key = 'epoch_ns'");
    EXPECT_THAT(complaint({path("a")}, ExitCode::kInput), HasSubstr("epoch_ns is 'x'"));
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
        EXPECT_THAT(entry.path().filename().string(), ::testing::Not(HasSubstr("out")));
    }
}

TEST_F(Merge, FailureInTheMiddleLeavesTheOldOutput) {
    write_process(path("a"), 11, 1'000'000, 2);
    write_process(path("b"), 22, 1'000'400, 2);
    merge({path("a")});
    const std::string before = bytes_of(path("out.sqlite"));
    SqliteFile(path("b")).rows("UPDATE hc_kernel SET duration_ns = -7 WHERE rowid = 9");
    EXPECT_THAT(complaint({path("a"), path("b")}, ExitCode::kInput), HasSubstr("hc_kernel"));
    EXPECT_TRUE(bytes_of(path("out.sqlite")) == before);
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
        names.push_back(entry.path().filename().string());
    }
    EXPECT_THAT(names, ::testing::UnorderedElementsAre("a", "b", "out.sqlite"));
}

}  // namespace
}  // namespace hc::trace
