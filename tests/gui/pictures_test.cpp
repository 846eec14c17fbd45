// Pictures are right: properties of pixels, a few kept pictures, and other scales.
#include <gtest/gtest.h>

#include <QApplication>
#include <QImage>
#include <QProcess>
#include <QTest>
#include <QWheelEvent>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>

#include "gui/models/activity_lanes.h"
#include "gui/models/palette.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

/// A million kernels and, alone in a pause among them, one of a nanosecond.
RunViewPtr million_and_one(std::int64_t& spike_ns) {
    trace::Kernels kernels;
    const auto add = [&](std::int64_t start, std::int64_t duration, trace::LaunchId launch) {
        kernels.start_ns.push_back(start);
        kernels.duration_ns.push_back(duration);
        kernels.correlation_id.push_back(0);
        kernels.graph_node_id.push_back(-1);
        kernels.stream.push_back(1);
        kernels.launch.push_back(launch);
    };
    std::int64_t now = 0;
    for (int i = 0; i < 500'000; ++i, now += 900) add(now, 700, 0);
    spike_ns = now + 40'000'000;
    add(spike_ns, 1, 1);
    now = spike_ns + 40'000'000;
    for (int i = 0; i < 500'000; ++i, now += 900) add(now, 700, 0);
    trace::Strings strings;
    trace::Launches launches;
    for (const int i : {0, 1}) {
        strings.put(i, i == 0 ? "ordinary" : "spike");
        trace::Launch launch;
        launch.name = launch.short_name = i;
        launches.put(i, launch);
    }
    ActivityCollector collector;
    collector.add(kernels);
    LaneExtras extras;
    extras.activity = &collector;
    extras.strings = &strings;
    extras.launches = &launches;
    return std::make_shared<const RunView>(make_run_view({}, {}, {}, {}, std::move(extras)));
}

TEST(Pictures, ANanosecondAmongAMillionEventsIsSeenAtFullZoomOut) {
    std::int64_t spike = 0;
    const RunViewPtr view = million_and_one(spike);
    const EventName& name = view->lanes.names[view->lanes.lanes[0].events.name(500'000)];
    ASSERT_EQ(name.text.toStdString(), "spike");
    const Hue hue = name.hue;
    for (const int width : {500, 1000, 1920, 3000}) {
        TimelineView timeline;
        timeline.resize(width, 300);
        timeline.show();
        timeline.set_view(view);
        QTest::keyClick(&timeline, Qt::Key_Home);
        const QRectF box = timeline.rect_of({0, 500'000});
        ASSERT_LT(box.width(), 1e-3);
        const QImage picture = timeline.grab().toImage();
        // Its pixel, or one beside it: buckets of time are not pixels.
        bool seen = false;
        const Theme theme = Theme::of(timeline.palette());
        for (int dx = -1; dx <= 1; ++dx) {
            const QRgb pixel = picture.pixel(static_cast<int>(box.left()) + dx,
                                             static_cast<int>(box.center().y()));
            const QRgb least = blend(theme.ground.rgb(), hue_rgb(hue, theme.dark), 0.5);
            seen = seen || (pixel != theme.ground.rgb() &&
                            std::abs(qGray(pixel) - qGray(theme.ground.rgb())) >=
                                std::abs(qGray(least) - qGray(theme.ground.rgb())) / 2);
        }
        EXPECT_TRUE(seen) << "in a window of " << width;
    }
}

TEST(Pictures, EveryEventOfRandomRunsColoursItsPixel) {
    const RunViewPtr view =
        std::make_shared<const RunView>(test::to_run_view(test::make_synthetic_run({})));
    TimelineView timeline;
    timeline.resize(1300, 800);
    timeline.show();
    timeline.set_view(view);
    std::mt19937_64 random(5);
    const QRgb ground = Theme::of(timeline.palette()).ground.rgb();
    for (int trial = 0; trial < 12; ++trial) {
        const double span = view->decode.span() * std::pow(10.0, -trial / 4.0);
        const double start = view->decode.start_ns + std::uniform_real_distribution(
                                                         0.0, view->decode.span() - span)(random);
        timeline.stack().set({start, start + span});
        const QImage picture = timeline.grab().toImage();
        const QRect tracks = timeline.tracks_rect();
        for (std::size_t lane = 0; lane < view->lanes.lanes.size(); ++lane) {
            const LaneEvents& events = view->lanes.lanes[lane].events;
            for (int k = 0; k < 40 && !events.empty(); ++k) {
                const EventRef event{lane, random() % events.size()};
                const QRectF box = timeline.rect_of(event);
                const double x = std::floor((box.left() + box.right()) / 2);
                if (x < tracks.left() + 1 || x > tracks.right() - 1) continue;
                const int y = static_cast<int>(box.bottom()) - 1;
                bool coloured = false;
                for (int dx = -1; dx <= 1; ++dx) {
                    coloured = coloured || picture.pixel(static_cast<int>(x) + dx, y) != ground;
                }
                EXPECT_TRUE(coloured)
                    << "lane " << lane << " event " << event.index << " span " << span;
            }
        }
    }
}

TEST(Pictures, TheTimeUnderTheMouseStaysOverAWholeSweep) {
    std::int64_t spike = 0;
    const RunViewPtr view = million_and_one(spike);
    TimelineView timeline;
    timeline.resize(1200, 300);
    timeline.show();
    timeline.set_view(view);
    const double x = timeline.mapping().x_at(static_cast<double>(spike));
    const QPointF place(timeline.tracks_rect().left() + x, 100);
    const auto turn = [&](int delta) {
        QWheelEvent wheel(place, timeline.mapToGlobal(place), {}, {0, delta}, Qt::NoButton,
                          Qt::NoModifier, Qt::NoScrollPhase, false);
        QApplication::sendEvent(&timeline, &wheel);
    };
    for (int i = 0; i < 90; ++i) {
        turn(120);
        ASSERT_NEAR(timeline.mapping().x_at(static_cast<double>(spike)), x, 0.05) << "click " << i;
    }
    EXPECT_EQ(timeline.stack().current().span(), TimeMapping::kMinSpanNs);
    EXPECT_GT(timeline.rect_of({0, 500'000}).width(), 20) << "a nanosecond at the closest zoom";
}

TEST(Pictures, HuesDifferForTheColourBlind) {
    // Deuteranopia and protanopia after Viénot, Brettel and Mollon (1999), in linear light.
    const auto seen_as = [](QRgb rgb, int kind) {
        const auto linear = [](int c) { return std::pow(c / 255.0, 2.2); };
        const double r = linear(qRed(rgb)), g = linear(qGreen(rgb)), b = linear(qBlue(rgb));
        const double y = kind == 0 ? 0.29275 * r + 0.70725 * g : 0.11238 * r + 0.88762 * g;
        const double z = kind == 0 ? -0.02234 * r + 0.02234 * g + b : 0.00401 * r - 0.00401 * g + b;
        return std::array{std::pow(std::max(y, 0.0), 1 / 2.2),
                          std::pow(std::clamp(z, 0.0, 1.0), 1 / 2.2)};
    };
    // What is told apart by colour alone: steps that are slow, roles, cells of the replay.
    for (const bool dark : {false, true}) {
        const std::vector<std::vector<QRgb>> sets = {
            {hue_rgb(Hue::kStep, dark), hue_rgb(Hue::kTrigger, dark)},
            {role_rgb(HeadRole::kAnchor, dark), role_rgb(HeadRole::kVolatile, dark),
             role_rgb(HeadRole::kPivot, dark), role_rgb(HeadRole::kSatellite, dark)},
            {hue_rgb(Hue::kAttention, dark), hue_rgb(Hue::kCheck, dark),
             hue_rgb(Hue::kTrigger, dark)},
            {hue_rgb(Hue::kTransfer, dark), hue_rgb(Hue::kCopyToHost, dark),
             hue_rgb(Hue::kCopyDevice, dark)},
            {hue_rgb(Hue::kStep, dark), hue_rgb(Hue::kTransfer, dark)}};
        for (const auto& set : sets) {
            for (std::size_t i = 0; i < set.size(); ++i) {
                for (std::size_t k = i + 1; k < set.size(); ++k) {
                    for (const int kind : {0, 1}) {
                        const auto a = seen_as(set[i], kind), b = seen_as(set[k], kind);
                        EXPECT_GT(std::hypot(a[0] - b[0], a[1] - b[1]), 0.1)
                            << std::hex << set[i] << " and " << set[k] << " dark " << dark;
                    }
                }
            }
        }
    }
}

// ---- kept pictures -----------------------------------------------------------------------------

/// Compares with tests/gui/golden/NAME.png; HC_UPDATE_GOLDEN=1 writes it anew. Text is drawn by
/// whatever FreeType there is: a few pixels may differ a little.
void expect_golden(const QImage& picture, const QString& name) {
    const QString path = QString::fromStdString(
        (test::source_dir() / "tests/gui/golden" / (name + ".png").toStdString()).string());
    if (qEnvironmentVariableIsSet("HC_UPDATE_GOLDEN")) {
        ASSERT_TRUE(picture.save(path));
        return;
    }
    const QImage kept = QImage(path).convertToFormat(QImage::Format_RGB32);
    ASSERT_FALSE(kept.isNull()) << path.toStdString() << " is not there";
    ASSERT_EQ(picture.size(), kept.size());
    const QImage now = picture.convertToFormat(QImage::Format_RGB32);
    int different = 0;
    for (int y = 0; y < now.height(); ++y) {
        for (int x = 0; x < now.width(); ++x) {
            const QRgb a = now.pixel(x, y), b = kept.pixel(x, y);
            const int most = std::max({std::abs(qRed(a) - qRed(b)), std::abs(qGreen(a) - qGreen(b)),
                                       std::abs(qBlue(a) - qBlue(b))});
            different += most > 40 ? 1 : 0;
        }
    }
    EXPECT_LT(different, now.width() * now.height() / 200) << name.toStdString();
}

TEST(Pictures, TheTimelineLooksAsItDid) {
    const RunViewPtr view =
        std::make_shared<const RunView>(test::to_run_view(test::make_synthetic_run({})));
    TimelineView timeline;
    timeline.resize(900, 420);
    timeline.show();
    timeline.set_view(view);
    expect_golden(timeline.grab().toImage(), "decode");
    timeline.go_to_step(26);
    expect_golden(timeline.grab().toImage(), "step");
}

TEST(Pictures, ActivityLooksAsItDid) {
    TimelineView timeline;
    timeline.resize(900, 360);
    timeline.show();
    timeline.set_view(std::make_shared<const RunView>(test::to_run_view(test::make_activity(8))));
    timeline.select(EventRef{0, 12});
    expect_golden(timeline.grab().toImage(), "activity");
}

// ---- another scale and the real platform -------------------------------------------------------

class Scaled : public testing::Test {
protected:
    void SetUp() override {
        const char* bin = std::getenv("HC_TEST_BIN");
        if (bin == nullptr) GTEST_SKIP() << "HC_TEST_BIN does not name the folder of the programs";
        program_ = QString(bin) + "/hcprof-view";
        trace_ = QString::fromStdString((folder_.path() / "run.sqlite").string());
        test::write_trace(test::make_synthetic_run({.decode_steps = 60}), trace_.toStdString());
        picture_ = QString::fromStdString((folder_.path() / "picture.png").string());
    }
    int run(const QStringList& arguments, const QString& name, const QString& value) {
        QProcess process;
        QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
        for (const char* other : {"QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"}) {
            environment.remove(other);
        }
        if (!name.isEmpty()) environment.insert(name, value);
        process.setProcessEnvironment(environment);
        process.start(program_, arguments);
        EXPECT_TRUE(process.waitForFinished(120'000));
        errors_ = process.readAllStandardError().toStdString();
        return process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1;
    }

    test::TemporaryFolder folder_;
    QString program_, trace_, picture_;
    std::string errors_;
};

TEST_F(Scaled, FactorTwoIsTheSamePictureWithTwiceThePixels) {
    const QStringList arguments = {trace_, "--snapshot", picture_, "--size", "1000x700"};
    ASSERT_EQ(run(arguments, "", ""), 0) << errors_;
    const QImage once(picture_);
    ASSERT_EQ(run(arguments, "QT_SCALE_FACTOR", "2"), 0) << errors_;
    const QImage twice(picture_);
    ASSERT_EQ(twice.size(), once.size() * 2);
    // Shrunk again, it is nearly the picture at factor one: nothing moved, nothing was left out.
    const QImage shrunk =
        twice.scaled(once.size(), Qt::IgnoreAspectRatio, Qt::SmoothTransformation);
    double sum = 0;
    for (int y = 0; y < once.height(); ++y) {
        for (int x = 0; x < once.width(); ++x) {
            sum += std::abs(qGray(once.pixel(x, y)) - qGray(shrunk.pixel(x, y)));
        }
    }
    EXPECT_LT(sum / (once.width() * once.height()), 6) << "mean difference of grey";
}

/// Runs the whole of the tests' windows on the real platform, with the X server in memory.
TEST_F(Scaled, TheRealPlatformDrawsWhatOffscreenDraws) {
    QProcess server;
    server.start("Xvfb", {":95", "-screen", "0", "1600x1200x24", "-nolisten", "tcp"});
    if (!server.waitForStarted(5000)) GTEST_SKIP() << "Xvfb is not installed (packages.txt)";
    const QStringList arguments = {trace_, "--snapshot", picture_, "--size", "1000x700"};
    ASSERT_EQ(run(arguments, "", ""), 0) << errors_;
    const QImage offscreen(picture_);
    int code = -1;
    // The server takes a moment to listen.
    for (int attempt = 0; attempt < 20 && code != 0; ++attempt) {
        QTest::qWait(250);
        QProcess process;
        QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
        environment.insert("DISPLAY", ":95");
        environment.insert("QT_QPA_PLATFORM", "xcb");
        // libdbus, which this platform loads, leaves a buffer behind; ours are looked for
        // offscreen.
        environment.insert("ASAN_OPTIONS", "detect_leaks=0");
        process.setProcessEnvironment(environment);
        process.start(program_, arguments);
        ASSERT_TRUE(process.waitForFinished(120'000));
        code = process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1;
        errors_ = process.readAllStandardError().toStdString();
    }
    server.terminate();
    server.waitForFinished(5000);
    ASSERT_EQ(code, 0) << errors_;
    const QImage xcb(picture_);
    ASSERT_EQ(xcb.size(), offscreen.size());
    double sum = 0;
    for (int y = 0; y < xcb.height(); ++y) {
        for (int x = 0; x < xcb.width(); ++x) {
            sum += std::abs(qGray(xcb.pixel(x, y)) - qGray(offscreen.pixel(x, y)));
        }
    }
    EXPECT_LT(sum / (xcb.width() * xcb.height()), 4) << "mean difference of grey";
}

}  // namespace
}  // namespace hc::gui
