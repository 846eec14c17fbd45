/// Calibration of a model on a text: what `calibrate` and `demo` share.
#pragma once

#include <optional>
#include <span>

#include "engine/core/progress.h"
#include "engine/model/model.h"
#include "engine/policy/calibration.h"
#include "engine/runtime/engine.h"

namespace hc::cli {

struct CalibrationPlan {
    std::int64_t generate = 100;         ///< tokens; one decode pass fewer
    std::optional<std::int64_t> topk;    ///< default: default_topk(prompt), reference: 1024
    bool reference = false;
    double stable_threshold = 0.5;
    double sim_threshold = 0.5;
};

/// Greedy generation under full attention with the attention rows captured.
[[nodiscard]] policy::Calibration calibrate(const model::Model& model, std::span<const model::TokenId> prompt,
                                            const runtime::EngineOptions& engine_options,
                                            const CalibrationPlan& plan, Progress& progress);

/// The warning of algorithm.md §2 ("Top-k"): chance overlap close to the thresholds. Empty when all is well.
[[nodiscard]] std::string chance_warning(std::int64_t topk, std::int64_t prompt, double stable_threshold,
                                         double sim_threshold);

/// "90 heads: 12 anchor, 30 volatile, ..."
[[nodiscard]] std::string describe_roles(const HeadProfile& profile);

/// Throws Error(kInput) when the profile's sizes are not the model's.
void check_profile_fits(const HeadProfile& profile, const model::Model& model, const std::string& file);

}  // namespace hc::cli
