#include "engine/runtime/synthetic_drift.h"

#include <gmock/gmock.h>

#include "engine/core/error.h"

namespace hc::runtime {
namespace {

TEST(SyntheticDrift, IsReadInAnyOrderAndWrittenBack) {
    const SyntheticDrift drift = parse_synthetic_drift("synthetic:run=7,rate=0.25,seed=9,new=1");
    EXPECT_EQ(drift.rate, 0.25);
    EXPECT_EQ(drift.new_rows, 1);
    EXPECT_EQ(drift.run, 7);
    EXPECT_EQ(drift.seed, 9U);
    const SyntheticDrift again = parse_synthetic_drift(to_string(drift));
    EXPECT_EQ(again.rate, drift.rate);
    EXPECT_EQ(again.new_rows, drift.new_rows);
    EXPECT_EQ(again.run, drift.run);
    EXPECT_EQ(again.seed, drift.seed);
}

TEST(SyntheticDrift, HasDefaultsForWhatIsLeftOut) {
    const SyntheticDrift drift = parse_synthetic_drift("synthetic");
    EXPECT_EQ(drift.rate, 0.15);
    EXPECT_EQ(parse_synthetic_drift("synthetic:new=0").new_rows, 0);
}

TEST(SyntheticDrift, NamesWhatIsWrong) {
    const auto message = [](const char* text) -> std::string {
        try {
            static_cast<void>(parse_synthetic_drift(text));
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::kUsage);
            return error.what();
        }
        return "accepted";
    };
    EXPECT_THAT(message("trace:x"), ::testing::HasSubstr("trace:x"));
    EXPECT_THAT(message("synthetic:rate=2"), ::testing::HasSubstr("rate=2"));
    EXPECT_THAT(message("synthetic:rate=0.1x"), ::testing::HasSubstr("0.1x"));
    EXPECT_THAT(message("synthetic:run=0"), ::testing::HasSubstr("run=0"));
    EXPECT_THAT(message("synthetic:speed=1"), ::testing::HasSubstr("speed"));
    EXPECT_THAT(message("synthetic:rate"), ::testing::HasSubstr("rate="));
    EXPECT_THAT(message("synthetic:rate=nan"), ::testing::HasSubstr("nan"));
}

TEST(SyntheticDrift, TakesRecordedChecksInTurnAndStarsModuloTheirNumber) {
    SyntheticDrift drift;
    drift.told = {{{true, 0.5, 3}, {false, 0, 1}}, {{true, 0.25, 7}}};
    drift.told_by = "trace:a.sqlite,run=2";
    EXPECT_EQ(to_string(drift), "trace:a.sqlite,run=2");
    // Window 5: the first check of a star is at one of the steps 5 to 9.
    EXPECT_TRUE(told_check(drift, 0, 5, 5).triggered);
    EXPECT_TRUE(told_check(drift, 0, 9, 5).triggered);
    EXPECT_FALSE(told_check(drift, 0, 10, 5).triggered);
    EXPECT_TRUE(told_check(drift, 0, 15, 5).triggered);
    EXPECT_EQ(told_check(drift, 1, 40, 5).run, 7);
    EXPECT_EQ(told_check(drift, 3, 5, 5).run, 7);
    EXPECT_EQ(told_check(drift, 4, 5, 5).new_rows, 0.5);
}

}  // namespace
}  // namespace hc::runtime
