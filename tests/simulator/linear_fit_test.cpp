#include "simulator/cost/linear_fit.h"

#include <gtest/gtest.h>

#include <random>

namespace hc::sim {
namespace {

std::vector<Sample> line(double floor, double slope, int count) {
    std::vector<Sample> samples;
    for (int i = 0; i < count; ++i) {
        const double size = 100 + 37.0 * i;
        samples.push_back({size, floor + slope * size});
    }
    return samples;
}

TEST(LinearFit, FindsAnExactLine) {
    const LinearFit fit = fit_line(line(1000, 2.5, 400));
    EXPECT_EQ(fit.kind, FitKind::kLine);
    EXPECT_NEAR(fit.slope_ns, 2.5, 1e-9);
    EXPECT_NEAR(fit.floor_ns, 1000, 1e-6);
    EXPECT_NEAR(fit.residual_p90, 0, 1e-9);
    EXPECT_EQ(fit.samples, 400U);
}

TEST(LinearFit, IsNotMovedByAFewSlowOperations) {
    std::mt19937 random(3);
    std::vector<Sample> samples = line(1000, 2.5, 400);
    for (Sample& sample : samples) {
        sample.time_ns *= 1 + 0.02 * (static_cast<double>(random() % 1000) / 500.0 - 1);
    }
    for (std::size_t i = 0; i < samples.size(); i += 11) samples[i].time_ns *= 20;
    const LinearFit fit = fit_line(samples);
    EXPECT_NEAR(fit.slope_ns, 2.5, 0.05);
    EXPECT_NEAR(fit.at(5000), 13500, 300);
    EXPECT_GT(fit.residual_p90, fit.residual_median);
}

TEST(LinearFit, TakesOneSizeAsProportional) {
    const LinearFit fit = fit_line({{200, 900}, {200, 1000}, {200, 1100}});
    EXPECT_EQ(fit.kind, FitKind::kProportional);
    EXPECT_DOUBLE_EQ(fit.at(400), 2000);
}

TEST(LinearFit, TakesUnknownSizesAsConstant) {
    const LinearFit fit = fit_line({{0, 10}, {0, 12}, {0, 500}});
    EXPECT_EQ(fit.kind, FitKind::kConstant);
    EXPECT_DOUBLE_EQ(fit.at(0), 12);
    EXPECT_DOUBLE_EQ(fit.at(1000), 12);
}

TEST(LinearFit, NeverGivesANegativeFloorOrSlope) {
    const LinearFit steep = fit_line(line(-5000, 10, 100));
    EXPECT_GE(steep.floor_ns, 0);
    EXPECT_GE(steep.at(1), 0);
    const LinearFit falling = fit_line(line(100000, -1, 100));
    EXPECT_GE(falling.slope_ns, 0);
}

TEST(PairFit, TellsRowsFromPieces) {
    std::vector<PairSample> samples;
    std::mt19937 random(2);
    for (int i = 0; i < 100; ++i) {
        const double rows = 100 + random() % 4000;
        const double runs = std::ceil(rows / (1 + random() % 12));
        const double noise = 1 + 0.02 * (static_cast<double>(random() % 201) / 100 - 1);
        samples.push_back({rows, runs, noise * (9'000 + 10 * rows + 150 * runs)});
    }
    samples[7].time_ns *= 30;  // one that another program held up
    const auto fit = fit_pair(samples);
    ASSERT_TRUE(fit.has_value());
    EXPECT_NEAR(fit->floor_ns / 9'000, 1, 0.2);
    EXPECT_NEAR(fit->row_ns / 10, 1, 0.1);
    EXPECT_NEAR(fit->run_ns / 150, 1, 0.1);
    EXPECT_LT(fit->residual_median, 0.03);
}

TEST(PairFit, SaysNothingWherePiecesAreOfOneLength) {
    std::vector<PairSample> samples;
    for (int i = 1; i < 100; ++i) samples.push_back({50.0 * i, 10.0 * i, 1000.0 * i});
    EXPECT_FALSE(fit_pair(samples).has_value());
    EXPECT_FALSE(fit_pair({}).has_value());
}

TEST(PairFit, IsNeverNegative) {
    std::vector<PairSample> samples;
    std::mt19937 random(3);
    for (int i = 0; i < 40; ++i) {
        samples.push_back({1.0 + random() % 100, 1.0 + random() % 50, 1.0 + random() % 100000});
    }
    const auto fit = fit_pair(samples);
    ASSERT_TRUE(fit.has_value());
    EXPECT_GE(fit->floor_ns, 0);
    EXPECT_GE(fit->row_ns, 0);
    EXPECT_GE(fit->run_ns, 0);
}

}  // namespace
}  // namespace hc::sim
