#include "engine/cache/fetch_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "engine/core/clock.h"

namespace hc::cache {
namespace {

constexpr std::int64_t kPrompt = 200;
constexpr std::int64_t kRowBytes = 12;  // of K, and of V

/// Every byte tells which head and row it belongs to.
std::byte mark(HeadId head, Position row, std::int64_t byte) {
    return static_cast<std::byte>(
        (head.layer * 61 + head.head * 17 + static_cast<int>(row) * 3 + static_cast<int>(byte)) &
        0xFF);
}

HostTier marked_tier() {
    HostTier tier({{0, 0}, {0, 2}, {1, 1}}, kPrompt, kRowBytes);
    for (const HeadId head : {HeadId{0, 0}, HeadId{0, 2}, HeadId{1, 1}}) {
        for (Position row = 0; row < kPrompt; ++row) {
            for (std::int64_t byte = 0; byte < tier.row_bytes(); ++byte) {
                tier.rows(head)[row * tier.row_bytes() + byte] = mark(head, row, byte);
            }
        }
    }
    return tier;
}

Positions random_rows(std::mt19937& random, double share) {
    Positions rows;
    std::uniform_real_distribution<double> coin;
    for (Position row = 0; row < kPrompt; ++row) {
        if (coin(random) < share) rows.push_back(row);
    }
    return rows;
}

std::int64_t runs_of(const Positions& rows) {
    std::int64_t runs = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        runs += i == 0 || rows[i] != rows[i - 1] + 1 ? 1 : 0;
    }
    return runs;
}

void expect_staged(const FetchQueue& queue, FetchTicket ticket,
                   const std::vector<FetchPiece>& pieces) {
    ASSERT_EQ(queue.pieces(ticket).size(), pieces.size());
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const std::span<const std::byte> staged = queue.staged(ticket, i);
        ASSERT_EQ(staged.size(), pieces[i].rows.size() * 2 * kRowBytes);
        std::size_t at = 0;
        for (const Position row : pieces[i].rows) {
            for (std::int64_t byte = 0; byte < 2 * kRowBytes; ++byte) {
                ASSERT_EQ(staged[at++], mark(pieces[i].head, row, byte));
            }
        }
    }
}

class FetchQueueBothWays : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Ways, FetchQueueBothWays, ::testing::Bool(), [](const auto& param) {
    return param.param ? "asynchronous" : "immediate";
});

TEST_P(FetchQueueBothWays, BringsTheRowsAskedForAndCountsRunsAndBytes) {
    const HostTier tier = marked_tier();
    FetchQueue queue(GetParam());
    std::mt19937 random(1);
    for (int round = 0; round < 50; ++round) {
        const std::vector<FetchPiece> pieces = {
            {{0, 2}, random_rows(random, 0.3)}, {{1, 1}, random_rows(random, 0.9)}, {{0, 0}, {}}};
        const std::int64_t before = now_ns();
        const FetchTicket ticket = queue.submit(tier, pieces);
        EXPECT_GE(queue.wait(ticket), 0);
        EXPECT_TRUE(queue.done(ticket));
        expect_staged(queue, ticket, pieces);
        const FetchTimes times = queue.times(ticket);
        EXPECT_EQ(times.runs, runs_of(pieces[0].rows) + runs_of(pieces[1].rows));
        EXPECT_EQ(times.bytes,
                  static_cast<std::int64_t>(pieces[0].rows.size() + pieces[1].rows.size()) * 2 *
                      kRowBytes);
        EXPECT_LE(before, times.queued_ns);
        EXPECT_LE(times.queued_ns, times.start_ns);
        EXPECT_LE(times.start_ns, times.end_ns);
        EXPECT_LE(times.end_ns, now_ns());
        queue.release(ticket);
    }
}

TEST_P(FetchQueueBothWays, KeepsStagedRowsUntilReleaseWhileOthersRun) {
    const HostTier tier = marked_tier();
    FetchQueue queue(GetParam());
    std::mt19937 random(2);
    std::vector<std::pair<FetchTicket, std::vector<FetchPiece>>> open;
    for (int round = 0; round < 300; ++round) {
        std::vector<FetchPiece> pieces = {{{0, 0}, random_rows(random, 0.5)}};
        const FetchTicket ticket = queue.submit(tier, pieces);
        open.emplace_back(ticket, std::move(pieces));
        if (open.size() < 4) continue;
        const std::size_t pick = random() % open.size();
        queue.wait(open[pick].first);
        expect_staged(queue, open[pick].first, open[pick].second);
        queue.release(open[pick].first);
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
    }
    for (const auto& [ticket, pieces] : open) {
        queue.wait(ticket);
        expect_staged(queue, ticket, pieces);
    }
}

TEST_P(FetchQueueBothWays, ReusesReleasedStaging) {
    const HostTier tier = marked_tier();
    FetchQueue queue(GetParam());
    std::mt19937 random(3);
    const std::vector<FetchPiece> pieces = {{{0, 0}, random_rows(random, 0.5)}};
    for (int round = 0; round < 20; ++round) {
        const FetchTicket ticket = queue.submit(tier, pieces);
        queue.wait(ticket);
        queue.release(ticket);
    }
    EXPECT_EQ(queue.staging_bytes(),
              static_cast<std::int64_t>(pieces[0].rows.size()) * 2 * kRowBytes);
}

TEST(FetchQueue, ReleaseDropsWhatIsQueuedAndWaitsForWhatRuns) {
    std::mt19937 random(4);
    FetchQueue queue(true);
    for (int round = 0; round < 200; ++round) {
        // The tier dies right after the release: nothing may read it any more.
        const auto tier = std::make_unique<HostTier>(marked_tier());
        const FetchTicket first = queue.submit(*tier, {{{0, 0}, random_rows(random, 0.9)}});
        const FetchTicket second = queue.submit(*tier, {{{1, 1}, random_rows(random, 0.9)}});
        queue.release(second);
        queue.release(first);
    }
    SUCCEED();
}

TEST(FetchQueue, EndsWithWorkQueued) {
    const HostTier tier = marked_tier();
    std::mt19937 random(5);
    for (int round = 0; round < 100; ++round) {
        FetchQueue queue(true);
        for (int i = 0; i < round % 7; ++i) {
            static_cast<void>(queue.submit(tier, {{{0, 2}, random_rows(random, 0.9)}}));
        }
    }
    SUCCEED();
}

TEST(FetchQueue, ServesSeveralCallersAtOnce) {
    const HostTier tier = marked_tier();
    FetchQueue queue(true);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (unsigned caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&, caller] {
            std::mt19937 random(caller);
            for (int round = 0; round < 100; ++round) {
                const Positions rows = random_rows(random, 0.4);
                const FetchTicket ticket = queue.submit(tier, {{{0, 0}, rows}});
                queue.wait(ticket);
                const std::span<const std::byte> staged = queue.staged(ticket, 0);
                for (std::size_t i = 0; i < rows.size(); ++i) {
                    if (staged[i * 2 * kRowBytes] != mark({0, 0}, rows[i], 0)) ++wrong;
                }
                queue.release(ticket);
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace hc::cache
