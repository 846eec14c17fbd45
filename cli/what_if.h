/// What simulate, sweep and tune share: a trace opened for questions, and the questions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/scenarios.h"
#include "engine/core/progress.h"
#include "profiler/trace/reader.h"
#include "simulator/replay/simulator.h"
#include "simulator/search/point.h"

namespace CLI {
class App;
}

namespace hc::cli {

struct WhatIfOptions {
    std::string trace;
    trace::RunId run = -1;
    std::vector<std::string> cost_traces;
    std::string source_machine;  ///< id or file: values of the machine of the recording
    /// Lists as typed: "0.5,0.6" or "0.4:0.8:0.05".
    std::string ratios, thresholds, windows, commit_lags, prompt_tokens, batches;
    std::vector<std::string> policies;
    std::vector<std::string> machines;
    std::string drift;  ///< "synthetic:..." for runs whose drift was told
    bool no_retrieval = false;
};
void add_what_if_options(CLI::App& command, WhatIfOptions& options);

/// "0.5,0.6" and "0.4:0.8:0.05" (from, to, step; both ends included), mixed at will. Throws
/// Error(kUsage) naming `option`.
[[nodiscard]] std::vector<double> number_list(const std::string& text, const std::string& option);

/// The questions that the options ask. Throws Error(kUsage).
[[nodiscard]] ScenarioGrid grid_of(const WhatIfOptions& options);

class OpenedTrace {
public:
    OpenedTrace(const WhatIfOptions& options, Progress& progress);

    [[nodiscard]] const trace::Trace& trace() const { return *traces_.front(); }
    [[nodiscard]] const sim::Simulator& simulator() const { return *simulator_; }
    [[nodiscard]] trace::RunId source() const { return source_; }
    [[nodiscard]] trace::RunId attention() const { return attention_; }
    /// Of the bytes of the trace and what else answers depend on; read when asked for.
    [[nodiscard]] sim::Identity identity() const;

private:
    const WhatIfOptions& options_;
    std::vector<std::unique_ptr<trace::Trace>> traces_;  // the trace, then those of costs
    trace::RunId source_ = -1;
    trace::RunId attention_ = -1;
    std::unique_ptr<sim::Simulator> simulator_;
};

}  // namespace hc::cli
