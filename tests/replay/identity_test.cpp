// Engine and simulator agree: a run of the engine, replayed with nothing changed from the scores
// that it recorded itself, makes the same decisions, fetches the same rows and takes as long.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <tuple>

#include "engine/config/settings_json.h"
#include "engine/runtime/generate.h"
#include "simulator/replay/simulator.h"
#include "tests/collect/collector.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace hc {
namespace {

constexpr std::size_t kPrompt = 400;
constexpr std::int64_t kTokens = 60;

/// Two layers of four KV heads, a star in each.
HeadProfile two_stars() {
    HeadProfile profile;
    profile.num_layers = 2;
    profile.num_kv_heads = 4;
    profile.roles = {HeadRole::kPivot,    HeadRole::kSatellite, HeadRole::kSatellite, HeadRole::kVolatile,
                     HeadRole::kSatellite, HeadRole::kAnchor,    HeadRole::kPivot,     HeadRole::kSatellite};
    profile.ratios = {-1, 0.7, 1.3, -1, 1.1, 0.8, -1, 1.1};
    profile.stars = {{{0, {1, 2}}}, {{2, {0, 3}}}};
    return profile;
}

trace::RunData record(const model::Model& model, const HeadProfile& profile, const policy::Settings& settings) {
    test::Collector collector;
    runtime::EngineOptions options;
    options.precision = kernels::cpu::Precision::kFp32;
    options.threads = 1;
    runtime::Engine engine(model, options, &collector);
    runtime::SequenceOptions sequence_options;
    sequence_options.heterocache = true;
    sequence_options.settings = settings;
    sequence_options.profile = &profile;
    const runtime::SequenceId sequence = engine.add_sequence(sequence_options);
    runtime::AttentionCapture capture;
    capture.keep = 1.0;
    capture.every = 1;
    capture.profile = &profile;
    capture.settings = settings;
    engine.capture_attention(sequence, capture);

    std::vector<model::TokenId> prompt(kPrompt);
    for (std::size_t i = 0; i < kPrompt; ++i) {
        prompt[i] = static_cast<model::TokenId>((i * 2654435761U >> 7) % static_cast<std::size_t>(model.shape.vocab));
    }
    runtime::GenerateOptions generate;
    generate.max_tokens = kTokens;
    NoProgress progress;
    static_cast<void>(runtime::generate(engine, sequence, prompt, generate, &collector, progress));
    engine.finish();
    trace::RunData out = std::move(collector.data);

    trace::Run& run = out.run;
    run.id = 0;
    run.attention_run = 0;
    run.policy = "heterocache";
    run.mode = std::string(policy::mode_name(settings.mode));
    run.window = settings.window;
    run.commit_lag = settings.commit_lag;
    run.prompt_tokens = kPrompt;
    run.shape_json = config::to_json(model.shape);
    config::RunParameters parameters;
    parameters.settings = settings;
    parameters.profile = profile;
    parameters.precision = "fp32";
    parameters.threads = 1;
    parameters.drift_keep = 1.0;
    parameters.drift_every = 1;
    run.parameters_json = config::to_json(parameters);
    return out;
}

class Identity : public ::testing::TestWithParam<policy::Settings> {};

void expect_same_decisions(const trace::RunData& recorded, const sim::Prediction& same) {
    const std::vector<DriftRecord>& a = recorded.drift;
    const std::vector<DriftRecord>& b = same.data.drift;
    ASSERT_GT(a.size(), 0U);
    ASSERT_EQ(a.size(), b.size());
    std::size_t triggers = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].step, b[i].step);
        EXPECT_EQ(a[i].layer, b[i].layer);
        EXPECT_EQ(a[i].pivot, b[i].pivot);
        EXPECT_EQ(a[i].triggered, b[i].triggered);
        EXPECT_DOUBLE_EQ(a[i].median, b[i].median);
        triggers += a[i].triggered ? 1 : 0;
    }
    EXPECT_GT(triggers, 0U);
    EXPECT_EQ(same.triggers, static_cast<std::int64_t>(triggers));
}

void expect_same_rows(std::vector<RowsRecord> a, std::vector<RowsRecord> b) {
    const auto by_place = [](const RowsRecord& x, const RowsRecord& y) {
        return std::tuple(x.step, x.layer, x.head) < std::tuple(y.step, y.layer, y.head);
    };
    std::sort(a.begin(), a.end(), by_place);
    std::sort(b.begin(), b.end(), by_place);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].step, b[i].step);
        EXPECT_EQ(a[i].head, b[i].head);
        EXPECT_EQ(a[i].fetched, b[i].fetched);
        EXPECT_EQ(a[i].evicted, b[i].evicted);
    }
}

double recorded_median_ns(const trace::RunData& data) {
    std::vector<double> steps;
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        if (data.steps.phase[i] != Phase::kDecode) continue;
        steps.push_back(static_cast<double>(data.steps.end_ns[i] - data.steps.start_ns[i]));
    }
    return analysis::distribution(steps).median;
}

TEST_P(Identity, DecisionsRowsAndStepTimesComeBack) {
    const test::TemporaryFolder folder;
    test::TinyModelOptions tiny;
    tiny.layers = 2;
    tiny.hidden = 512;  // steps of about a millisecond: in shorter ones the clock's noise shows
    tiny.head_dim = 64;
    tiny.mlp = 2048;
    tiny.heads = 8;
    tiny.kv_heads = 4;
    tiny.context = 512;
    const model::Model model = model::load_model(test::write_tiny_model(folder.path(), tiny));
    const HeadProfile profile = two_stars();
    // On a machine that others load, threads are put aside in the middle of operations, and a
    // replay cannot tell that from the slowdown beside a transfer. So times have five tries, and
    // decisions have to be equal in each.
    double worst = 0;
    for (int attempt = 0; attempt < 5; ++attempt) {
        const trace::RunData recorded = record(model, profile, GetParam());
        const sim::Simulator simulator(recorded, recorded);
        const sim::Prediction same = simulator.simulate(sim::Scenario{});
        expect_same_decisions(recorded, same);
        expect_same_rows(recorded.rows, same.data.rows);
        const double median = recorded_median_ns(recorded);
        const double error = std::abs(same.step_ns_median.value - median) / median;
        if (error <= 0.02) return;
        worst = std::max(worst, error);
    }
    ADD_FAILURE() << "the median step was off by more than 2 % in each of five recordings, by up to "
                  << 100 * worst << " %";
}

policy::Settings settings(int commit_lag, double ratio) {
    policy::Settings s;
    s.ratio = ratio;
    s.stable_threshold = 0.97;
    s.commit_lag = commit_lag;
    return s;
}

INSTANTIATE_TEST_SUITE_P(LagsAndBudgets, Identity,
                         ::testing::Values(settings(1, 0.6), settings(0, 0.7), settings(3, 0.55)));

}  // namespace
}  // namespace hc
