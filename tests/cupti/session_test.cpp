#include "profiler/cupti/session.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "engine/core/error.h"
#include "tests/cupti/fake_cupti.h"
#include "tests/cupti/memory_sink.h"

namespace hc::cupti {
namespace {

using std::chrono::milliseconds;
using test::FakeCupti;
using test::MemorySink;

SessionOptions small_options() {
    SessionOptions options;
    options.collect.buffer_bytes = 4096;
    options.collect.num_buffers = 8;
    options.collect.flush_period = milliseconds(10);
    options.collect.patience = milliseconds(5000);
    return options;
}

void put_kernel(FakeCupti& cupti, std::uint32_t id) {
    const std::uint64_t time = cupti.time += 100;
    cupti.filler.put(test::api_record(1, id, time, time + 10, 77, 1));
    cupti.filler.put(test::kernel_record("kernel", id, time + 20, time + 50));
}

TEST(Session, BringsEveryRecordToTheSink) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    EXPECT_TRUE(session.is_collecting());
    for (std::uint32_t id = 1; id <= 10'000; ++id) put_kernel(cupti, id);
    const SessionReport report = session.stop();
    EXPECT_EQ(10'000U, sink.rows.kernels.size());
    EXPECT_EQ(10'000U, sink.rows.apis.size());
    EXPECT_EQ(10'000U, report.rows.kernel);
    EXPECT_EQ(20'000U, report.rows.total());
    EXPECT_TRUE(report.lost.empty());
    EXPECT_EQ("", report.failure);
    EXPECT_LE(report.buffers.peak_in_use, 8U);
    EXPECT_EQ(1, cupti.forced_flushes);
    EXPECT_FALSE(cupti.subscribed);
    EXPECT_EQ(nullptr, cupti.client);
    EXPECT_EQ("fake", sink.meta.at("cupti_library"));
    EXPECT_EQ("useful", sink.meta.at("cupti_api"));
    EXPECT_TRUE(sink.meta.contains("clock_error_ns"));
    for (const auto& [key, value] : sink.meta) EXPECT_FALSE(key.starts_with("lost_")) << key;
    // The second stop() is the first one's.
    EXPECT_EQ(10'000U, session.stop().rows.kernel);
}

TEST(Session, RecordsArriveWithinAFlushPeriod) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    put_kernel(cupti, 1);
    for (int wait = 0; wait < 5000 && session.progress().rows.kernel == 0; ++wait) {
        std::this_thread::sleep_for(milliseconds(1));
    }
    EXPECT_EQ(1U, session.progress().rows.kernel);
}

TEST(Session, FlushWaitsUntilTheSinkHasTheRows) {
    FakeCupti cupti;
    MemorySink sink;
    SessionOptions options = small_options();
    options.collect.flush_period = milliseconds(10'000);
    Session session(cupti, sink, options);
    session.start();
    for (std::uint32_t id = 1; id <= 5; ++id) {
        put_kernel(cupti, id);
        session.flush();
        const std::lock_guard lock(sink.gate);
        EXPECT_EQ(id, sink.rows.kernels.size());
    }
}

TEST(Session, SwitchesTheKindsThatWereAskedForAndNoOthers) {
    FakeCupti cupti;
    MemorySink sink;
    SessionOptions options = small_options();
    options.collect.kinds = activity::parse_collect("--kinds", "kernel,api");
    Session session(cupti, sink, options);
    session.start();
    EXPECT_TRUE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL));
    EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_KERNEL));  // would serialise
    EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_MEMCPY));
    EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_MARKER));
    EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_RUNTIME));  // call by call instead
    EXPECT_EQ((std::set<std::uint32_t>{1, 3}), cupti.runtime_calls);
    EXPECT_EQ((std::set<std::uint32_t>{1}), cupti.driver_calls);
    session.set_collecting(false);
    EXPECT_FALSE(session.is_collecting());
    EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL));
    EXPECT_TRUE(cupti.runtime_calls.empty());
    session.set_collecting(true);
    EXPECT_TRUE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL));
    session.stop();
    EXPECT_TRUE(cupti.enabled.empty());
    session.set_collecting(true);  // too late: nothing
    EXPECT_TRUE(cupti.enabled.empty());
}

TEST(Session, AllAndNoApiCallsAreWholeKinds) {
    FakeCupti cupti;
    MemorySink sink;
    SessionOptions options = small_options();
    options.collect.api = activity::ApiLevel::kAll;
    {
        Session session(cupti, sink, options);
        session.start();
        EXPECT_TRUE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_RUNTIME));
        EXPECT_TRUE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_DRIVER));
    }
    EXPECT_TRUE(cupti.enabled.empty());
    options.collect.api = activity::ApiLevel::kNone;
    Session session(cupti, sink, options);
    session.start();
    EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_RUNTIME));
    EXPECT_TRUE(cupti.runtime_calls.empty());
}

TEST(Session, EveryFailureAtTheStartLeavesNothingBehind) {
    const std::vector<std::string> fatal{
        "subscribe",          "use_system_thread_ids", "register_buffer_callbacks",
        "enable_callback 6",  "enable_activity 12",    "enable_activity 13",
        "enable_callback 5",  "enable_callback 3",     "enable_activity 10",
        "enable_activity 1",  "enable_activity 2",     "enable_activity 38",
        "enable_activity 17", "enable_runtime_api",    "enable_driver_api"};
    for (const std::string& call : fatal) {
        FakeCupti cupti;
        MemorySink sink;
        cupti.failing = call;
        cupti.failure = CUPTI_ERROR_NOT_SUPPORTED;
        Session session(cupti, sink, small_options());
        try {
            session.start();
            ADD_FAILURE() << call << " was not noticed";
        } catch (const Error& error) {
            EXPECT_EQ(ExitCode::kUnavailable, error.code());
            EXPECT_NE(std::string::npos, std::string(error.what()).find("result 27"))
                << error.what();
        }
        EXPECT_FALSE(cupti.subscribed) << call;
        EXPECT_EQ(nullptr, cupti.client) << call;
        EXPECT_FALSE(cupti.is_enabled(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL)) << call;
        EXPECT_EQ(0U, session.stop().rows.total());
    }
}

TEST(Session, DescriptionsOfTheMachineAreNotWorthFailingFor) {
    for (const char* call : {"enable_activity 8", "enable_activity 9", "enable_activity 37",
                             "enable_activity 46", "enable_activity 11", "set_attribute"}) {
        FakeCupti cupti;
        MemorySink sink;
        cupti.failing = call;
        Session session(cupti, sink, small_options());
        session.start();
        put_kernel(cupti, 1);
        EXPECT_EQ(1U, session.stop().rows.kernel) << call;
    }
}

TEST(Session, SaysWhoHoldsCupti) {
    FakeCupti cupti;
    MemorySink sink;
    cupti.failing = "subscribe";
    cupti.failure = CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
    cupti.holder = "Nsight";
    Session session(cupti, sink, small_options());
    try {
        session.start();
        ADD_FAILURE() << "started beside another profiler";
    } catch (const Error& error) {
        EXPECT_STREQ("CUPTI cannot record: another profiler is at work in this process (Nsight)",
                     error.what());
    }
}

TEST(Session, SlowSinkSlowsTheProgramAndLosesNothing) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    std::unique_lock slow(sink.gate);
    std::thread program([&] {
        for (std::uint32_t id = 1; id <= 2000; ++id) put_kernel(cupti, id);
    });
    std::this_thread::sleep_for(milliseconds(100));
    slow.unlock();
    program.join();
    const SessionReport report = session.stop();
    EXPECT_EQ(2000U, sink.rows.kernels.size());
    EXPECT_TRUE(report.lost.empty());
    EXPECT_GE(report.buffers.waits, 1U);
    EXPECT_EQ("8", sink.meta.at("cupti_buffers_peak"));
    EXPECT_TRUE(sink.meta.contains("cupti_buffer_wait_ns"));
}

TEST(Session, SinkThatIsStuckCostsRecordsThatAreCounted) {
    FakeCupti cupti;
    MemorySink sink;
    SessionOptions options = small_options();
    options.collect.patience = milliseconds(20);
    Session session(cupti, sink, options);
    session.start();
    std::unique_lock stuck(sink.gate);
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint32_t id = 1; id <= 3000; ++id) put_kernel(cupti, id);
    // One wait, not one a record.
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(2000));
    stuck.unlock();
    const SessionReport report = session.stop();
    const std::uint64_t there = sink.rows.kernels.size() + sink.rows.apis.size();
    EXPECT_LT(there, 6000U);
    EXPECT_EQ(6000U - there, report.lost.at("dropped"));
    EXPECT_EQ(std::to_string(6000 - there), sink.meta.at("lost_dropped"));
    EXPECT_GT(report.buffers.refused, 0U);
}

TEST(Session, FullDiskIsReportedAndTheProgramRunsOn) {
    FakeCupti cupti;
    MemorySink sink;
    sink.full_at = 500;
    Session session(cupti, sink, small_options());
    session.start();
    for (std::uint32_t id = 1; id <= 3000; ++id) put_kernel(cupti, id);
    const SessionReport report = session.stop();
    EXPECT_EQ("cannot write trace 't': disk full", report.failure);
    EXPECT_EQ(6000U, report.rows.total() + report.lost.at("unwritten"));
    EXPECT_EQ(report.rows.total(), sink.rows.size());
}

TEST(Session, CountsAllSignsOfLoss) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    cupti.extra_dropped = 3;
    put_kernel(cupti, 1);
    cupti.filler.put(test::kernel_record("kernel", 2, 0, 0));    // no times
    cupti.filler.put(test::kernel_record("kernel", 3, 50, 40));  // inverted
    for (std::uint32_t id = 10; id < 20; ++id) {                 // launched, never seen again
        cupti.filler.put(test::api_record(1, id, 1000 + id, 1001 + id, 77, 1));
    }
    CUpti_ActivityOverhead3 overhead{};
    overhead.kind = CUPTI_ACTIVITY_KIND_OVERHEAD;
    overhead.overheadKind = CUPTI_ACTIVITY_OVERHEAD_COMMAND_BUFFER_FULL;
    overhead.start = 5;
    overhead.end = 6;
    cupti.filler.put(overhead);
    const SessionReport report = session.stop();
    EXPECT_EQ((std::map<std::string, std::uint64_t>{
                  {"dropped", 3}, {"no_timestamp", 2}, {"unmatched", 5}}),
              report.lost);
    EXPECT_EQ("3", sink.meta.at("lost_dropped"));
    EXPECT_EQ("1", sink.meta.at("cupti_overhead_command_buffer_full"));
}

TEST(Session, StopsCallingCuptiThatGaveUp) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    put_kernel(cupti, 1);
    session.flush();
    CUpti_StateData state{};
    state.notification.result = CUPTI_ERROR_UNKNOWN;
    state.notification.message = "out of device memory";
    cupti.client->on_callback(CUPTI_CB_DOMAIN_STATE, CUPTI_CBID_STATE_FATAL_ERROR, &state);
    const int flushes = cupti.forced_flushes;
    const SessionReport report = session.stop();
    EXPECT_EQ("CUPTI gave up: out of device memory", report.failure);
    EXPECT_EQ("CUPTI gave up: out of device memory", sink.meta.at("recording_failure"));
    EXPECT_EQ(flushes, cupti.forced_flushes);
    EXPECT_EQ(1U, report.rows.kernel);
}

TEST(Session, CapturedLaunchesAreNoLossAndNodesLeadBackToTheirCapture) {
    FakeCupti cupti;
    MemorySink sink;
    SessionOptions options = small_options();
    options.collect.graph_nodes = true;
    Session session(cupti, sink, options);
    session.start();
    int captured = 0, clone = 0, second_clone = 0, unknown = 0;
    cupti.node_ids = {{&captured, 100}, {&clone, 200}, {&second_clone, 300}, {&unknown, 900}};
    const auto call_back = [&](CUpti_CallbackIdResource cbid, void* node, void* from) {
        CUpti_GraphData graph{};
        graph.node = static_cast<CUgraphNode>(node);
        graph.originalNode = static_cast<CUgraphNode>(from);
        CUpti_ResourceData resource{};
        resource.resourceDescriptor = &graph;
        cupti.client->on_callback(CUPTI_CB_DOMAIN_RESOURCE, cbid, &resource);
    };
    const auto tid = static_cast<std::uint32_t>(::gettid());
    const std::uint64_t begin = cupti.time;
    GraphNodes::set_thread_tag(41);
    call_back(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, &captured, nullptr);
    GraphNodes::set_thread_tag(-1);
    cupti.filler.put(test::api_record(1, 1, begin, cupti.time + 5, 77, tid));
    call_back(CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED, &clone, &captured);
    call_back(CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED, &second_clone, &clone);
    EXPECT_EQ(200U, session.graph_node_id(&clone));
    for (const std::uint64_t id : {100, 200, 300}) {
        const auto node = session.graph_nodes().find(id);
        ASSERT_TRUE(node);
        EXPECT_EQ(100U, node->original_id);
        EXPECT_EQ(41, node->tag);
    }
    EXPECT_FALSE(session.graph_nodes().find(900));
    EXPECT_TRUE(session.stop().lost.empty());
}

TEST(Session, CategoriesGetTheirNamesWhateverTheirNumber) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    for (const std::uint32_t id : {7U, UINT32_MAX}) {
        const struct {
            std::uint32_t category;
            const char* name;
        } params{id, "kinds"};
        CUpti_NvtxData data{};
        data.functionParams = &params;
        cupti.client->on_callback(CUPTI_CB_DOMAIN_NVTX, CUPTI_CBID_NVTX_nvtxNameCategoryA, &data);
    }
    session.stop();
    EXPECT_EQ("kinds", sink.categories.at({0, 7}));
    EXPECT_EQ("kinds", sink.categories.at({0, INT32_MAX}));
}

TEST(Session, ExternalIdsGoToCupti) {
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    session.push_external(5);
    EXPECT_EQ((std::vector<std::uint64_t>{5}), cupti.external);
    session.pop_external();
    EXPECT_THROW(session.pop_external(), Error);
}

TEST(Session, ChildOfForkTouchesNothing) {
    // A real one: in it there are neither the session's threads nor its locks' owners.
    FakeCupti cupti;
    MemorySink sink;
    Session session(cupti, sink, small_options());
    session.start();
    put_kernel(cupti, 1);
    session.flush();
    const pid_t child = ::fork();
    if (child == 0) {
        session.abandon_after_fork();
        std::size_t size = 0;
        const bool refused = cupti.client->request_buffer(&size) == nullptr;
        session.set_collecting(false);
        const bool still_on = cupti.enabled.contains(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
        ::_exit(refused && still_on && session.stop().rows.total() == 0 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(child, ::waitpid(child, &status, 0));
    EXPECT_EQ(0, status);
    EXPECT_EQ(1U, session.stop().rows.kernel);
}

TEST(Session, ManyThreadsStartAndStopWithoutLoss) {
    for (int round = 0; round < 20; ++round) {
        FakeCupti cupti;
        MemorySink sink;
        Session session(cupti, sink, small_options());
        session.start();
        std::vector<std::thread> threads;
        std::atomic<std::uint32_t> next{1};
        for (int thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&] {
                for (int i = 0; i < 200; ++i) put_kernel(cupti, next++);
            });
        }
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(800U, session.stop().rows.kernel);
        EXPECT_EQ(800U, sink.rows.kernels.size());
    }
}

}  // namespace
}  // namespace hc::cupti
