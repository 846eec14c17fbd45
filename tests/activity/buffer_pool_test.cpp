#include "profiler/activity/buffer_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

namespace hc::activity {
namespace {

using std::chrono::milliseconds;

TEST(BufferPool, HandsOutZeroedBuffersAndReusesTheLastOne) {
    BufferPool pool(4096, 3, milliseconds(0));
    std::byte* first = pool.request();
    ASSERT_NE(nullptr, first);
    std::memset(first, 0xff, 4096);
    pool.complete(first, 100);
    const auto filled = pool.take(milliseconds(0));
    ASSERT_TRUE(filled);
    EXPECT_EQ(first, filled->data);
    EXPECT_EQ(100U, filled->valid_bytes);
    pool.recycle(first);
    std::byte* again = pool.request();
    EXPECT_EQ(first, again);
    for (int i = 0; i < 4096; ++i) ASSERT_EQ(std::byte{0}, again[i]);
    EXPECT_EQ(1U, pool.counts().peak_in_use);
    pool.complete(again, 0);
}

TEST(BufferPool, GivesFilledBuffersInTheirOrder) {
    BufferPool pool(4096, 3, milliseconds(0));
    std::byte* a = pool.request();
    std::byte* b = pool.request();
    pool.complete(b, 1);
    pool.complete(a, 2);
    EXPECT_EQ(b, pool.take(milliseconds(0))->data);
    EXPECT_EQ(a, pool.take(milliseconds(0))->data);
    EXPECT_FALSE(pool.take(milliseconds(0)));
}

TEST(BufferPool, RefusesAndCountsWhenNoneIsFree) {
    BufferPool pool(4096, 2, milliseconds(5));
    std::byte* a = pool.request();
    std::byte* b = pool.request();
    EXPECT_EQ(nullptr, pool.request());
    EXPECT_EQ(1U, pool.counts().waits);
    // Nobody waits again until one came back.
    EXPECT_EQ(nullptr, pool.request());
    EXPECT_EQ(1U, pool.counts().waits);
    EXPECT_EQ(2U, pool.counts().refused);
    EXPECT_EQ(4U, pool.counts().requests);
    pool.complete(a, 0);
    pool.recycle(pool.take(milliseconds(0))->data);
    EXPECT_EQ(a, pool.request());
    EXPECT_EQ(nullptr, pool.request());
    EXPECT_EQ(2U, pool.counts().waits);
    pool.complete(a, 0);
    pool.complete(b, 0);
}

TEST(BufferPool, WaitingThreadGetsWhatTheDecoderGivesBack) {
    BufferPool pool(4096, 1, milliseconds(10'000));
    std::byte* only = pool.request();
    std::thread decoder([&] {
        std::this_thread::sleep_for(milliseconds(20));
        pool.complete(only, 8);
        pool.recycle(pool.take(milliseconds(1000))->data);
    });
    EXPECT_EQ(only, pool.request());
    decoder.join();
    EXPECT_EQ(1U, pool.counts().waits);
    EXPECT_EQ(0U, pool.counts().refused);
    EXPECT_GT(pool.counts().waited_ns, 1'000'000);
    pool.complete(only, 0);
}

TEST(BufferPool, IgnoresPointersThatAreNotItsOwn) {
    BufferPool pool(4096, 2, milliseconds(0));
    std::byte* a = pool.request();
    std::byte other[64];
    pool.complete(other, 10);
    pool.complete(a + 8, 10);
    pool.complete(nullptr, 10);
    pool.complete(a, 1 << 20);  // more than it has room for
    pool.complete(a, 5);        // twice
    const auto filled = pool.take(milliseconds(0));
    ASSERT_TRUE(filled);
    EXPECT_EQ(4096U, filled->valid_bytes);
    EXPECT_FALSE(pool.take(milliseconds(0)));
}

TEST(BufferPool, ClosedPoolRefusesAndWaitsForNothing) {
    BufferPool pool(4096, 1, milliseconds(10'000));
    std::byte* only = pool.request();
    std::thread closer([&] {
        std::this_thread::sleep_for(milliseconds(10));
        pool.close();
    });
    EXPECT_EQ(nullptr, pool.request());
    closer.join();
    EXPECT_FALSE(pool.take(milliseconds(10'000)));
    pool.complete(only, 3);
    EXPECT_TRUE(pool.take(milliseconds(0)));
}

TEST(BufferPool, ManyThreadsLoseNothing) {
    constexpr int kThreads = 4, kRounds = 2000;
    BufferPool pool(4096, 3, milliseconds(10'000));
    std::atomic<bool> done{false};
    std::uint64_t sum = 0;
    std::thread decoder([&] {
        while (true) {
            const auto filled = pool.take(milliseconds(5));
            if (!filled) {
                if (done && pool.counts().filled == 0) return;
                continue;
            }
            std::uint64_t value = 0;
            std::memcpy(&value, filled->data, sizeof(value));
            sum += value;
            pool.recycle(filled->data);
        }
    });
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&pool] {
            for (std::uint64_t round = 1; round <= kRounds; ++round) {
                std::byte* buffer = pool.request();
                ASSERT_NE(nullptr, buffer);
                std::memcpy(buffer, &round, sizeof(round));
                pool.complete(buffer, sizeof(round));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    done = true;
    decoder.join();
    EXPECT_EQ(std::uint64_t{kThreads} * kRounds * (kRounds + 1) / 2, sum);
    EXPECT_EQ(0U, pool.counts().refused);
    EXPECT_LE(pool.counts().peak_in_use, 3U);
}

}  // namespace
}  // namespace hc::activity
