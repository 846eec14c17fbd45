#include "engine/policy/calibration.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "random_scores.h"

namespace hc::policy {
namespace {

using ::testing::ElementsAre;

CalibrationSettings settings_of(std::int32_t qo_heads, std::int32_t kv_heads) {
    CalibrationSettings s;
    s.num_layers = 1;
    s.num_qo_heads = qo_heads;
    s.num_kv_heads = kv_heads;
    s.topk = 5;
    s.max_length = 40;
    s.calibration_step = 40;
    s.stability_floor = 0;
    return s;
}

/// One row: all weight at `centre`, so that the best five are centre-2 .. centre+2.
void add_peak(std::vector<float>& rows, std::size_t length, std::size_t centre) {
    rows.resize(rows.size() + length, 0.0F);
    rows[rows.size() - length + centre] = 1.0F;
}

/// Peaks per head for the passes of 40, 41, ... keys.
Calibration calibrate(const CalibrationSettings& settings,
                      const std::vector<std::vector<std::size_t>>& peaks) {
    Calibrator calibrator(settings);
    for (std::size_t pass = 0; pass < peaks.size(); ++pass) {
        calibrator.begin_pass(static_cast<std::int64_t>(40 + pass));
        std::vector<float> rows;
        for (const std::size_t peak : peaks[pass]) add_peak(rows, 40 + pass, peak);
        calibrator.add_layer(0, rows);
    }
    return calibrator.finish();
}

TEST(Calibrator, FindsRolesStabilityAndRatiosOfAHandMadeLayer) {
    // Heads 0 and 1 look at the same place (a star), 2 stays, 3 wanders off by two and by far.
    const Calibration found = calibrate(
        settings_of(4, 4), {{5, 6, 15, 25}, {5, 7, 15, 27}, {5, 8, 15, 35}, {6, 9, 15, 10}});
    const LayerCalibration& layer = found.layers.at(0);
    EXPECT_THAT(layer.prefill_sets[0][0], ElementsAre(3, 4, 5, 6, 7));
    EXPECT_THAT(layer.overlap_history[1], ElementsAre(0.8, 0.6, 0.4));
    EXPECT_THAT(layer.overlap_history[3], ElementsAre(0.6, 0.0, 0.0));
    EXPECT_THAT(layer.stability, ElementsAre(1.0, 0.6, 1.0, 0.0));
    EXPECT_EQ(layer.similarity[0][1], 0.8);
    EXPECT_EQ(layer.similarity[0][0], 0.0);
    EXPECT_THAT(found.profile.roles, ElementsAre(HeadRole::kPivot, HeadRole::kSatellite,
                                                 HeadRole::kAnchor, HeadRole::kVolatile));
    ASSERT_EQ(found.profile.stars[0].size(), 1U);
    EXPECT_EQ(found.profile.stars[0][0], (Star{0, {1}}));
    const double w1 = 1 / 0.600001;
    const double w2 = 1 / 1.000001;
    EXPECT_DOUBLE_EQ(found.profile.ratios[1], w1 / (w1 + w2) * 2);
    EXPECT_DOUBLE_EQ(found.profile.ratios[2], w2 / (w1 + w2) * 2);
    EXPECT_EQ(found.profile.ratios[0], -1.0);
    EXPECT_EQ(found.spatial_step, 40);
}

TEST(Calibrator, StarsStartAtTheHeadWithMostFreeNeighbours) {
    // A chain of overlaps 0-1-2-3: head 1 and 2 have two neighbours each, the lower one wins;
    // then only 3 is free, alone.
    CalibrationSettings settings = settings_of(4, 4);
    settings.sim_threshold = 0.6;
    const Calibration found = calibrate(settings, {{5, 7, 9, 11}});
    EXPECT_EQ(found.layers[0].adjacency,
              (std::vector<std::vector<std::int32_t>>{{1}, {0, 2}, {1, 3}, {2}}));
    ASSERT_EQ(found.profile.stars[0].size(), 1U);
    EXPECT_EQ(found.profile.stars[0][0], (Star{1, {0, 2}}));
    EXPECT_EQ(found.profile.roles[3], HeadRole::kVolatile) << "no decode pass: stability 0";
}

TEST(Calibrator, SimilarityComesFromTheNamedPassOrElseTheLast) {
    CalibrationSettings settings = settings_of(2, 2);
    const std::vector<std::vector<std::size_t>> peaks{{5, 20}, {5, 5}, {5, 30}};
    settings.calibration_step = 41;
    EXPECT_EQ(calibrate(settings, peaks).layers[0].similarity[0][1], 1.0);
    settings.calibration_step = 5000;
    const Calibration last = calibrate(settings, peaks);
    EXPECT_EQ(last.layers[0].similarity[0][1], 0.0);
    EXPECT_EQ(last.spatial_step, 42);
}

TEST(Calibrator, GroupMeansAreRoundedToHalfAndCutBeforePooling) {
    CalibrationSettings settings = settings_of(2, 1);
    settings.max_length = 6;
    settings.topk = 1;
    // Key 6 is cut off and must not leak into the pooled sums of keys 4 and 5.
    std::vector<float> rows{0, 0.25F, 0, 0, 0, 0, 1, 0, 0.25F, 0, 0, 0, 0, 1};
    Calibrator calibrator(settings);
    calibrator.begin_pass(7);
    calibrator.add_layer(0, rows);
    EXPECT_THAT(calibrator.finish().layers[0].prefill_sets[0][0], ElementsAre(0));
    // (1 + 2^-10) / 2 and 1/2 + 2^-13 in half precision: the latter rounds to 1/2.
    std::vector<float> close(14, 0.0F);
    close[0] = 1.0F;
    close[5] = 1.0F;
    close[7 + 5] = 0x1p-12F;
    Calibrator second(settings);
    second.begin_pass(7);
    second.add_layer(0, close);
    EXPECT_THAT(second.finish().layers[0].prefill_sets[0][0], ElementsAre(0))
        << "equal after rounding, so the lower index wins";
}

TEST(Calibrator, BatchesAreAveraged) {
    CalibrationSettings settings = settings_of(1, 1);
    settings.batch = 2;
    const Calibration found = calibrate(settings, {{5, 20}, {5, 30}});  // one moves, one stays
    EXPECT_THAT(found.layers[0].stability, ElementsAre(0.5));
}

TEST(Calibrator, StabilityFloorAndRatioCapTameAHeadThatNeverRepeats) {
    // Satellite 1 moves away at once: stability 0.
    const std::vector<std::vector<std::size_t>> peaks{{5, 5, 15, 25}, {5, 30, 15, 25}};
    CalibrationSettings settings = settings_of(4, 4);
    const auto ratios = [&] { return calibrate(settings, peaks).profile.ratios; };
    EXPECT_NEAR(ratios()[1], 3.0, 1e-4) << "the reference starves every other head";
    settings.stability_floor = 0.05;
    const double w = 1 / 0.050001;
    const double sum = w + 2 / 1.000001;
    EXPECT_DOUBLE_EQ(ratios()[1], w / sum * 3);
    settings.ratio_cap = 1.5;
    EXPECT_DOUBLE_EQ(ratios()[1], 1.5);
    EXPECT_DOUBLE_EQ(ratios()[2], 0.75);
    EXPECT_DOUBLE_EQ(ratios()[3], 0.75);
}

TEST(Calibrator, MissingRowsAreNamed) {
    CalibrationSettings settings = settings_of(1, 1);
    EXPECT_THROW((void)Calibrator(settings).finish(), Error);
    settings.num_layers = 2;
    Calibrator calibrator(settings);
    calibrator.begin_pass(40);
    std::vector<float> rows;
    add_peak(rows, 40, 3);
    calibrator.add_layer(0, rows);
    EXPECT_THROW((void)calibrator.finish(), Error);
    calibrator.add_layer(1, rows);
    EXPECT_NO_THROW((void)calibrator.finish());
}

TEST(Calibrator, RandomRowsGiveConsistentProfiles) {
    test::RandomScores random(31);
    for (int round = 0; round < 40; ++round) {
        CalibrationSettings settings = settings_of(6, 6);
        settings.topk = 12;
        settings.sim_threshold = 0.3;
        Calibrator calibrator(settings);
        for (std::int64_t pass = 0; pass < 4; ++pass) {
            calibrator.begin_pass(40 + pass);
            calibrator.add_layer(0, random.distinct(static_cast<std::size_t>(6 * (40 + pass))));
        }
        const HeadProfile profile = calibrator.finish().profile;
        double sum = 0;
        int compressed = 0;
        std::vector<int> memberships(6, 0);
        for (const Star& star : profile.stars[0]) {
            ASSERT_EQ(profile.role({0, star.pivot}), HeadRole::kPivot);
            ASSERT_FALSE(star.members.empty());
            for (const std::int32_t m : star.members) ++memberships[static_cast<std::size_t>(m)];
        }
        for (std::size_t i = 0; i < 6; ++i) {
            ASSERT_EQ(memberships[i], profile.roles[i] == HeadRole::kSatellite ? 1 : 0);
            if (is_full(profile.roles[i])) continue;
            sum += profile.ratios[i];
            ++compressed;
        }
        ASSERT_NEAR(sum, compressed, 1e-9);
    }
}

TEST(DefaultTopk, Is1024At5000Tokens) {
    EXPECT_EQ(default_topk(5000), 1024);
    EXPECT_EQ(default_topk(2048), 419);
    EXPECT_EQ(default_topk(1), 1);
}

TEST(RoundToHalf, GoesToTheNearestAndTiesToEven) {
    EXPECT_EQ(round_to_half(1.0F + 0x1p-11F), 1.0F);
    EXPECT_EQ(round_to_half(1.0F + 3 * 0x1p-11F), 1.0F + 0x1p-9F);
    EXPECT_EQ(round_to_half(0x1p-25F), 0.0F);
    EXPECT_EQ(round_to_half(3 * 0x1p-26F), 0x1p-24F);
    EXPECT_TRUE(std::isinf(round_to_half(65520.0F)));
}

}  // namespace
}  // namespace hc::policy
