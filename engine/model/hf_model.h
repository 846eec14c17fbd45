/// What a Hugging Face folder says of a model, in parts that load_model joins.
#pragma once

#include <filesystem>

#include "engine/model/hf_config.h"
#include "engine/model/model.h"
#include "engine/model/safetensors_folder.h"

namespace hc::model {

/// Checks every tensor of the folder against the configuration's shape, and fails on tensors that
/// the architecture does not have: a model that we would compute wrongly is refused.
[[nodiscard]] Weights read_hf_weights(const SafetensorsFolder& tensors, const ModelShape& shape);

/// Reads tokenizer.json (byte-level BPE) with what tokenizer_config.json and chat_template.jinja
/// add. Ids of the embedding that no token has, as padded embeddings have them, get an empty
/// spelling: no text gives them. Throws Error(kInput), naming the file, on anything that is not
/// understood.
[[nodiscard]] TokenizerData read_hf_tokenizer(const std::filesystem::path& folder,
                                              const HfConfig& config);

/// The model of a folder, which is named after it. Its hash is of config.json and of the headers
/// and sizes of all weight files: like a GGUF file's, it costs no pass over the weights.
[[nodiscard]] Model load_hf_model(const std::filesystem::path& folder);

}  // namespace hc::model
