/// What a GGUF file says of a model, in parts that load_model joins.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/model/gguf_file.h"
#include "engine/model/model.h"

namespace hc::model {

/// Sizes and constants; whatever the tensors decide (vocab, qkv_bias, tied_embeddings) is left
/// for read_weights.
[[nodiscard]] ModelShape read_shape(const GgufFile& file);

/// How the file scales rotary frequencies: divisors [head_dim/2] of tensor rope_freqs.weight, or
/// the keys of rope.scaling, which complete `shape`; empty where there is no divisor.
[[nodiscard]] std::vector<float> read_rope(const GgufFile& file, ModelShape& shape);

[[nodiscard]] TokenizerData read_tokenizer(const GgufFile& file);

/// Checks every tensor of the file against `shape`, completes `shape`, and fails on tensors that
/// the architecture does not have: a model that we would compute wrongly is refused.
[[nodiscard]] Weights read_weights(const GgufFile& file, ModelShape& shape);

/// A model whose weights lie in `bytes`, which must outlive it. `path` is for messages.
[[nodiscard]] Model model_from_gguf(std::span<const std::byte> bytes, const std::string& path);

}  // namespace hc::model
