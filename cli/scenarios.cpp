#include "cli/scenarios.h"

#include <algorithm>
#include <iterator>
#include <fmt/format.h>

#include "engine/core/error.h"

namespace hc::cli {
namespace {

/// Replaces each scenario by one copy per value, changed by `apply`.
template <typename Value, typename Apply>
void cross(std::vector<sim::Scenario>& scenarios, const std::vector<Value>& values, const Apply& apply) {
    if (values.empty()) return;
    std::vector<sim::Scenario> out;
    for (const sim::Scenario& scenario : scenarios) {
        for (const Value& value : values) {
            sim::Scenario next = scenario;
            const std::string part = apply(next, value);
            next.label += (next.label.empty() ? "" : ", ") + part;
            out.push_back(std::move(next));
        }
    }
    scenarios = std::move(out);
}

}  // namespace

std::vector<sim::Scenario> expand(const ScenarioGrid& grid) {
    const auto is_full = [](const std::string& policy) { return policy == "fullkv"; };
    if (grid.policies.size() > 1 && std::any_of(grid.policies.begin(), grid.policies.end(), is_full)) {
        // Full attention has no budgets: it stands once beside the others' grid.
        ScenarioGrid full;
        full.policies = {"fullkv"};
        full.prompt_tokens = grid.prompt_tokens;
        full.batches = grid.batches;
        full.machines = grid.machines;
        ScenarioGrid rest = grid;
        std::erase_if(rest.policies, is_full);
        std::vector<sim::Scenario> both = expand(full);
        std::vector<sim::Scenario> others = expand(rest);
        std::move(others.begin(), others.end(), std::back_inserter(both));
        return both;
    }
    constexpr double kMostPoints = 1e6;
    double points = 1;
    for (const std::size_t size : {grid.policies.size(), grid.ratios.size(), grid.thresholds.size(), grid.windows.size(),
                                   grid.commit_lags.size(), grid.prompt_tokens.size(), grid.batches.size(),
                                   grid.machines.size()}) {
        points *= static_cast<double>(std::max<std::size_t>(1, size));
    }
    if (points > kMostPoints) {
        throw_usage(fmt::format("{:.3g} combinations of the lists, expected at most {:.0f}", points, kMostPoints));
    }
    std::vector<sim::Scenario> scenarios(1);
    cross(scenarios, grid.policies, [](sim::Scenario& s, const std::string& v) {
        s.policy = v;
        return v;
    });
    cross(scenarios, grid.ratios, [](sim::Scenario& s, double v) {
        s.ratio = v;
        return fmt::format("ratio {:.3g}", v);
    });
    cross(scenarios, grid.thresholds, [](sim::Scenario& s, double v) {
        s.stable_threshold = v;
        return fmt::format("threshold {:.3g}", v);
    });
    cross(scenarios, grid.windows, [](sim::Scenario& s, std::int32_t v) {
        s.window = v;
        return fmt::format("window {}", v);
    });
    cross(scenarios, grid.commit_lags, [](sim::Scenario& s, std::int32_t v) {
        s.commit_lag = v;
        return fmt::format("commit lag {}", v);
    });
    cross(scenarios, grid.prompt_tokens, [](sim::Scenario& s, std::int64_t v) {
        s.prompt_tokens = v;
        return fmt::format("prompt {}", v);
    });
    cross(scenarios, grid.batches, [](sim::Scenario& s, std::int32_t v) {
        s.batch = v;
        return fmt::format("batch {}", v);
    });
    cross(scenarios, grid.machines, [](sim::Scenario& s, const std::string& v) {
        s.machine = sim::find_machine(v);
        return "on " + v;
    });
    for (sim::Scenario& scenario : scenarios) {
        scenario.retrieval = grid.retrieval;
        scenario.drift = grid.drift;
        if (grid.drift) scenario.label += fmt::format("{}drift rate {:.3g}", scenario.label.empty() ? "" : ", ", grid.drift->rate);
        if (grid.retrieval == false) scenario.label += scenario.label.empty() ? "no retrieval" : ", no retrieval";
        if (scenario.label.empty()) scenario.label = "as recorded";
    }
    return scenarios;
}

void print_notes(const std::vector<sim::Prediction>& predictions) {
    std::vector<std::string> seen;
    for (const sim::Prediction& prediction : predictions) {
        for (const std::string& note : prediction.notes) {
            if (std::find(seen.begin(), seen.end(), note) != seen.end()) continue;
            seen.push_back(note);
            fmt::print("  note: {}\n", note);
        }
    }
}

}  // namespace hc::cli
