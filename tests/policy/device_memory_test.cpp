// What backend cuda allocates, against figures worked out by hand from the shapes.
#include "engine/policy/device_memory.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace hc::policy {
namespace {

ModelShape llama() {
    ModelShape shape;
    shape.num_layers = 32;
    shape.hidden = 4096;
    shape.num_qo_heads = 32;
    shape.num_kv_heads = 8;
    shape.head_dim = 128;
    shape.mlp = 14336;
    shape.vocab = 128256;
    return shape;
}

/// In every layer a pivot, five satellites of it, an anchor and a volatile head.
HeadProfile stars() {
    HeadProfile profile;
    profile.num_layers = 32;
    profile.num_kv_heads = 8;
    for (int layer = 0; layer < 32; ++layer) {
        profile.roles.insert(
            profile.roles.end(),
            {HeadRole::kPivot, HeadRole::kSatellite, HeadRole::kSatellite, HeadRole::kSatellite,
             HeadRole::kSatellite, HeadRole::kSatellite, HeadRole::kAnchor, HeadRole::kVolatile});
        profile.ratios.insert(profile.ratios.end(), {-1, 1, 1, 1, 1, 1, 1, -1});
        profile.stars.push_back({{0, {1, 2, 3, 4, 5}}});
    }
    return profile;
}

TEST(DeviceMemory, WeightsOfLlamaAreItsParametersInBf16) {
    // 32 x (2 x 4096 + 6144 x 4096 + 4096 x 4096 + 3 x 14336 x 4096) + 2 x 128256 x 4096 + 4096
    EXPECT_EQ(device_weight_bytes(llama()), 2 * 8030261248LL);
    ModelShape tied = llama();
    tied.tied_embeddings = true;
    EXPECT_EQ(device_weight_bytes(llama()) - device_weight_bytes(tied), 2LL * 128256 * 4096);
}

TEST(DeviceMemory, FullAttentionTakesWholePagesOfEveryHead) {
    DeviceMemoryQuestion question;
    question.shape = llama();
    question.prompt = 229376;
    question.generated = 100;
    question.synthetic_prefill = true;
    const DeviceMemoryForecast forecast = forecast_device_memory(question);
    // 897 pages of 256 tokens in each of 256 heads, 131,072 bytes a page.
    EXPECT_EQ(forecast.of("KV pool"), 897LL * 256 * 131072);
    EXPECT_EQ(forecast.of("prefill workspace"), 0);
    EXPECT_EQ(forecast.of("staging"), 0);
    EXPECT_EQ(forecast.host_tier_bytes, 0);
    question.batch = 3;
    EXPECT_EQ(forecast_device_memory(question).of("KV pool"), 3 * 897LL * 256 * 131072);
}

TEST(DeviceMemory, ACompressedSequenceHasATierOfItsSatellitesAlone) {
    const HeadProfile profile = stars();
    DeviceMemoryQuestion question;
    question.shape = llama();
    question.profile = &profile;
    question.settings.ratio = 0.5;
    question.prompt = 65536;
    const DeviceMemoryForecast forecast = forecast_device_memory(question);
    EXPECT_EQ(forecast.host_tier_bytes, 65536LL * 512 * 5 * 32);
    // A prompt under way holds one layer whole: six compressed heads of 256 pages.
    question.synthetic_prefill = true;
    const DeviceMemoryForecast synthetic = forecast_device_memory(question);
    EXPECT_EQ(forecast.of("KV pool") - synthetic.of("KV pool"), 6 * 256 * 131072LL);
    question.settings.retrieval = false;
    const DeviceMemoryForecast without = forecast_device_memory(question);
    EXPECT_EQ(without.host_tier_bytes, 0);
    EXPECT_EQ(without.of("drift sets"), 0);
    EXPECT_EQ(without.of("KV pool"), synthetic.of("KV pool"));
}

TEST(DeviceMemory, TheRingHoldsTheLargestFetchTwice) {
    const HeadProfile profile = stars();
    Settings settings;
    settings.ratio = 0.5;
    settings.commit_lag = 0;
    const Budgets budgets = compute_budgets(profile, 65536, settings);
    const std::int64_t rows = largest_star_rows(profile, budgets);
    EXPECT_EQ(rows, 5 * budgets.capacity[1]);
    EXPECT_GE(default_staging_bytes(profile, budgets, llama(), settings, 1), 2 * rows * 512);
    settings.commit_lag = 2;
    EXPECT_GE(default_staging_bytes(profile, budgets, llama(), settings, 3),
              2 * rows * 512 + 3 * rows * 512);
}

TEST(DeviceMemory, TheLargestThatFitsFitsAndOneMoreDoesNot) {
    const HeadProfile profile = stars();
    DeviceMemoryQuestion question;
    question.shape = llama();
    question.profile = &profile;
    question.settings.ratio = 0.4;
    question.prompt = 65536;
    constexpr std::int64_t kDevice = 40000000000;
    constexpr std::int64_t kHost = 30000000000;
    const LargestThatFits largest = largest_that_fits(question, kDevice, kHost);
    ASSERT_GT(largest.batch, 0);
    const auto fits = [&](DeviceMemoryQuestion q) {
        const DeviceMemoryForecast forecast = forecast_device_memory(q);
        return forecast.device_bytes() <= kDevice && forecast.host_tier_bytes <= kHost;
    };
    question.batch = largest.batch;
    EXPECT_TRUE(fits(question));
    question.batch = largest.batch + 1;
    EXPECT_FALSE(fits(question));
    EXPECT_GT(largest.ratio, 0.4);
    EXPECT_EQ(largest_that_fits(question, 1000, kHost).batch, 0);
    EXPECT_EQ(largest_that_fits(question, 1000, kHost).ratio, 0);
}

TEST(DeviceMemory, ARatioThatThePolicyRefusesIsRefused) {
    const HeadProfile profile = stars();
    DeviceMemoryQuestion question;
    question.shape = llama();
    question.profile = &profile;
    question.settings.ratio = 0.2;
    question.prompt = 65536;
    EXPECT_THROW(static_cast<void>(forecast_device_memory(question)), Error);
}

}  // namespace
}  // namespace hc::policy
