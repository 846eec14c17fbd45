#include "simulator/replay/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "engine/config/settings_json.h"
#include "engine/core/error.h"
#include "fake_recording.h"

namespace hc::sim {
namespace {

using test::fake_drift_trace;
using test::fake_run;
using test::fake_settings;
using test::FakeOptions;
using testing::HasSubstr;

FakeOptions default_options() {
    FakeOptions options;
    options.settings = fake_settings();
    return options;
}

Simulator self_judged(const FakeOptions& options) {
    trace::RunData run = fake_run(options);
    trace::RunData attention = run;
    return Simulator(std::move(run), std::move(attention), {}, test::fake_values());
}

std::vector<std::int64_t> decode_durations(const trace::RunData& data) {
    std::vector<std::int64_t> durations;
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        if (data.steps.phase[i] != Phase::kDecode) continue;
        durations.push_back(data.steps.end_ns[i] - data.steps.start_ns[i]);
    }
    return durations;
}

std::string refusal(const Simulator& simulator, const Scenario& scenario,
                    ExitCode code = ExitCode::kRefused) {
    try {
        (void)simulator.simulate(scenario);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    return "not refused";
}

std::int64_t rows_of(const trace::RunData& data, OpKind kind) {
    std::int64_t rows = 0;
    for (std::size_t i = 0; i < data.ops.size(); ++i) {
        if (data.ops.kind[i] == kind) rows += data.ops.rows[i];
    }
    return rows;
}

std::int64_t count_of(const trace::RunData& data, OpKind kind) {
    return std::count(data.ops.kind.begin(), data.ops.kind.end(), kind);
}

void expect_equal_decisions(const trace::RunData& recorded, const trace::RunData& simulated) {
    ASSERT_EQ(simulated.drift.size(), recorded.drift.size());
    for (std::size_t i = 0; i < recorded.drift.size(); ++i) {
        EXPECT_EQ(simulated.drift[i].step, recorded.drift[i].step);
        EXPECT_EQ(simulated.drift[i].layer, recorded.drift[i].layer);
        EXPECT_EQ(simulated.drift[i].overlaps, recorded.drift[i].overlaps);
        EXPECT_EQ(simulated.drift[i].triggered, recorded.drift[i].triggered);
    }
    ASSERT_EQ(simulated.fetches.size(), recorded.fetches.size());
    for (std::size_t i = 0; i < recorded.fetches.size(); ++i) {
        const FetchRecord& a = recorded.fetches[i];
        const FetchRecord& b = simulated.fetches[i];
        EXPECT_EQ(b.rows_wanted, a.rows_wanted);
        EXPECT_EQ(b.rows_fetched, a.rows_fetched);
        EXPECT_EQ(b.runs, a.runs);
        EXPECT_EQ(b.bytes, a.bytes);
        EXPECT_EQ(b.due_step, a.due_step);
        EXPECT_EQ(b.committed_step, a.committed_step);
        EXPECT_EQ(b.superseded, a.superseded);
    }
    ASSERT_EQ(simulated.rows.size(), recorded.rows.size());
    for (std::size_t i = 0; i < recorded.rows.size(); ++i) {
        EXPECT_EQ(simulated.rows[i].step, recorded.rows[i].step);
        EXPECT_EQ(simulated.rows[i].fetched, recorded.rows[i].fetched);
        EXPECT_EQ(simulated.rows[i].evicted, recorded.rows[i].evicted);
    }
}

TEST(Simulator, NothingChangedGivesTheRecordingBack) {
    const FakeOptions options = default_options();
    const Simulator simulator = self_judged(options);
    const Prediction prediction = simulator.simulate({});
    const trace::RunData& recorded = simulator.source();
    EXPECT_EQ(prediction.tag, Tag::kMeasured);
    // The fake recording must hold what this test is about.
    ASSERT_GT(recorded.fetches.size(), 3U);
    ASSERT_LT(recorded.fetches.size(), recorded.drift.size());
    ASSERT_GT(std::count_if(recorded.fetches.begin(), recorded.fetches.end(),
                            [](const FetchRecord& f) { return f.exposed_ns > 0; }),
              0);
    EXPECT_EQ(decode_durations(prediction.data), decode_durations(recorded));
    expect_equal_decisions(recorded, prediction.data);
    for (std::size_t i = 0; i < recorded.fetches.size(); ++i) {
        EXPECT_EQ(prediction.data.fetches[i].exposed_ns, recorded.fetches[i].exposed_ns);
    }
    const auto was = analysis::run_metrics(recorded, &recorded);
    EXPECT_NEAR(prediction.hiding->value, *was.transfer.hiding, 1e-12);
    EXPECT_NEAR(prediction.overlap->value, *was.transfer.overlap, 1e-12);
    EXPECT_NEAR(prediction.recall->low, was.recall->low, 1e-12);
    EXPECT_NEAR(prediction.recall->high, was.recall->high, 1e-12);
    EXPECT_DOUBLE_EQ(prediction.step_ns_median.value, was.step_ns.median);
    EXPECT_DOUBLE_EQ(prediction.step_ns_p99.value, was.step_ns.p99);
    EXPECT_LE(prediction.step_ns_median.low, was.step_ns.median);
    EXPECT_GE(prediction.step_ns_median.high, was.step_ns.median);
}

TEST(Simulator, IdentityHoldsWhereTransfersSlowComputationDown) {
    FakeOptions options = default_options();
    options.interference = 0.4;
    options.settings.stable_threshold = 0.85;
    const Simulator simulator = self_judged(options);
    const Prediction prediction = simulator.simulate({});
    const auto was = analysis::run_metrics(simulator.source(), nullptr);
    ASSERT_GT(was.transfer.interference.value_or(0), 0.1);
    EXPECT_NEAR(prediction.step_ns_median.value / was.step_ns.median, 1, 0.005);
    EXPECT_NEAR(prediction.step_ns_p95.value / was.step_ns.p95, 1, 0.02);
    const std::vector<std::int64_t> recorded = decode_durations(simulator.source());
    const std::vector<std::int64_t> simulated = decode_durations(prediction.data);
    ASSERT_EQ(simulated.size(), recorded.size());
    for (std::size_t i = 0; i < recorded.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(simulated[i]) / static_cast<double>(recorded[i]), 1, 0.02);
    }
}

TEST(Simulator, PredictsARunThatWasReallyMadeWithOtherSettings) {
    // Held out: ratio, threshold, window and lag all differ from the recording.
    FakeOptions options = default_options();
    options.noise = 0.02;
    const Simulator simulator = self_judged(options);
    FakeOptions other = options;
    other.seed = options.seed;
    other.settings.ratio = 0.5;
    other.settings.stable_threshold = 0.8;
    other.settings.window = 4;
    other.settings.commit_lag = 2;
    const trace::RunData truth = fake_run(other);
    Scenario scenario;
    scenario.ratio = 0.5;
    scenario.stable_threshold = 0.8;
    scenario.window = 4;
    scenario.commit_lag = 2;
    const Prediction prediction = simulator.simulate(scenario);
    expect_equal_decisions(truth, prediction.data);
    const auto metrics = analysis::run_metrics(truth, &truth);
    EXPECT_NEAR(prediction.step_ns_median.value / metrics.step_ns.median, 1, 0.03);
    EXPECT_NEAR(prediction.step_ns_p99.value / metrics.step_ns.p99, 1, 0.08);
    EXPECT_NEAR(prediction.hiding->value, *metrics.transfer.hiding, 0.03);
    EXPECT_NEAR(prediction.recall->low, metrics.recall->low, 1e-9);
    EXPECT_EQ(rows_of(prediction.data, OpKind::kAttention), rows_of(truth, OpKind::kAttention));
}

TEST(Simulator, NoTriggerMeansNoTransferAndNoHiding) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.stable_threshold = 0.0;
    const Prediction prediction = simulator.simulate(scenario);
    EXPECT_GT(prediction.checks, 0);
    EXPECT_EQ(prediction.triggers, 0);
    EXPECT_EQ(prediction.fetch_bytes, 0);
    EXPECT_FALSE(prediction.hiding.has_value());
    EXPECT_FALSE(prediction.overlap.has_value());
    EXPECT_EQ(count_of(prediction.data, OpKind::kFetch), 0);
    EXPECT_EQ(count_of(prediction.data, OpKind::kCommit), 0);
}

TEST(Simulator, RetrievalOffMeansNoChecks) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.retrieval = false;
    const Prediction prediction = simulator.simulate(scenario);
    EXPECT_EQ(prediction.checks, 0);
    EXPECT_EQ(count_of(prediction.data, OpKind::kDriftScore), 0);
    EXPECT_EQ(count_of(prediction.data, OpKind::kDriftTopk), 0);
    EXPECT_LT(prediction.step_ns_p95.value, simulator.simulate({}).step_ns_p95.value);
}

TEST(Simulator, BytesThatGoIntoTheWorkerComeOutInCommits) {
    const Simulator simulator = self_judged(default_options());
    for (const double threshold : {0.6, 0.8, 1.0}) {
        for (const std::int32_t lag : {0, 1, 3, 7}) {
            Scenario scenario;
            scenario.stable_threshold = threshold;
            scenario.commit_lag = lag;
            const Prediction p = simulator.simulate(scenario);
            std::int64_t fetched = 0;
            std::int64_t committed = 0;
            for (const FetchRecord& fetch : p.data.fetches) {
                fetched += fetch.rows_fetched;
                const bool lands = fetch.committed_step >= 0;
                EXPECT_EQ(lands, fetch.commit_op >= 0);
                if (lands) committed += fetch.rows_fetched;
                EXPECT_FALSE(lands && fetch.superseded);
                EXPECT_LE(fetch.queued_ns, fetch.start_ns);
                EXPECT_LE(fetch.start_ns, fetch.end_ns);
            }
            EXPECT_EQ(p.rows_fetched, fetched);
            EXPECT_EQ(p.fetch_bytes, fetched * 2 * 16 * 4);
            EXPECT_EQ(rows_of(p.data, OpKind::kFetch), fetched);
            EXPECT_EQ(rows_of(p.data, OpKind::kCommit), committed);
            std::int64_t moved = 0;
            for (const RowsRecord& rows : p.data.rows) {
                if (rows.fetch_id < 0) continue;
                EXPECT_EQ(rows.fetched.size(), rows.evicted.size());
                moved += static_cast<std::int64_t>(rows.fetched.size());
            }
            EXPECT_EQ(moved, committed);
        }
    }
}

TEST(Simulator, OperationsOfAThreadNeverOverlapAndStayInTheirStep) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.stable_threshold = 0.9;
    const Prediction p = simulator.simulate(scenario);
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> steps;
    for (std::size_t i = 0; i < p.data.steps.size(); ++i) {
        steps[p.data.steps.step[i]] = {p.data.steps.start_ns[i], p.data.steps.end_ns[i]};
    }
    std::int64_t free[2] = {0, 0};
    for (std::size_t i = 0; i < p.data.ops.size(); ++i) {
        EXPECT_EQ(p.data.ops.op_id[i], static_cast<std::int64_t>(i));
        const auto stream = static_cast<std::size_t>(p.data.ops.stream[i]);
        ASSERT_LT(stream, 2U);
        EXPECT_GE(p.data.ops.start_ns[i], free[stream]);
        free[stream] = p.data.ops.end_ns[i];
        if (stream == 0) {
            const auto [start, end] = steps.at(p.data.ops.step[i]);
            EXPECT_GE(p.data.ops.start_ns[i], start);
            EXPECT_LE(p.data.ops.end_ns[i], end);
        }
    }
}

TEST(Simulator, ASmallerRatioTakesLessMemoryAndLessTime) {
    const Simulator simulator = self_judged(default_options());
    std::optional<Prediction> larger;
    for (const double ratio : {0.8, 0.7, 0.6, 0.5, 0.4}) {
        Scenario scenario;
        scenario.ratio = ratio;
        scenario.retrieval = false;
        Prediction p = simulator.simulate(scenario);
        if (larger) {
            EXPECT_LE(p.kv_pool_bytes, larger->kv_pool_bytes);
            EXPECT_LT(rows_of(p.data, OpKind::kAttention),
                      rows_of(larger->data, OpKind::kAttention));
            EXPECT_LT(p.step_ns_median.value, larger->step_ns_median.value);
            EXPECT_LE(p.recall->low, larger->recall->low + 1e-12);
        }
        larger = std::move(p);
    }
}

TEST(Simulator, ALaterCommitNeverExposesMore) {
    const Simulator simulator = self_judged(default_options());
    double exposed = 1e300;
    for (const std::int32_t lag : {0, 1, 2, 4}) {
        Scenario scenario;
        scenario.commit_lag = lag;
        const Prediction p = simulator.simulate(scenario);
        EXPECT_LE(p.exposed_ns.value, exposed) << lag;
        exposed = p.exposed_ns.value;
    }
    EXPECT_EQ(exposed, 0);
}

TEST(Simulator, AWiderWindowChecksLessOften) {
    const FakeOptions options = default_options();
    const Simulator simulator = self_judged(options);
    for (const std::int32_t window : {3, 5, 10}) {
        Scenario scenario;
        scenario.window = window;
        scenario.stable_threshold = 0.0;
        const Prediction p = simulator.simulate(scenario);
        EXPECT_EQ(count_of(p.data, OpKind::kDriftTopk), p.checks);
        EXPECT_NEAR(static_cast<double>(p.checks),
                    static_cast<double>(options.steps * options.num_layers) / window,
                    static_cast<double>(options.num_layers));
        EXPECT_EQ(rows_of(p.data, OpKind::kDriftScore), p.checks * window * options.prompt);
    }
}

TEST(Simulator, GivesEqualAnswersFromSeveralThreads) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.stable_threshold = 0.8;
    scenario.ratio = 0.5;
    std::vector<Prediction> answers(4);
    std::vector<std::thread> threads;
    for (Prediction& answer : answers) {
        threads.emplace_back([&] { answer = simulator.simulate(scenario); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Prediction& answer : answers) {
        EXPECT_EQ(answer.data.ops.start_ns, answers[0].data.ops.start_ns);
        EXPECT_EQ(answer.data.ops.end_ns, answers[0].data.ops.end_ns);
        EXPECT_EQ(answer.rows_fetched, answers[0].rows_fetched);
        EXPECT_EQ(answer.step_ns_p95.low, answers[0].step_ns_p95.low);
    }
}

TEST(Simulator, ARatioBeyondTheDriftTraceIsRefusedWithTheLargestOne) {
    FakeOptions options = default_options();
    options.keep = 0.5;
    const Simulator simulator = self_judged(options);
    Scenario scenario;
    scenario.ratio = 0.95;
    const std::string message = refusal(simulator, scenario);
    EXPECT_THAT(message, HasSubstr("0.95"));
    EXPECT_THAT(message, HasSubstr("holds 300"));
    const auto at = message.find("it can answer is ");
    ASSERT_NE(at, std::string::npos) << message;
    const double largest = std::stod(message.substr(at + 17));
    scenario.ratio = largest;
    EXPECT_GT(simulator.simulate(scenario).checks, 0);
    scenario.ratio = largest + 0.01;
    EXPECT_THAT(refusal(simulator, scenario), HasSubstr("largest ratio"));
}

TEST(Simulator, KeepingEverythingNeedsNoDeepTraceAndNeverTriggers) {
    FakeOptions options = default_options();
    options.keep = 0.5;
    const Simulator simulator = self_judged(options);
    Scenario scenario;
    scenario.ratio = 1.0;
    const Prediction p = simulator.simulate(scenario);
    EXPECT_EQ(p.triggers, 0);
    EXPECT_NEAR(p.recall->low, 1.0, 1e-6);
}

TEST(Simulator, ARatioBelowTheFeasibleMinimumIsRefused) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.ratio = 0.1;
    EXPECT_THAT(refusal(simulator, scenario), HasSubstr("0.3"));
}

TEST(Simulator, FullAttentionReadsEveryRowAndHasNoPolicy) {
    const FakeOptions options = default_options();
    const Simulator simulator = self_judged(options);
    Scenario scenario;
    scenario.policy = "fullkv";
    const Prediction p = simulator.simulate(scenario);
    for (std::size_t i = 0; i < p.data.ops.size(); ++i) {
        if (p.data.ops.kind[i] != OpKind::kAttention) continue;
        EXPECT_EQ(p.data.ops.rows[i], 3 * (options.prompt + p.data.ops.step[i]));
    }
    EXPECT_EQ(p.checks, 0);
    EXPECT_EQ(p.host_tier_bytes, 0);
    EXPECT_EQ(p.data.run.policy, "fullkv");
    EXPECT_DOUBLE_EQ(p.recall->low, 1.0);
    // 12 heads, 600 + 60 tokens in pages of 64, 128 bytes a row.
    EXPECT_EQ(p.kv_pool_bytes, 12 * 11 * 64 * 128);
    scenario.ratio = 0.5;
    EXPECT_THAT(refusal(simulator, scenario, ExitCode::kUsage), HasSubstr("fullkv"));
}

TEST(Simulator, AFullKvRunBecomesHeteroCacheWithCostsOfAnotherRun) {
    FakeOptions options = default_options();
    FakeOptions full = options;
    full.heterocache = false;
    full.seed = options.seed;
    trace::RunData other = fake_run(options);
    other.run.id = 3;
    Scenario scenario;
    scenario.policy = "heterocache";

    const Simulator alone(fake_run(full), fake_drift_trace(options));
    EXPECT_THAT(refusal(alone, scenario), HasSubstr("record a heterocache run"));
    Scenario quiet = scenario;
    quiet.retrieval = false;
    EXPECT_EQ(alone.simulate(quiet).checks, 0);

    const Simulator both(fake_run(full), fake_drift_trace(options), {other});
    const Prediction p = both.simulate(scenario);
    EXPECT_EQ(p.checks, static_cast<std::int64_t>(other.drift.size()));
    EXPECT_EQ(p.triggers, static_cast<std::int64_t>(other.fetches.size()));
    const auto truth = analysis::run_metrics(other, nullptr);
    EXPECT_NEAR(p.step_ns_median.value / truth.step_ns.median, 1, 0.05);
    EXPECT_NEAR(p.step_ns_p95.value / truth.step_ns.p95, 1, 0.1);
}

TEST(Simulator, ARunOnABusierMachineStillTellsWhatRowsCost) {
    // The other run, full attention, was recorded while everything took three times as long.
    FakeOptions options = default_options();
    options.noise = 0.02;
    FakeOptions full = options;
    full.heterocache = false;
    trace::RunData quiet = fake_run(full);
    quiet.run.id = 3;
    trace::RunData busy = quiet;
    for (std::size_t i = 0; i < busy.ops.size(); ++i) {
        busy.ops.start_ns[i] *= 3;
        busy.ops.end_ns[i] *= 3;
    }
    for (std::size_t i = 0; i < busy.steps.size(); ++i) {
        busy.steps.start_ns[i] *= 3;
        busy.steps.end_ns[i] *= 3;
    }
    const trace::RunData run = fake_run(options);
    Scenario scenario;
    scenario.policy = "fullkv";
    const Prediction p = Simulator(run, run, {busy}).simulate(scenario);
    const auto truth = analysis::run_metrics(quiet, nullptr);
    EXPECT_NEAR(p.step_ns_median.value / truth.step_ns.median, 1, 0.03);
}

TEST(Simulator, ALongerPromptIsAMarkedExtrapolation) {
    FakeOptions options = default_options();
    const Simulator simulator = self_judged(options);
    Scenario scenario;
    scenario.prompt_tokens = 1200;
    const Prediction p = simulator.simulate(scenario);
    EXPECT_EQ(p.tag, Tag::kExtrapolated);
    EXPECT_FALSE(p.recall.has_value());
    EXPECT_TRUE(std::any_of(p.notes.begin(), p.notes.end(), [](const std::string& note) {
        return note.find("extrapolated from 600") != std::string::npos;
    }));
    const Prediction same = simulator.simulate({});
    EXPECT_EQ(p.triggers, same.triggers);
    EXPECT_NEAR(static_cast<double>(p.rows_fetched), 2.0 * static_cast<double>(same.rows_fetched),
                static_cast<double>(p.fetches));
    // Attention costs 3000 + 12 ns a row by construction; dense operations stay.
    options.prompt = 1200;
    const auto truth = analysis::run_metrics(fake_run(options), nullptr);
    EXPECT_NEAR(p.step_ns_median.value / truth.step_ns.median, 1, 0.05);
    scenario.prompt_tokens = 5000;
    EXPECT_THAT(refusal(simulator, scenario), HasSubstr("4096"));
}

TEST(Simulator, AGpuCannotBePredictedFromACpuTrace) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.machine = find_machine("h100-sxm");
    const std::string message = refusal(simulator, scenario);
    EXPECT_THAT(message, HasSubstr("h100-sxm"));
    EXPECT_THAT(message, HasSubstr("GPU"));
}

TEST(Simulator, AMachineWithoutTheValuesItTakesIsRefused) {
    trace::RunData run = fake_run(default_options());
    const Simulator unmeasured(run, run);
    Scenario scenario;
    scenario.machine = find_machine("epyc-9654");
    EXPECT_THAT(refusal(unmeasured, scenario), HasSubstr("read_bandwidth_GBps"));
    const Simulator simulator(run, run, {}, test::fake_values());
    MachineSpec bare;
    bare.id = "bare";
    bare.kind = MachineKind::kCpu;
    scenario.machine = bare;
    EXPECT_THAT(refusal(simulator, scenario), HasSubstr("'bare'"));
}

TEST(Simulator, AnotherCpuIsScaledByWhatLimitsEachOperation) {
    // Twice the memory bandwidth and arithmetic: dense operations take half their time; the
    // constant part of attention (3000 ns) stays.
    FakeOptions options = default_options();
    options.noise = 0;
    const Simulator simulator = self_judged(options);
    MachineSpec twice;
    twice.id = "twice";
    twice.name = "twice as fast";
    twice.kind = MachineKind::kCpu;
    for (trace::Value value : test::fake_values()) {
        value.number *= 2;
        twice.values.push_back(value);
    }
    Scenario scenario;
    scenario.machine = twice;
    const Prediction p = simulator.simulate(scenario);
    EXPECT_EQ(p.tag, Tag::kTargetSwept);
    EXPECT_EQ(p.data.machine.name, "twice as fast");
    const Prediction same = simulator.simulate({});
    for (std::size_t i = 0; i < p.data.ops.size(); ++i) {
        const auto time = static_cast<double>(p.data.ops.end_ns[i] - p.data.ops.start_ns[i]);
        if (p.data.ops.kind[i] == OpKind::kMlp) {
            EXPECT_NEAR(time, 10'000, 1);
        }
        if (p.data.ops.kind[i] == OpKind::kAttention) {
            EXPECT_NEAR(time, 3'000 + 6.0 * static_cast<double>(p.data.ops.rows[i]), 60);
        }
    }
    EXPECT_EQ(p.triggers, same.triggers);
    EXPECT_LT(p.step_ns_median.low, 0.9 * p.step_ns_median.value);
    EXPECT_GT(p.step_ns_median.high, 1.1 * p.step_ns_median.value);
    scenario.machine = find_machine("epyc-9654");
    EXPECT_EQ(simulator.simulate(scenario).tag, Tag::kSpecOnly);
}

TEST(Simulator, ASlowLinkBoundsFetchesByItsBandwidth) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.machine = find_machine("link-10gbe");
    const Prediction p = simulator.simulate(scenario);
    const Prediction same = simulator.simulate({});
    EXPECT_EQ(p.tag, Tag::kSpecOnly);
    EXPECT_EQ(p.fetch_bytes, same.fetch_bytes);
    for (std::size_t i = 0; i < p.data.fetches.size(); ++i) {
        const FetchRecord& fetch = p.data.fetches[i];
        const FetchRecord& was = same.data.fetches[i];
        // 1.25 bytes a nanosecond and 20 us to begin with.
        const double link = static_cast<double>(fetch.bytes) / 1.25;
        const auto recorded = static_cast<double>(was.end_ns - was.start_ns);
        EXPECT_NEAR(static_cast<double>(fetch.end_ns - fetch.start_ns),
                    std::max(link, recorded) + 20'000, 1);
    }
    EXPECT_GT(p.exposed_ns.value, same.exposed_ns.value);
    EXPECT_LT(p.hiding->value, same.hiding->value);
    EXPECT_EQ(p.step_ns_median.value > 0, true);
}

TEST(Simulator, RefusesAnUnknownPolicyAndASimulatedSource) {
    const Simulator simulator = self_judged(default_options());
    Scenario scenario;
    scenario.policy = "snapkv";
    EXPECT_THAT(refusal(simulator, scenario, ExitCode::kUsage), HasSubstr("snapkv"));
    trace::RunData again = simulator.simulate({}).data;
    EXPECT_THROW(Simulator(again, again), Error);
}

TEST(Simulator, RefusesATraceWithoutScores) {
    trace::RunData run = fake_run(default_options());
    trace::RunData empty = run;
    empty.attention.clear();
    const Simulator simulator(run, empty);
    EXPECT_THAT(refusal(simulator, {}), HasSubstr("drift trace"));
    Scenario full;
    full.policy = "fullkv";
    EXPECT_GT(simulator.simulate(full).step_ns_median.value, 0);
}

TEST(Simulator, RefusesRowsThatDoNotFitTheModel) {
    const trace::RunData run = fake_run(default_options());
    const auto broken = [&](auto&& change) {
        trace::RunData attention = run;
        change(attention.attention[0]);
        EXPECT_THROW(Simulator(run, attention), Error);
    };
    broken([](AttentionRecord& row) { row.layer = 99; });
    broken([](AttentionRecord& row) { row.head = -1; });
    broken([](AttentionRecord& row) { row.step = std::int64_t{1} << 60; });
    broken([](AttentionRecord& row) { row.ranked[0] = 600; });
    broken([](AttentionRecord& row) { row.ranked[0] = row.ranked[1]; });
}

}  // namespace
}  // namespace hc::sim
