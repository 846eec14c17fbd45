#include <gtest/gtest.h>

#include <QApplication>
#include <QFile>
#include <QSignalSpy>
#include <QTest>

#include "engine/config/head_file.h"
#include "gui/views/main_window.h"
#include "gui/views/timeline_view.h"
#include "gui/views/what_if_panel.h"
#include "gui/views/what_if_plots.h"
#include "profiler/trace/writer.h"
#include "tests/simulator/fake_recording.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

/// A heterocache run that is its own attention run, as a file.
void write_recording(const std::filesystem::path& path) {
    sim::test::FakeOptions options;
    options.settings = sim::test::fake_settings();
    trace::RunData data = sim::test::fake_run(options);
    trace::Writer writer(path, {});
    data.run.attention_run = 0;
    static_cast<void>(sim::write_run(writer, data));
    writer.finish();
}

class WhatIf : public testing::Test {
protected:
    void SetUp() override {
        path_ = folder_.path() / "recording.sqlite";
        write_recording(path_);
        panel_.resize(1000, 320);
        panel_.show();
        panel_.set_trace(path_, 0, {});
        wait();
    }
    void wait() {
        ASSERT_TRUE(QTest::qWaitFor([&] { return !panel_.busy(); }, 60'000));
        ASSERT_TRUE(panel_.model().is_ready()) << panel_.message().toStdString();
    }
    [[nodiscard]] QString predicted(const QString& figure) const {
        const ColumnTable& table = panel_.figures();
        for (int row = 0; row < table.rowCount(); ++row) {
            if (table.data(table.index(row, 0), Qt::DisplayRole).toString() == figure) {
                return table.data(table.index(row, 2), Qt::DisplayRole).toString();
            }
        }
        return {};
    }

    test::TemporaryFolder folder_;
    std::filesystem::path path_;
    WhatIfPanel panel_;
};

TEST_F(WhatIf, BeginsAsRecordedAndAnswersWhatTheSimulatorDoes) {
    ASSERT_TRUE(panel_.model().answer());
    EXPECT_EQ(panel_.choice(), panel_.model().recorded());
    WhatIfChoice choice = panel_.choice();
    choice.ratio = 0.6;
    choice.window = 3;
    panel_.set_choice(choice);
    panel_.model().ask(choice);
    wait();
    NoProgress progress;
    const trace::Trace trace(path_);
    const sim::Simulator simulator(trace, 0, 0, progress);
    sim::Scenario scenario;
    scenario.ratio = 0.6;
    scenario.window = 3;
    const sim::Prediction expected = simulator.simulate(scenario);
    const sim::Prediction& got = panel_.model().answer()->prediction;
    EXPECT_EQ(got.triggers, expected.triggers);
    EXPECT_EQ(got.fetch_bytes, expected.fetch_bytes);
    EXPECT_NEAR(got.step_ns_median.value, expected.step_ns_median.value, 2);
    EXPECT_EQ(got.data.steps.end_ns, expected.data.steps.end_ns) << "the plot's steps";
    EXPECT_EQ(predicted("triggers").toStdString(), std::to_string(expected.triggers));
}

TEST_F(WhatIf, OfManyQuestionsTheLastIsAnswered) {
    QSignalSpy answered(&panel_.model(), &WhatIfModel::answered);
    WhatIfChoice choice = panel_.choice();
    for (int i = 0; i < 30; ++i) {
        choice.ratio = 0.5 + 0.01 * i;
        panel_.model().ask(choice);
    }
    wait();
    EXPECT_EQ(panel_.model().answer()->choice.ratio, choice.ratio);
    EXPECT_LT(answered.size(), 30);
}

TEST_F(WhatIf, WhatNoDataCanAnswerIsSaidAndTheAnswerBeforeStays) {
    const WhatIfChoice before = panel_.model().answer()->choice;
    WhatIfChoice choice = before;
    choice.ratio = 0.02;  // below what any head can keep
    panel_.model().ask(choice);
    wait();
    EXPECT_TRUE(panel_.message().contains("ratio")) << panel_.message().toStdString();
    EXPECT_EQ(panel_.model().answer()->choice, before);
}

TEST_F(WhatIf, AClickOnAPointOfTheFrontChoosesIt) {
    panel_.model().sweep(panel_.choice());
    wait();
    const auto& points = panel_.model().points();
    ASSERT_GT(points.size(), 3u);
    const auto best = std::find_if(points.begin(), points.end(), [&](const ParetoPoint& p) {
        return p.best && p.choice.ratio != panel_.choice().ratio;
    });
    ASSERT_NE(best, points.end());
    const WhatIfChoice chosen = best->choice;
    QTest::mouseClick(&panel_.pareto(), Qt::LeftButton, Qt::NoModifier,
                      panel_.pareto().place_of(*best)->toPoint());
    wait();
    EXPECT_NEAR(panel_.choice().ratio, chosen.ratio, 1e-3);
    EXPECT_NEAR(panel_.model().answer()->choice.ratio, chosen.ratio, 1e-3);
}

TEST_F(WhatIf, SavesWhatProfileTakes) {
    const auto text_of = [](const QString& name) {
        QFile file(name);
        EXPECT_TRUE(file.open(QIODevice::ReadOnly)) << name.toStdString();
        return QString::fromUtf8(file.readAll());
    };
    const QString name = QString::fromStdString((folder_.path() / "try.options").string());
    WhatIfChoice choice = panel_.choice();
    choice.ratio = 0.65;
    choice.commit_lag = 2;
    panel_.set_choice(choice);
    panel_.save_settings(name);
    EXPECT_TRUE(text_of(name).contains("--ratio 0.65")) << text_of(name).toStdString();
    EXPECT_TRUE(text_of(name).contains("--commit-lag 2"));
    EXPECT_FALSE(text_of(name).contains("--heads"));
    choice.anchor_share = 0.5;
    panel_.set_choice(choice);
    panel_.save_settings(name);
    const auto heads = folder_.path() / "try.heads.json";
    EXPECT_TRUE(text_of(name).contains(QString::fromStdString(heads.string())));
    const HeadProfile profile = config::read_head_file(heads);
    double anchors = 0, satellites = 0;
    for (std::size_t i = 0; i < profile.roles.size(); ++i) {
        if (profile.roles[i] == HeadRole::kAnchor) anchors += profile.ratios[i];
        if (profile.roles[i] == HeadRole::kSatellite) satellites += profile.ratios[i];
    }
    EXPECT_LT(anchors, 0.7 * satellites) << "anchors were to get half of their share";
}

TEST_F(WhatIf, SharesByRoleChangeWhatIsKept) {
    WhatIfChoice choice = panel_.choice();
    choice.satellite_share = 2;
    panel_.model().ask(choice);
    wait();
    std::int64_t anchors = 0, satellites = 0;
    for (const HeadRecord& head : panel_.model().answer()->prediction.data.heads) {
        if (head.role == HeadRole::kAnchor) anchors += head.capacity;
        if (head.role == HeadRole::kSatellite) satellites += head.capacity;
    }
    EXPECT_GT(satellites, anchors * 5 / 4);
}

TEST_F(WhatIf, ThePredictedRunIsLaidUnderTheRecordedOne) {
    MainWindow window;
    window.resize(1500, 900);
    window.show();
    window.open(path_, std::nullopt);
    ASSERT_TRUE(window.show_panel("what-if"));
    ASSERT_TRUE(QTest::qWaitFor(
        [&] { return !window.busy() && window.what_if().model().answer().has_value(); }, 60'000));
    Q_EMIT window.what_if().compare_asked();
    ASSERT_TRUE(QTest::qWaitFor([&] { return !window.busy(); }, 60'000));
    EXPECT_TRUE(window.comparing());
    EXPECT_EQ(window.other_model().view()->data.run.origin, trace::Origin::kSimulated);
}

}  // namespace
}  // namespace hc::gui
