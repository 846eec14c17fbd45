#include "engine/cache/host_tier.h"

#include <gtest/gtest.h>

#include <cstring>

namespace hc::cache {
namespace {

TEST(HostTier, HoldsExactlyTheHeadsListedAndTheirBytes) {
    const HostTier tier({{3, 1}, {0, 2}, {3, 0}}, 10, 16);
    EXPECT_EQ(tier.size_bytes(), 3 * 10 * 2 * 16);
    EXPECT_EQ(tier.row_bytes(), 32);
    EXPECT_EQ(tier.prompt(), 10);
    EXPECT_TRUE(tier.holds({0, 2}));
    EXPECT_TRUE(tier.holds({3, 0}));
    EXPECT_FALSE(tier.holds({3, 2}));
    EXPECT_FALSE(tier.holds({1, 0}));
}

TEST(HostTier, KeepsTheRowsOfHeadsApart) {
    HostTier tier({{1, 1}, {1, 0}, {0, 0}}, 5, 8);
    int fill = 1;
    for (const HeadId head : {HeadId{0, 0}, HeadId{1, 0}, HeadId{1, 1}}) {
        std::memset(tier.rows(head), fill++, 5 * 16);
    }
    fill = 1;
    for (const HeadId head : {HeadId{0, 0}, HeadId{1, 0}, HeadId{1, 1}}) {
        const std::byte* rows = tier.rows(head);
        for (int i = 0; i < 5 * 16; ++i) ASSERT_EQ(rows[i], static_cast<std::byte>(fill));
        ++fill;
    }
}

TEST(HostTier, MayHoldNothing) {
    const HostTier tier({}, 100, 16);
    EXPECT_EQ(tier.size_bytes(), 0);
    EXPECT_FALSE(tier.holds({0, 0}));
}

TEST(HostTierDeathTest, TakesAHeadThatItDoesNotHoldForABug) {
    const HostTier tier({{0, 0}}, 4, 8);
    EXPECT_DEATH(static_cast<void>(tier.rows({0, 1})), "found");
}

}  // namespace
}  // namespace hc::cache
