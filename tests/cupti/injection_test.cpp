// The injection library in a process of its own, on a double of libcupti (tests/cupti/stub): from
// the driver's entry point to a trace on disk, without a GPU.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc::test {
namespace {

namespace fs = std::filesystem;

fs::path library(const char* name) {
    return fs::weakly_canonical(fs::path(built_program("stub_victim")).parent_path() / ".." /
                                "lib" / name);
}

/// One run of stub_victim.
class VictimRun {
public:
    explicit VictimRun(const std::vector<std::string>& arguments,
                       const std::vector<std::string>& more_environment = {}) {
        std::vector<std::string> environment{
            "CUDA_INJECTION64_PATH=" + library("libhcprof-inject.so").string(),
            "NVTX_INJECTION64_PATH=" + library("libhcprof-inject.so").string(),
            "HCPROF_CUPTI=" + library("libstub_cupti.so").string(),
            "HCPROF_OUTPUT=" + (folder_.path() / "trace-%p.sqlite").string(),
            "HCPROF_STATUS=" + (folder_.path() / "status-%p.json").string(),
            "HCPROF_COMMAND=the command"};
        environment.insert(environment.end(), more_environment.begin(), more_environment.end());
        std::vector<std::string> command{built_program("stub_victim")};
        command.insert(command.end(), arguments.begin(), arguments.end());
        process = run_process(command, environment);
    }

    [[nodiscard]] std::vector<fs::path> files(const std::string& beginning,
                                              const std::string& extension) const {
        std::vector<fs::path> found;
        for (const auto& entry : fs::directory_iterator(folder_.path())) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with(beginning) && entry.path().extension() == extension) {
                found.push_back(entry.path());
            }
        }
        std::sort(found.begin(), found.end());
        return found;
    }
    [[nodiscard]] std::vector<fs::path> traces() const { return files("trace", ".sqlite"); }
    [[nodiscard]] std::string status() const {
        std::string all;
        for (const fs::path& path : files("status", ".json")) {
            std::ifstream file(path);
            all += std::string(std::istreambuf_iterator<char>(file), {});
        }
        return all;
    }

    ProcessResult process;

private:
    TemporaryFolder folder_;
};

std::string ask(const fs::path& trace, const std::string& sql) {
    sqlite3* database = nullptr;
    sqlite3_stmt* statement = nullptr;
    std::string answer = "(nothing)";
    if (sqlite3_open(trace.c_str(), &database) == SQLITE_OK &&
        sqlite3_prepare_v2(database, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK) {
        if (sqlite3_step(statement) == SQLITE_ROW) {
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
            answer = text != nullptr ? text : "NULL";
        }
    } else {
        answer = sqlite3_errmsg(database);
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return answer;
}

std::string meta(const fs::path& trace, const std::string& key) {
    return ask(trace, "SELECT value FROM hc_meta WHERE key = '" + key + "'");
}

class Injection : public testing::Test {
protected:
    void SetUp() override {
#ifdef __SANITIZE_THREAD__
        // It holds signals back and forbids threads after fork; session_test has the threads.
        GTEST_SKIP() << "processes that fork and take signals are not for ThreadSanitizer";
#endif
    }
};

TEST_F(Injection, RecordsKernelsCallsAndRanges) {
    const VictimRun run({"1000"});
    EXPECT_EQ(0, run.process.exit_code);
    EXPECT_EQ("", run.process.err);
    ASSERT_EQ(1U, run.traces().size());
    const fs::path trace = run.traces()[0];
    EXPECT_EQ("1000", ask(trace, "SELECT count(*) FROM hc_kernel"));
    EXPECT_EQ("1000", ask(trace, "SELECT count(*) FROM hc_api"));  // no cudaGetDevice
    EXPECT_EQ("void stub<float>(float*, int)",
              ask(trace, "SELECT value FROM hc_string s JOIN hc_launch l ON l.name_id = s.id"));
    EXPECT_EQ("inner,outer",
              ask(trace,
                  "SELECT group_concat(value) FROM (SELECT value FROM hc_nvtx n JOIN hc_string "
                  "s ON s.id = n.name_id WHERE duration_ns > 0 AND type = 59 ORDER BY value)"));
    EXPECT_EQ("1", meta(trace, "clean_exit"));
    EXPECT_EQ("the command", meta(trace, "command_line"));
    EXPECT_EQ("0", ask(trace, "SELECT count(*) FROM hc_meta WHERE key LIKE 'lost%'"));
    // Kernel and call are on the session's clock, of this very second.
    EXPECT_EQ("0", ask(trace,
                       "SELECT count(*) FROM hc_kernel WHERE start_ns < 0 OR start_ns > "
                       "20000000000"));
    const std::string status = run.status();
    EXPECT_NE(std::string::npos, status.find("\"state\": \"finished\"")) << status;
    EXPECT_NE(std::string::npos, status.find("\"kernel\": 1000,")) << status;
}

TEST_F(Injection, RecordsEveryCallWhenAskedTo) {
    const VictimRun run({"100"}, {"HCPROF_KINDS=kernel", "HCPROF_API=none"});
    ASSERT_EQ(1U, run.traces().size()) << run.process.err;
    EXPECT_EQ("100", ask(run.traces()[0], "SELECT count(*) FROM hc_kernel"));
    EXPECT_EQ("0", ask(run.traces()[0], "SELECT count(*) FROM hc_api"));
    EXPECT_EQ("0", ask(run.traces()[0], "SELECT count(*) FROM hc_nvtx"));
    EXPECT_EQ("kernel", meta(run.traces()[0], "cupti_kinds"));
}

TEST_F(Injection, CollectsWithinItsCaptureRange) {
    const VictimRun run({"1000"}, {"HCPROF_CAPTURE_RANGE=inner"});
    ASSERT_EQ(1U, run.traces().size()) << run.process.err;
    EXPECT_EQ("500", ask(run.traces()[0], "SELECT count(*) FROM hc_kernel"));
    EXPECT_EQ("500", ask(run.traces()[0], "SELECT count(*) FROM hc_api"));
    const VictimRun other({"1000"}, {"HCPROF_CAPTURE_RANGE=inner@some domain"});
    ASSERT_EQ(1U, other.traces().size());
    EXPECT_EQ("0", ask(other.traces()[0], "SELECT count(*) FROM hc_kernel"));
}

TEST_F(Injection, KeepsWhatWasRecordedBeforeKillAndAbort) {
    for (const auto& [end, code] :
         std::map<std::string, int>{{"kill", 128 + 9}, {"abort", 128 + 6}}) {
        const VictimRun run({"1000", end});
        EXPECT_EQ(code, run.process.exit_code);
        ASSERT_EQ(1U, run.traces().size());
        EXPECT_EQ("1000", ask(run.traces()[0], "SELECT count(*) FROM hc_kernel"));
        EXPECT_EQ("0", meta(run.traces()[0], "clean_exit"));
        EXPECT_EQ("ok", ask(run.traces()[0], "PRAGMA integrity_check"));
        EXPECT_NE(std::string::npos, run.status().find("\"state\": \"recording\""));
    }
}

TEST_F(Injection, ChildOfForkLeavesTheTraceAlone) {
    const VictimRun run({"1000", "fork"});
    EXPECT_EQ(7, run.process.exit_code);
    EXPECT_EQ("", run.process.err);
    ASSERT_EQ(1U, run.traces().size());
    EXPECT_EQ("1000", ask(run.traces()[0], "SELECT count(*) FROM hc_kernel"));
    EXPECT_EQ("1", meta(run.traces()[0], "clean_exit"));
    EXPECT_EQ("ok", ask(run.traces()[0], "PRAGMA integrity_check"));
}

TEST_F(Injection, ReplacedProcessGetsATraceOfItsOwn) {
    const VictimRun run({"1000", "exec"});
    EXPECT_EQ(0, run.process.exit_code);
    ASSERT_EQ(2U, run.traces().size());
    EXPECT_EQ("6", ask(run.traces()[0], "SELECT count(*) FROM hc_kernel"));  // trace-PID.2.sqlite
    EXPECT_EQ("ok", ask(run.traces()[1], "PRAGMA integrity_check"));
}

TEST_F(Injection, TakesNoSignalFromTheProgram) {
    const VictimRun run({"10", "signal"});
    EXPECT_EQ(7, run.process.exit_code);
}

TEST_F(Injection, SaysWhyNothingIsRecordedAndLetsTheProgramRun) {
    const std::map<std::string, std::string> cases{
        {"STUB_CUPTI_HOLDER=Other Tool",
         "another profiler is at work in this process (Other Tool)"},
        {"STUB_CUPTI_FAIL=cuptiSubscribe_v2", "profiling is not permitted to this user"},
        {"STUB_CUPTI_FAIL=cuptiSetThreadIdType", "cuptiSetThreadIdType"},
        {"STUB_CUPTI_FAIL=cuptiActivityRegisterCallbacks", "cuptiActivityRegisterCallbacks"},
        {"STUB_CUPTI_FAIL=cuptiActivityEnable", "cuptiActivityEnable"},
        {"STUB_CUPTI_VERSION=120900", "has version 120900, expected 13"},
        {"HCPROF_CUPTI=/nowhere/libcupti.so.13", "/nowhere/libcupti.so.13 does not exist"},
        {"HCPROF_KINDS=kernel,wrong", "HCPROF_KINDS has 'wrong'"},
        {"HCPROF_API=some", "HCPROF_API has 'some', expected all, useful or none"},
        {"HCPROF_DURATION=-1", "HCPROF_DURATION is '-1', expected seconds above 0"},
        {"HCPROF_FLUSH_MS=5", "HCPROF_FLUSH_MS is '5'"},
        {"HCPROF_BUFFER_MB=many", "HCPROF_BUFFER_MB is 'many'"},
        {"HCPROF_OUTPUT=/nowhere/trace-%p.sqlite", "cannot write trace '/nowhere/trace-"}};
    for (const auto& [variable, reason] : cases) {
        const VictimRun run({"100"}, {variable});
        EXPECT_EQ(0, run.process.exit_code) << variable;
        EXPECT_EQ(1, run.process.error_lines()) << variable << ": " << run.process.err;
        EXPECT_NE(std::string::npos, run.process.err.find(reason))
            << variable << ": " << run.process.err;
        EXPECT_EQ(0U, run.traces().size()) << variable;
        if (variable.starts_with("HCPROF_") && variable.find("CUPTI") == std::string::npos &&
            variable.find("OUTPUT") == std::string::npos) {
            continue;  // options that cannot be read may hide where the status goes
        }
        EXPECT_NE(std::string::npos, run.status().find("\"state\": \"failed\"")) << variable;
    }
}

TEST_F(Injection, ExportsItsTwoEntryPointsOnly) {
    const ProcessResult symbols = run_process(
        {"/usr/bin/nm", "-D", "--defined-only", library("libhcprof-inject.so").string()});
    if (symbols.exit_code != 0) GTEST_SKIP() << "nm not found on this machine";
    std::istringstream lines(symbols.out);
    std::vector<std::string> names;
    for (std::string address, type, name; lines >> address >> type >> name;) names.push_back(name);
    EXPECT_EQ((std::vector<std::string>{"InitializeInjection", "InitializeInjectionNvtx2"}), names);
}

}  // namespace
}  // namespace hc::test
