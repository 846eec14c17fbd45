/// Settings and shapes as JSON, for hc_run.parameters and hc_run.shape.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/core/head_profile.h"
#include "engine/core/model_shape.h"
#include "engine/policy/settings.h"

namespace hc::config {

[[nodiscard]] std::string to_json(const policy::Settings& settings);
/// Unknown keys are refused, missing ones take the mode's preset. Throws Error(kInput).
[[nodiscard]] policy::Settings settings_from_json(const std::string& text, const std::string& name);
[[nodiscard]] std::string to_json(const ModelShape& shape);
[[nodiscard]] ModelShape shape_from_json(const std::string& text, const std::string& name);

/// A head profile from hc_head rows is rebuilt by the simulator; stars travel in the run's
/// parameters as the head file's relations.
[[nodiscard]] std::string profile_to_json(const HeadProfile& profile);
[[nodiscard]] HeadProfile profile_from_json(const std::string& text, const std::string& name);

/// hc_run.parameters: everything that a simulator needs to repeat a run's decisions.
struct RunParameters {
    policy::Settings settings;
    std::optional<HeadProfile> profile;  ///< heterocache, or the heads of a drift trace
    std::string precision;               ///< "fp32", "fast"
    std::int32_t threads = 0;
    std::int64_t page_size = 256;
    std::int64_t element_bytes = 4;    ///< of a KV element
    std::optional<double> drift_keep;  ///< drift trace: k, fraction of the prompt per row
    std::optional<std::int32_t> drift_every;
    bool oracle = false;
    std::string synthetic;  ///< what of the run was made up (weights, prompt, drift); empty: nothing
};
[[nodiscard]] std::string to_json(const RunParameters& parameters);
[[nodiscard]] RunParameters run_parameters_from_json(const std::string& text,
                                                     const std::string& name);

}  // namespace hc::config
