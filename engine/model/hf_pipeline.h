/// The steps of a tokenizer.json around its vocabulary. For .cpp files of this folder.
#pragma once

#include <string>

#include "engine/model/hf_json.h"
#include "engine/model/tokenizer.h"

namespace hc::model {

struct HfPipeline {
    PreTokenizer pre = PreTokenizer::kSmolLm;
    std::string first_token;  ///< spelling of what the post-processor puts first; empty: nothing
};

/// Recognises the steps that our tokenizer takes and throws Error(kInput) on any other. A
/// normaliser of NFC (Qwen2) is accepted and not applied: texts are encoded as they are written.
[[nodiscard]] HfPipeline read_hf_pipeline(const JsonObject& tokenizer);

}  // namespace hc::model
