/// A recording made without an engine: real policy code over invented scores, and a clock that
/// adds up invented durations. What the simulator must reproduce.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/policy/settings.h"
#include "profiler/trace/columns.h"

namespace hc::sim::test {

struct FakeOptions {
    std::int64_t prompt = 600;
    std::int64_t steps = 60;
    std::int32_t num_layers = 4;
    double keep = 0.8;        ///< k of the drift trace
    double noise = 0.05;      ///< relative spread of durations
    double interference = 0;  ///< slowdown of computation beside a fetch
    std::int64_t fetch_row_ns = 2'000;
    std::int32_t tokens = 1;    ///< sequences, each like the first; their work adds up
    std::string told;           ///< drift as a run's parameters tell it; empty: found by scores
    bool heterocache = true;    ///< else FullKV
    policy::Settings settings;  ///< with heterocache
    unsigned seed = 1;
};

/// Settings under which the default recording triggers some checks, not all.
[[nodiscard]] policy::Settings fake_settings();

/// A run with its own score and prob rows, so that it can be its own attention run.
[[nodiscard]] trace::RunData fake_run(const FakeOptions& options);
/// The drift trace beside it: FullKV, score and prob rows, no operations to fit from.
[[nodiscard]] trace::RunData fake_drift_trace(const FakeOptions& options);
/// Values that a probe would have measured.
[[nodiscard]] std::vector<trace::Value> fake_values();

}  // namespace hc::sim::test
