#include "engine/model/chat_template.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace hc::model {
namespace {

// Stretches of templates that tell the families apart; the formats expected below are what the
// published templates give.
constexpr const char* kQwen25 =
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' }}{%- else %}{{- "
    "'<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
    "assistant.<|im_end|>\\n' }}";
constexpr const char* kQwen2 =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}";
constexpr const char* kPlainChatMl =
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}";
constexpr const char* kLlama30 =
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ "
    "message['content'] | trim + '<|eot_id|>' %}";
constexpr const char* kLlama31 =
    "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}{{- \"Cutting Knowledge Date: "
    "December 2023\\n\" }}{{- \"<|eot_id|>\" }}";

const std::vector<ChatMessage> kQuestion = {{"user", "Hi "}};
const std::vector<ChatMessage> kTurns = {
    {"system", " Be brief."}, {"user", "Hi"}, {"assistant", "Yes?"}, {"user", "Bye"}};

std::string render(const char* chat_template, std::span<const ChatMessage> messages) {
    return render_chat(recognise_chat_format(chat_template), "<bos>", messages);
}

TEST(ChatTemplate, Qwen25NamesItsMaker) {
    EXPECT_EQ(render(kQwen25, kQuestion),
              "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
              "assistant.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, Qwen2HasAShorterDefault) {
    EXPECT_EQ(render(kQwen2, kQuestion),
              "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
              "<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, ChatMlKeepsAGivenSystemMessageAndEveryTurn) {
    const std::string expected =
        "<|im_start|>system\n Be brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n";
    EXPECT_EQ(render(kQwen25, kTurns), expected);
    EXPECT_EQ(render(kPlainChatMl, kTurns), expected);
}

TEST(ChatTemplate, ChatMlWithoutADefaultAddsNone) {
    EXPECT_EQ(render(kPlainChatMl, kQuestion),
              "<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, Llama30TrimsContents) {
    EXPECT_EQ(render(kLlama30, kQuestion),
              "<bos><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\n");
    EXPECT_EQ(render(kLlama30, kTurns),
              "<bos><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(ChatTemplate, Llama31AlwaysHasASystemMessageWithDates) {
    EXPECT_EQ(render(kLlama31, kQuestion),
              "<bos><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December "
              "2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\n");
    EXPECT_NE(render(kLlama31, kTurns).find("26 Jul 2024\n\nBe brief.<|eot_id|>"),
              std::string::npos);
}

ExitCode code_of(const char* chat_template, std::span<const ChatMessage> messages) {
    try {
        (void)render(chat_template, messages);
    } catch (const Error& error) {
        return error.code();
    }
    return ExitCode::kOk;
}

TEST(ChatTemplate, RefusesUnknownFamiliesRolesAndEmptyConversations) {
    EXPECT_EQ(code_of("", kQuestion), ExitCode::kRefused);
    EXPECT_EQ(code_of("[INST] {{ content }} [/INST]", kQuestion), ExitCode::kRefused);
    EXPECT_EQ(code_of(kQwen2, {}), ExitCode::kRefused);
    const std::vector<ChatMessage> tool = {{"tool", "{}"}};
    EXPECT_EQ(code_of(kQwen2, tool), ExitCode::kRefused);
}

}  // namespace
}  // namespace hc::model
