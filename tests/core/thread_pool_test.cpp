#include "engine/core/thread_pool.h"

#include <atomic>
#include <gtest/gtest.h>
#include <numeric>
#include <vector>

namespace hc {
namespace {

TEST(ThreadPool, RunsTheBodyOnceOnEveryWorker) {
    ThreadPool pool(4);
    std::vector<int> calls(4, 0);
    for (int round = 0; round < 100; ++round) pool.run([&](int worker) { ++calls[static_cast<std::size_t>(worker)]; });
    for (const int c : calls) EXPECT_EQ(c, 100);
}

TEST(ThreadPool, VisitsEveryIndexExactlyOnceWhateverTheGrain) {
    ThreadPool pool(3);
    for (const std::int64_t count : {0, 1, 2, 7, 100, 1001}) {
        for (const std::int64_t grain : {1, 3, 64, 5000}) {
            std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
            pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t i = begin; i < end; ++i) seen[static_cast<std::size_t>(i)].fetch_add(1);
            });
            for (const auto& s : seen) ASSERT_EQ(s.load(), 1);
        }
    }
}

TEST(ThreadPool, WakesWorkersThatFellAsleep) {
    ThreadPool pool(2);
    for (int round = 0; round < 3; ++round) {
        std::atomic<int> sum{0};
        pool.run([&](int worker) { sum += worker + 1; });
        EXPECT_EQ(sum.load(), 3);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

TEST(ThreadPool, ManyShortLoopsBackToBackLoseNothing) {
    ThreadPool pool(4);
    std::int64_t expected = 0;
    std::atomic<std::int64_t> sum{0};
    for (std::int64_t round = 0; round < 5000; ++round) {
        const std::int64_t count = round % 9;
        pool.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end, int) { sum += end - begin; });
        expected += count;
        if (round % 7 == 0) {
            std::atomic<int> calls{0};
            pool.run([&](int) { ++calls; });
            ASSERT_EQ(calls.load(), 4);
        }
    }
    EXPECT_EQ(sum.load(), expected);
}

TEST(ThreadPool, OfOneRunsOnTheCaller) {
    ThreadPool pool(1);
    const auto caller = std::this_thread::get_id();
    pool.run([&](int) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

}  // namespace
}  // namespace hc
