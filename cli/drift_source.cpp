#include "cli/drift_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/core/progress.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

constexpr std::string_view kTrace = "trace:";
constexpr std::string_view kRun = ",run=";
constexpr double kLongestRun = 4096;  // that the device's generator of rows can draw

struct Source {
    std::string path;
    std::optional<trace::RunId> run;
};

Source parse_source(const std::string& text) {
    Source source;
    source.path = text.substr(kTrace.size());
    if (const std::size_t at = source.path.rfind(kRun); at != std::string::npos) {
        const std::string number = source.path.substr(at + kRun.size());
        trace::RunId run = -1;
        const auto [end, status] =
            std::from_chars(number.data(), number.data() + number.size(), run);
        if (status != std::errc{} || end != number.data() + number.size() || run < 0) {
            throw_usage(fmt::format("--drift '{}': run={} is no run's number", text, number));
        }
        source.run = run;
        source.path.resize(at);
    }
    if (source.path.empty()) throw_usage("--drift 'trace:': expected trace:FILE");
    return source;
}

/// Checks of a star in order of steps; the stars of one sequence by layer and pivot.
std::vector<std::vector<runtime::ToldCheck>> told_by_run(const trace::RunData& data) {
    std::unordered_map<std::int64_t, const FetchRecord*> fetches;
    for (const FetchRecord& fetch : data.fetches) fetches.emplace(fetch.check_id, &fetch);
    std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, std::vector<const DriftRecord*>>
        stars;
    for (const DriftRecord& check : data.drift) {
        stars[{check.sequence, check.layer, check.pivot}].push_back(&check);
    }
    std::vector<std::vector<runtime::ToldCheck>> told;
    for (auto& [star, checks] : stars) {
        std::stable_sort(checks.begin(), checks.end(),
                         [](const auto* a, const auto* b) { return a->step < b->step; });
        std::vector<runtime::ToldCheck>& of_star = told.emplace_back();
        for (const DriftRecord* check : checks) {
            runtime::ToldCheck one;
            one.triggered = check->triggered;
            const auto fetch = fetches.find(check->check_id);
            if (fetch != fetches.end() && fetch->second->rows_wanted > 0) {
                const auto rows = static_cast<double>(fetch->second->rows_fetched);
                one.new_rows =
                    std::min(1.0, rows / static_cast<double>(fetch->second->rows_wanted));
                if (fetch->second->runs > 0) {
                    one.run = std::clamp(rows / static_cast<double>(fetch->second->runs), 1.0,
                                         kLongestRun);
                }
            }
            of_star.push_back(one);
        }
    }
    return told;
}

}  // namespace

runtime::SyntheticDrift read_drift(const std::string& text) {
    if (!text.starts_with(kTrace)) return runtime::parse_synthetic_drift(text);
    const Source source = parse_source(text);
    const trace::Trace trace(source.path);
    NoProgress progress;
    if (source.run) static_cast<void>(trace.run(*source.run));  // refuses what is not there
    for (const trace::Run& run : trace.runs()) {
        if (source.run && run.id != *source.run) continue;
        const trace::RunData data =
            trace.read(run.id, {.operations = false, .attention = false}, progress);
        runtime::SyntheticDrift drift;
        drift.told = told_by_run(data);
        if (!drift.told.empty()) {
            drift.told_by = fmt::format("{}{}{}{}", kTrace, source.path, kRun, run.id);
            return drift;
        }
    }
    const std::string which = source.run ? fmt::format("run {}", *source.run) : "none of its runs";
    throw_input(fmt::format("{}: --drift needs drift checks, {} holds {}", source.path, which,
                            source.run ? "none" : "any"));
}

}  // namespace hc::cli
