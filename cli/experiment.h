/// Recorded runs on one prompt: what `profile` and `demo` share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/progress.h"
#include "engine/model/model.h"
#include "engine/policy/settings.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/generate.h"
#include "profiler/trace/writer.h"

namespace hc::cli {

/// The drift trace asked for (trace.md): k and every n-th step for prob rows.
struct DriftTracePlan {
    double keep = 0.5;
    std::int32_t every = 5;
};
/// "k=0.5,every=5"; either may be left out. Throws Error(kUsage).
[[nodiscard]] DriftTracePlan parse_drift_trace(const std::string& text);

/// One run of the plan.
struct RunPlan {
    std::string policy;               ///< "fullkv", "heterocache", "oracle"
    policy::Settings settings;        ///< heterocache and oracle
    const HeadProfile* profile = nullptr;
    std::optional<DriftTracePlan> drift_trace;
    std::string title;                ///< for the progress bar
    std::int32_t batch = 1;           ///< sequences; above 1 tokens are free and greedy
};

/// What a run left behind for the next ones.
struct RunOutcome {
    trace::RunId run = -1;
    runtime::Generated generated;
    std::vector<float> logits;  ///< [decode steps, vocab], when kept
    bool has_attention = false; ///< it recorded a drift trace
};

class Experiment {
public:
    /// Everything is borrowed.
    Experiment(const model::Model& model, std::span<const model::TokenId> prompt,
               const runtime::EngineOptions& engine_options, const runtime::GenerateOptions& generate,
               trace::Writer& writer, Progress& progress);

    /// Without `reference` the run generates by itself. With it, the run is forced to the
    /// reference's tokens, and compared with its logits and judged by its attention where it
    /// kept these.
    [[nodiscard]] RunOutcome run(const RunPlan& plan, const RunOutcome* reference, bool keep_logits);

private:
    [[nodiscard]] trace::Run describe(const RunPlan& plan, const RunOutcome* reference) const;

    const model::Model& model_;
    std::span<const model::TokenId> prompt_;
    runtime::EngineOptions engine_options_;
    runtime::GenerateOptions generate_;
    trace::Writer& writer_;
    Progress& progress_;
};

/// Measures this machine for about a second and notes it beside the runs: what a prediction for
/// another machine starts from.
void add_machine_values(trace::Writer& writer, const runtime::EngineOptions& engine, Progress& progress);

/// Computes recall of every run that has an attention run and adds it to the trace.
void add_recall(trace::Writer& writer, const std::string& trace_path, Progress& progress);

}  // namespace hc::cli
