#include "engine/cache/kv_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace hc::cache {
namespace {

PoolGeometry small_geometry() {
    PoolGeometry geometry;
    geometry.num_layers = 2;
    geometry.num_kv_heads = 2;
    geometry.head_dim = 8;
    geometry.page_size = 4;
    geometry.type = kernels::KvType::kF32;
    return geometry;
}

void write(std::byte* row, float value) {
    for (int i = 0; i < 8; ++i) std::memcpy(row + i * 4, &value, 4);
}

float read(const std::byte* row, int element) {
    float value = 0;
    std::memcpy(&value, row + element * 4, 4);
    return value;
}

TEST(KvPool, CountsBytesOfPagesTakenAndOfPagesThere) {
    KvPool pool(small_geometry());
    EXPECT_EQ(pool.used_bytes(), 0);
    EXPECT_EQ(pool.reserved_bytes(), 0);
    pool.reserve(3);
    const std::int64_t page = 2 * 4 * 8 * 4;
    EXPECT_EQ(pool.reserved_bytes(), 3 * page);
    std::byte* a = pool.take_page();
    std::byte* b = pool.take_page();
    EXPECT_NE(a, b);
    EXPECT_EQ(pool.used_bytes(), 2 * page);
    pool.give_back(a);
    EXPECT_EQ(pool.used_bytes(), page);
    EXPECT_EQ(pool.reserved_bytes(), 3 * page);
    pool.give_back(b);
}

TEST(KvPool, ReserveCountsPagesThatAreFree) {
    KvPool pool(small_geometry());
    pool.reserve(2);
    std::byte* page = pool.take_page();
    const std::int64_t before = pool.reserved_bytes();
    pool.reserve(1);
    EXPECT_EQ(pool.reserved_bytes(), before);
    pool.reserve(2);
    EXPECT_EQ(pool.reserved_bytes(), before + pool.geometry().page_bytes());
    pool.give_back(page);
}

TEST(KvPool, GrowsWhenNothingWasReserved) {
    KvPool pool(small_geometry());
    std::vector<std::byte*> pages;
    for (int i = 0; i < 10000; ++i) {
        pages.push_back(pool.take_page());
        std::memset(pages.back(), i, static_cast<std::size_t>(pool.geometry().page_bytes()));
    }
    std::sort(pages.begin(), pages.end());
    EXPECT_EQ(std::unique(pages.begin(), pages.end()), pages.end());
    for (std::byte* page : pages) pool.give_back(page);
    EXPECT_EQ(pool.used_bytes(), 0);
}

TEST(HeadKv, KeepsRowsWhileItGrowsAndShrinksAcrossPages) {
    KvPool pool(small_geometry());
    HeadKv head(pool);
    std::mt19937 random(5);
    std::int64_t length = 0;
    for (int round = 0; round < 200; ++round) {
        const std::int64_t more = static_cast<std::int64_t>(random() % 7);
        head.extend(more);
        for (std::int64_t slot = length; slot < length + more; ++slot) {
            write(head.key(slot), static_cast<float>(slot));
            write(head.value(slot), -static_cast<float>(slot));
        }
        length += more;
        if (round % 5 == 4) {
            length = static_cast<std::int64_t>(random() % static_cast<unsigned>(length + 1));
            head.shrink(length);
        }
        ASSERT_EQ(head.length(), length);
        ASSERT_EQ(pool.used_bytes(), (length + 3) / 4 * pool.geometry().page_bytes());
        for (std::int64_t slot = 0; slot < length; ++slot) {
            ASSERT_EQ(read(head.key(slot), 7), static_cast<float>(slot));
            ASSERT_EQ(read(head.value(slot), 0), -static_cast<float>(slot));
        }
    }
}

TEST(HeadKv, ViewShowsKernelsTheLayoutOfAPage) {
    KvPool pool(small_geometry());
    HeadKv head(pool);
    head.extend(6);
    write(head.key(5), 3.0F);
    write(head.value(5), 4.0F);
    const kernels::PagedKv view = head.view();
    EXPECT_EQ(view.length, 6);
    EXPECT_EQ(view.page_size, 4);
    EXPECT_EQ(view.head_dim, 8);
    // Slot 5 is row 1 of page 1; values follow all keys of a page.
    EXPECT_EQ(read(view.pages[1] + 1 * 32, 2), 3.0F);
    EXPECT_EQ(read(view.pages[1] + (4 + 1) * 32, 2), 4.0F);
}

TEST(HeadKv, GivesItsPagesBackOnceEvenWhenMoved) {
    KvPool pool(small_geometry());
    {
        HeadKv head(pool);
        head.extend(9);
        EXPECT_EQ(head.pages_to_reach(12), 0);
        EXPECT_EQ(head.pages_to_reach(13), 1);
        const HeadKv moved(std::move(head));
        EXPECT_EQ(moved.length(), 9);
        EXPECT_EQ(pool.used_bytes(), 3 * pool.geometry().page_bytes());
    }
    EXPECT_EQ(pool.used_bytes(), 0);
}

TEST(HeadKv, TakesReservedPagesWithoutGrowingThePool) {
    KvPool pool(small_geometry());
    HeadKv head(pool);
    head.reserve(40);
    pool.reserve(head.pages_to_reach(40));
    const std::int64_t reserved = pool.reserved_bytes();
    for (int i = 0; i < 40; ++i) head.extend(1);
    EXPECT_EQ(pool.reserved_bytes(), reserved);
    EXPECT_EQ(pool.used_bytes(), reserved);
}

}  // namespace
}  // namespace hc::cache
