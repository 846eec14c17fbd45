// --drift trace:FILE, from a trace with hand-made checks to what they tell.
#include "cli/drift_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>

#include "engine/core/error.h"
#include "profiler/trace/writer.h"
#include "tests/support/paths.h"

namespace hc::cli {
namespace {

using ::testing::HasSubstr;

class DriftSource : public ::testing::Test {
protected:
    /// Two stars of two checks; the first star's second check triggers and fetches 30 of 120 rows in
    /// 6 runs. Run 0 has no checks.
    DriftSource() : path_((folder_.path() / "run.sqlite").string()) {
        trace::Writer writer(path_, {});
        trace::Run run;
        run.policy = "fullkv";
        trace::Machine machine;
        machine.name = "test";
        static_cast<void>(writer.begin_run(run, machine));
        run.policy = "heterocache";
        run.prompt_tokens = 1000;
        const trace::RunId id = writer.begin_run(run, machine);
        std::int64_t check = 0;
        for (const std::int32_t layer : {7, 3}) {
            for (const std::int64_t step : {10, 5}) {
                DriftRecord record;
                record.check_id = check++;
                record.op_id = 0;
                record.step = step;
                record.layer = layer;
                record.overlaps = {0.5};
                record.triggered = layer == 3 && step == 10;
                writer.add_drift(id, record);
                if (!record.triggered) continue;
                FetchRecord fetch;
                fetch.id = 0;
                fetch.check_id = record.check_id;
                fetch.layer = layer;
                fetch.rows_wanted = 120;
                fetch.rows_fetched = 30;
                fetch.runs = 6;
                fetch.start_ns = 1;
                fetch.end_ns = 2;
                writer.add_fetch(id, fetch);
            }
        }
        writer.finish();
    }

    test::TemporaryFolder folder_;
    std::string path_;
};

TEST_F(DriftSource, GivesChecksByStarInOrderOfSteps) {
    const runtime::SyntheticDrift drift = read_drift("trace:" + path_);
    EXPECT_EQ(drift.told_by, "trace:" + path_ + ",run=1");
    ASSERT_EQ(drift.told.size(), 2U);
    ASSERT_EQ(drift.told[0].size(), 2U);
    EXPECT_FALSE(drift.told[0][0].triggered);
    EXPECT_TRUE(drift.told[0][1].triggered);
    EXPECT_EQ(drift.told[0][1].new_rows, 0.25);
    EXPECT_EQ(drift.told[0][1].run, 5);
    EXPECT_FALSE(drift.told[1][0].triggered);
    EXPECT_FALSE(drift.told[1][1].triggered);
}

TEST_F(DriftSource, NamesWhatIsWrong) {
    const auto message = [](const std::string& text) -> std::string {
        try {
            static_cast<void>(read_drift(text));
        } catch (const Error& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_THAT(message("trace:"), HasSubstr("expected trace:FILE"));
    EXPECT_THAT(message("trace:" + path_ + ",run=x"), HasSubstr("run=x is no run's number"));
    EXPECT_THAT(message("trace:" + path_ + ",run=9"), HasSubstr("9"));
    EXPECT_THAT(message("trace:" + path_ + ",run=0"), HasSubstr("run 0 holds none"));
    EXPECT_THAT(message("trace:/nowhere/x.sqlite"), HasSubstr("/nowhere/x.sqlite"));
    EXPECT_THAT(message("told"), HasSubstr("trace:FILE"));
}

}  // namespace
}  // namespace hc::cli
