// CUDA activity of two programs beside each other.
#include "profiler/analysis/compare_activity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "activity_timeline.h"

namespace hc::analysis {
namespace {

using test::ActivityTimeline;

/// `steps` ranges of two kernels and a copy; kernel "b" takes `factor` times as long.
ActivitySummary recording(std::uint32_t seed, double factor, bool keep_samples,
                          bool with_extra = false) {
    std::mt19937 random(seed);
    const auto jitter = [&] { return static_cast<std::int64_t>(random() % 40); };
    ActivityTimeline t;
    for (std::int64_t s = 0; s < 50; ++s) {
        const std::int64_t at = s * 10'000;
        const std::int64_t b = static_cast<std::int64_t>(2000 * factor) + jitter();
        t.kernel(0, at, at + 1000 + jitter(), t.call(at - 100, at - 90, "cudaLaunchKernel"), "a");
        t.kernel(0, at + 2000, at + 2000 + b, t.call(at - 80, at - 70, "cudaLaunchKernel"), "b");
        t.copy(1, at + 500, at + 900 + jitter(), 0, 4096);
        if (with_extra) t.kernel(0, at + 8000, at + 8100, 0, "c");
        t.range("step", at - 200, at + 2000 + b);
    }
    t.data.sort();
    return summarise_activity(t.data, "step", keep_samples);
}

std::vector<ActivitySummary> recordings(std::uint32_t seed, double factor,
                                        std::uint32_t count = 5) {
    std::vector<ActivitySummary> result;
    for (std::uint32_t i = 0; i < count; ++i) {
        result.push_back(recording(seed + i, factor, count == 1));
    }
    return result;
}

const NamedDifference& named(const std::vector<NamedDifference>& rows, const std::string& name) {
    return *std::find_if(rows.begin(), rows.end(),
                         [&](const NamedDifference& d) { return d.name == name; });
}

TEST(CompareActivity, OfOneProgramTellsNothing) {
    const auto a = recordings(1, 1);
    const auto b = recordings(100, 1);
    const ActivityComparison c = compare_activity(a, b);
    EXPECT_EQ(c.range.verdict, Verdict::kNone);
    for (const auto* rows : {&c.kernels, &c.copies, &c.calls}) {
        for (const NamedDifference& d : *rows) EXPECT_EQ(d.time.verdict, Verdict::kNone) << d.name;
    }
    for (const FigureDifference& f : c.figures) EXPECT_FALSE(f.told) << f.name;
}

TEST(CompareActivity, AKernelFivePercentSlowerIsToldAndItsNeighbourNot) {
    const ActivityComparison c = compare_activity(recordings(1, 1), recordings(100, 1.05));
    ASSERT_EQ(c.kernels.size(), 2U);
    EXPECT_EQ(c.kernels[0].name, "b");  // the widest difference
    EXPECT_EQ(c.kernels[0].time.verdict, Verdict::kSlower);
    EXPECT_NEAR(c.kernels[0].total_difference_ns(), 50 * 100, 300);
    EXPECT_EQ(c.kernels[1].time.verdict, Verdict::kNone);
    EXPECT_EQ(c.range.verdict, Verdict::kSlower);
    const auto compute =
        std::find_if(c.figures.begin(), c.figures.end(),
                     [](const FigureDifference& f) { return f.name == "compute_ns"; });
    EXPECT_TRUE(compute->told);
}

TEST(CompareActivity, OneRecordingASideGetsNoVerdict) {
    const ActivityComparison c = compare_activity(recordings(1, 1, 1), recordings(100, 1.05, 1));
    EXPECT_EQ(named(c.kernels, "b").time.verdict, Verdict::kDiffers);
    EXPECT_EQ(named(c.kernels, "b").time.basis, Basis::kWithin);
    EXPECT_EQ(named(c.kernels, "b").time.count_a, 50U);
    EXPECT_EQ(c.range.verdict, Verdict::kDiffers);
    for (const FigureDifference& f : c.figures) EXPECT_FALSE(f.told);
}

TEST(CompareActivity, AKernelOfOneSideIsNamedSo) {
    const std::vector<ActivitySummary> a{recording(1, 1, true)};
    const std::vector<ActivitySummary> b{recording(2, 1, true, true)};
    EXPECT_EQ(named(compare_activity(a, b).kernels, "c").time.verdict, Verdict::kOnlyB);
    EXPECT_EQ(named(compare_activity(b, a).kernels, "c").time.verdict, Verdict::kOnlyA);
    EXPECT_EQ(named(compare_activity(a, b).kernels, "c").count_b, 50);
}

TEST(CompareActivity, OfNothingIsNothing) {
    const std::vector<ActivitySummary> none(1);
    const ActivityComparison c = compare_activity(none, none);
    EXPECT_TRUE(c.kernels.empty());
    EXPECT_TRUE(c.figures.empty());
}

TEST(CompareActivity, FiguresAreThoseOfTheTimeline) {
    ActivityTimeline t;
    t.kernel(0, 0, 100);
    t.copy(1, 50, 150, 0, 7);
    t.data.lost = {{"dropped", 3}};
    const ActivitySummary s = summarise_activity(t.data, "", false);
    EXPECT_EQ(s.span_ns, 150);
    EXPECT_EQ(s.compute_ns, 100);
    EXPECT_EQ(s.transfer_ns, 100);
    EXPECT_EQ(s.both_ns, 50);
    EXPECT_EQ(s.copy_bytes, 7);
    EXPECT_EQ(s.lost, 3);
    EXPECT_TRUE(s.kernels.at("kernel").samples.empty());
}

}  // namespace
}  // namespace hc::analysis
