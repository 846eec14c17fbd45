// Questions beyond settings: batches, told drift, shares per head, GPUs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "fake_recording.h"
#include "simulator/cost/roofline.h"
#include "simulator/replay/simulator.h"
#include "simulator/replay/synthetic_decisions.h"

namespace hc::sim {
namespace {

using test::fake_run;
using test::fake_settings;
using test::FakeOptions;
using testing::HasSubstr;

constexpr const char* kTold = "random weights, drift synthetic:rate=0.3,new=0.5,run=5,seed=7";

FakeOptions told_options() {
    FakeOptions options;
    options.settings = fake_settings();
    options.told = kTold;
    return options;
}

template <typename Ask>
std::string refusal(const Ask& ask) {
    try {
        ask();
    } catch (const Error& error) {
        return error.what();
    }
    return "not refused";
}

double recorded_median(const trace::RunData& run) {
    return analysis::run_metrics(run, nullptr).step_ns.median;
}

TEST(ToldDrift, TriggersWhereTheDevicesHashDoes) {
    // Computed apart, in arithmetic of any length, from the formula in kernels/cuda/drift.h.
    const ToldDrift drift{0.1, 0.5, 5, 7};
    std::vector<std::pair<int, int>> found;
    for (int step = 5; step < 40; ++step) {
        for (int star = 0; star < 4; ++star) {
            if (told_trigger(drift, 0, step, star)) found.push_back({step, star});
        }
    }
    const std::vector<std::pair<int, int>> expected = {
        {5, 1},  {8, 0},  {8, 2},  {10, 2}, {11, 2}, {12, 0}, {15, 0}, {16, 0}, {16, 1}, {17, 2},
        {26, 0}, {27, 1}, {30, 3}, {33, 0}, {35, 0}, {36, 2}, {37, 1}, {37, 3}, {38, 0}};
    EXPECT_EQ(found, expected);
}

TEST(ToldDrift, IsReadFromARunsParametersAndRefusedWhenBroken) {
    const ToldDrift drift = told_drift(kTold, "run 1");
    EXPECT_EQ(drift.rate, 0.3);
    EXPECT_EQ(drift.new_rows, 0.5);
    EXPECT_EQ(drift.run, 5);
    EXPECT_EQ(drift.seed, 7U);
    for (const char* broken : {"", "random weights", "drift synthetic:", "drift synthetic:rate=0.3",
                               "drift synthetic:rate=2,new=0.5,run=5,seed=7",
                               "drift synthetic:rate=x,new=1,run=5,seed=7",
                               "drift synthetic:rate=0.1,new=0.5,run=5,sead=7",
                               "drift synthetic:rate=0.1,new=0.5,run=5,seed=7,"
                               "drift synthetic:rate=nan,new=0.5,run=5,seed=7"}) {
        EXPECT_THROW((void)told_drift(broken, "run 1"), Error) << broken;
    }
}

TEST(ToldDrift, NothingChangedGivesTheRecordingBack) {
    const trace::RunData run = fake_run(told_options());
    const Simulator simulator(run, run);
    const Prediction fast = simulator.figures({});
    const Prediction full = simulator.simulate({});
    std::int64_t triggers = 0;
    for (const DriftRecord& check : run.drift) triggers += check.triggered ? 1 : 0;
    ASSERT_GT(triggers, 5);
    for (const Prediction* p : {&fast, &full}) {
        EXPECT_EQ(p->triggers, triggers);
        EXPECT_EQ(p->checks, static_cast<std::int64_t>(run.drift.size()));
        EXPECT_DOUBLE_EQ(p->step_ns_median.value, recorded_median(run));
        EXPECT_FALSE(p->recall.has_value());
        EXPECT_THAT(p->notes, testing::Contains(HasSubstr("drift is synthetic")));
    }
    ASSERT_EQ(full.data.fetches.size(), run.fetches.size());
    for (std::size_t i = 0; i < run.fetches.size(); ++i) {
        EXPECT_EQ(full.data.fetches[i].rows_fetched, run.fetches[i].rows_fetched);
        EXPECT_EQ(full.data.fetches[i].exposed_ns, run.fetches[i].exposed_ns);
    }
}

TEST(ToldDrift, PredictsARunOfAnotherRatioAndWindow) {
    FakeOptions options = told_options();
    options.noise = 0.01;
    const trace::RunData run = fake_run(options);
    const Simulator simulator(run, run);
    FakeOptions other = options;
    other.settings.ratio = 0.5;
    other.settings.window = 4;
    const trace::RunData truth = fake_run(other);
    Scenario scenario;
    scenario.ratio = 0.5;
    scenario.window = 4;
    const Prediction predicted = simulator.figures(scenario);
    const auto metrics = analysis::run_metrics(truth, nullptr);
    EXPECT_EQ(predicted.triggers, metrics.triggers);
    // The recording rounds half a capacity down, a row per fetch.
    EXPECT_LE(std::abs(predicted.rows_fetched - metrics.rows_fetched), metrics.fetches);
    EXPECT_NEAR(predicted.step_ns_median.value / metrics.step_ns.median, 1, 0.03);
}

TEST(ToldDrift, CanBeToldOtherwise) {
    FakeOptions options = told_options();
    options.noise = 0.01;
    const trace::RunData run = fake_run(options);
    const Simulator simulator(run, run);
    FakeOptions other = options;
    other.told = "drift synthetic:rate=0.8,new=0.5,run=5,seed=9";
    const auto truth = analysis::run_metrics(fake_run(other), nullptr);
    Scenario scenario;
    scenario.drift = ToldDrift{0.8, 0.5, 5, 9};
    const Prediction predicted = simulator.figures(scenario);
    EXPECT_EQ(predicted.triggers, truth.triggers);
    EXPECT_LE(std::abs(predicted.rows_fetched - truth.rows_fetched), truth.fetches);
    EXPECT_NEAR(predicted.step_ns_median.value / truth.step_ns.median, 1, 0.03);
    FakeOptions found;
    found.settings = fake_settings();
    const trace::RunData scores = fake_run(found);
    const Simulator by_scores(scores, scores);
    EXPECT_THAT(refusal([&] { (void)by_scores.figures(scenario); }), HasSubstr("not told"));
}

TEST(OtherBatch, IsRefusedFromOneBatchSizeAndFollowsTheLineThroughTwo) {
    FakeOptions options;
    options.settings = fake_settings();
    options.settings.retrieval = false;
    options.noise = 0.01;
    const trace::RunData one = fake_run(options);
    options.tokens = 4;
    const trace::RunData four = fake_run(options);
    options.tokens = 3;
    const trace::RunData truth = fake_run(options);
    Scenario scenario;
    scenario.batch = 3;
    const Simulator alone(one, one);
    EXPECT_THAT(refusal([&] { (void)alone.figures(scenario); }), HasSubstr("one batch size"));
    const Simulator simulator(one, one, {four});
    for (const Prediction& p : {simulator.figures(scenario), simulator.simulate(scenario)}) {
        EXPECT_EQ(p.tag, Tag::kMeasured);
        EXPECT_NEAR(p.step_ns_median.value / recorded_median(truth), 1, 0.02);
        EXPECT_EQ(p.kv_pool_bytes, 3 * simulator.figures({}).kv_pool_bytes);
    }
    scenario.batch = 16;
    EXPECT_EQ(simulator.figures(scenario).tag, Tag::kExtrapolated);
    scenario.batch = 0;
    EXPECT_THAT(refusal([&] { (void)simulator.figures(scenario); }), HasSubstr("batch of 0"));
}

TEST(OtherBatch, EverySequenceChecksAndFetches) {
    FakeOptions options;
    options.settings = fake_settings();
    const trace::RunData one = fake_run(options);
    options.tokens = 4;
    const trace::RunData four = fake_run(options);
    const Simulator simulator(one, one, {four});
    Scenario scenario;
    scenario.batch = 2;
    const Prediction single = simulator.figures({});
    for (const Prediction& p : {simulator.figures(scenario), simulator.simulate(scenario)}) {
        EXPECT_EQ(p.checks, 2 * single.checks);
        EXPECT_EQ(p.fetches, 2 * single.fetches);
        EXPECT_EQ(p.rows_fetched, 2 * single.rows_fetched);
        EXPECT_THAT(p.notes, testing::Contains(HasSubstr("in turn")));
    }
}

TEST(OtherHeads, SharesOfTheBudgetMayDifferRolesMayNot) {
    FakeOptions options;
    options.settings = fake_settings();
    const trace::RunData run = fake_run(options);
    const Simulator simulator(run, run);
    const HeadProfile own = *simulator.heads();
    Scenario scenario;
    auto changed = std::make_shared<HeadProfile>(own);
    changed->ratios[1] += 0.2;
    changed->ratios[4] -= 0.2;
    scenario.heads = changed;
    const Prediction full = simulator.simulate(scenario);
    const Prediction fast = simulator.figures(scenario);
    EXPECT_EQ(full.triggers, fast.triggers);
    EXPECT_EQ(full.rows_fetched, fast.rows_fetched);
    EXPECT_NEAR(full.recall->low, fast.recall->low, 1e-12);
    EXPECT_NE(full.recall->low, simulator.figures({}).recall->low);
    auto same = std::make_shared<HeadProfile>(own);
    scenario.heads = same;
    EXPECT_EQ(simulator.figures(scenario).step_ns_median.value,
              simulator.figures({}).step_ns_median.value);
    auto wrong = std::make_shared<HeadProfile>(own);
    wrong->roles[2] = HeadRole::kVolatile;
    scenario.heads = wrong;
    EXPECT_THAT(refusal([&] { (void)simulator.figures(scenario); }), HasSubstr("other roles"));
}

// ---- GPUs ----

MachineSpec gpu(double bandwidth, double h2d) {
    MachineSpec machine;
    machine.id = "some-gpu";
    machine.name = "Some GPU";
    machine.kind = MachineKind::kGpu;
    const auto add = [&](const char* name, double number, const char* unit) {
        trace::Value value;
        value.name = name;
        value.number = number;
        value.unit = unit;
        value.origin = trace::ValueOrigin::kCatalogue;
        value.source = "test";
        machine.values.push_back(value);
    };
    add("memory_bandwidth_GBps", bandwidth, "GB/s");
    add("h2d_GBps", h2d, "GB/s");
    return machine;
}

TEST(GpuModel, ScalesMemoryByBandwidthTransfersByTheLinkAndLaunchesByNothing) {
    const auto value = [](const MachineSpec& machine, const char* name) {
        return machine.find(name)->number;
    };
    const MachineSpec* h100 = find_device("NVIDIA H100 80GB HBM3");
    ASSERT_NE(h100, nullptr);
    const MachineSpec h200 = find_machine("h200-sxm");
    const MachineModel model(h200, {}, "cuda", "NVIDIA H100 80GB HBM3");
    const double memory =
        value(*h100, "memory_bandwidth_GBps") / value(h200, "memory_bandwidth_GBps");
    const double launch = value(h200, "launch_us") / value(*h100, "launch_us");
    const double launch_ns = 1e3 * value(*h100, "launch_us");
    const OpWork attention{OpKind::kAttention, 1e8, 1e8};
    EXPECT_NEAR(static_cast<double>(model.rescale(attention, 40'000, 0, false)),
                launch_ns * launch + (40'000 - launch_ns) * memory, 1);
    // Bound by arithmetic: bandwidth says nothing.
    const OpWork dense{OpKind::kMlp, 1e3, 1e12};
    const double flops = value(*h100, "bf16_TFLOPs") / value(h200, "bf16_TFLOPs");
    EXPECT_NEAR(static_cast<double>(model.rescale(dense, 1'000'000, 0, false)),
                launch_ns * launch + (1'000'000 - launch_ns) * flops, 1);
    const OpWork fetch{OpKind::kFetch, 1e6, 0};
    EXPECT_NEAR(static_cast<double>(model.rescale(fetch, 100'000, 0, false)),
                100'000 * value(*h100, "h2d_GBps") / value(h200, "h2d_GBps"), 1);
    EXPECT_THAT(model.notes(), testing::Contains(HasSubstr("catalogue's (h100-sxm)")));
}

TEST(GpuModel, ThereAndBackIsWhereItBegan) {
    const MachineModel there(find_machine("h200-sxm"), {}, "cuda", "NVIDIA H100 80GB HBM3");
    const MachineModel back(find_machine("h100-sxm"), {}, "cuda", "NVIDIA H200");
    for (const OpKind kind : {OpKind::kAttention, OpKind::kMlp, OpKind::kFetch, OpKind::kCommit}) {
        const OpWork work{kind, 5e7, 2e8};
        const std::int64_t once = there.rescale(work, 123'456, 0, false);
        EXPECT_NEAR(static_cast<double>(back.rescale(work, once, 0, false)), 123'456, 2);
    }
}

TEST(GpuModel, MeasuredEfficienciesTakeThePlaceOfBandwidth) {
    MachineSpec source = gpu(1000, 50);
    MachineSpec target = gpu(2000, 50);
    for (auto [machine, number] : {std::pair(&source, 500.0), std::pair(&target, 800.0)}) {
        trace::Value value = machine->values.front();
        value.name = "attention_GBps";
        value.number = number;
        value.origin = trace::ValueOrigin::kMeasured;
        machine->values.push_back(value);
    }
    const MachineModel model(target, source.values, "cuda", "unheard of");
    EXPECT_EQ(model.rescale({OpKind::kAttention, 1e6, 0}, 80'000, 0, false), 50'000);
    EXPECT_EQ(model.rescale({OpKind::kMlp, 1e6, 0}, 80'000, 0, false), 40'000);
    EXPECT_FALSE(model.target_measured());
}

TEST(GpuModel, SizesThatBothWereMeasuredAtAreCompared) {
    MachineSpec source = gpu(1000, 50);
    MachineSpec target = gpu(1000, 50);
    const auto add = [](MachineSpec& machine, double bytes, double number) {
        trace::Value value = machine.values.front();
        value.name = "gather_GBps";
        value.argument = bytes;
        value.number = number;
        value.origin = trace::ValueOrigin::kMeasured;
        machine.values.push_back(value);
    };
    add(source, 2048, 40);
    add(target, 2048, 20);
    add(target, 32768, 50);
    const MachineModel model(target, source.values, "cuda", "unheard of");
    EXPECT_EQ(model.rescale({OpKind::kFetch, 1e6, 0}, 10'000, 0, false), 20'000);
}

TEST(GpuModel, RefusesWhatItHasNoDataFor) {
    EXPECT_THAT(
        refusal([] { (void)MachineModel(find_machine("h200-sxm"), {}, "cuda", "unheard of"); }),
        HasSubstr("--source-machine"));
    EXPECT_THAT(
        refusal([] { (void)MachineModel(find_machine("gb200"), {}, "cuda", "NVIDIA H200"); }),
        HasSubstr("h2d_GBps"));
    EXPECT_THAT(refusal([] { (void)MachineModel(find_machine("h200-sxm"), {}, "cpu", "EPYC"); }),
                HasSubstr("is a GPU"));
}

TEST(GpuModel, ARunOfToldDriftIsPredictedForAnotherGpu) {
    const trace::RunData run = fake_run(told_options());
    const Simulator simulator(run, run);
    Scenario scenario;
    scenario.machine = find_machine("h200-sxm");
    const Prediction there = simulator.figures(scenario);
    EXPECT_LT(there.step_ns_median.value, simulator.figures({}).step_ns_median.value);
    EXPECT_GT(there.step_ns_median.high, there.step_ns_median.value);
    EXPECT_GT(there.device_bytes, 0);
}

}  // namespace
}  // namespace hc::sim
