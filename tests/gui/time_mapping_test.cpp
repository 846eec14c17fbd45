#include "gui/models/time_mapping.h"

#include <gtest/gtest.h>

#include <random>

#include "gui/models/ticks.h"
#include "gui/models/view_stack.h"

namespace hc::gui {
namespace {

const TimeRange kBounds{1e6, 1e9};

TEST(TimeMapping, PixelAndTimeAreInverse) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000; ++i) {
        const double start = std::uniform_real_distribution(0.0, 1e12)(random);
        const double span = std::exp(std::uniform_real_distribution(4.0, 27.0)(random));
        const TimeMapping map({start, start + span}, 1 + static_cast<int>(random() % 4000));
        const double x = std::uniform_real_distribution(0.0, double(map.width()))(random);
        // At 10^12 ns a double steps by 10^-4 ns: a hundredth of a pixel at the closest zoom.
        EXPECT_NEAR(map.x_at(map.time_at(x)), x, 0.02);
    }
}

TEST(TimeMapping, ZoomKeepsTheTimeUnderTheCursorInPlace) {
    std::mt19937_64 random(2);
    for (int i = 0; i < 1000; ++i) {
        const TimeMapping before({2e8, 4e8}, 1000);
        const double x = std::uniform_real_distribution(0.0, 1000.0)(random);
        // Up to where the whole trace would be shown.
        const double factor = std::uniform_real_distribution(0.8, 50.0)(random);
        const TimeMapping after(before.zoomed(factor, x, kBounds), 1000);
        EXPECT_NEAR(after.time_at(x), before.time_at(x), after.ns_per_px() * 1e-6);
        EXPECT_NEAR(after.range().span(), before.range().span() / factor, 1);
    }
}

TEST(TimeMapping, NeverShowsLessThanTheLeastSpanNorMoreThanTheTrace) {
    const TimeMapping map({2e8, 4e8}, 1000);
    EXPECT_DOUBLE_EQ(map.zoomed(1e12, 300, kBounds).span(), TimeMapping::kMinSpanNs);
    const TimeRange widest = map.zoomed(1e-12, 300, kBounds);
    EXPECT_LE(widest.start_ns, kBounds.start_ns);
    EXPECT_GE(widest.end_ns, kBounds.end_ns);
    EXPECT_LT(widest.span(), kBounds.span() * 1.05);
}

TEST(TimeMapping, PanningKeepsTheSpanAndStaysAtTheTrace) {
    const TimeMapping map({2e8, 4e8}, 1000);
    const TimeRange moved = map.panned(100, kBounds);
    EXPECT_NEAR(moved.start_ns, 2.2e8, 1);
    EXPECT_NEAR(moved.span(), 2e8, 1e-3);
    const TimeRange far = map.panned(1e9, kBounds);
    EXPECT_NEAR(far.centre(), kBounds.end_ns, 1);
    EXPECT_NEAR(far.span(), 2e8, 1e-3);
}

TEST(Ticks, AreRoundEvenAndFarEnoughApart) {
    for (double span = 50; span < 1e12; span *= 3.7) {
        const TimeMapping map({123456.0, 123456.0 + span}, 1200);
        const std::vector<Tick> ticks = time_ticks(map, 90);
        ASSERT_LE(ticks.size(), 1200 / 90 + 1u);
        for (std::size_t i = 1; i < ticks.size(); ++i) {
            EXPECT_GE(map.x_at(ticks[i].time_ns) - map.x_at(ticks[i - 1].time_ns), 89.9);
            EXPECT_NE(ticks[i].label, ticks[i - 1].label);
        }
    }
}

TEST(Ticks, NiceStepsAreOneTwoFive) {
    EXPECT_DOUBLE_EQ(nice_step(1), 1);
    EXPECT_DOUBLE_EQ(nice_step(1.1), 2);
    EXPECT_DOUBLE_EQ(nice_step(2.5), 5);
    EXPECT_DOUBLE_EQ(nice_step(7), 10);
    EXPECT_DOUBLE_EQ(nice_step(1000), 1000);
}

TEST(Format, DurationsAndBytesHaveThreeDigitsThatMatter) {
    EXPECT_EQ(format_duration(734).toStdString(), "734 ns");
    EXPECT_EQ(format_duration(12'400).toStdString(), "12.4 \u00b5s");
    EXPECT_EQ(format_duration(3'214'000).toStdString(), "3.21 ms");
    EXPECT_EQ(format_duration(999'999).toStdString(), "1.00 ms");
    EXPECT_EQ(format_duration(1.2e9).toStdString(), "1.20 s");
    EXPECT_EQ(format_bytes(512).toStdString(), "512 B");
    EXPECT_EQ(format_bytes(1536).toStdString(), "1.50 KiB");
    EXPECT_EQ(format_count(1234567).toStdString(), "1,234,567");
}

TEST(ViewStack, UndoAndRedoWalkTheViews) {
    ViewStack stack;
    stack.reset({0, 100});
    stack.set({10, 50});
    stack.set({20, 30});
    stack.undo();
    EXPECT_EQ(stack.current(), (TimeRange{10, 50}));
    stack.undo();
    EXPECT_EQ(stack.current(), (TimeRange{0, 100}));
    EXPECT_FALSE(stack.can_undo());
    stack.redo();
    stack.redo();
    EXPECT_EQ(stack.current(), (TimeRange{20, 30}));
    EXPECT_FALSE(stack.can_redo());
}

TEST(ViewStack, AGestureIsOneEntryAndANewViewEndsRedo) {
    ViewStack stack;
    stack.reset({0, 100});
    for (int i = 1; i <= 20; ++i) stack.set({double(i), 100.0 + i}, 7);
    stack.undo();
    EXPECT_EQ(stack.current(), (TimeRange{0, 100}));
    EXPECT_TRUE(stack.can_redo());
    stack.set({5, 6}, 7);
    EXPECT_FALSE(stack.can_redo());
    stack.undo();
    EXPECT_EQ(stack.current(), (TimeRange{0, 100}));
}

}  // namespace
}  // namespace hc::gui
