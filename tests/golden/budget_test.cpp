/// The figures of algorithm.md §3 for the authors' head files.
#include "engine/policy/budget.h"

#include <cmath>

#include <gtest/gtest.h>

#include "engine/config/head_file.h"
#include "engine/core/error.h"
#include "tests/support/paths.h"

namespace hc {
namespace {

constexpr std::int64_t kPrompt = 224 * 1024;
constexpr const char* kLlama =
    "Head_Analysis_llama-3.1-8b-instruct_topk1024_th0.5_sim0.5_step5000.json";
constexpr const char* kDeepSeek =
    "Head_Analysis_deepseek-r1-distill-llama-8b_topk1024_th0.5_sim0.4_step5000.json";

struct Figures {
    double ratio;
    std::int64_t base, min, median, max, reference_tokens, fixed_tokens, token_bytes, pool_bytes;
    double refresh_gib;
};

constexpr Figures kFigures[] = {
    {0.5, 86851, 49276, 82321, 173430, 29'360'010, 29'360'128, 15'032'325'120, 15'062'925'312,
     8.15},
    {0.25, 15588, 8844, 14774, 31127, 14'679'829, 14'680'064, 7'516'072'448, 7'546'339'328, 1.46},
};

policy::Settings settings(policy::Mode mode, double ratio) {
    policy::Settings s = policy::settings_for(mode);
    s.ratio = ratio;
    return s;
}

ModelShape llama_shape() {
    ModelShape shape;
    shape.num_layers = 32;
    shape.num_kv_heads = 8;
    shape.num_qo_heads = 32;
    shape.head_dim = 128;
    return shape;
}

double gib(std::int64_t bytes) {
    return static_cast<double>(bytes) / (1 << 30);
}

class GoldenBudget : public ::testing::Test {
protected:
    void SetUp() override {
        const auto folder = test::heads_dir();
        HC_REQUIRE_OR_SKIP(folder, "../shared/data/heads");
        folder_ = *folder;
    }
    [[nodiscard]] HeadProfile read(const char* file) const {
        return config::read_head_file(folder_ / file);
    }
    std::filesystem::path folder_;
};

TEST_F(GoldenBudget, LlamaAt224KHoldsTheTokensOfTheSpecification) {
    const HeadProfile profile = read(kLlama);
    for (const Figures& f : kFigures) {
        SCOPED_TRACE(f.ratio);
        const auto reference =
            policy::compute_budgets(profile, kPrompt, settings(policy::Mode::kReference, f.ratio));
        EXPECT_EQ(reference.base, f.base);
        EXPECT_EQ(reference.total(), f.reference_tokens);
        const auto range = policy::compressed_capacities(profile, reference);
        EXPECT_EQ(range.min, f.min);
        EXPECT_EQ(range.median, f.median);
        EXPECT_EQ(range.max, f.max);
        const auto fixed =
            policy::compute_budgets(profile, kPrompt, settings(policy::Mode::kFixed, f.ratio));
        EXPECT_EQ(fixed.base, f.base);
        EXPECT_EQ(fixed.total(), f.fixed_tokens);
    }
}

TEST_F(GoldenBudget, LlamaAt224KTakesTheMemoryOfTheSpecification) {
    const HeadProfile profile = read(kLlama);
    for (const Figures& f : kFigures) {
        SCOPED_TRACE(f.ratio);
        const auto forecast = [&](policy::Mode mode) {
            const policy::Settings s = settings(mode, f.ratio);
            return policy::forecast_memory(profile, policy::compute_budgets(profile, kPrompt, s),
                                           llama_shape(), 100, 1, 256, 2, s);
        };
        const policy::MemoryForecast reference = forecast(policy::Mode::kReference);
        const policy::MemoryForecast fixed = forecast(policy::Mode::kFixed);
        EXPECT_EQ(reference.pool_token_bytes, f.token_bytes);
        EXPECT_EQ(reference.pool_bytes, f.pool_bytes);
        EXPECT_NEAR(gib(reference.host_bytes), 28.00, 0.005);
        EXPECT_NEAR(gib(fixed.host_bytes), 21.44, 0.005);
        EXPECT_NEAR(gib(reference.full_refresh_bytes), f.refresh_gib, 0.005);
        EXPECT_NEAR(gib(fixed.full_refresh_bytes), f.refresh_gib, 0.005);
        EXPECT_EQ(fixed.full_pool_bytes, std::int64_t{512} * 256 * (224 * 4 + 1) * 256);
    }
}

TEST_F(GoldenBudget, ClampingLosesBudgetInReferenceModeOnly) {
    const HeadProfile profile = read(kLlama);
    const double all = static_cast<double>(profile.size()) * kPrompt;
    const auto kept = [&](policy::Mode mode, double ratio) {
        const auto budgets = policy::compute_budgets(profile, kPrompt, settings(mode, ratio));
        return static_cast<double>(budgets.total()) / all;
    };
    EXPECT_NEAR(kept(policy::Mode::kReference, 0.75), 0.743, 5e-4);
    EXPECT_NEAR(kept(policy::Mode::kReference, 1.0), 0.939, 5e-4);
    EXPECT_NEAR(kept(policy::Mode::kFixed, 0.75), 0.75, 1e-9);
    EXPECT_EQ(kept(policy::Mode::kFixed, 1.0), 1.0);
    const auto at75 =
        policy::compute_budgets(profile, kPrompt, settings(policy::Mode::kReference, 0.75));
    std::int64_t clamped = 0;
    for (std::size_t i = 0; i < profile.size(); ++i) {
        clamped += !is_full(profile.roles[i]) && at75.capacity[i] == kPrompt ? 1 : 0;
    }
    EXPECT_EQ(clamped, 11);
}

TEST_F(GoldenBudget, ShippedFilesHaveTheRolesAndMinimumRatiosOfTheSpecification) {
    struct Expected {
        const char* file;
        double th, sim;
        std::int64_t anchor, volatile_heads, pivot, satellite;
        double fraction_full, assert_ratio;
    };
    for (const Expected& e : {Expected{kLlama, 0.5, 0.5, 10, 17, 33, 196, 0.1953, 0.1992},
                              Expected{kDeepSeek, 0.5, 0.4, 0, 5, 32, 219, 0.1445, 0.1484}}) {
        SCOPED_TRACE(e.file);
        const HeadProfile profile = read(e.file);
        EXPECT_EQ(profile.stable_threshold, e.th);
        EXPECT_EQ(profile.sim_threshold, e.sim);
        EXPECT_EQ(profile.topk, 1024);
        EXPECT_EQ(profile.calibration_step, 5000);
        EXPECT_EQ(profile.count(HeadRole::kAnchor), e.anchor);
        EXPECT_EQ(profile.count(HeadRole::kVolatile), e.volatile_heads);
        EXPECT_EQ(profile.count(HeadRole::kPivot), e.pivot);
        EXPECT_EQ(profile.count(HeadRole::kSatellite), e.satellite);
        const double reference =
            policy::minimum_ratio(profile, kPrompt, settings(policy::Mode::kReference, 1.0));
        EXPECT_NEAR(reference, e.assert_ratio, 5e-5);
        EXPECT_NEAR(reference, static_cast<double>(profile.num_full() + 1) / 256.0, 1e-6);
        const double fixed =
            policy::minimum_ratio(profile, kPrompt, settings(policy::Mode::kFixed, 1.0));
        EXPECT_GT(fixed, static_cast<double>(profile.num_full()) / 256.0);
        // 16 tokens in the weakest head take about 28 in the mean one: 1e-4 of the prompt.
        EXPECT_NEAR(fixed, e.fraction_full, 2e-4);
        for (const policy::Mode mode : {policy::Mode::kReference, policy::Mode::kFixed}) {
            const double minimum = policy::minimum_ratio(profile, kPrompt, settings(mode, 1.0));
            EXPECT_NO_THROW(
                (void)policy::compute_budgets(profile, kPrompt, settings(mode, minimum)));
            EXPECT_THROW(
                (void)policy::compute_budgets(profile, kPrompt, settings(mode, minimum - 1e-5)),
                Error);
        }
    }
}

}  // namespace
}  // namespace hc
