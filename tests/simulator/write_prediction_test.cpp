#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "fake_recording.h"
#include "profiler/trace/reader.h"
#include "simulator/replay/simulator.h"
#include "tests/support/paths.h"

namespace hc::sim {
namespace {

test::FakeOptions default_options() {
    test::FakeOptions options;
    options.settings = test::fake_settings();
    options.steps = 40;
    return options;
}

/// A trace as a recording leaves it: the drift trace, then the run judged by it.
std::filesystem::path write_trace(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "recorded.sqlite";
    trace::Writer writer(path, {});
    const test::FakeOptions options = default_options();
    const trace::RunId drift = write_run(writer, test::fake_drift_trace(options));
    trace::RunData run = test::fake_run(options);
    run.run.attention_run = drift;
    const trace::RunId id = write_run(writer, run);
    for (trace::Value value : test::fake_values()) {
        value.run = id;
        writer.add_value(value);
    }
    writer.finish();
    return path;
}

TEST(WritePrediction, LiesBesideTheRecordingInATraceThatOpens) {
    const hc::test::TemporaryFolder folder;
    NoProgress progress;
    const trace::Trace recorded(write_trace(folder.path()));
    const auto [source, attention] = Simulator::default_runs(recorded);
    EXPECT_EQ(recorded.run(source).policy, "heterocache");
    EXPECT_EQ(recorded.run(attention).policy, "fullkv");
    const Simulator simulator(recorded, source, attention, progress);
    Scenario scenario;
    scenario.label = "half of the budget";
    scenario.ratio = 0.5;
    const Prediction prediction = simulator.simulate(scenario);
    ASSERT_GT(prediction.fetches, 0);

    const std::filesystem::path path = folder.path() / "simulated.sqlite";
    trace::RunId written = -1;
    trace::RunId copied = -1;
    {
        trace::Writer writer(path, {});
        copied = write_run(writer, simulator.source());
        written = write_prediction(writer, prediction, copied, -1);
        writer.finish();
    }
    const trace::Trace trace(path);
    const trace::Run& run = trace.run(written);
    EXPECT_EQ(run.origin, trace::Origin::kSimulated);
    EXPECT_EQ(run.source_run, copied);
    EXPECT_EQ(trace.meta("simulated." + std::to_string(written) + ".label"), "half of the budget");
    EXPECT_EQ(trace.meta("simulated." + std::to_string(written) + ".tag"), "measured");

    const trace::RunData data = trace.read(written, {}, progress);
    const auto metrics = analysis::run_metrics(data, nullptr);
    EXPECT_DOUBLE_EQ(metrics.step_ns.median, prediction.step_ns_median.value);
    EXPECT_EQ(metrics.fetch_bytes, prediction.fetch_bytes);
    EXPECT_EQ(metrics.triggers, prediction.triggers);
    EXPECT_EQ(metrics.kv_pool_peak_bytes, prediction.kv_pool_bytes);
    EXPECT_EQ(data.ops.start_ns, prediction.data.ops.start_ns);
    EXPECT_EQ(data.edges.size(), prediction.data.edges.size());
    EXPECT_EQ(data.rows.size(), prediction.data.rows.size());
    const auto recall = analysis::run_metrics(data, &simulator.attention()).recall;
    ASSERT_TRUE(recall && prediction.recall);
    EXPECT_NEAR(recall->low, prediction.recall->low, 1e-12);
}

TEST(WritePrediction, ARunReadBackFromAFileIsReplayedLikeTheOneInMemory) {
    const hc::test::TemporaryFolder folder;
    NoProgress progress;
    const trace::Trace recorded(write_trace(folder.path()));
    const auto [source, attention] = Simulator::default_runs(recorded);
    const Simulator from_file(recorded, source, attention, progress);
    const test::FakeOptions options = default_options();
    const Simulator from_memory(test::fake_run(options), test::fake_drift_trace(options));
    const Prediction a = from_file.simulate({});
    const Prediction b = from_memory.simulate({});
    EXPECT_EQ(a.data.ops.end_ns, b.data.ops.end_ns);
    EXPECT_EQ(a.rows_fetched, b.rows_fetched);
    Scenario scenario;
    scenario.machine = find_machine("epyc-9654");
    EXPECT_EQ(from_file.simulate(scenario).tag, Tag::kSpecOnly);
}

TEST(WritePrediction, ThereIsNoDefaultRunInATraceOfPredictions) {
    const hc::test::TemporaryFolder folder;
    const std::filesystem::path path = folder.path() / "t.sqlite";
    {
        const test::FakeOptions options = default_options();
        const trace::RunData run = test::fake_run(options);
        const Simulator simulator(run, run);
        trace::Writer writer(path, {});
        (void)write_prediction(writer, simulator.simulate({}));
        writer.finish();
    }
    const trace::Trace trace(path);
    EXPECT_THROW((void)Simulator::default_runs(trace), Error);
}

TEST(WriteRun, RefusesAnOperationOfNoStep) {
    const hc::test::TemporaryFolder folder;
    trace::RunData run = test::fake_run(default_options());
    run.ops.step[3] = 999;
    trace::Writer writer(folder.path() / "t.sqlite", {});
    EXPECT_THROW((void)write_run(writer, run), Error);
}

}  // namespace
}  // namespace hc::sim
