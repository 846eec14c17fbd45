#include "cli/goal_options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <fmt/format.h>

#include "cli/format.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

bool is_time(sim::Metric metric) {
    return metric == sim::Metric::kStepMedian || metric == sim::Metric::kStepP95 || metric == sim::Metric::kStepP99 ||
           metric == sim::Metric::kExposed;
}

bool is_bytes(sim::Metric metric) {
    return metric == sim::Metric::kMemory || metric == sim::Metric::kHostMemory || metric == sim::Metric::kFetchedBytes;
}

std::string number_text(sim::Metric metric, double value) {
    if (is_time(metric)) return format_ns(value);
    if (is_bytes(metric)) return format_bytes(value);
    return fmt::format("{:.4g}", value);
}

sim::Metric require_metric(const std::string& name, const char* option) {
    const std::optional<sim::Metric> metric = sim::metric_of(name);
    if (!metric) throw_usage(fmt::format("{} '{:.40}': expected one of {}", option, name, sim::metric_names()));
    return *metric;
}

}  // namespace

void add_goal_options(CLI::App& command, GoalOptions& options) {
    command.add_option("--minimize", options.minimize, "What to make small: " + sim::metric_names() + " (default: step_p99)");
    command.add_option("--maximize", options.maximize, "What to make large instead");
    command.add_option("--max-memory", options.max_memory, "Device memory at most, e.g. 24GiB (on a CPU: the resident pool)");
    command.add_option("--max-host-memory", options.max_host_memory, "Host tier at most");
    command.add_option("--min-recall", options.min_recall, "Recall at least (the lower end of its interval)")->check(CLI::Range(0.0, 1.0));
    command.add_option("--min-hiding", options.min_hiding, "I/O hiding at least")->check(CLI::Range(0.0, 1.0));
    command.add_option("--max-step-p99", options.max_step_p99_ms, "p99 of a step at most, ms")->check(CLI::PositiveNumber);
    command.add_option("--max-step-median", options.max_step_median_ms, "Median of a step at most, ms")->check(CLI::PositiveNumber);
    command.add_option("--min-tokens-per-s", options.min_tokens_per_s, "Tokens per second at least")->check(CLI::PositiveNumber);
}

double parse_bytes(const std::string& text, const std::string& option) {
    double value = 0;
    const char* const end_of_text = text.data() + text.size();
    const auto [end, status] = std::from_chars(text.data(), end_of_text, value);
    std::string unit(end, end_of_text);
    while (!unit.empty() && unit.front() == ' ') unit.erase(0, 1);
    struct Unit {
        const char* name;
        double bytes;
    };
    constexpr Unit kUnits[] = {{"", 1},     {"B", 1},          {"KiB", 1024.0},          {"MiB", 1048576.0}, {"GiB", 1073741824.0},
                               {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TiB", 1099511627776.0}, {"TB", 1e12}};
    for (const Unit& known : kUnits) {
        if (status == std::errc{} && unit == known.name && value > 0 && value < 1e15) return value * known.bytes;
    }
    throw_usage(fmt::format("{} '{:.40}': expected a size such as 24GiB or 900MB", option, text));
}

sim::Goal goal_of(const GoalOptions& options) {
    sim::Goal goal;
    if (!options.minimize.empty() && !options.maximize.empty()) {
        throw_usage("--minimize and --maximize exclude each other: make the other one a limit");
    }
    const bool more = !options.maximize.empty();
    if (more || !options.minimize.empty()) {
        goal.metric = more ? require_metric(options.maximize, "--maximize") : require_metric(options.minimize, "--minimize");
        if (sim::wants_more(goal.metric) != more) {
            throw_usage(fmt::format("--{} {}: that is one to {}", more ? "maximize" : "minimize", sim::metric_name(goal.metric),
                                    more ? "minimize" : "maximize"));
        }
    }
    const auto limit = [&](sim::Metric metric, double value) {
        if (value >= 0) goal.limits.push_back({metric, value});
    };
    if (!options.max_memory.empty()) limit(sim::Metric::kMemory, parse_bytes(options.max_memory, "--max-memory"));
    if (!options.max_host_memory.empty()) limit(sim::Metric::kHostMemory, parse_bytes(options.max_host_memory, "--max-host-memory"));
    limit(sim::Metric::kRecall, options.min_recall);
    limit(sim::Metric::kHiding, options.min_hiding);
    limit(sim::Metric::kStepP99, options.max_step_p99_ms * 1e6);
    limit(sim::Metric::kStepMedian, options.max_step_median_ms * 1e6);
    limit(sim::Metric::kTokensPerS, options.min_tokens_per_s);
    return goal;
}

std::string goal_text(const sim::Goal& goal) {
    std::string text = fmt::format("{} {}", sim::wants_more(goal.metric) ? "maximize" : "minimize", sim::metric_name(goal.metric));
    for (std::size_t i = 0; i < goal.limits.size(); ++i) {
        const sim::Limit& limit = goal.limits[i];
        text += fmt::format("{}{} {} {}", i == 0 ? ", with " : ", ", sim::metric_name(limit.metric),
                            sim::wants_more(limit.metric) ? "at least" : "at most", number_text(limit.metric, limit.value));
    }
    return text;
}

std::string metric_text(sim::Metric metric, const sim::Figures& figures) {
    const std::optional<double> value = sim::value_of(metric, figures);
    return value ? number_text(metric, *value) : std::string("none");
}

}  // namespace hc::cli
