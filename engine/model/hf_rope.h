/// Rotary frequencies as config.json states them. For .cpp files of this folder.
#pragma once

#include "engine/core/model_shape.h"
#include "engine/model/hf_json.h"

namespace hc::model {

/// Completes rope_theta and rope_scaling of `shape` from `rope_theta` and `rope_scaling`, or from
/// the newer `rope_parameters`, which holds both; a file may have either or the same twice.
/// Throws Error(kInput) on kinds of scaling other than default and llama3.
void read_hf_rope(const JsonObject& config, ModelShape& shape);

}  // namespace hc::model
