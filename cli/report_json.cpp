// A report as JSON and as CSV files.
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/report_forms.h"
#include "cli/report_tables.h"
#include "engine/core/error.h"
#include "profiler/formats/part_file.h"

namespace hc::cli {
namespace {

using Json = nlohmann::ordered_json;

Json limit_json(const std::optional<analysis::Limit>& limit) {
    if (!limit) return nullptr;
    return {{"gb_per_s", limit->gb_per_s},
            {"origin", std::string(trace::value_origin_name(limit->origin))},
            {"source", limit->source}};
}

Json limits_json(const analysis::Limits& limits) {
    return {{"read", limit_json(limits.read)},
            {"h2d", limit_json(limits.h2d)},
            {"d2h", limit_json(limits.d2h)}};
}

/// The tables of CUDA activity that the sections ask for.
std::vector<DataTable> activity_tables(const ActivityReport& report, const Sections& wanted) {
    std::vector<DataTable> tables;
    if (wanted.holds("overview")) tables.push_back(devices_table(report));
    if (wanted.holds("idle")) {
        tables.push_back(idle_table(report));
        tables.push_back(gaps_table(report));
    }
    if (wanted.holds("kernels")) tables.push_back(kernels_table(report));
    if (wanted.holds("copies")) {
        tables.push_back(copies_table(report));
        tables.push_back(copy_sizes_table(report));
        tables.push_back(memsets_table(report));
    }
    if (wanted.holds("api")) {
        tables.push_back(api_table(report));
        tables.push_back(syncs_table(report));
    }
    if (wanted.holds("ranges")) {
        tables.push_back(nvtx_table(report));
        if (!report.range.empty()) tables.push_back(ranges_table(report));
    }
    return tables;
}

std::vector<DataTable> run_tables(const RunReport& run, const Sections& wanted) {
    std::vector<DataTable> tables;
    if (wanted.holds("operations")) tables.push_back(operations_table(run));
    if (wanted.holds("steps")) tables.push_back(steps_table(run));
    if (wanted.holds("retrievals")) {
        tables.push_back(retrieval_totals_table(run));
        tables.push_back(retrievals_table(run));
    }
    return tables;
}

/// The same table of every run in one, with the run in front.
void append_with_run(DataTable& all, DataTable table, trace::RunId run) {
    if (all.columns.empty()) {
        all.key = table.key;
        all.columns = {{"run", "run", Unit::kCount}};
    }
    // Runs may differ in which operations they have, and so in their last columns.
    std::map<std::string, std::size_t> places;
    for (std::size_t c = 0; c < all.columns.size(); ++c) places[all.columns[c].key] = c;
    for (const Column& column : table.columns) {
        if (places.contains(column.key)) continue;
        places[column.key] = all.columns.size();
        all.columns.push_back(column);
        for (std::vector<Cell>& row : all.rows) row.emplace_back();
    }
    for (std::vector<Cell>& row : table.rows) {
        std::vector<Cell> cells(all.columns.size());
        cells[0] = std::int64_t{run};
        for (std::size_t c = 0; c < row.size(); ++c) {
            cells[places[table.columns[c].key]] = std::move(row[c]);
        }
        all.add_row(std::move(cells));
    }
}

DataTable lost_table(const ReportData& data) {
    DataTable table;
    table.key = "lost";
    table.columns = {{"cause", "cause", Unit::kText}, {"records", "records", Unit::kCount}};
    for (const auto& [cause, count] : data.lost) table.add_row({cause, count});
    return table;
}

}  // namespace

void print_report_json(const ReportData& data, const Sections& sections) {
    Json document;
    document["trace"] = data.path;
    document["warning"] = data.warning;
    document["lost"] = Json::object();
    for (const auto& [cause, count] : data.lost) document["lost"][cause] = count;
    document["runs"] = Json::array();
    for (const RunReport& run : data.runs) {
        Json entry = to_json(run.metrics.metrics, run.metrics.run);
        entry["limits"] = limits_json(run.limits);
        for (const DataTable& table : run_tables(run, sections)) entry[table.key] = to_json(table);
        document["runs"].push_back(std::move(entry));
    }
    document["activity"] = nullptr;
    if (data.activity) {
        Json entry;
        entry["events"] = data.activity->activity.events();
        entry["clock_error_ns"] = data.activity->activity.clock_error_ns;
        entry["limits"] = limits_json(data.activity->limits);
        for (const DataTable& table : activity_tables(*data.activity, sections)) {
            entry[table.key] = to_json(table);
        }
        document["activity"] = std::move(entry);
    }
    print_json(document);
}

std::size_t write_report_csv(const ReportData& data, const Sections& sections,
                             const std::string& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (!std::filesystem::is_directory(folder)) {
        throw_io(fmt::format("cannot write tables to '{}': {}", folder,
                             error ? error.message() : "it is no folder"));
    }
    std::vector<DataTable> tables;
    std::map<std::string, DataTable> of_runs;
    for (const RunReport& run : data.runs) {
        for (DataTable& table : run_tables(run, sections)) {
            DataTable& all = of_runs[table.key];
            append_with_run(all, std::move(table), run.metrics.run.id);
        }
    }
    for (auto& [key, table] : of_runs) tables.push_back(std::move(table));
    if (data.activity) {
        for (DataTable& table : activity_tables(*data.activity, sections)) {
            tables.push_back(std::move(table));
        }
    }
    tables.push_back(lost_table(data));
    for (const DataTable& table : tables) {
        formats::PartFile file(std::filesystem::path(folder) / (table.key + ".csv"));
        file.write(to_csv(table));
        file.commit();
    }
    return tables.size();
}

}  // namespace hc::cli
