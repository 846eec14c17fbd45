/// config.json and generation_config.json of a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/model_shape.h"

namespace hc::model {

struct HfConfig {
    ModelShape shape;  ///< whole: tied_embeddings and qkv_bias as the configuration states them
    std::optional<std::int64_t> bos;
    std::vector<std::int64_t> ends;  ///< tokens that end a generation, the foremost first
};

/// Reads config.json, and generation_config.json where there is one: its token ids come first,
/// since a chat model's further ends stand only there. Throws Error(kInput), in one line that
/// names the file, on keys that are missing, of a wrong type or out of range, and on models that
/// we would compute wrongly: other architectures, sliding windows, rotary scaling but llama3's,
/// biases of the MLP, quantised weights.
[[nodiscard]] HfConfig read_hf_config(const std::filesystem::path& folder);

/// The same of config.json's text alone; `path` is for messages.
[[nodiscard]] HfConfig parse_hf_config(std::string_view text, const std::string& path);

}  // namespace hc::model
