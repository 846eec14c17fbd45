#include "profiler/activity/loss_audit.h"

#include <gtest/gtest.h>

namespace hc::activity {
namespace {

using Lost = std::map<std::string, std::uint64_t>;

TEST(LossAudit, NothingIsLostWhenEveryLaunchHasItsKernel) {
    LossAudit audit;
    for (std::uint32_t id = 1; id <= 10'000; ++id) {
        if (id % 2 == 0) audit.launched(id, 1, id, id + 1);
        audit.recorded(id);
        if (id % 2 == 1) audit.launched(id, 1, id, id + 1);  // in either order
    }
    audit.recorded(20'000);  // a copy: no launch
    EXPECT_EQ(0U, audit.unmatched());
    EXPECT_EQ(Lost{}, audit.lost());
}

TEST(LossAudit, CountsLaunchesWithoutAKernel) {
    LossAudit audit;
    for (std::uint32_t id = 1; id <= 100; ++id) audit.launched(id, 1, id, id);
    for (std::uint32_t id = 1; id <= 97; ++id) audit.recorded(id);
    EXPECT_EQ(3U, audit.unmatched());
    EXPECT_EQ((Lost{{"unmatched", 3}}), audit.lost());
}

TEST(LossAudit, OtherCausesExplainLaunchesWithoutAKernel) {
    LossAudit audit;
    for (std::uint32_t id = 1; id <= 10; ++id) audit.launched(id, 1, id, id);
    audit.dropped(4);
    audit.without_time();
    EXPECT_EQ((Lost{{"dropped", 4}, {"no_timestamp", 1}, {"unmatched", 5}}), audit.lost());
    audit.dropped(20);
    EXPECT_EQ((Lost{{"dropped", 24}, {"no_timestamp", 1}}), audit.lost());
}

TEST(LossAudit, CapturedLaunchesAwaitNoKernel) {
    LossAudit audit;
    audit.captured(1, 150);
    audit.launched(1, 1, 100, 200);  // around the node's creation
    audit.launched(2, 2, 100, 200);  // another thread
    audit.launched(3, 1, 200, 300);  // later
    EXPECT_EQ(2U, audit.unmatched());
}

TEST(LossAudit, CountsWhatLiesFarBack) {
    LossAudit audit;
    constexpr std::uint32_t kLast = 60'000'000;
    for (std::uint32_t id = 1; id <= kLast; ++id) {
        audit.launched(id, 1, id, id);
        if (id % 1'000'000 != 0) audit.recorded(id);
    }
    EXPECT_EQ(60U, audit.unmatched());
}

TEST(LossAudit, ToleratesIdsThatAreNoCount) {
    LossAudit audit;
    audit.launched(4'000'000'000U, 1, 1, 1);
    audit.recorded(4'000'000'000U);
    audit.launched(5, 1, 1, 1);
    audit.recorded(0xffffffff);
    EXPECT_EQ(0U, audit.unmatched());
}

}  // namespace
}  // namespace hc::activity
