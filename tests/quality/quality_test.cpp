// What a budget costs on a real model and a real text: the promises that a user relies on.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <numeric>

#include "engine/policy/calibration.h"
#include "engine/runtime/generate.h"
#include "profiler/analysis/metrics.h"
#include "tests/collect/collector.h"
#include "tests/support/paths.h"

namespace hc {
namespace {

constexpr std::int64_t kTokens = 48;
constexpr std::size_t kPrompt = 1500;

class CalibratorSink final : public runtime::AttentionRowSink {
public:
    explicit CalibratorSink(policy::Calibrator& calibrator) : calibrator_(calibrator) {}
    void begin_pass(std::int64_t kv_len) override { calibrator_.begin_pass(kv_len); }
    void layer_rows(std::int32_t layer, std::span<const float> rows) override { calibrator_.add_layer(layer, rows); }

private:
    policy::Calibrator& calibrator_;
};

struct Outcome {
    runtime::Generated generated;
    std::vector<float> logits;
    trace::RunData data;
    std::vector<float> prefill_logits;
};

/// Everything costly once for all tests of this file.
class Quality : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        const auto file = test::model_file();
        if (!file) return;
        model_ = new model::Model(model::load_model(*file));
        std::string text;
        for (const char* name : {"/usr/share/common-licenses/Artistic", "/usr/share/common-licenses/BSD"}) {
            std::ifstream in(name, std::ios::binary);
            text.append(std::istreambuf_iterator<char>(in), {});
        }
        prompt_ = new std::vector<model::TokenId>(model_->tokenizer->encode(text, false, false));
        ASSERT_GE(prompt_->size(), kPrompt);
        prompt_->resize(kPrompt);
        profile_ = new HeadProfile(calibrate());
        reference_ = new Outcome(run(std::nullopt, 0));
    }
    static void TearDownTestSuite() {
        delete reference_;
        delete profile_;
        delete prompt_;
        delete model_;
    }
    void SetUp() override {
        if (model_ == nullptr) GTEST_SKIP() << "the demo's model (./run.sh fetch-model) not found on this machine";
    }

    static runtime::EngineOptions options() {
        runtime::EngineOptions o;
        o.precision = kernels::cpu::Precision::kFp32;
        return o;
    }

    // Low thresholds make few volatile heads, so that ratios down to 0.4 are feasible.
    static HeadProfile calibrate() {
        policy::CalibrationSettings settings;
        settings.num_layers = static_cast<std::int32_t>(model_->shape.num_layers);
        settings.num_qo_heads = static_cast<std::int32_t>(model_->shape.num_qo_heads);
        settings.num_kv_heads = static_cast<std::int32_t>(model_->shape.num_kv_heads);
        settings.topk = policy::default_topk(kPrompt);
        settings.max_length = settings.calibration_step = kPrompt;
        settings.stable_threshold = 0.25;
        settings.sim_threshold = 0.4;
        policy::Calibrator calibrator(settings);
        CalibratorSink sink(calibrator);
        runtime::Engine engine(*model_, options());
        const auto sequence = engine.add_sequence({});
        engine.capture_rows(sequence, &sink);
        runtime::GenerateOptions generate;
        generate.max_tokens = 24;
        NoProgress progress;
        static_cast<void>(runtime::generate(engine, sequence, *prompt_, generate, nullptr, progress));
        return calibrator.finish().profile;
    }

    /// nullopt: full attention with a drift trace.
    static Outcome run(const std::optional<policy::Settings>& settings, int oracle) {
        Outcome outcome;
        test::Collector collector;
        runtime::Engine engine(*model_, options(), &collector);
        runtime::SequenceOptions sequence_options;
        sequence_options.reserve_generated = kTokens;
        sequence_options.heterocache = settings.has_value() && oracle == 0;
        if (sequence_options.heterocache) {
            sequence_options.settings = *settings;
            sequence_options.profile = profile_;
        }
        const auto sequence = engine.add_sequence(sequence_options);
        runtime::GenerateOptions generate;
        generate.max_tokens = kTokens;
        generate.keep_logits = &outcome.logits;
        if (!settings) {
            runtime::AttentionCapture capture;
            capture.keep = 0.999;
            capture.every = 4;
            capture.profile = profile_;
            engine.capture_attention(sequence, capture);
        } else {
            if (oracle != 0) engine.use_oracle(sequence, *profile_, *settings);
            generate.forced = reference_->generated.tokens;
            generate.reference_logits = reference_->logits;
        }
        NoProgress progress;
        outcome.generated = runtime::generate(engine, sequence, *prompt_, generate, &collector, progress);
        engine.finish();
        outcome.data = std::move(collector.data);
        outcome.data.run.policy = settings ? (oracle != 0 ? "oracle" : "heterocache") : "fullkv";
        outcome.data.run.prompt_tokens = kPrompt;
        return outcome;
    }

    static double mean_kl(const Outcome& o) {
        return std::accumulate(o.generated.kl_nats.begin(), o.generated.kl_nats.end(), 0.0) /
               static_cast<double>(o.generated.kl_nats.size());
    }
    static double mean_recall(const Outcome& o) {
        const auto rows = analysis::run_recall(o.data, reference_->data);
        double sum = 0;
        for (const auto& row : rows) sum += row.low;
        return sum / static_cast<double>(rows.size());
    }

    static inline model::Model* model_ = nullptr;
    static inline std::vector<model::TokenId>* prompt_ = nullptr;
    static inline HeadProfile* profile_ = nullptr;
    static inline Outcome* reference_ = nullptr;
};

double rank_correlation(std::vector<double> x, std::vector<double> y) {
    const auto ranks = [](const std::vector<double>& v) {
        std::vector<double> r(v.size());
        for (std::size_t i = 0; i < v.size(); ++i) {
            for (const double other : v) r[i] += other < v[i] ? 1.0 : other == v[i] ? 0.5 : 0.0;
        }
        return r;
    };
    const auto a = ranks(x);
    const auto b = ranks(y);
    const double ma = std::accumulate(a.begin(), a.end(), 0.0) / static_cast<double>(a.size());
    const double mb = std::accumulate(b.begin(), b.end(), 0.0) / static_cast<double>(b.size());
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += (a[i] - ma) * (b[i] - mb);
        aa += (a[i] - ma) * (a[i] - ma);
        bb += (b[i] - mb) * (b[i] - mb);
    }
    return ab / std::sqrt(aa * bb);
}

TEST_F(Quality, KeepingEverythingEqualsFullAttention) {
    policy::Settings settings;
    settings.ratio = 1.0;
    const Outcome o = run(settings, 0);
    ASSERT_EQ(o.logits.size(), reference_->logits.size());
    float worst = 0;
    for (std::size_t i = 0; i < o.logits.size(); ++i) worst = std::max(worst, std::abs(o.logits[i] - reference_->logits[i]));
    EXPECT_LE(worst, 1e-4F);
    EXPECT_NEAR(mean_recall(o), 1.0, 1e-3);
    EXPECT_LT(mean_kl(o), 1e-8);
    for (const DriftRecord& check : o.data.drift) EXPECT_FALSE(check.triggered);
}

TEST_F(Quality, WithoutRetrievalASmallerBudgetLosesRecallAndDivergesMore) {
    const std::vector<double> ratios{1.0, 0.9, 0.7, 0.5, 0.4};
    std::vector<double> recalls, divergences;
    for (const double ratio : ratios) {
        policy::Settings settings;
        settings.ratio = ratio;
        settings.retrieval = false;
        const Outcome o = run(settings, 0);
        recalls.push_back(mean_recall(o));
        divergences.push_back(mean_kl(o));
        RecordProperty("recall_" + std::to_string(ratio), std::to_string(recalls.back()));
        std::printf("ratio %.2f  recall %.4f  KL %.5f nats\n", ratio, recalls.back(), divergences.back());
    }
    for (std::size_t i = 1; i < recalls.size(); ++i) EXPECT_LE(recalls[i], recalls[i - 1] + 1e-9);
    EXPECT_LE(rank_correlation(ratios, divergences), -0.9);
}

TEST_F(Quality, TheOracleIsAnUpperBoundOfRecall) {
    policy::Settings settings;
    settings.ratio = 0.5;
    settings.stable_threshold = 0.7;
    const Outcome on = run(settings, 0);
    settings.retrieval = false;
    const Outcome off = run(settings, 0);
    const Outcome best = run(settings, 1);
    const auto rows = analysis::oracle_recall(on.data, reference_->data);
    double oracle = 0;
    for (const auto& row : rows) oracle += row.low;
    oracle /= static_cast<double>(rows.size());
    std::printf("ratio 0.50: recall off %.4f, on %.4f, oracle %.4f; KL off %.5f, on %.5f, oracle %.5f\n",
                mean_recall(off), mean_recall(on), oracle, mean_kl(off), mean_kl(on), mean_kl(best));
    EXPECT_GE(oracle, mean_recall(on) - 1e-9);
    EXPECT_GE(oracle, mean_recall(off) - 1e-9);
    // No bound holds for KL: the oracle keeps the most probability mass of each head by itself.
    EXPECT_GT(std::count_if(on.data.drift.begin(), on.data.drift.end(), [](const auto& c) { return c.triggered; }), 0);
}

}  // namespace
}  // namespace hc
