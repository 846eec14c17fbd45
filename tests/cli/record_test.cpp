// hcprof record: the program runs as it would alone, and what its processes wrote becomes one
// trace.
//
// The recorded program is record_double (tests/cli/double), which stands for the injection library
// in itself: there is no GPU here, and nothing in this file says anything about CUDA or CUPTI.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/error.h"
#include "tests/cli/record_fixture.h"

namespace hc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// ---- The program runs as it would alone

TEST_F(Record, OneProcessGivesOneFileAndASummary) {
    const test::ProcessResult r = record_out({"cuda=12"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_THAT(r.err, AllOf(HasSubstr("1 process, 12 kernels, 12 API calls"),
                             HasSubstr("hcprof report " + output()), Not(HasSubstr("warning"))));
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
    EXPECT_EQ(kernels(output()), 12);
    const trace::Trace trace(output());
    EXPECT_EQ(trace.warning(), "");
}

TEST_F(Record, StandardStreamsPassThrough) {
    const std::vector<std::string> words =
        command({"-o", output()}, doubled({"cat", "out=to stdout", "err=to stderr", "cuda=1"}));
    const test::ProcessResult r = test::run_process(
        {"/bin/sh", "-c", "printf 'some\\0bytes' | " + shell_quoted(words)}, environment());
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.out, std::string("some\0bytes", 10) + "to stdout\n");
    EXPECT_THAT(r.err, StartsWith("to stderr\n"));
}

TEST_F(Record, ArgumentsArriveAsTheyWereTyped) {
    const test::ProcessResult r =
        record({"-o", output()},
               {"/bin/sh", "-c", "for a; do echo \"<$a>\"; done; exec " + double_ + " cuda=1", "sh",
                "--output", "", "--", "a b", "[1,2]", "-o"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.out, "<--output>\n<>\n<-->\n<a b>\n<[1,2]>\n<-o>\n");
}

TEST_F(Record, TheExitCodeIsThePrograms) {
    EXPECT_EQ(record_out({"cuda=1", "exit=7"}).exit_code, 7);
    EXPECT_EQ(kernels(output()), 1);
    fs::remove(output());
    const test::ProcessResult r = record_out({"cuda=3", "kill=9"});
    EXPECT_EQ(r.exit_code, 128 + SIGKILL);
    EXPECT_THAT(r.err, HasSubstr("died while it was recorded"));
    EXPECT_EQ(kernels(output()), 3) << "what was committed before the SIGKILL";
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
}

TEST_F(Record, TheEnvironmentNamesTheLibraryAndWhatToCollect) {
    const test::ProcessResult r = record_out(
        {"cuda=1", "env=CUDA_INJECTION64_PATH", "env=NVTX_INJECTION64_PATH", "env=HCPROF_KINDS",
         "env=HCPROF_API", "env=HCPROF_CAPTURE_RANGE", "env=HCPROF_DURATION"},
        {"--kinds", "kernel,nvtx", "--api", "none", "--capture-range", "decode@app", "--duration",
         "2.5"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    const std::string library = fs::canonical(double_).string();
    EXPECT_EQ(r.out, "CUDA_INJECTION64_PATH=" + library + "\nNVTX_INJECTION64_PATH=" + library +
                         "\nHCPROF_KINDS=kernel,nvtx\nHCPROF_API=none\n"
                         "HCPROF_CAPTURE_RANGE=decode@app\nHCPROF_DURATION=2.5\n");
}

TEST_F(Record, WhatIsNotAskedForIsLeftToTheLibrary) {
    const test::ProcessResult r = record_out({"cuda=1", "env=HCPROF_KINDS", "env=HCPROF_DURATION"});
    EXPECT_EQ(r.out, "HCPROF_KINDS=(unset)\nHCPROF_DURATION=(unset)\n");
}

TEST_F(Record, SignalDispositionsAreThoseThatHcprofWasStartedWith) {
    const std::vector<std::string> ask{"cuda=1",     "ignored=1",  "ignored=2", "ignored=13",
                                       "ignored=15", "ignored=17", "ignored=25"};
    const test::ProcessResult plain = record_out(ask, {"--force"});
    EXPECT_EQ(plain.out, "1 default\n2 default\n13 default\n15 default\n17 default\n25 default\n");
    // As nohup and a shell's background job do.
    const std::vector<std::string> words = command({"-o", output(), "--force"}, doubled(ask));
    const test::ProcessResult nohup = test::run_process(
        {"/bin/sh", "-c", "trap '' HUP INT; " + shell_quoted(words)}, environment());
    EXPECT_EQ(nohup.out, "1 ignored\n2 ignored\n13 default\n15 default\n17 default\n25 default\n");
}

TEST_F(Record, AProgramThatClosesItsStreamsIsRecorded) {
    const test::ProcessResult r = record_out({"close=2", "close=1", "close=0", "cuda=2"});
    EXPECT_EQ(r.exit_code, 0);
    EXPECT_THAT(r.err, HasSubstr("2 kernels"));
}

TEST_F(Record, HcprofItselfMayHaveNoStandardError) {
    const std::vector<std::string> words = command({"-o", output()}, doubled({"cuda=2", "exit=3"}));
    const test::ProcessResult r =
        test::run_process({"/bin/sh", "-c", shell_quoted(words) + "2>&-"}, environment());
    EXPECT_EQ(r.exit_code, 3);
    EXPECT_EQ(kernels(output()), 2);
}

// ---- Several processes

TEST_F(Record, ProcessesAreMergedIntoOneFile) {
    const test::ProcessResult r =
        record({"-o", output()},
               {"/bin/sh", "-c",
                double_ + " cuda=2 & " + double_ + " cuda=3 & wait; " + double_ + " cuda=4"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.err, HasSubstr("3 processes, 9 kernels"));
    EXPECT_EQ(kernels(output()), 9);
    std::set<std::int64_t> pids;
    for (const trace::Stream& stream : trace::Trace(output()).streams()) pids.insert(stream.pid);
    EXPECT_EQ(pids.size(), 3U);
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
}

TEST_F(Record, ExecChainsAreFollowed) {
    const test::ProcessResult r =
        record({"-o", output()},
               {"/bin/sh", "-c", "exec /bin/sh -c 'exec env A=b " + double_ + " cuda=5 exit=4'"});
    EXPECT_EQ(r.exit_code, 4) << r.err;
    EXPECT_EQ(kernels(output()), 5);
}

TEST_F(Record, AProcessThatOutlivesTheProgramIsWaitedFor) {
    const test::ProcessResult r =
        record({"-o", output()}, {"/bin/sh", "-c",
                                  // Gone only once the other one is being recorded.
                                  "setsid " + double_ + " cuda=1 touch=" + marker() +
                                      " sleep=700 cuda=4 & while [ ! -s " + marker() +
                                      " ]; do sleep 0.05; done; exit 3"});
    EXPECT_EQ(r.exit_code, 3) << r.err;
    EXPECT_THAT(r.err, HasSubstr("waiting for 1 of its processes"));
    EXPECT_EQ(kernels(output()), 5);
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
}

TEST_F(Record, WaitProgramTakesWhatIsThere) {
    const Clock::time_point began = Clock::now();
    start({"-o", output(), "--wait", "program"},
          {"/bin/sh", "-c",
           "setsid " + double_ + " cuda=2 touch=" + marker() + " sleep=60000 & while [ ! -s " +
               marker() + " ]; do sleep 0.05; done; exit 0"});
    EXPECT_EQ(finish(), 0) << err();
    EXPECT_LT(seconds_since(began), 30);
    EXPECT_THAT(err(), HasSubstr("still runs"));
    EXPECT_EQ(kernels(output()), 2);
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
    ::kill(marker_pid(), SIGKILL);
}

TEST_F(Record, ProcessesThatAreNotRecordedAreNotWaitedFor) {
    const Clock::time_point began = Clock::now();
    start({"-o", output()}, {"/bin/sh", "-c",
                             "(echo $$ > /dev/null; exec sleep 60) & echo $! > " + marker() + "; " +
                                 double_ + " cuda=1"});
    EXPECT_EQ(finish(), 0) << err();
    EXPECT_LT(seconds_since(began), 30);
    EXPECT_EQ(::kill(marker_pid(), SIGKILL), 0) << "it lives on, as it would have";
}

TEST_F(Record, NoZombiesAreLeftWhileTheProgramRuns) {
    // Orphans come to hcprof, which must not collect them at the end only.
    start({"-o", output()}, {"/bin/sh", "-c",
                             "for i in 1 2 3 4 5; do (/bin/true & ); done; exec " + double_ +
                                 " cuda=1 touch=" + marker() + " sleep=1500"});
    ASSERT_TRUE(wait_for_marker());
    ::usleep(300'000);
    int zombies = 0;
    for (const auto& entry : fs::directory_iterator("/proc")) {
        if (entry.path().filename().string().find_first_not_of("0123456789") != std::string::npos) {
            continue;
        }
        std::istringstream stat(read_all(entry.path() / "stat"));
        std::string pid, name, state;
        pid_t parent = 0;
        stat >> pid >> name >> state >> parent;
        if (parent == running_ && state == "Z") ++zombies;
    }
    EXPECT_EQ(zombies, 0);
    EXPECT_EQ(finish(), 0) << err();
}

// ---- What can go wrong

TEST_F(Record, AProgramThatIsNotThereOrCannotBeRun) {
    const test::ProcessResult missing = record({}, {"no-such-program-at-all"});
    EXPECT_EQ(missing.exit_code, 127);
    EXPECT_EQ(missing.error_lines(), 1) << missing.err;
    EXPECT_THAT(missing.err, HasSubstr("cannot start 'no-such-program-at-all': No such file"));
    const std::string plain = (folder_.path() / "plain").string();
    std::ofstream(plain) << "no program\n";
    const test::ProcessResult denied = record({}, {plain});
    EXPECT_EQ(denied.exit_code, 126);
    EXPECT_EQ(denied.error_lines(), 1) << denied.err;
    EXPECT_THAT(files(), IsEmpty());
}

TEST_F(Record, WrongUseStartsNothing) {
    const auto expect = [&](const std::vector<std::string>& words, ExitCode code,
                            const std::string& part) {
        std::vector<std::string> all{hcprof_, "record"};
        all.insert(all.end(), words.begin(), words.end());
        const test::ProcessResult r = test::run_process(all, environment());
        EXPECT_EQ(r.exit_code, static_cast<int>(code)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, HasSubstr(part));
    };
    const std::string touch = "touch=" + marker();
    expect({}, ExitCode::kUsage, "no program to record");
    expect({"--"}, ExitCode::kUsage, "no program to record");
    expect({double_, touch}, ExitCode::kUsage, "'--' must stand before the program");
    expect({"--colour", "--", double_, touch}, ExitCode::kUsage, "unknown option '--colour'");
    expect({"--stop-program", "--", double_, touch}, ExitCode::kUsage, "--duration");
    for (const char* wrong : {"0", "-1", "nan", "inf"}) {
        expect({"--duration", wrong, "--", double_, touch}, ExitCode::kUsage, "--duration");
    }
    for (const char* wrong : {"kernels", "kernel,", ",", "kernel,,api", "kernel api"}) {
        expect({"--kinds", wrong, "--", double_, touch}, ExitCode::kUsage, "--kinds has");
    }
    expect({"--api", "some", "--", double_, touch}, ExitCode::kUsage, "--api");
    expect({"-o", "/nowhere/x.sqlite", "--", double_, touch}, ExitCode::kIo,
           "no folder '/nowhere'");
    expect({"-o", dir().string(), "--", double_, touch}, ExitCode::kIo, "it is a folder");
    EXPECT_FALSE(fs::exists(marker()));
}

TEST_F(Record, AnExistingFileIsKeptUnlessForced) {
    std::ofstream(output()) << "precious";
    const test::ProcessResult r = record_out({"cuda=1", "touch=" + marker()});
    EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kRefused));
    EXPECT_THAT(r.err, HasSubstr("--force"));
    EXPECT_FALSE(fs::exists(marker())) << "said before the program starts";
    EXPECT_EQ(read_all(output()), "precious");
    EXPECT_EQ(record_out({"cuda=1"}, {"--force"}).exit_code, 0);
    EXPECT_EQ(kernels(output()), 1);
}

TEST_F(Record, AFileThatAppearsMeanwhileIsKept) {
    start({"-o", output()}, doubled({"cuda=1", "touch=" + marker(), "sleep=400"}));
    ASSERT_TRUE(wait_for_marker());
    std::ofstream(output()) << "precious";
    EXPECT_EQ(finish(), static_cast<int>(ExitCode::kRefused));
    EXPECT_EQ(read_all(output()), "precious");
    // And what was recorded is not lost: the message names where it is.
    EXPECT_THAT(err(), HasSubstr("kept in"));
    EXPECT_EQ(files().size(), 2U);
}

TEST_F(Record, NamesOfOursCountOnAndNeverReplace) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(record({}, doubled({"cuda=1"})).exit_code, 0);
    EXPECT_THAT(files(), ElementsAre("record_double-2.sqlite", "record_double-3.sqlite",
                                     "record_double.sqlite"));
    EXPECT_EQ(record({"--force"}, doubled({"cuda=7"})).exit_code, 0);
    EXPECT_EQ(files().size(), 3U);
    EXPECT_EQ(kernels(dir() / "record_double.sqlite"), 7);
}

TEST_F(Record, AProgramWithoutCudaSaysSoAndWritesNothing) {
    const test::ProcessResult r = record_out({"out=hello", "exit=3"});
    EXPECT_EQ(r.exit_code, 3);
    EXPECT_EQ(r.out, "hello\n");
    EXPECT_EQ(r.error_lines(), 1) << r.err;
    EXPECT_THAT(r.err, HasSubstr("no CUDA activity was recorded, nothing is written: "));
    EXPECT_THAT(files(), IsEmpty());
    const test::ProcessResult hidden = record({}, doubled({}), {"CUDA_VISIBLE_DEVICES="});
    EXPECT_THAT(hidden.err, HasSubstr("CUDA_VISIBLE_DEVICES is '', which hides every GPU"));
}

TEST_F(Record, WhyALibraryFailedIsSaid) {
    const std::string reason = "another profiler holds CUPTI: Nsight Systems";
    const test::ProcessResult all = record_out({"fail=" + reason, "exit=2"});
    EXPECT_EQ(all.exit_code, 2);
    EXPECT_EQ(all.error_lines(), 1) << all.err;
    EXPECT_THAT(all.err, HasSubstr("nothing is written: " + reason));
    // One of two: the other is in the trace, and the failure is a warning.
    const test::ProcessResult one =
        record({"-o", output()},
               {"/bin/sh", "-c", double_ + " 'fail=no permission'; " + double_ + " cuda=1"});
    EXPECT_EQ(one.exit_code, 0);
    EXPECT_THAT(one.err, AllOf(HasSubstr("warning: not recorded, double ("),
                               HasSubstr("): no permission"), HasSubstr("1 kernel,")));
}

TEST_F(Record, LostRecordsAreAWarningByCause) {
    const test::ProcessResult r = record_out({"cuda=2", "lose=1234"});
    EXPECT_THAT(r.err, HasSubstr("warning: records are missing: 1,234 dropped"));
}

TEST_F(Record, ALibraryThatIsNotThereIsSaidBeforeTheProgramStarts) {
    const test::ProcessResult named =
        record({}, doubled({"touch=" + marker()}), {"HCPROF_INJECT=/nowhere/lib.so"});
    EXPECT_EQ(named.exit_code, static_cast<int>(ExitCode::kUnavailable));
    EXPECT_EQ(named.error_lines(), 1) << named.err;
    EXPECT_THAT(named.err, HasSubstr("HCPROF_INJECT is '/nowhere/lib.so': there is no such file"));
    // A copy of hcprof with nothing beside it.
    const std::string alone = (folder_.path() / "hcprof").string();
    fs::copy_file(hcprof_, alone);
    const test::ProcessResult r = test::run_process(
        {alone, "record", "--", double_, "touch=" + marker()}, {"HCPROF_INJECT="});
    EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kUnavailable)) << r.err;
    EXPECT_EQ(r.error_lines(), 1) << r.err;
    EXPECT_THAT(r.err, HasSubstr("libhcprof-inject.so"));
    EXPECT_FALSE(fs::exists(marker()));
}

TEST_F(Record, AnotherProfilersVariableIsReplacedWithAWarning) {
    const test::ProcessResult r =
        record({"-o", output()}, doubled({"cuda=1"}), {"CUDA_INJECTION64_PATH=/opt/other.so"});
    EXPECT_THAT(r.err, HasSubstr("warning: CUDA_INJECTION64_PATH=/opt/other.so names another"));
    EXPECT_EQ(kernels(output()), 1);
}

TEST_F(Record, AFullDiskKeepsTheProcessesFilesAndNamesThem) {
    // The merge may not write as much as the processes did: a limit of hcprof's own file size.
    start({"-o", output()},
          {"/bin/sh", "-c",
           "ulimit -f unlimited; " + double_ + " cuda=1000; " + double_ + " cuda=1000"},
          [] {
              ::setpgid(0, 0);
              const rlimit limit{200'000, RLIM_INFINITY};
              ::setrlimit(RLIMIT_FSIZE, &limit);
          });
    const std::optional<int> code = finish();
    EXPECT_EQ(code, static_cast<int>(ExitCode::kIo)) << err();
    EXPECT_THAT(err(), AllOf(HasSubstr("hcprof: "), HasSubstr("kept in '")));
    EXPECT_FALSE(fs::exists(output()));
    ASSERT_EQ(files().size(), 1U);
    const fs::path kept = dir() / *files().begin();
    std::int64_t total = 0;
    for (const auto& entry : fs::directory_iterator(kept)) {
        if (entry.path().filename().string().starts_with("trace-")) total += kernels(entry.path());
    }
    EXPECT_EQ(total, 2000);
}

TEST_F(Record, AFolderThatCannotBeWrittenIsSaidFirst) {
    if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
    fs::permissions(dir(), fs::perms::owner_read | fs::perms::owner_exec);
    const test::ProcessResult r = record_out({"cuda=1", "touch=" + marker()});
    fs::permissions(dir(), fs::perms::owner_all);
    EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kIo)) << r.err;
    EXPECT_FALSE(fs::exists(marker()));
}

TEST_F(Record, StatusFilesOfAnyContentsAreSurvived) {
    const test::ProcessResult r = record(
        {"-o", output()},
        {"/bin/sh", "-c",
         "d=${HCPROF_STATUS%/*}; printf '\\377{' > $d/status-1.json; echo '[]' > $d/status-2.json; "
         "echo '{\"pid\": -5, \"state\": 7, \"rows\": {\"kernel\": \"x\"}}' > $d/status-3.json; "
         "mkdir $d/status-4.json; echo x > $d/trace-5.sqlite; exec " +
             double_ + " cuda=3"});
    // A trace that is none spoils the merge, loudly, and nothing is lost.
    EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kInput)) << r.err;
    EXPECT_THAT(r.err, AllOf(HasSubstr("trace-5.sqlite"), HasSubstr("kept in")));
}

// ---- Summaries

TEST_F(Record, JsonIsTheLastLineOfStandardOutput) {
    const test::ProcessResult r =
        record_out({"out=first", "cuda=2", "lose=5", "exit=4"}, {"--json"});
    EXPECT_EQ(r.exit_code, 4);
    std::istringstream lines(r.out);
    std::string first, second, third;
    std::getline(lines, first), std::getline(lines, second);
    EXPECT_EQ(first, "first");
    EXPECT_FALSE(std::getline(lines, third));
    const nlohmann::json j = nlohmann::json::parse(second);
    EXPECT_EQ(j.at("file"), output());
    EXPECT_EQ(j.at("bytes"), fs::file_size(output()));
    EXPECT_EQ(j.at("exit_code"), 4);
    EXPECT_EQ(j.at("events").at("kernel"), 2);
    EXPECT_EQ(j.at("lost").at("dropped"), 5);
    EXPECT_EQ(j.at("processes").at(0).at("state"), "finished");
    EXPECT_TRUE(j.at("nothing_recorded").is_null());
    const nlohmann::json none = nlohmann::json::parse(record({"--json"}, doubled({})).out);
    EXPECT_TRUE(none.at("file").is_null());
    EXPECT_NE(none.at("nothing_recorded"), "");
}

TEST_F(Record, RetrievalsOfNvtxRangesBecomeARunThatReportShows) {
    const test::ProcessResult r = record_out({"cuda=3", "retrieval"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.err, AllOf(HasSubstr("its NVTX ranges tell of 1 retrieval\n"),
                             HasSubstr("unknown field 'nonsense' (1)")));
    const trace::Trace trace(output());
    ASSERT_EQ(trace.runs().size(), 1U);
    NoProgress progress;
    const trace::RunData data = trace.read(0, {}, progress);
    // Calls at 1000, 2000, 3000 ns; kernel i runs 200-500 ns after its call. Call 1 lies in the
    // fetch, call 3 in the use, call 2 in the step alone (a pop at 2000 is before a call at 2000).
    ASSERT_EQ(data.fetches.size(), 1U);
    EXPECT_EQ(data.fetches[0].layer, 2);
    EXPECT_EQ(data.fetches[0].rows_fetched, 64);
    EXPECT_EQ(data.fetches[0].start_ns, 1200);
    EXPECT_EQ(data.fetches[0].end_ns, 1500);
    ASSERT_EQ(data.ops.size(), 3U);
    EXPECT_EQ(data.ops.kind[0], OpKind::kFetch);
    EXPECT_EQ(data.ops.kind[1], OpKind::kOther);
    EXPECT_EQ(data.ops.kind[2], OpKind::kAttention);
    const test::ProcessResult report = test::run_process({hcprof_, "report", output(), "--json"});
    EXPECT_EQ(report.exit_code, 0) << report.err;
    EXPECT_THAT(report.out, HasSubstr("\"fetches\": 1"));
    // A replay needs what NVTX does not tell, and says so.
    const test::ProcessResult simulate =
        test::run_process({hcprof_, "simulate", output(), "--ratio", "0.5"});
    EXPECT_EQ(simulate.exit_code, static_cast<int>(ExitCode::kRefused)) << simulate.err;
    EXPECT_EQ(simulate.error_lines(), 1) << simulate.err;
}

// ---- With the library itself, where it was built: CUPTI is a double there (tests/cupti/stub)

class RecordWithLibrary : public Record {
protected:
    /// Skips where the build has no CUPTI headers.
    [[nodiscard]] bool built() const {
        return fs::exists(library()) && fs::exists(stub()) && fs::exists(victim());
    }
    [[nodiscard]] static fs::path lib(const std::string& name) {
        return fs::path(test::built_program("x")).parent_path().parent_path() / "lib" / name;
    }
    [[nodiscard]] static fs::path library() { return lib("libhcprof-inject.so"); }
    [[nodiscard]] static fs::path stub() { return lib("libstub_cupti.so"); }
    [[nodiscard]] static fs::path victim() { return test::built_program("stub_victim"); }
    /// The library is found where the build put it.
    [[nodiscard]] test::ProcessResult run(const std::vector<std::string>& program) const {
        return record({"-o", output()}, program,
                      {"HCPROF_INJECT=", "HCPROF_CUPTI=" + stub().string()});
    }
};

TEST_F(RecordWithLibrary, AProcessIsRecordedFromEntryPointToTrace) {
    if (!built()) GTEST_SKIP() << "no injection library in this build";
    const test::ProcessResult r = run({victim().string(), "100"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.err, HasSubstr("1 process, 100 kernels, 100 API calls, 2 NVTX events"));
}

TEST_F(RecordWithLibrary, EveryWayToEndKeepsWhatWasRecorded) {
    if (!built()) GTEST_SKIP() << "no injection library in this build";
    for (const auto& [end, code] : std::map<std::string, int>{
             {"kill", 128 + SIGKILL}, {"abort", 128 + SIGABRT}, {"exit", 0}}) {
        fs::remove(output());
        const test::ProcessResult r = run({victim().string(), "100", end});
        EXPECT_EQ(r.exit_code, code) << end << r.err;
        EXPECT_EQ(kernels(output()), 100) << end;
        EXPECT_THAT(r.err, Not(HasSubstr(".hcprof-record"))) << "that folder is gone";
        EXPECT_THAT(files(), ElementsAre("out.sqlite"));
    }
}

TEST_F(RecordWithLibrary, ProcessesAreMerged) {
    if (!built()) GTEST_SKIP() << "no injection library in this build";
    const std::string v = victim().string();
    const test::ProcessResult r =
        run({"/bin/sh", "-c", v + " 10 & " + v + " 20 & wait; exec " + v + " 30"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.err, HasSubstr("3 processes, 60 kernels"));
}

}  // namespace
}  // namespace hc
