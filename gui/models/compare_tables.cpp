#include "gui/models/compare_tables.h"

#include <cmath>

#include "gui/models/ticks.h"

namespace hc::gui {
namespace {

QString text_of(std::string_view text) {
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QString signed_duration(double ns) {
    return (ns > 0 ? "+" : "") + format_duration(ns);
}

QString signed_percent(double share) {
    return QString("%1%2 %").arg(share > 0 ? "+" : "").arg(share * 100, 0, 'f', 1);
}

QString value_text(analysis::FigureUnit unit, double value) {
    switch (unit) {
        case analysis::FigureUnit::kNs:
            return format_duration(value);
        case analysis::FigureUnit::kBytes:
            return format_bytes(value);
        case analysis::FigureUnit::kCount:
            return value == std::floor(value) ? format_count(static_cast<qint64>(value))
                                              : QString::number(value, 'f', 2);
        case analysis::FigureUnit::kShare:
            return QString::number(value, 'f', 4);
    }
    return {};
}

DifferenceRow time_row(const QString& what, const analysis::TimeDifference& time) {
    DifferenceRow row;
    row.what = what;
    row.a = time.count_a > 0 ? format_duration(time.median_a) : QString("\u2013");
    row.b = time.count_b > 0 ? format_duration(time.median_b) : QString("\u2013");
    row.difference = signed_duration(time.difference);
    if (const auto share = time.relative(time.difference)) {
        row.relative = *share;
        row.difference += " (" + signed_percent(*share) + ")";
    }
    if (time.interval) {
        row.difference +=
            QString(", 95 %: %1 to %2")
                .arg(signed_duration(time.interval->low), signed_duration(time.interval->high));
    }
    row.verdict = text_of(analysis::verdict_name(time.verdict));
    return row;
}

}  // namespace

std::vector<DifferenceRow> difference_rows(const RunView& a, const RunView& b) {
    const analysis::Comparison comparison =
        analysis::compare_runs(analysis::summarise(a.data), analysis::summarise(b.data));
    std::vector<DifferenceRow> rows;
    rows.push_back(time_row("step, median", comparison.step));
    for (const analysis::KindDifference& kind : comparison.by_kind) {
        rows.push_back(time_row(text_of(op_kind_name(kind.kind)) + " per step", kind.time));
    }
    for (const analysis::FigureDifference& figure : comparison.figures) {
        DifferenceRow row;
        row.what = text_of(figure.title);
        row.a = value_text(figure.unit, figure.a);
        row.b = value_text(figure.unit, figure.b);
        row.difference =
            (figure.b > figure.a ? "+" : "") + value_text(figure.unit, figure.b - figure.a);
        if (figure.a != 0) row.relative = (figure.b - figure.a) / std::abs(figure.a);
        rows.push_back(row);
    }
    for (const analysis::SettingDifference& setting : comparison.settings) {
        rows.push_back({QString::fromStdString(setting.what), QString::fromStdString(setting.a),
                        QString::fromStdString(setting.b), "", 0, "differs"});
    }
    return rows;
}

std::vector<TableColumn> difference_columns(
    std::shared_ptr<const std::vector<DifferenceRow>> rows) {
    const auto text = [rows](const QString& title, QString DifferenceRow::*field) {
        return TableColumn{title, [](std::size_t) { return 0.0; },
                           [rows, field](std::size_t i) { return (*rows)[i].*field; }, true};
    };
    return {text("what", &DifferenceRow::what),
            text("A", &DifferenceRow::a),
            text("B", &DifferenceRow::b),
            {"B \u2212 A", [rows](std::size_t i) { return (*rows)[i].relative; },
             [rows](std::size_t i) { return (*rows)[i].difference; }},
            text("verdict", &DifferenceRow::verdict)};
}

}  // namespace hc::gui
