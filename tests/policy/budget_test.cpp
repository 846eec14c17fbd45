#include "engine/policy/budget.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/policy/water_fill.h"
#include "random_scores.h"

namespace hc::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// One layer; a ratio below 0 makes a volatile head.
HeadProfile profile_of(const std::vector<double>& ratios) {
    HeadProfile profile;
    profile.num_layers = 1;
    profile.num_kv_heads = static_cast<std::int32_t>(ratios.size());
    profile.ratios = ratios;
    for (const double ratio : ratios) {
        profile.roles.push_back(ratio < 0 ? HeadRole::kVolatile : HeadRole::kAnchor);
    }
    profile.stars.resize(1);
    return profile;
}

HeadProfile random_profile(test::RandomScores& random) {
    std::vector<double> ratios;
    const std::size_t compressed = 1 + random.below(12);
    double sum = 0;
    for (std::size_t i = 0; i < compressed; ++i) sum += ratios.emplace_back(0.1 + random.unit());
    for (double& ratio : ratios) ratio *= static_cast<double>(compressed) / sum;
    for (std::size_t full = random.below(5); full > 0; --full) {
        ratios.insert(ratios.begin() + static_cast<std::ptrdiff_t>(random.below(ratios.size() + 1)),
                      -1.0);
    }
    return profile_of(ratios);
}

Settings with(Mode mode, double ratio) {
    Settings settings = settings_for(mode);
    settings.ratio = ratio;
    return settings;
}

bool accepts(const HeadProfile& profile, std::int64_t prompt, const Settings& settings) {
    try {
        return compute_budgets(profile, prompt, settings).total() >= 0;
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kRefused);
        return false;
    }
}

TEST(Budgets, ReferenceTruncatesAndClamps) {
    // N = 5, F = 1: base = trunc((0.6*5 - 1) * 1000 / 4) = 500.
    const HeadProfile profile = profile_of({0.501, -1.0, 2.4, 0.9999, 0.0991});
    const Budgets budgets = compute_budgets(profile, 1000, with(Mode::kReference, 0.6));
    EXPECT_EQ(budgets.base, 500);
    EXPECT_THAT(budgets.capacity, ElementsAre(250, 1000, 1000, 499, 49));
}

TEST(Budgets, WaterFillingGivesClampedBudgetToTheOthers) {
    // 2000 tokens for ratios 0.501, 2.4, 0.9999, 0.0991: the second fills up, 1000 are left for
    // 1.6 shares: level 625, so 313.1, 624.9, 61.9; two left-over tokens go to the first heads.
    const HeadProfile profile = profile_of({0.501, -1.0, 2.4, 0.9999, 0.0991});
    const Budgets budgets = compute_budgets(profile, 1000, with(Mode::kFixed, 0.6));
    EXPECT_EQ(budgets.base, 500);
    EXPECT_THAT(budgets.capacity, ElementsAre(314, 1000, 1000, 625, 61));
}

TEST(Budgets, WaterFilledTotalsAndSharesHoldForRandomProfiles) {
    test::RandomScores random(11);
    for (int round = 0; round < 300; ++round) {
        const HeadProfile profile = random_profile(random);
        const auto prompt = static_cast<std::int64_t>(256 + random.below(3000));
        const double ratio = 0.05 + 0.95 * random.unit();
        const Settings settings = with(Mode::kFixed, ratio);
        if (!accepts(profile, prompt, settings)) continue;
        const Budgets budgets = compute_budgets(profile, prompt, settings);
        const double exact =
            ratio * static_cast<double>(profile.size() * static_cast<std::size_t>(prompt));
        ASSERT_LE(static_cast<double>(budgets.total()), exact + 1e-5);
        ASSERT_GT(static_cast<double>(budgets.total()), exact - 1.0 - 1e-5);
        // Brute force: the level by bisection on its definition.
        const double total = static_cast<double>(budgets.total() - profile.num_full() * prompt);
        double low = 0;
        double high = 1e9;
        for (int i = 0; i < 200; ++i) {
            const double level = (low + high) / 2;
            double sum = 0;
            for (const double r : profile.ratios) {
                if (r > 0) sum += std::min(static_cast<double>(prompt), level * r);
            }
            (sum < total ? low : high) = level;
        }
        bool extra_ended = false;  // left-over tokens go to the first heads with room
        for (std::size_t i = 0; i < profile.size(); ++i) {
            if (profile.ratios[i] < 0) {
                ASSERT_EQ(budgets.capacity[i], prompt);
                continue;
            }
            const double share = std::min(static_cast<double>(prompt), high * profile.ratios[i]);
            const auto floor = static_cast<std::int64_t>(share + 1e-7);
            const std::int64_t extra = budgets.capacity[i] - floor;
            ASSERT_TRUE(extra == 0 || extra == 1);
            if (floor == prompt) continue;
            ASSERT_FALSE(extra_ended && extra == 1);
            extra_ended = extra == 0;
        }
    }
}

TEST(Budgets, RatioOneKeepsEverythingInFixedModeOnly) {
    const HeadProfile profile = profile_of({0.5, -1.0, 1.5});
    EXPECT_EQ(compute_budgets(profile, 1000, with(Mode::kFixed, 1.0)).total(), 3000);
    EXPECT_THAT(compute_budgets(profile, 1000, with(Mode::kReference, 1.0)).capacity,
                ElementsAre(500, 1000, 1000));
}

TEST(Budgets, ShortPromptsKeepEverythingInFixedMode) {
    const HeadProfile profile = profile_of({0.5, -1.0, 1.5});
    const Budgets budgets = compute_budgets(profile, 255, with(Mode::kFixed, 0.01));
    EXPECT_EQ(budgets.base, 255);
    EXPECT_EQ(budgets.total(), 3 * 255);
    EXPECT_FALSE(accepts(profile, 256, with(Mode::kFixed, 0.01)));
}

TEST(Budgets, ProfileWithoutCompressedHeadsKeepsEverythingAtRatioOne) {
    const HeadProfile profile = profile_of({-1.0, -1.0});
    EXPECT_EQ(compute_budgets(profile, 500, with(Mode::kFixed, 1.0)).total(), 1000);
    EXPECT_FALSE(accepts(profile, 500, with(Mode::kFixed, 0.99)));
    EXPECT_EQ(minimum_ratio(profile, 500, with(Mode::kFixed, 0.5)), 1.0);
}

TEST(MinimumRatio, ReferenceNeedsOneHeadMoreThanTheFullOnes) {
    const HeadProfile profile = profile_of({0.5, -1.0, 1.5, 1.0});
    EXPECT_NEAR(minimum_ratio(profile, 1000, with(Mode::kReference, 1.0)), 0.5, 1e-6);
    EXPECT_TRUE(accepts(profile, 1000, with(Mode::kReference, 0.5)));
    EXPECT_FALSE(accepts(profile, 1000, with(Mode::kReference, 0.4999)));
}

TEST(MinimumRatio, EveryRatioFromItOnIsAcceptedAndTheOneBelowRefused) {
    test::RandomScores random(12);
    for (int round = 0; round < 25; ++round) {
        const HeadProfile profile = random_profile(random);
        const auto prompt = static_cast<std::int64_t>(256 + random.below(1000));
        for (const Mode mode : {Mode::kFixed, Mode::kReference}) {
            if (mode == Mode::kReference &&
                profile.num_full() + 1 > static_cast<std::int64_t>(profile.size()))
                continue;
            const double minimum = minimum_ratio(profile, prompt, with(mode, 1.0));
            for (int i = 0; i < 300; ++i) {
                const double above = minimum + (1.0 - minimum) * i * i / 90000.0;
                ASSERT_TRUE(accepts(profile, prompt, with(mode, std::min(1.0, above)))) << above;
            }
            // A token is worth more than 1e-6 here, so two steps below a token is missing.
            if (minimum > 3e-6) {
                ASSERT_FALSE(accepts(profile, prompt, with(mode, minimum - 2e-6))) << minimum;
            }
        }
    }
}

TEST(MinimumRatio, IsNamedByTheRefusal) {
    const HeadProfile profile = profile_of({0.5, -1.0, 1.5, 1.0});
    try {
        (void)compute_budgets(profile, 1000, with(Mode::kReference, 0.3));
        FAIL() << "accepted";
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kRefused);
        EXPECT_THAT(std::string(e.what()), HasSubstr("at least 0.500000"));
    }
}

TEST(MinimumRatio, SaysWhenNoRatioIsFeasible) {
    Settings settings = with(Mode::kFixed, 1.0);
    settings.water_fill = false;  // a head of ratio 0.001 then never gets its 16 tokens
    const HeadProfile profile = profile_of({0.001, 1.999});
    EXPECT_THROW((void)minimum_ratio(profile, 1000, settings), Error);
    EXPECT_THROW((void)compute_budgets(profile, 1000, settings), Error);
}

TEST(WaterLevel, SolvesItsDefinition) {
    EXPECT_DOUBLE_EQ(water_level(std::vector<double>{1, 1, 2}, 10, 8), 2.0);
    EXPECT_DOUBLE_EQ(water_level(std::vector<double>{1, 1, 8}, 10, 16), 3.0);
}

TEST(MemoryForecast, CountsPagesHostRowsAndRefreshes) {
    HeadProfile profile = profile_of({0.5, -1.0, 1.5, 1.0, 1.0, -1.0});
    profile.num_layers = 2;
    profile.num_kv_heads = 3;
    profile.stars = {{{1, {0}}}, {}};
    profile.roles = {HeadRole::kSatellite, HeadRole::kPivot,  HeadRole::kAnchor,
                     HeadRole::kAnchor,    HeadRole::kAnchor, HeadRole::kVolatile};
    Budgets budgets{1000, 300, {150, 1000, 450, 300, 300, 1000}};
    ModelShape shape;
    shape.head_dim = 64;
    Settings settings = with(Mode::kFixed, 0.5);
    const auto forecast = [&] {
        return forecast_memory(profile, budgets, shape, 10, 2, 256, 4, settings);
    };
    const std::int64_t token = 2 * 64 * 4 * 2;
    EXPECT_EQ(forecast().pool_token_bytes, token * 3200);
    EXPECT_EQ(forecast().pool_bytes, token * 256 * (1 + 4 + 2 + 2 + 2 + 4));
    EXPECT_EQ(forecast().full_pool_bytes, token * 256 * 4 * 6);
    EXPECT_EQ(forecast().host_bytes, token * 1000);
    EXPECT_EQ(forecast().full_refresh_bytes, token * 150);
    settings.host_satellites_only = false;  // the whole layer of a satellite, no other layer
    EXPECT_EQ(forecast().host_bytes, token * 1000 * 3);
    settings.retrieval = false;
    EXPECT_EQ(forecast().host_bytes, 0);
}

TEST(Settings, RefusesTheFirstFieldOutOfRangeByName) {
    const auto refusal = [](auto change) {
        Settings settings;
        change(settings);
        try {
            validate(settings);
        } catch (const Error& e) {
            EXPECT_EQ(e.code(), ExitCode::kUsage);
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_EQ(refusal([](Settings&) {}), "");
    EXPECT_THAT(refusal([](Settings& s) { s.ratio = 0; }), HasSubstr("ratio is 0"));
    EXPECT_THAT(refusal([](Settings& s) { s.ratio = 1.01; }), HasSubstr("ratio"));
    EXPECT_THAT(refusal([](Settings& s) { s.ratio = std::nan(""); }), HasSubstr("ratio"));
    EXPECT_THAT(refusal([](Settings& s) { s.window = 0; }), HasSubstr("window is 0"));
    EXPECT_THAT(refusal([](Settings& s) { s.stable_threshold = -0.1; }),
                HasSubstr("stable_threshold"));
    EXPECT_THAT(refusal([](Settings& s) { s.commit_lag = -1; }), HasSubstr("commit_lag"));
    EXPECT_THAT(refusal([](Settings& s) { s.sink = -1; }), HasSubstr("sink"));
    EXPECT_THAT(refusal([](Settings& s) { s.recent = -2; }), HasSubstr("recent"));
    EXPECT_THAT(refusal([](Settings& s) { s.pool_width = 4; }), HasSubstr("pool_width is 4"));
}

}  // namespace
}  // namespace hc::policy
