/// Conversations in the formats of the model families that we know.
///
/// A model file carries its format as a Jinja program. We do not run it: its text tells the
/// family, and the family's format is written here.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/model/tokenizer.h"

namespace hc::model {

enum class ChatFamily : std::uint8_t {
    kUnknown,
    kChatMl,   ///< <|im_start|>role, content, <|im_end|>: SmolLM2, Qwen2
    kLlama3,   ///< <|start_header_id|>role<|end_header_id|>, content, <|eot_id|>
    kLlama31,  ///< the same, and a system message that states two dates
};

struct ChatFormat {
    ChatFamily family = ChatFamily::kUnknown;
    /// Said in the system's name when the conversation does not begin with a system message.
    std::string default_system;
};

[[nodiscard]] ChatFormat recognise_chat_format(std::string_view chat_template);

/// Ends with the header of the assistant's answer. `bos` is the spelling of the begin-of-text
/// token. Throws Error(kRefused) for kUnknown, for an empty conversation and for roles other
/// than system, user and assistant.
[[nodiscard]] std::string render_chat(const ChatFormat& format, std::string_view bos,
                                      std::span<const ChatMessage> messages);

}  // namespace hc::model
