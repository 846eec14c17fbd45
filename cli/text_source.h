/// From text files and a question to prompt tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/model.h"

namespace hc::cli {

struct TextSource {
    std::vector<std::string> files;  ///< joined by a blank line; "-" is standard input
    std::string question;            ///< asked after the text in the model's chat format;
                                     ///< empty: the bare text is continued
    std::int64_t max_prompt_tokens = 0;  ///< the text's end is cut to fit, never the question or
                                         ///< the chat format around it; 0: the model's context
    std::int64_t reserve_tokens = 0;     ///< kept free in the context for what is generated
};

/// Throws Error(kIo) for a file that cannot be read, Error(kInput) for an empty or non-UTF-8
/// one, Error(kRefused) when it does not fit and nothing said that it may be cut.
[[nodiscard]] std::vector<model::TokenId> prompt_tokens(const model::Model& model, const TextSource& source);

/// The whole file; "-" is standard input.
[[nodiscard]] std::string read_text_file(const std::string& path);

}  // namespace hc::cli
