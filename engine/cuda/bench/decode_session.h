/// Decode steps of some sequences, timed one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/cuda/cuda_backend.h"

namespace hc::cuda::bench {

struct Runs {
    int steps = 0;    ///< per run
    int repeats = 0;  ///< runs
    [[nodiscard]] std::int64_t total() const { return std::int64_t{steps} * repeats; }
};

/// Steps before a measurement: every graph that a window of 5 needs is there, and has run.
inline constexpr int kWarmUpSteps = 20;

struct StepFigures {
    Runs runs;
    double step_ms = 0;       ///< median of the runs' medians; the caller's clock
    double least_ms = 0;      ///< least of the runs' medians
    double most_ms = 0;       ///< largest of them
    double p99_ms = 0;        ///< of all steps of all runs
    double device_ms = 0;     ///< median device time of all steps
    double mean_length = 0;   ///< tokens of a sequence, mean over its steps and the sequences
    FetchStatistics fetches;  ///< what the steps added
};

class DecodeSession {
public:
    /// Greedy, feeding tokens back. `backend` is borrowed; the sequences have their prompts.
    DecodeSession(CudaBackend& backend, const std::vector<SequenceId>& ids);

    void warm_up();
    /// After a warm-up. The sequences grow by kWarmUpSteps + runs.total() tokens.
    [[nodiscard]] StepFigures measure(const Runs& runs);

private:
    void step();
    [[nodiscard]] double mean_length() const;

    CudaBackend& backend_;
    std::vector<runtime::DecodeInput> inputs_;
};

/// The value below which `share` of the values lie; of no values our bug.
[[nodiscard]] double quantile(std::vector<double> values, double share);

}  // namespace hc::cuda::bench
