#include "cli/compare_output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/data_table.h"
#include "cli/format.h"
#include "cli/output.h"
#include "cli/table.h"
#include "profiler/analysis/welch.h"

namespace hc::cli {
namespace {

using analysis::Basis;
using analysis::FigureDifference;
using analysis::FigureUnit;
using analysis::TimeDifference;
using analysis::Verdict;

const char* interval_title(bool single) {
    return single ? "95 % within" : "95 % between";
}

/// As a table says it; its foot explains.
std::string verdict_cell(Verdict verdict) {
    if (verdict == Verdict::kNone) return "-";
    if (verdict == Verdict::kDiffers) return "differs";
    return std::string(analysis::verdict_name(verdict));
}

std::string time_cell(std::size_t count, double ns) {
    return count > 0 ? format_ns(ns) : std::string("-");
}

std::string times_table(const analysis::Comparison& comparison, bool single, int width) {
    Table table({"median per step", "A", "B", "difference", interval_title(single), "B"}, {0, 5});
    const auto row = [&](std::string name, const TimeDifference& time) {
        table.add_row({std::move(name), time_cell(time.count_a, time.median_a),
                       time_cell(time.count_b, time.median_b),
                       signed_percent(time.relative(time.difference)), interval_percent(time),
                       verdict_cell(time.verdict)});
    };
    row("step", comparison.step);
    for (const analysis::KindDifference& kind : comparison.by_kind) {
        row(std::string(op_kind_name(kind.kind)), kind.time);
    }
    return table.to_string(width);
}

std::string figure_text(FigureUnit unit, double value) {
    switch (unit) {
        case FigureUnit::kNs:
            return format_ns(value);
        case FigureUnit::kBytes:
            return format_bytes(value);
        case FigureUnit::kShare:
            return format_percent(value);
        case FigureUnit::kCount:
            break;
    }
    return value == static_cast<double>(static_cast<std::int64_t>(value))
               ? format_count(static_cast<std::int64_t>(value))
               : format_number(value, 2);
}

std::string figures_table(const std::vector<FigureDifference>& figures, bool single, int width) {
    Table table(single
                    ? std::vector<std::string>{"once a recording", "A", "B", "difference"}
                    : std::vector<std::string>{"mean of recordings", "A", "B", "difference", "B"},
                {0, 4});
    for (const FigureDifference& f : figures) {
        std::string difference = "-";
        if (f.unit == FigureUnit::kShare) {  // a share is not a thing to take a share of
            difference = fmt::format("{:+.1f} points", (f.b - f.a) * 100);
        } else if (f.a > 0) {
            difference = signed_percent((f.b - f.a) / f.a);
        }
        std::vector<std::string> cells = {std::string(f.title), figure_text(f.unit, f.a),
                                          figure_text(f.unit, f.b), difference};
        if (!single) cells.emplace_back(!f.told ? "-" : f.b > f.a ? "higher" : "lower");
        table.add_row(std::move(cells));
    }
    return table.to_string(width);
}

DataTable named_table(const char* what, const std::vector<analysis::NamedDifference>& rows) {
    DataTable table;
    table.columns = {{"name", what, Unit::kText},          {"total_a", "A", Unit::kNs},
                     {"total_b", "B", Unit::kNs},          {"count_a", "count A", Unit::kCount},
                     {"count_b", "count B", Unit::kCount}, {"difference", "one takes", Unit::kText},
                     {"verdict", "B", Unit::kText}};
    for (const analysis::NamedDifference& d : rows) {
        const auto count = [](double value) {
            return Cell(static_cast<std::int64_t>(value + 0.5));
        };
        table.add_row({d.name, d.total_a_ns, d.total_b_ns, count(d.count_a), count(d.count_b),
                       signed_percent(d.time.relative(d.time.difference)),
                       verdict_cell(d.time.verdict)});
    }
    return table;
}

void print_runs(const ComparedRuns& runs, bool single, int width) {
    const auto head = [](const char* side, const std::vector<analysis::RunSummary>& recordings,
                         const std::string& label) {
        std::size_t steps = 0;
        for (const analysis::RunSummary& r : recordings) steps += r.step_ns.size();
        fmt::print("{}: run {} ({}), {} decode steps", side, recordings.front().run.id, label,
                   format_count(static_cast<std::int64_t>(steps)));
        if (recordings.size() > 1) fmt::print(" in {} recordings", recordings.size());
        fmt::print("\n");
    };
    head("A", runs.a, runs.label_a);
    head("B", runs.b, runs.label_b);
    std::vector<std::string> unlike;
    for (const analysis::SettingDifference& s : runs.comparison.settings) {
        unlike.push_back(fmt::format("{} ({}, {})", s.what, s.a, s.b));
    }
    if (!unlike.empty()) {
        fmt::print("warning: A and B are not alike: {}\n", fmt::join(unlike, ", "));
    }
    if (single && !runs.comparison.step.interval) {
        fmt::print("fewer than {} decode steps on one side: no difference can be told\n",
                   analysis::kSamplesMin);
    }
    fmt::print("\n{}", times_table(runs.comparison, single, width));
    if (!runs.comparison.figures.empty()) {
        fmt::print("\n{}", figures_table(runs.comparison.figures, single, width));
    }
}

void print_activity(const CompareAnswer& answer, std::size_t top, int width) {
    const analysis::ActivityComparison& activity = *answer.activity;
    const bool single = answer.is_single();
    if (activity.lost_a + activity.lost_b > 0) {
        fmt::print("\nRECORDS ARE MISSING: {} in A, {} in B. Counts and sums are too low.\n",
                   format_count(activity.lost_a), format_count(activity.lost_b));
    }
    if (!answer.range.empty()) {
        const TimeDifference& time = activity.range;
        Table table({"median of", "A", "B", "difference", interval_title(single), "B"}, {0, 5});
        table.add_row(
            {fmt::format("range '{}'", answer.range), time_cell(time.count_a, time.median_a),
             time_cell(time.count_b, time.median_b), signed_percent(time.relative(time.difference)),
             interval_percent(time), verdict_cell(time.verdict)});
        fmt::print("\n{}", table.to_string(width));
    }
    fmt::print("\nCUDA activity\n{}", figures_table(activity.figures, single, width));
    const auto named = [&](const char* what, const std::vector<analysis::NamedDifference>& rows) {
        if (rows.empty()) return;
        fmt::print("\n{}", to_text(named_table(what, rows), width, top));
    };
    named("kernel, total time", activity.kernels);
    named("copy, total time", activity.copies);
    named("API call, total time", activity.calls);
}

void print_foot(const CompareAnswer& answer, int width) {
    const std::size_t least = std::min(answer.files_a.size(), answer.files_b.size());
    std::string text;
    if (answer.is_single()) {
        text = fmt::format(
            "One recording a side, so no verdict: \"differs\" means that the steps of these two "
            "recordings differ, as those of two starts of one program often do. Record each at "
            "least {} times, in turn, and compare A1 A2 A3 --with B1 B2 B3.",
            analysis::kRecordingsMin);
    } else if (least < analysis::kRecordingsMin) {
        text = fmt::format("Fewer than {} recordings on one side: no verdict and no interval.",
                           analysis::kRecordingsMin);
    } else {
        text = fmt::format(
            "Welch's t test over recordings (each counts once, by its median), p <= {}, corrected "
            "(Holm) over the rows of a table; the step stands alone.",
            analysis::kSignificance);
    }
    fmt::print("\n{}", wrapped(text, std::min(width, 100)));
}

using Json = nlohmann::ordered_json;

template <typename T>
Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json(nullptr);
}

Json interval_json(const std::optional<analysis::Bounds>& interval) {
    if (!interval) return nullptr;
    return {{"low", interval->low}, {"high", interval->high}};
}

Json to_json(const TimeDifference& time) {
    const auto known = [](bool is, double value) { return is ? Json(value) : Json(nullptr); };
    Json j;
    j["recordings_a"] = time.recordings_a;
    j["recordings_b"] = time.recordings_b;
    j["count_a"] = time.count_a;
    j["count_b"] = time.count_b;
    j["median_a"] = known(time.count_a > 0, time.median_a);
    j["median_b"] = known(time.count_b > 0, time.median_b);
    j["difference"] = known(time.count_a > 0 && time.count_b > 0, time.difference);
    const std::optional<double> relative = time.relative(time.difference);
    j["difference_percent"] = known(relative.has_value(), relative.value_or(0) * 100);
    j["interval"] = interval_json(time.interval);
    j["interval_covers"] = time.basis == Basis::kWithin    ? Json("steps of these two recordings")
                           : time.basis == Basis::kBetween ? Json("recordings")
                                                           : Json(nullptr);
    j["p"] = or_null(time.p);
    j["p_adjusted"] = or_null(time.p_adjusted);
    j["verdict"] = std::string(analysis::verdict_name(time.verdict));
    return j;
}

Json to_json(const std::vector<FigureDifference>& figures) {
    Json object = Json::object();
    for (const FigureDifference& f : figures) {
        object[std::string(f.name)] = {{"a", f.a},
                                       {"b", f.b},
                                       {"interval", interval_json(f.interval)},
                                       {"p_adjusted", or_null(f.p_adjusted)},
                                       {"differs", f.told}};
    }
    return object;
}

Json to_json(const std::vector<analysis::NamedDifference>& rows) {
    Json array = Json::array();
    for (const analysis::NamedDifference& d : rows) {
        array.push_back({{"name", d.name},
                         {"count_a", d.count_a},
                         {"count_b", d.count_b},
                         {"total_ns_a", d.total_a_ns},
                         {"total_ns_b", d.total_b_ns},
                         {"ns", to_json(d.time)}});
    }
    return array;
}

Json to_json(const ComparedRuns& runs) {
    const auto side = [](const std::vector<analysis::RunSummary>& recordings,
                         const std::string& label) -> Json {
        Json j = {{"run", recordings.front().run.id},
                  {"label", label},
                  {"backend", recordings.front().run.backend},
                  {"machine", recordings.front().machine},
                  {"decode_steps", 0},
                  {"recordings", recordings.size()}};
        std::size_t steps = 0;
        for (const analysis::RunSummary& r : recordings) steps += r.step_ns.size();
        j["decode_steps"] = steps;
        return j;
    };
    Json j;
    j["a"] = side(runs.a, runs.label_a);
    j["b"] = side(runs.b, runs.label_b);
    j["not_alike"] = Json::array();
    for (const analysis::SettingDifference& s : runs.comparison.settings) {
        j["not_alike"].push_back({{"what", s.what}, {"a", s.a}, {"b", s.b}});
    }
    j["step_ns"] = to_json(runs.comparison.step);
    j["operations"] = Json::array();
    for (const analysis::KindDifference& kind : runs.comparison.by_kind) {
        j["operations"].push_back({{"kind", std::string(op_kind_name(kind.kind))},
                                   {"mean_per_step_a", kind.mean_a},
                                   {"mean_per_step_b", kind.mean_b},
                                   {"ns", to_json(kind.time)}});
    }
    j["figures"] = to_json(runs.comparison.figures);
    return j;
}

}  // namespace

std::string describe_run(const std::string& side, const trace::Run& run) {
    return fmt::format("{} run {} ({})", side, run.id, run_label(run));
}

std::string signed_percent(std::optional<double> share) {
    return share ? fmt::format("{:+.1f} %", *share * 100) : std::string("-");
}

std::string interval_percent(const TimeDifference& time) {
    if (!time.interval) return "-";
    const std::optional<double> low = time.relative(time.interval->low);
    const std::optional<double> high = time.relative(time.interval->high);
    if (!low || !high) return "-";
    return fmt::format("[{:+.1f}, {:+.1f}] %", *low * 100, *high * 100);
}

void print_answer(const CompareAnswer& answer, std::size_t top, int width) {
    fmt::print("A is {}\nB is {}\n", fmt::join(answer.files_a, ", "),
               fmt::join(answer.files_b, ", "));
    for (const ComparedRuns& runs : answer.runs) {
        fmt::print("\n");
        print_runs(runs, answer.is_single(), width);
    }
    if (answer.activity) print_activity(answer, top, width);
    print_foot(answer, width);
    if (!answer.left_over.empty()) {
        fmt::print("\nwithout a partner: {}\n", fmt::join(answer.left_over, ", "));
    }
}

void print_answer_json(const CompareAnswer& answer) {
    Json document;
    document["a"] = answer.files_a;
    document["b"] = answer.files_b;
    document["method"] = {
        {"statistic", "difference, B - A, of medians (several recordings: of their mean median)"},
        {"within", "95 % percentile bootstrap over the values of one recording a side"},
        {"resamples", analysis::kResamples},
        {"between", "Welch's t test over recordings, Holm's correction over a table's rows"},
        {"significance", analysis::kSignificance},
        {"recordings_needed", analysis::kRecordingsMin}};
    document["pairs"] = Json::array();
    for (const ComparedRuns& runs : answer.runs) document["pairs"].push_back(to_json(runs));
    document["without_partner"] = answer.left_over;
    document["activity"] = nullptr;
    if (answer.activity) {
        const analysis::ActivityComparison& activity = *answer.activity;
        Json j;
        j["lost_a"] = activity.lost_a;
        j["lost_b"] = activity.lost_b;
        j["range"] = answer.range.empty() ? Json(nullptr) : Json(answer.range);
        j["range_ns"] = answer.range.empty() ? Json(nullptr) : to_json(activity.range);
        j["figures"] = to_json(activity.figures);
        j["kernels"] = to_json(activity.kernels);
        j["copies"] = to_json(activity.copies);
        j["api"] = to_json(activity.calls);
        document["activity"] = std::move(j);
    }
    print_json(document);
}

}  // namespace hc::cli
