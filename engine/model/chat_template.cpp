#include "engine/model/chat_template.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace hc::model {
namespace {

// The templates of SmolLM2, Qwen2.5 and Qwen2 (their tokenizer_config.json) put one of these in
// where a conversation has no system message.
constexpr std::string_view kChatMlDefaults[] = {
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful assistant",
};

// Llama 3.1 and 3.2 take today's date where their host offers one; this is the date that they
// fall back to, and the same prompt gives the same tokens on every day.
constexpr std::string_view kLlama31Dates =
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// Jinja's `trim`: white space at both ends.
std::string_view trim(std::string_view text) {
    constexpr std::string_view kSpace = " \t\n\v\f\r";
    const std::size_t begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool begins_with_system(std::span<const ChatMessage> messages) {
    return messages.front().role == "system";
}

std::string render_chatml(const ChatFormat& format, std::span<const ChatMessage> messages) {
    std::string text;
    const auto append = [&text](std::string_view role, std::string_view content) {
        text += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
    };
    if (!begins_with_system(messages) && !format.default_system.empty()) {
        append("system", format.default_system);
    }
    for (const ChatMessage& message : messages) append(message.role, message.content);
    return text + "<|im_start|>assistant\n";
}

std::string render_llama3(const ChatFormat& format, std::string_view bos,
                          std::span<const ChatMessage> messages) {
    std::string text(bos);
    const auto append = [&text](std::string_view role, std::string_view content) {
        text +=
            fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content);
    };
    if (format.family == ChatFamily::kLlama31) {
        std::string system(kLlama31Dates);
        if (begins_with_system(messages)) {
            system += trim(messages.front().content);
            messages = messages.subspan(1);
        }
        append("system", system);
    }
    for (const ChatMessage& message : messages) append(message.role, trim(message.content));
    return text + "<|start_header_id|>assistant<|end_header_id|>\n\n";
}

}  // namespace

ChatFormat recognise_chat_format(std::string_view chat_template) {
    if (contains(chat_template, "<|start_header_id|>") && contains(chat_template, "<|eot_id|>")) {
        const bool dates = contains(chat_template, "Cutting Knowledge Date");
        return {dates ? ChatFamily::kLlama31 : ChatFamily::kLlama3, {}};
    }
    if (contains(chat_template, "<|im_start|>") && contains(chat_template, "<|im_end|>")) {
        for (const std::string_view system : kChatMlDefaults) {
            if (contains(chat_template, system)) {
                return {ChatFamily::kChatMl, std::string(system)};
            }
        }
        return {ChatFamily::kChatMl, {}};
    }
    return {};
}

std::string render_chat(const ChatFormat& format, std::string_view bos,
                        std::span<const ChatMessage> messages) {
    if (messages.empty()) throw_refused("the conversation is empty, expected at least one message");
    for (const ChatMessage& message : messages) {
        if (message.role != "system" && message.role != "user" && message.role != "assistant") {
            throw_refused(
                fmt::format("the role '{}' is not known, expected system, user or "
                            "assistant",
                            message.role));
        }
    }
    switch (format.family) {
        case ChatFamily::kChatMl:
            return render_chatml(format, messages);
        case ChatFamily::kLlama3:
        case ChatFamily::kLlama31:
            return render_llama3(format, bos, messages);
        case ChatFamily::kUnknown:
            break;
    }
    throw_refused(
        "the model's chat template is of no family that we know (SmolLM2, Llama 3, "
        "Qwen2)");
}

}  // namespace hc::model
