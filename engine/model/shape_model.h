/// Models of which only the sizes are known: for speed and memory at sizes whose weights are not
/// at hand.
#pragma once

#include <string_view>

#include "engine/model/model.h"

namespace hc::model {

/// What a model's name begins with where it names a shape.
inline constexpr std::string_view kShapePrefix = "shape:";

/// The model called `name` (llama-3.1-8b, deepseek-r1-distill-llama-8b, qwen2.5-14b,
/// smollm2-135m; no prefix): its shape, no weights (shape_only) and no tokenizer. Its context is
/// 2^20 tokens whatever the original was trained for: nothing that it computes has a meaning that
/// a longer text could spoil. Throws Error(kUsage) that lists the names when there is none such.
[[nodiscard]] Model shape_model(std::string_view name);

}  // namespace hc::model
