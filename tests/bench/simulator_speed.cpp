// How fast the simulator answers: what-if points per second on a recorded trace, and how time grows
// with the length of a run.
//
//   simulator_speed TRACE [--points N]     points of a grid, one core
//   simulator_speed --growth [--most N]    runs of 1,000 steps and up, invented
//
// Prints JSON. Times are CPU time of this process, so that a busy machine counts less.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "simulator/replay/simulator.h"
#include "tests/bench/long_run.h"

namespace hc {
namespace {

using Json = nlohmann::ordered_json;

/// CPU time of this process.
double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double decode_seconds(const trace::RunData& data) {
    double ns = 0;
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        if (data.steps.phase[i] != Phase::kDecode) continue;
        ns += static_cast<double>(data.steps.end_ns[i] - data.steps.start_ns[i]);
    }
    return 1e-9 * ns;
}

/// Ratios, thresholds, windows and lags in turn, every ratio with all of the others.
std::vector<sim::Scenario> grid(std::size_t points, double lowest, double highest) {
    std::vector<sim::Scenario> scenarios;
    const std::size_t ratios = std::max<std::size_t>(1, points / 400);
    for (std::size_t r = 0; r < ratios; ++r) {
        for (int t = 0; t < 20; ++t) {
            for (int w = 0; w < 5; ++w) {
                for (int lag = 0; lag < 4 && scenarios.size() < points; ++lag) {
                    sim::Scenario s;
                    s.ratio = lowest + (highest - lowest) * static_cast<double>(r) /
                                           static_cast<double>(std::max<std::size_t>(1, ratios));
                    s.stable_threshold = 0.4 + 0.025 * t;
                    s.window = 3 + w;
                    s.commit_lag = 1 + lag;
                    scenarios.push_back(s);
                }
            }
        }
    }
    return scenarios;
}

/// The largest ratio (to 0.01) that the trace can answer, and the smallest.
std::pair<double, double> feasible(const sim::Simulator& simulator) {
    double low = 0;
    double high = 0;
    for (int i = 1; i <= 100; ++i) {
        sim::Scenario s;
        s.ratio = 0.01 * i;
        try {
            (void)simulator.figures(s);
        } catch (const Error&) {
            continue;
        }
        if (i == 100 && low > 0) continue;  // keeping everything needs no data
        if (low == 0) low = *s.ratio;
        high = *s.ratio;
    }
    return {low, high};
}

Json measure(const sim::Simulator& simulator, const std::vector<sim::Scenario>& scenarios) {
    const double before = cpu_seconds();
    double check = 0;
    for (const sim::Scenario& s : scenarios) check += simulator.figures(s).step_ns_median.value;
    const double seconds = cpu_seconds() - before;
    Json out;
    out["points"] = scenarios.size();
    out["cpu_s"] = seconds;
    out["ms_per_point"] = 1e3 * seconds / static_cast<double>(scenarios.size());
    out["times_real_time"] =
        decode_seconds(simulator.source()) * static_cast<double>(scenarios.size()) / seconds;
    out["mean_step_median_ms"] = 1e-6 * check / static_cast<double>(scenarios.size());
    return out;
}

int on_trace(const std::string& path, std::size_t points) {
    NoProgress progress;
    const trace::Trace trace(path);
    const auto [source, attention] = sim::Simulator::default_runs(trace);
    const double begin = cpu_seconds();
    const sim::Simulator simulator(trace, source, attention, progress);
    Json out;
    out["open_cpu_s"] = cpu_seconds() - begin;
    out["recorded_decode_s"] = decode_seconds(simulator.source());
    const auto [low, high] = feasible(simulator);
    out["ratios"] = {low, high};
    out["grid"] = measure(simulator, grid(points, low, high));
    // Every point with a budget of its own: nothing is shared.
    std::vector<sim::Scenario> alone;
    for (std::size_t i = 0; i < 200; ++i) {
        sim::Scenario s;
        s.ratio = low + (high - low) * (0.5 + static_cast<double>(i)) / 200;
        alone.push_back(s);
    }
    out["ratios_alone"] = measure(simulator, alone);
    const double full = cpu_seconds();
    sim::Scenario whole;
    whole.ratio = high;
    for (int i = 0; i < 3; ++i) {
        whole.stable_threshold = 0.5 + 0.1 * i;  // each with decisions of its own
        (void)simulator.simulate(whole);
    }
    out["whole_run_ms"] = 1e3 * (cpu_seconds() - full) / 3;
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
}

int growth(std::int64_t most) {
    Json out = Json::array();
    for (std::int64_t steps = 1000; steps <= most; steps *= 10) {
        for (const std::int32_t layers : {1, 4}) {
            if (steps * layers > most) continue;
            const bench::LongRun run = bench::long_run(steps, layers);
            const double begin = cpu_seconds();
            const sim::Simulator simulator(run.data, run.data);
            const double opened = cpu_seconds();
            sim::Scenario s;
            s.stable_threshold = 0.8;
            const sim::Prediction answer = simulator.figures(s);
            const double seconds = cpu_seconds() - opened;
            out.push_back(
                {{"steps", steps},
                 {"heads", layers * bench::kLongRunHeads},
                 {"open_cpu_s", opened - begin},
                 {"figures_cpu_s", seconds},
                 {"ns_per_step_and_head",
                  1e9 * seconds / static_cast<double>(steps * layers * bench::kLongRunHeads)},
                 {"checks", answer.checks},
                 {"triggers", answer.triggers}});
            std::fprintf(stderr, "%s\n", out.back().dump().c_str());
        }
    }
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
}

int run(const std::vector<std::string>& words) {
    std::size_t points = 10'000;
    std::int64_t most = 1'000'000;
    std::string path;
    bool grows = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const bool more = i + 1 < words.size();
        if (words[i] == "--growth") {
            grows = true;
        } else if (words[i] == "--points" && more) {
            points = std::strtoull(words[++i].c_str(), nullptr, 10);
        } else if (words[i] == "--most" && more) {
            most = std::strtoll(words[++i].c_str(), nullptr, 10);
        } else {
            path = words[i];
        }
    }
    if (grows) return growth(most);
    if (path.empty()) throw_usage("expected a trace, or --growth");
    return on_trace(path, points);
}

}  // namespace
}  // namespace hc

int main(int argc, char** argv) {
    try {
        return hc::run(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const hc::Error& error) {
        std::fprintf(stderr, "simulator_speed: %s\n", error.what());
        return static_cast<int>(error.code());
    }
}
