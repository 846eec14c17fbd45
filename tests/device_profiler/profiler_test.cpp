// What the profiler records of work whose records are known, both ways, on a real GPU.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "tests/device_profiler/recording.h"

namespace hc::test {
namespace {

constexpr const char* kCountKernels =
    "SELECT count(*) FROM hc_kernel k JOIN hc_launch l ON l.id = k.launch "
    "JOIN hc_string s ON s.id = l.short_name_id WHERE s.value = ";

class Profiler : public testing::TestWithParam<Way> {
protected:
    void SetUp() override {
        const ProcessResult probe = run_process({built_program("profiler_victim"), "probe"});
        if (probe.exit_code == 6) GTEST_SKIP() << probe.err;
    }
    static void expect_good(const Recording& recording) {
        EXPECT_EQ(0, recording.process().exit_code)
            << recording.process().out << recording.process().err;
        ASSERT_TRUE(recording.has_trace()) << recording.process().err;
        EXPECT_EQ("1", recording.meta("clean_exit"));
        EXPECT_EQ(0, recording.lost()) << recording.text(
            "SELECT group_concat(key || '=' || value) FROM hc_meta WHERE key LIKE 'lost%'");
        EXPECT_EQ("", recording.meta("recording_failure"));
    }
};

TEST_P(Profiler, CountsAMillionKernelsExactly) {
    const Recording recording(GetParam(), {"empty", "1000000"});
    expect_good(recording);
    EXPECT_EQ(1000000, recording.number(std::string(kCountKernels) + "'empty_kernel'"));
    EXPECT_EQ(1000000, recording.number("SELECT count(*) FROM hc_kernel"));
    // Each belongs to the call that launched it.
    EXPECT_EQ(1000000, recording.number("SELECT count(*) FROM hc_kernel k WHERE EXISTS (SELECT 1 "
                                        "FROM hc_api a WHERE a.correlation_id = k.correlation_id)"));
    EXPECT_EQ(4, recording.number("SELECT count(DISTINCT stream) FROM hc_kernel"));
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_launch"));
    RecordProperty("clock_error_ns", recording.meta("clock_error_ns"));
}

TEST_P(Profiler, OrdersTimesOnOneClock) {
    const Recording recording(GetParam(), {"empty", "2000"});
    expect_good(recording);
    EXPECT_EQ(0, recording.number("SELECT count(*) FROM hc_kernel WHERE start_ns < 0"));
    // A kernel begins after its launch began; CUPTI's own mapping is off by microseconds.
    EXPECT_EQ(0, recording.number("SELECT count(*) FROM hc_kernel k JOIN hc_api a USING "
                                  "(correlation_id) WHERE k.start_ns < a.start_ns - 50000"));
    EXPECT_LT(std::stoll(recording.meta("clock_error_ns")), 1'000'000);
}

TEST_P(Profiler, KnowsCopiesByKindAndBytes) {
    const Recording recording(GetParam(), {"copies"});
    expect_good(recording);
    const std::string kinds = recording.text(
        "SELECT group_concat(copy_kind || ':' || src_kind || '>' || dst_kind || ':' || bytes, ' ') "
        "FROM (SELECT * FROM hc_memcpy ORDER BY start_ns)");
    // 1 host to device, 2 device to host, 8 device to device; 0 pageable, 1 pinned, 2 device.
    EXPECT_EQ("1:1>2:1048576 2:2>1:524288 8:2>2:262144 1:0>2:131072", kinds);
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_memset"));
    EXPECT_EQ(65536, recording.number("SELECT bytes FROM hc_memset"));
    EXPECT_EQ(0x5a, recording.number("SELECT value & 255 FROM hc_memset"));
    EXPECT_GE(recording.number("SELECT count(*) FROM hc_sync"), 1);
}

TEST_P(Profiler, FindsTheNodesOfAGraph) {
    const Recording recording(GetParam(), {"graph", "32"});
    expect_good(recording);
    EXPECT_EQ(320, recording.number(std::string(kCountKernels) + "'small_kernel'"));
    EXPECT_EQ(32, recording.number("SELECT count(DISTINCT graph_node_id) FROM hc_kernel"));
    // All nodes of a launch share its correlation id, and there were ten launches.
    EXPECT_EQ(10, recording.number("SELECT count(DISTINCT correlation_id) FROM hc_kernel"));
    if (GetParam() != Way::kInProcess) return;
    // Every recorded node leads back to the capture, in the order of the capture.
    std::istringstream lines(recording.process().out);
    std::set<int> tags;
    std::map<std::string, int> tag_of;
    std::string word, node;
    while (lines >> word) {
        if (word != "node") continue;
        std::string original, name;
        int tag = 0;
        lines >> node >> name >> original >> name >> tag;
        tags.insert(tag);
        tag_of[node] = tag;
    }
    EXPECT_EQ(32U, tag_of.size());
    EXPECT_EQ(32U, tags.size());
    EXPECT_EQ(0, *tags.begin());
    EXPECT_EQ(31, *tags.rbegin());
}

TEST_P(Profiler, KeepsNestedRangesWhole) {
    const Recording recording(GetParam(), {"nested", "100"});
    expect_good(recording);
    const std::string ranges = "SELECT count(*) FROM hc_nvtx n JOIN hc_string s ON s.id = n.name_id ";
    EXPECT_EQ(1, recording.number(ranges + "WHERE s.value = 'outer' AND duration_ns > 0 AND type = 59"));
    EXPECT_EQ(100, recording.number(ranges + "WHERE s.value LIKE 'inner %' AND duration_ns > 0"));
    EXPECT_EQ(100, recording.number("SELECT count(DISTINCT name_id) FROM hc_nvtx n JOIN hc_string s "
                                    "ON s.id = n.name_id WHERE s.value LIKE 'inner %'"));
    // The mark with all that was said about it.
    const std::string mark = ranges + "WHERE s.value = 'mark' AND type = 34 ";
    EXPECT_EQ(1, recording.number(mark));
    EXPECT_EQ(1, recording.number(mark + "AND payload = 42 AND category = 7"));
    EXPECT_EQ(1, recording.number(mark + "AND color = 4278255360"));
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_nvtx_name n JOIN hc_string s ON s.id = "
                                  "n.name_id WHERE s.value = 'hcprof test' AND category = -1"));
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_nvtx_name n JOIN hc_string s ON s.id = "
                                  "n.name_id WHERE s.value = 'kinds' AND category = 7"));
    // Kernels belong to the range around their launch.
    EXPECT_EQ(100, recording.number(
                       "SELECT count(*) FROM hc_kernel k JOIN hc_api a USING (correlation_id) "
                       "WHERE EXISTS (SELECT 1 FROM hc_nvtx n JOIN hc_string s ON s.id = n.name_id "
                       "WHERE s.value LIKE 'inner %' AND n.thread = a.thread AND n.start_ns <= "
                       "a.start_ns AND n.start_ns + n.duration_ns >= a.start_ns + a.duration_ns)"));
}

TEST_P(Profiler, KeepsRangesOfManyThreads) {
    const Recording recording(GetParam(), {"threads", "1000"});
    expect_good(recording);
    EXPECT_EQ(8000, recording.number("SELECT count(*) FROM hc_nvtx n JOIN hc_string s ON s.id = "
                                     "n.name_id WHERE s.value = 'work' AND duration_ns > 0"));
    EXPECT_EQ(8, recording.number("SELECT count(DISTINCT thread) FROM hc_nvtx"));
    EXPECT_EQ(8001, recording.number("SELECT count(*) FROM hc_kernel"));
}

TEST_P(Profiler, JoinsRangesThatEndOnAnotherThread) {
    const Recording recording(GetParam(), {"across", "1000"});
    expect_good(recording);
    EXPECT_EQ(1000, recording.number(
                        "SELECT count(*) FROM hc_nvtx n JOIN hc_string s ON s.id = n.name_id WHERE "
                        "s.value = 'handover' AND type = 60 AND duration_ns > 0 AND end_thread <> "
                        "thread"));
}

TEST_P(Profiler, NamesThreadsStreamsAndKernels) {
    const Recording recording(GetParam(), {"names"});
    expect_good(recording);
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_stream WHERE name = 'workload main' AND "
                                  "device IS NULL"));
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_stream WHERE name = 'workload stream' "
                                  "AND device = 0"));
    EXPECT_EQ(1, recording.number(std::string(kCountKernels) + "'templated_kernel'"));
    EXPECT_EQ(1, recording.number("SELECT count(*) FROM hc_gpu"));
}

INSTANTIATE_TEST_SUITE_P(Ways, Profiler, testing::Values(Way::kInProcess, Way::kInjected),
                         [](const testing::TestParamInfo<Way>& way) {
                             return way.param == Way::kInProcess ? "InProcess" : "Injected";
                         });

class Injected : public Profiler {};

TEST_P(Injected, CollectsWithinTheCaptureRangeOnly) {
    const Recording recording(GetParam(), {"range"}, {"HCPROF_CAPTURE_RANGE=capture me"});
    expect_good(recording);
    EXPECT_EQ(16, recording.number("SELECT count(*) FROM hc_kernel"));
}

TEST_P(Injected, LeavesAReadableTraceWhenKilled) {
    const Recording recording(GetParam(), {"killed", "10000"});
    EXPECT_EQ(128 + 9, recording.process().exit_code);
    ASSERT_TRUE(recording.has_trace());
    EXPECT_EQ("0", recording.meta("clean_exit"));
    EXPECT_EQ(10000, recording.number("SELECT count(*) FROM hc_kernel"));
    EXPECT_NE(std::string::npos, recording.status().find("\"state\": \"recording\""));
}

TEST_P(Injected, ChildOfForkLeavesTheTraceAlone) {
    const Recording recording(GetParam(), {"forks"});
    expect_good(recording);
    EXPECT_EQ(20, recording.number("SELECT count(*) FROM hc_kernel"));
    EXPECT_EQ("ok", recording.text("PRAGMA integrity_check"));
}

TEST_P(Injected, EndsAfterItsDuration) {
    const Recording recording(GetParam(), {"empty", "2000000"}, {"HCPROF_DURATION=0.5"});
    EXPECT_EQ(0, recording.process().exit_code) << recording.process().err;
    ASSERT_TRUE(recording.has_trace());
    EXPECT_EQ("1", recording.meta("clean_exit"));
    EXPECT_GT(recording.number("SELECT count(*) FROM hc_kernel"), 0);
    EXPECT_LT(recording.number("SELECT count(*) FROM hc_kernel"), 2000000);
}

TEST_P(Injected, RunsTheProgramWhenAnOptionIsWrong) {
    const Recording recording(GetParam(), {"empty", "10"}, {"HCPROF_KINDS=kernel,wrong"});
    EXPECT_EQ(0, recording.process().exit_code);
    EXPECT_FALSE(recording.has_trace());
    EXPECT_NE(std::string::npos, recording.process().err.find("HCPROF_KINDS has 'wrong'"));
    EXPECT_NE(std::string::npos, recording.status().find("\"state\": \"failed\""));
}

INSTANTIATE_TEST_SUITE_P(Ways, Injected, testing::Values(Way::kInjected),
                         [](const testing::TestParamInfo<Way>&) { return "Injected"; });

}  // namespace
}  // namespace hc::test
