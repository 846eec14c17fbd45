#include "gui/views/program.h"

#include <gtest/gtest.h>

#include <QImage>
#include <QProcess>
#include <cstdlib>
#include <fstream>
#include <set>

#include "engine/core/error.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

struct Outcome {
    int code = -1;
    std::string out, err;
};

class Program : public testing::Test {
protected:
    void SetUp() override {
        const char* bin = std::getenv("HC_TEST_BIN");
        if (bin == nullptr) GTEST_SKIP() << "HC_TEST_BIN does not name the folder of the programs";
        program_ = QString(bin) + "/hcprof-view";
        trace_ = QString::fromStdString((folder_.path() / "run.sqlite").string());
        test::write_trace(test::make_synthetic_run({.decode_steps = 90}), trace_.toStdString());
    }
    [[nodiscard]] QString in_folder(const char* name) const {
        return QString::fromStdString((folder_.path() / name).string());
    }
    [[nodiscard]] Outcome run(const QStringList& arguments, bool display = false) const {
        QProcess process;
        QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
        for (const char* name : {"QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"}) {
            environment.remove(name);
        }
        if (display) environment.insert("DISPLAY", ":77");  // nothing listens there
        process.setProcessEnvironment(environment);
        process.start(program_, arguments);
        EXPECT_TRUE(process.waitForFinished(60'000));
        return {process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1,
                process.readAllStandardOutput().toStdString(),
                process.readAllStandardError().toStdString()};
    }
    static void expect_one_line(const Outcome& outcome, ExitCode code, const std::string& word) {
        EXPECT_EQ(outcome.code, static_cast<int>(code)) << outcome.err;
        EXPECT_EQ(outcome.err.find("hcprof-view: "), 0u) << outcome.err;
        EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
        EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
    }

    test::TemporaryFolder folder_;
    QString program_, trace_;
};

std::size_t count_colours(const QImage& picture) {
    std::set<QRgb> colours;
    for (int y = 0; y < picture.height(); ++y) {
        for (int x = 0; x < picture.width(); ++x) colours.insert(picture.pixel(x, y));
    }
    return colours.size();
}

TEST_F(Program, WritesAPictureOfTheAskedSizeWithoutADisplay) {
    for (const char* theme : {"dark", "light"}) {
        const QString picture = in_folder(theme) + ".png";
        const Outcome outcome =
            run({trace_, "--snapshot", picture, "--size", "1200x800", "--theme", theme});
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(outcome.err, "");
        const QImage image(picture);
        ASSERT_EQ(image.size(), QSize(1200, 800));
        EXPECT_GT(count_colours(image), 200u);
        const int lightness = qGray(image.pixel(600, 795));
        const bool dark = theme == std::string("dark");
        EXPECT_EQ(lightness < 128, dark) << "lightness " << lightness;
    }
}

TEST_F(Program, APictureNeedsNoDisplayEvenWhereOneIsNamed) {
    const Outcome outcome = run({trace_, "--snapshot", in_folder("a.png"), "--goto", "12"}, true);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_FALSE(QImage(in_folder("a.png")).isNull());
}

TEST_F(Program, BadInputIsOneLineAndItsExitCode) {
    const QString picture = in_folder("x.png");
    const QString broken = in_folder("broken.sqlite");
    std::ofstream(broken.toStdString()) << "no trace";
    expect_one_line(run({broken, "--snapshot", picture}), ExitCode::kInput, "broken.sqlite");
    expect_one_line(run({in_folder("absent.sqlite"), "--snapshot", picture}), ExitCode::kIo,
                    "absent.sqlite");
    expect_one_line(run({trace_, "--snapshot", in_folder("no/such/x.png")}), ExitCode::kIo,
                    "no/such");
    expect_one_line(run({trace_, "--snapshot", picture, "--run", "9"}), ExitCode::kRefused, "9");
    expect_one_line(run({trace_, "--snapshot", picture, "--goto", "5000"}), ExitCode::kRefused,
                    "5000");
    expect_one_line(run({trace_, "--snapshot", picture, "--size", "axb"}), ExitCode::kUsage,
                    "--size");
    expect_one_line(run({trace_, "--snapshot", in_folder("x.txt")}), ExitCode::kUsage, ".png");
    expect_one_line(run({trace_, "--snapshot", picture, "--goto", "soon"}), ExitCode::kUsage,
                    "--goto");
    expect_one_line(run({trace_, "--snapshot", picture, "--panel", "kitchen"}), ExitCode::kUsage,
                    "--panel");
    expect_one_line(run({trace_, "--snapshot", picture, "--compare", broken}), ExitCode::kInput,
                    "broken.sqlite");
    expect_one_line(run({trace_, "--nonsense"}), ExitCode::kUsage, "nonsense");
    expect_one_line(run({trace_}), ExitCode::kUnavailable, "--snapshot");
    EXPECT_TRUE(QImage(picture).isNull()) << "a failed run left a picture";
}

TEST_F(Program, ComparesSearchesAndWritesSvg) {
    const QString other = in_folder("other.sqlite");
    test::write_trace(test::make_synthetic_run({.decode_steps = 90, .step_ns = 30'000'000}),
                      other.toStdString());
    const QString picture = in_folder("c.png"), drawing = in_folder("c.svg");
    Outcome outcome = run({trace_, "--snapshot", picture, "--compare", other, "--goto", "40"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_GT(count_colours(QImage(picture)), 200u);
    outcome = run({trace_, "--snapshot", drawing, "--search", "attention", "--goto", "900ms"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::ifstream file(drawing.toStdString());
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_NE(text.find("</svg>"), std::string::npos);
}

TEST_F(Program, HelpNamesEveryOption) {
    const Outcome outcome = run({"--help"});
    EXPECT_EQ(outcome.code, 0);
    for (const char* option : {"--run", "--snapshot", "--size", "--theme", "--goto", "--compare",
                               "--panel", "--search"}) {
        EXPECT_NE(outcome.out.find(option), std::string::npos) << option;
    }
}

}  // namespace
}  // namespace hc::gui
