/// A small random model as a GGUF file, for tests that need a whole one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/dtype.h"
#include "tests/support/gguf_builder.h"

namespace hc::test {

struct TinyModelOptions {
    std::int64_t layers = 2;
    std::int64_t hidden = 64;
    std::int64_t heads = 4;  ///< query heads
    std::int64_t kv_heads = 2;
    std::int64_t head_dim = 16;
    std::int64_t mlp = 96;
    std::int64_t vocab = 320;    ///< at least 262: all bytes, three specials, three merged tokens
    std::string arch = "llama";  ///< or "qwen2", which adds biases to q, k and v
    DType dtype = DType::kF32;   ///< of the matrices: F32 or Q8_0 (rows a multiple of 32)
    bool tied = true;
    std::uint64_t seed = 1;
    std::int64_t context = 512;
};

/// What a byte-level tokenizer needs, apart from any file format.
struct TinyVocabulary {
    std::vector<std::string> tokens;  ///< by id
    std::vector<std::string> merges;  ///< "left right", best first
    std::int64_t first_control = 0;   ///< <|endoftext|>, <|im_start|>, <|im_end|>: three of them
    std::int64_t bos = 0;
    std::int64_t eos = 0;
    std::string chat_template;
};
[[nodiscard]] TinyVocabulary tiny_vocabulary(std::int64_t vocab);

/// Weights are uniform with variance 1/fan-in, so that activations keep their size; the same
/// options give the same file on every machine. The vocabulary: the bytes as tokens 0 to 255 in
/// byte order, then <|endoftext|>, <|im_start|>, <|im_end|> (control), " t", " th", " the", then
/// fillers that no text gives; ChatML, SmolLM's pre-tokenizer.
[[nodiscard]] GgufBuilder tiny_model(const TinyModelOptions& options = {});

/// Writes tiny_model(options) into `folder` and returns the file's path. Files of different
/// options have different names.
std::filesystem::path write_tiny_model(const std::filesystem::path& folder,
                                       const TinyModelOptions& options = {});

}  // namespace hc::test
