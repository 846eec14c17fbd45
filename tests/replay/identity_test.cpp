// Engine and simulator agree: a run of the engine, replayed with nothing changed from the scores
// that it recorded itself, makes the same decisions, fetches the same rows and takes as long.
#include <algorithm>
#include <gtest/gtest.h>

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

struct Recording {
    trace::RunData data;
    std::vector<double> step_ns;
};

Recording record(const model::Model& model, const HeadProfile& profile, const policy::Settings& settings) {
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
    Recording out;
    const runtime::Generated generated = runtime::generate(engine, sequence, prompt, generate, &collector, progress);
    engine.finish();
    out.data = std::move(collector.data);
    out.step_ns.assign(generated.step_ns.begin(), generated.step_ns.end());

    trace::Run& run = out.data.run;
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

TEST_P(Identity, DecisionsRowsAndStepTimesComeBack) {
    const test::TemporaryFolder folder;
    test::TinyModelOptions tiny;
    tiny.layers = 2;
    tiny.heads = 8;
    tiny.kv_heads = 4;
    tiny.context = 512;
    const model::Model model = model::load_model(test::write_tiny_model(folder.path(), tiny));
    const HeadProfile profile = two_stars();
    const Recording recorded = record(model, profile, GetParam());
    const sim::Simulator simulator(recorded.data, recorded.data);
    const sim::Prediction same = simulator.simulate(sim::Scenario{});

    const std::vector<DriftRecord>& a = recorded.data.drift;
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

    const auto by_place = [](const RowsRecord& x, const RowsRecord& y) {
        return std::tuple(x.step, x.layer, x.head) < std::tuple(y.step, y.layer, y.head);
    };
    std::vector<RowsRecord> rows_a = recorded.data.rows;
    std::vector<RowsRecord> rows_b = same.data.rows;
    std::sort(rows_a.begin(), rows_a.end(), by_place);
    std::sort(rows_b.begin(), rows_b.end(), by_place);
    ASSERT_EQ(rows_a.size(), rows_b.size());
    for (std::size_t i = 0; i < rows_a.size(); ++i) {
        EXPECT_EQ(rows_a[i].step, rows_b[i].step);
        EXPECT_EQ(rows_a[i].head, rows_b[i].head);
        EXPECT_EQ(rows_a[i].fetched, rows_b[i].fetched);
        EXPECT_EQ(rows_a[i].evicted, rows_b[i].evicted);
    }

    std::vector<double> steps;
    for (std::size_t i = 0; i < recorded.data.steps.size(); ++i) {
        if (recorded.data.steps.phase[i] != Phase::kDecode) continue;
        steps.push_back(static_cast<double>(recorded.data.steps.end_ns[i] - recorded.data.steps.start_ns[i]));
    }
    const double median = analysis::distribution(steps).median;
    EXPECT_NEAR(same.step_ns_median.value, median, 0.02 * median);
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
