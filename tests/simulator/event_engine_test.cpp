#include "simulator/replay/event_engine.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

TEST(EventEngine, RunsTheTasksOfOneStreamOneAfterTheOther) {
    EventEngine engine;
    const StreamId stream = engine.add_stream();
    engine.add_task({.stream = stream, .gap_ns = 5, .work_ns = 100});
    engine.add_task({.stream = stream, .gap_ns = 7, .latency_ns = 3, .work_ns = 50});
    engine.add_task({.stream = stream, .work_ns = 0});
    const auto times = engine.run();
    EXPECT_EQ(times[0].start_ns, 5);
    EXPECT_EQ(times[0].end_ns, 105);
    EXPECT_EQ(times[1].issued_ns, 112);
    EXPECT_EQ(times[1].start_ns, 115);
    EXPECT_EQ(times[1].end_ns, 165);
    EXPECT_EQ(times[2].end_ns, 165);
}

TEST(EventEngine, FanInWaitsForTheLastOfItsDependencies) {
    EventEngine engine;
    std::vector<TaskId> sources;
    for (int i = 0; i < 4; ++i) {
        const StreamId stream = engine.add_stream();
        sources.push_back(engine.add_task({.stream = stream, .work_ns = 10 * (i + 1)}));
    }
    const StreamId stream = engine.add_stream();
    const TaskId join = engine.add_task({.stream = stream, .gap_ns = 15, .work_ns = 1});
    for (const TaskId source : sources) engine.add_dependency(source, join);
    const auto times = engine.run();
    const TaskTimes& t = times[static_cast<std::size_t>(join)];
    EXPECT_EQ(t.issued_ns, 15);
    EXPECT_EQ(t.ready_ns, 40);
    EXPECT_EQ(t.start_ns, 40);
    EXPECT_EQ(t.end_ns, 41);
}

TEST(EventEngine, ADependencyThatEndedEarlierCostsNothing) {
    EventEngine engine;
    const StreamId a = engine.add_stream();
    const StreamId b = engine.add_stream();
    const TaskId first = engine.add_task({.stream = a, .work_ns = 10});
    const TaskId late = engine.add_task({.stream = b, .gap_ns = 30, .work_ns = 5});
    engine.add_dependency(first, late);
    const auto times = engine.run();
    EXPECT_EQ(times[1].ready_ns, 30);
    EXPECT_EQ(times[1].end_ns, 35);
}

TEST(EventEngine, ADelayCountsFromTheEndOfTheDependencyOnly) {
    // Busy until 50, dependency at 10 + 20: the delay is over before the stream is free.
    EventEngine engine;
    const StreamId a = engine.add_stream();
    const StreamId b = engine.add_stream();
    const TaskId first = engine.add_task({.stream = a, .work_ns = 10});
    const TaskId soon = engine.add_task({.stream = b, .work_ns = 50});
    const TaskId next = engine.add_task({.stream = b, .work_ns = 5});
    engine.add_dependency(first, soon, 20);
    engine.add_dependency(first, next, 100);
    const auto times = engine.run();
    EXPECT_EQ(times[1].start_ns, 30);
    EXPECT_EQ(times[2].start_ns, 110);
}

TEST(EventEngine, ALaunchThreadBoundsAFastStream) {
    // Launches take 10 each, kernels 3: the stream follows the host.
    EventEngine engine;
    const StreamId host = engine.add_stream();
    const StreamId device = engine.add_stream();
    TaskId last = -1;
    for (int i = 0; i < 5; ++i) {
        const TaskId launch = engine.add_task({.stream = host, .work_ns = 10});
        last = engine.add_task({.stream = device, .work_ns = 3});
        engine.add_dependency(launch, last);
    }
    EXPECT_EQ(engine.run()[static_cast<std::size_t>(last)].end_ns, 53);
}

TEST(EventEngine, OneLinkServesCopiesOneAtATime) {
    // Three streams, one copy each, all ready at 0: 100 + 100 + 100, in the order of streams.
    EventEngine engine;
    const ServerId link = engine.add_server();
    for (int i = 0; i < 3; ++i) {
        const StreamId stream = engine.add_stream();
        engine.add_task({.stream = stream,
                         .server = link,
                         .load = Load::kTransfer,
                         .latency_ns = 10,
                         .work_ns = 90});
    }
    const auto times = engine.run();
    EXPECT_EQ(times[0].end_ns, 100);
    EXPECT_EQ(times[1].end_ns, 200);
    EXPECT_EQ(times[2].start_ns, 210);
    EXPECT_EQ(times[2].end_ns, 300);
}

TEST(EventEngine, TheLinkStaysWithTheCurrentStream) {
    // Stream a has two copies; b's was ready before a's second, yet a's second goes first.
    EventEngine engine;
    const ServerId link = engine.add_server();
    const StreamId a = engine.add_stream();
    const StreamId b = engine.add_stream();
    engine.add_task({.stream = a, .server = link, .work_ns = 100});
    engine.add_task({.stream = a, .server = link, .work_ns = 100});
    engine.add_task({.stream = b, .server = link, .gap_ns = 20, .work_ns = 100});
    const auto times = engine.run();
    EXPECT_EQ(times[1].end_ns, 200);
    EXPECT_EQ(times[2].ready_ns, 20);
    EXPECT_EQ(times[2].end_ns, 300);
}

TEST(EventEngine, AGapOnTheCurrentStreamGivesTheLinkAway) {
    EventEngine engine;
    const ServerId link = engine.add_server();
    const StreamId a = engine.add_stream();
    const StreamId b = engine.add_stream();
    engine.add_task({.stream = a, .server = link, .work_ns = 100});
    engine.add_task({.stream = a, .server = link, .gap_ns = 1, .work_ns = 100});
    engine.add_task({.stream = b, .server = link, .gap_ns = 20, .work_ns = 100});
    const auto times = engine.run();
    EXPECT_EQ(times[2].end_ns, 200);
    EXPECT_EQ(times[1].end_ns, 300);
}

TEST(EventEngine, DirectionsHaveServersOfTheirOwn) {
    EventEngine engine;
    const ServerId up = engine.add_server();
    const ServerId down = engine.add_server();
    const StreamId a = engine.add_stream();
    const StreamId b = engine.add_stream();
    engine.add_task({.stream = a, .server = up, .work_ns = 100});
    engine.add_task({.stream = b, .server = down, .work_ns = 100});
    const auto times = engine.run();
    EXPECT_EQ(times[0].end_ns, 100);
    EXPECT_EQ(times[1].end_ns, 100);
}

TEST(EventEngine, ATransferSlowsTheComputationBesideItByTheFactor) {
    // Factor 0.5: a transfer of 60 lets computation do 40 of work; 100 take 60 + 60 = 120.
    EventEngine engine;
    engine.set_interference(0.5);
    const StreamId compute = engine.add_stream();
    const StreamId fetch = engine.add_stream();
    engine.add_task({.stream = compute, .load = Load::kCompute, .work_ns = 100});
    engine.add_task({.stream = fetch, .load = Load::kTransfer, .work_ns = 60});
    const auto times = engine.run();
    EXPECT_EQ(times[1].end_ns, 60);
    EXPECT_EQ(times[0].end_ns, 120);
}

TEST(EventEngine, OnlyTheOverlappedPartIsSlower) {
    // The transfer runs 40..80, factor 1: 40 before it, 20 during it, 40 after it.
    EventEngine engine;
    engine.set_interference(1.0);
    const StreamId compute = engine.add_stream();
    const StreamId fetch = engine.add_stream();
    engine.add_task({.stream = compute, .load = Load::kCompute, .work_ns = 100});
    engine.add_task(
        {.stream = fetch, .load = Load::kTransfer, .gap_ns = 30, .latency_ns = 10, .work_ns = 40});
    const auto times = engine.run();
    EXPECT_EQ(times[1].start_ns, 40);
    EXPECT_EQ(times[1].end_ns, 80);
    EXPECT_EQ(times[0].end_ns, 120);
}

TEST(EventEngine, TwoTransfersSlowNoMoreThanOne) {
    EventEngine engine;
    engine.set_interference(1.0);
    const StreamId compute = engine.add_stream();
    for (int i = 0; i < 2; ++i) {
        const StreamId fetch = engine.add_stream();
        engine.add_task({.stream = fetch, .load = Load::kTransfer, .work_ns = 40});
    }
    engine.add_task({.stream = compute, .load = Load::kCompute, .work_ns = 100});
    EXPECT_EQ(engine.run()[2].end_ns, 120);
}

TEST(EventEngine, CopiesBothWaysShareTheLink) {
    // Alone 100 and 50 ns; together 1.25 times as fast as one, so each at 0.625 of its speed.
    EventEngine engine;
    engine.set_link_cap(1.25);
    const StreamId down = engine.add_stream();
    const StreamId up = engine.add_stream();
    const ServerId h2d = engine.add_server();
    const ServerId d2h = engine.add_server();
    const TaskId long_copy = engine.add_task(
        {.stream = down, .server = h2d, .load = Load::kTransfer, .work_ns = 100'000});
    const TaskId short_copy =
        engine.add_task({.stream = up, .server = d2h, .load = Load::kTransfer, .work_ns = 50'000});
    const auto times = engine.run();
    // The short one: 50 / 0.625 = 80. By then the long one has 50 left, and the link for itself.
    EXPECT_EQ(times[static_cast<std::size_t>(short_copy)].end_ns, 80'000);
    EXPECT_EQ(times[static_cast<std::size_t>(long_copy)].end_ns, 130'000);
}

TEST(EventEngine, AWideLinkBothWaysLimitsNothing) {
    EventEngine engine;
    engine.set_link_cap(2);
    for (int direction = 0; direction < 2; ++direction) {
        engine.add_task({.stream = engine.add_stream(),
                         .server = engine.add_server(),
                         .load = Load::kTransfer,
                         .work_ns = 70'000});
    }
    for (const TaskTimes& t : engine.run()) EXPECT_EQ(t.end_ns, 70'000);
    EXPECT_THROW(engine.set_link_cap(0.5), Error);
}

TEST(EventEngine, KernelsShareAPoolOfMultiprocessors) {
    EventEngine engine;
    const ServerId sms = engine.add_server(4);
    const auto kernel = [&](std::int32_t slots, std::int64_t work) {
        return static_cast<std::size_t>(engine.add_task({.stream = engine.add_stream(),
                                                         .server = sms,
                                                         .slots = slots,
                                                         .load = Load::kCompute,
                                                         .work_ns = work}));
    };
    const std::size_t half = kernel(2, 10);
    const std::size_t other_half = kernel(2, 30);
    const std::size_t whole = kernel(4, 5);
    const std::size_t small = kernel(1, 1);
    const auto times = engine.run();
    EXPECT_EQ(times[half].end_ns, 10);
    EXPECT_EQ(times[other_half].end_ns, 30);
    EXPECT_EQ(times[whole].start_ns, 30);  // needs all four
    EXPECT_EQ(times[small].start_ns, 35);  // does not pass what waits longer
}

TEST(EventEngine, HostWorkersGatherSideBySideAndTheLinkFollows) {
    // Three gathers of 10 by two threads, each followed by a copy of 4 on one link.
    EventEngine engine;
    const ServerId threads = engine.add_server(2);
    const ServerId link = engine.add_server();
    std::vector<std::size_t> copies;
    for (int i = 0; i < 3; ++i) {
        const StreamId stream = engine.add_stream();
        engine.add_task({.stream = stream, .server = threads, .work_ns = 10});
        copies.push_back(static_cast<std::size_t>(engine.add_task(
            {.stream = stream, .server = link, .load = Load::kTransfer, .work_ns = 4})));
    }
    const auto times = engine.run();
    EXPECT_EQ(times[copies[0]].end_ns, 14);
    EXPECT_EQ(times[copies[1]].end_ns, 18);
    EXPECT_EQ(times[copies[2]].end_ns, 24);
}

TEST(EventEngine, GivesEqualTimesOnEveryRun) {
    std::mt19937 random(7);
    EventEngine engine;
    engine.set_interference(0.37);
    const ServerId link = engine.add_server();
    for (int i = 0; i < 4; ++i) engine.add_stream();
    for (int i = 0; i < 2000; ++i) {
        const auto stream = static_cast<StreamId>(random() % 4);
        const TaskId task =
            engine.add_task({.stream = stream,
                             .server = stream == 3 ? link : kNoServer,
                             .load = stream == 3 ? Load::kTransfer : Load::kCompute,
                             .gap_ns = static_cast<std::int64_t>(random() % 5),
                             .work_ns = static_cast<std::int64_t>(random() % 1000)});
        if (task > 0)
            engine.add_dependency(static_cast<TaskId>(random() % static_cast<unsigned>(task)),
                                  task);
    }
    const auto a = engine.run();
    const auto b = engine.run();
    for (std::size_t i = 0; i < a.size(); ++i) {
        ASSERT_EQ(a[i].start_ns, b[i].start_ns);
        ASSERT_EQ(a[i].end_ns, b[i].end_ns);
        ASSERT_GE(a[i].end_ns - a[i].start_ns, engine.task(static_cast<TaskId>(i)).work_ns);
    }
}

TEST(EventEngine, RefusesAnInterferenceThatIsNoFactor) {
    EventEngine engine;
    EXPECT_THROW(engine.set_interference(-0.1), Error);
    EXPECT_THROW(engine.set_interference(1e9), Error);
}

TEST(EventEngineDeathTest, TasksThatWaitForEachOtherAreABug) {
    EventEngine engine;
    const StreamId a = engine.add_stream();
    const StreamId b = engine.add_stream();
    const TaskId first = engine.add_task({.stream = a, .work_ns = 1});
    const TaskId second = engine.add_task({.stream = b, .work_ns = 1});
    engine.add_dependency(first, second);
    engine.add_dependency(second, first);
    EXPECT_DEATH((void)engine.run(), "finished_");
}

}  // namespace
}  // namespace hc::sim
