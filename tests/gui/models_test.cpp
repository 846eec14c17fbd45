#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QSignalSpy>
#include <QTest>
#include <algorithm>
#include <fstream>

#include "engine/core/error.h"
#include "gui/models/column_table.h"
#include "gui/models/drift_model.h"
#include "gui/models/facts_model.h"
#include "gui/models/head_map_model.h"
#include "gui/models/palette.h"
#include "gui/models/run_tables.h"
#include "gui/models/trace_model.h"
#include "tests/gui/synthetic_run.h"
#include "tests/support/paths.h"

namespace hc::gui {
namespace {

using Tester = QAbstractItemModelTester;
constexpr auto kFatal = Tester::FailureReportingMode::Fatal;

RunViewPtr synthetic_view() {
    return std::make_shared<const RunView>(test::to_run_view(test::make_synthetic_run({})));
}

TEST(ColumnTable, KeepsTheModelContractWhileItIsSortedAndReplaced) {
    const RunViewPtr view = synthetic_view();
    ColumnTable table;
    const Tester tester(&table, kFatal);
    table.set(check_columns(view), view->data.drift.size());
    const QPersistentModelIndex kept = table.index(5, 2);
    const std::size_t row = table.source_row(5);
    for (int column = 0; column < table.columnCount(); ++column) {
        table.sort(column, Qt::DescendingOrder);
        table.sort(column, Qt::AscendingOrder);
        EXPECT_EQ(table.source_row(kept.row()), row);
    }
    table.set(step_columns(view), view->data.steps.size());
    table.set({}, 0);
    EXPECT_EQ(table.rowCount(), 0);
}

TEST(ColumnTable, SortsByNumberNotByItsText) {
    const RunViewPtr view = synthetic_view();
    ColumnTable table;
    table.set(step_columns(view), view->data.steps.size());
    table.sort(2, Qt::DescendingOrder);
    const auto& steps = view->data.steps;
    for (int row = 1; row < table.rowCount(); ++row) {
        const std::size_t above = table.source_row(row - 1), here = table.source_row(row);
        EXPECT_GE(steps.end_ns[above] - steps.start_ns[above],
                  steps.end_ns[here] - steps.start_ns[here]);
    }
}

TEST(ColumnTable, CsvQuotesWhatNeedsIt) {
    ColumnTable table;
    table.set(
        {{"a,b", [](std::size_t) { return 0.0; }, [](std::size_t) { return QString("say \"x\""); }},
         {"n", [](std::size_t) { return 0.0; }, [](std::size_t) { return QString("1"); }}},
        1);
    EXPECT_EQ(table.csv({0}).toStdString(), "\"a,b\",n\n\"say \"\"x\"\"\",1\n");
}

TEST(FactsModel, KeepsTheModelContract) {
    FactsModel model;
    const Tester tester(&model, kFatal);
    model.set({{"key", "value"}, {"heading", ""}});
    EXPECT_EQ(model.rowCount(), 2);
    EXPECT_TRUE(model.is_heading(1));
    EXPECT_FALSE(model.is_heading(0));
    model.set({});
    EXPECT_EQ(model.rowCount(), 0);
}

TEST(HeadMapModel, ShowsRolesAndTheMeanRecallOfAHead) {
    const test::SyntheticRun run = test::make_synthetic_run({});
    const trace::RunData data = test::to_run_data(run);
    HeadMapModel model;
    const Tester tester(&model, kFatal);
    model.set_run(data, run.recall);
    EXPECT_EQ(model.rowCount(), 30);
    EXPECT_EQ(model.columnCount(), 3);
    EXPECT_EQ(model.data(model.index(0, 0), Qt::DisplayRole).toString().toStdString(), "pivot");
    double sum = 0, count = 0;
    for (const trace::RecallRecord& row : run.recall) {
        if (row.layer != 4 || row.head != 1) continue;
        sum += row.low;
        ++count;
    }
    EXPECT_NEAR(*model.value(4, 1, HeadQuantity::kRecall), sum / count, 1e-9);
    const auto range = model.range(HeadQuantity::kCapacity);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->high, 2304);
    EXPECT_FALSE(model.range(HeadQuantity::kRole));
    model.clear();
    EXPECT_EQ(model.rowCount(), 0);
}

TEST(HeadMapModel, RefusesPlacesOutsideAnyModel) {
    trace::RunData data;
    data.heads.resize(3);
    data.heads[0].layer = 2'000'000'000;
    data.heads[1].head = -5;
    data.heads[2].layer = 1;
    HeadMapModel model;
    model.set_run(data, {});
    EXPECT_EQ(model.rowCount(), 2);
    EXPECT_EQ(model.columnCount(), 1);
    EXPECT_FALSE(model.cell(0, 0).known);
    EXPECT_TRUE(model.cell(1, 0).known);
}

TEST(DriftModel, GathersThePointsOfAPivotByStep) {
    const trace::RunData data = test::to_run_data(test::make_synthetic_run({}));
    const DriftModel model(data);
    std::size_t points = 0;
    std::int64_t triggers = 0;
    for (const DriftSeries& series : model.series()) {
        points += series.points.size();
        triggers += series.triggers;
        for (std::size_t i = 0; i < series.points.size(); ++i) {
            const DriftPoint& point = series.points[i];
            const DriftRecord& check = data.drift[point.check];
            EXPECT_EQ(check.layer, series.layer);
            const auto [low, high] =
                std::minmax_element(check.overlaps.begin(), check.overlaps.end());
            EXPECT_DOUBLE_EQ(point.lowest, *low);
            EXPECT_DOUBLE_EQ(point.highest, *high);
            if (i > 0) {
                EXPECT_GT(point.step, series.points[i - 1].step);
            }
        }
    }
    EXPECT_EQ(points, data.drift.size());
    EXPECT_GT(triggers, 0);
    const auto most = model.most_drifting();
    ASSERT_TRUE(most);
    for (const DriftSeries& series : model.series()) {
        EXPECT_LE(series.triggers, model.series()[*most].triggers);
    }
    EXPECT_FALSE(DriftModel(trace::RunData{}).most_drifting());
}

TEST(Palette, EveryColourStandsOutFromItsGround) {
    for (const bool dark : {true, false}) {
        const QRgb ground = dark ? qRgb(0x14, 0x16, 0x1a) : qRgb(0xff, 0xff, 0xff);
        for (std::uint8_t h = 0; h < static_cast<std::uint8_t>(Hue::kCount); ++h) {
            const QRgb hue = hue_rgb(static_cast<Hue>(h), dark);
            const int distance = std::abs(qRed(hue) - qRed(ground)) +
                                 std::abs(qGreen(hue) - qGreen(ground)) +
                                 std::abs(qBlue(hue) - qBlue(ground));
            EXPECT_GT(distance, 90) << "hue " << int(h) << (dark ? " on dark" : " on light");
        }
    }
}

TEST(Palette, TheScaleRisesInLightness) {
    int before = -1;
    for (int i = 0; i <= 20; ++i) {
        const int grey = qGray(scale_rgb(i / 20.0));
        EXPECT_GT(grey, before);
        before = grey;
    }
}

TEST(TraceModel, LoadsWhatTheWriterWrote) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "run.sqlite";
    const test::SyntheticRun run = test::make_synthetic_run({.decode_steps = 40});
    test::write_trace(run, path);
    TraceModel model;
    QSignalSpy loaded(&model, &TraceModel::loaded);
    model.load(path, std::nullopt);
    EXPECT_TRUE(model.loading());
    ASSERT_TRUE(loaded.wait(10'000));
    const RunView& view = *model.view();
    EXPECT_EQ(view.data.steps.size(), run.steps.size());
    EXPECT_EQ(view.data.drift.size(), run.drift.size());
    EXPECT_EQ(view.recall.size(), run.recall.size());
    EXPECT_TRUE(view.metrics.recall.has_value());
    EXPECT_EQ(view.path.toStdString(), path.string());
}

TEST(TraceModel, ANewerLoadWinsOverTheOneBefore) {
    const test::TemporaryFolder folder;
    for (const int steps : {20, 30}) {
        test::write_trace(test::make_synthetic_run({.decode_steps = steps}),
                          folder.path() / (std::to_string(steps) + ".sqlite"));
    }
    TraceModel model;
    QSignalSpy loaded(&model, &TraceModel::loaded);
    QSignalSpy failed(&model, &TraceModel::failed);
    model.load(folder.path() / "20.sqlite", std::nullopt);
    model.load(folder.path() / "30.sqlite", std::nullopt);
    ASSERT_TRUE(loaded.wait(10'000));
    QTest::qWait(50);
    EXPECT_EQ(loaded.size(), 1);
    EXPECT_EQ(failed.size(), 0);
    EXPECT_EQ(model.view()->data.steps.size(), 31u);
}

TEST(TraceModel, ABrokenFileIsNamedAndTheRunBeforeStays) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "broken.sqlite";
    std::ofstream(path) << "this is no trace";
    TraceModel model;
    const RunViewPtr before = synthetic_view();
    model.set_view(before);
    QSignalSpy failed(&model, &TraceModel::failed);
    model.load(path, std::nullopt);
    ASSERT_TRUE(failed.wait(10'000));
    EXPECT_TRUE(failed[0][0].toString().contains("broken.sqlite"))
        << failed[0][0].toString().toStdString();
    EXPECT_EQ(failed[0][1].toInt(), static_cast<int>(ExitCode::kInput));
    EXPECT_EQ(model.view(), before);
    EXPECT_FALSE(model.loading());
}

TEST(TraceModel, ARunThatIsNotThereIsRefused) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "run.sqlite";
    test::write_trace(test::make_synthetic_run({.decode_steps = 5}), path);
    TraceModel model;
    QSignalSpy failed(&model, &TraceModel::failed);
    model.load(path, 77);
    ASSERT_TRUE(failed.wait(10'000));
    EXPECT_EQ(failed[0][1].toInt(), static_cast<int>(ExitCode::kRefused));
}

}  // namespace
}  // namespace hc::gui
