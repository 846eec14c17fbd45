/// Options that several commands share, and what they mean to the engine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/text_source.h"
#include "engine/policy/settings.h"
#include "engine/runtime/engine.h"

namespace CLI {
class App;
}

namespace hc::cli {

struct ModelOptions {
    std::string model;  ///< empty: HCPROF_MODEL, else the default model
    std::string precision = "fast";
    std::string backend = "auto";
    int threads = 0;
    std::string prefill = "computed";  ///< or "synthetic"
    std::string drift;                 ///< "synthetic:..."; empty: found by the model's attention
};
void add_model_options(CLI::App& command, ModelOptions& options);
[[nodiscard]] model::Model open_model(const ModelOptions& options);
/// Throws Error(kUnavailable) for a shape without weights on the CPU: to be asked before anything is written.
void check_runnable(const model::Model& model, const runtime::EngineOptions& options);
/// What of a run with these options is made up, for labels and traces; empty: nothing.
[[nodiscard]] std::string synthetic_parts(const model::Model& model, const runtime::EngineOptions& options);
/// Throws Error(kUnavailable) for a backend that is not in this build or on this machine.
[[nodiscard]] runtime::EngineOptions engine_options(const ModelOptions& options);

void add_text_options(CLI::App& command, TextSource& source);

struct PolicyOptions {
    std::string mode = "fixed";
    double ratio = 0.5;
    double threshold = -1;  ///< -1: the head file's
    int window = 5;
    int commit_lag = -1;    ///< -1: the mode's
    bool no_retrieval = false;
    int sink = 0;
    int recent = 0;
    std::vector<std::string> set;  ///< KEY=VALUE over the mode's preset
};
void add_policy_options(CLI::App& command, PolicyOptions& options);
/// `file_threshold`: the head file's stable threshold.
[[nodiscard]] policy::Settings policy_settings(const PolicyOptions& options, double file_threshold);

}  // namespace hc::cli
