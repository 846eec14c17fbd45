// Against the tokenizers library: files made by tests/golden/make_goldens.py.
#include <gtest/gtest.h>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/model/model.h"
#include "engine/model/pre_tokenizer.h"
#include "tests/support/paths.h"

namespace hc::model {
namespace {

nlohmann::json golden() {
    std::ifstream file(test::source_dir() / "tests/golden/data/tokens.json");
    return nlohmann::json::parse(file);
}

void expect_pieces(PreTokenizer kind, const char* name) {
    const nlohmann::json cases = golden().at("pieces").at(name);
    ASSERT_GT(cases.size(), 300U);
    const PreTokenSplitter splitter(kind);
    for (const auto& item : cases) {
        const auto text = item.at("text").get<std::string>();
        std::vector<std::string> pieces;
        splitter.split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
        EXPECT_EQ(pieces, item.at("pieces").get<std::vector<std::string>>()) << item.at("text");
    }
}

TEST(GoldenTokens, SmolLmCutsAsTheTokenizersLibrary) {
    expect_pieces(PreTokenizer::kSmolLm, "smollm");
}
TEST(GoldenTokens, Llama3CutsAsTheTokenizersLibrary) {
    expect_pieces(PreTokenizer::kLlama3, "llama3");
}
TEST(GoldenTokens, Qwen2CutsAsTheTokenizersLibrary) {
    expect_pieces(PreTokenizer::kQwen2, "qwen2");
}

class DefaultModel : public ::testing::Test {
protected:
    void SetUp() override {
        const auto path = test::model_file();
        HC_REQUIRE_OR_SKIP(path, "the default model");
        if (path->filename() != "SmolLM2-135M-Instruct.Q4_1.gguf") {
            GTEST_SKIP() << "HCPROF_MODEL names another model than the golden files are of";
        }
        model_ = std::make_unique<Model>(load_model(*path));
    }
    [[nodiscard]] const Tokenizer& tokenizer() const { return *model_->tokenizer; }

private:
    std::unique_ptr<Model> model_;
};

using GoldenModelTokens = DefaultModel;

TEST_F(GoldenModelTokens, AreThoseOfTheTokenizersLibrary) {
    const nlohmann::json texts = golden().at("texts");
    ASSERT_GT(texts.size(), 200U);
    for (const auto& item : texts) {
        const auto text = item.at("text").get<std::string>();
        EXPECT_EQ(tokenizer().encode(text, true, false), item.at("ids").get<std::vector<TokenId>>())
            << item.at("text");
    }
}

TEST_F(GoldenModelTokens, DecodeToTheText) {
    const nlohmann::json texts = golden().at("texts");
    for (const auto& item : texts) {
        const auto text = item.at("text").get<std::string>();
        // Control characters below are not in this vocabulary and vanish.
        if (text.find_first_of(std::string("\x00\x1c\x1f", 3)) != std::string::npos) continue;
        EXPECT_EQ(tokenizer().decode(item.at("ids").get<std::vector<TokenId>>(), true), text);
    }
}

TEST_F(GoldenModelTokens, ConversationsRenderAsTheFilesOwnTemplate) {
    const nlohmann::json chats = golden().at("chats");
    ASSERT_EQ(chats.size(), 2U);
    for (const auto& chat : chats) {
        std::vector<ChatMessage> messages;
        for (const auto& message : chat.at("messages")) {
            messages.push_back({message.at("role"), message.at("content")});
        }
        EXPECT_EQ(tokenizer().apply_chat_template(messages),
                  chat.at("rendered").get<std::string>());
    }
}

TEST_F(GoldenModelTokens, EncodesQuickly) {
    std::string text;
    const nlohmann::json texts = golden().at("texts");
    for (const auto& item : texts) text += item.at("text").get<std::string>();
    ASSERT_FALSE(text.empty());
    while (text.size() < 100'000) text += text;
    const auto begin = std::chrono::steady_clock::now();
    const std::size_t count = tokenizer().encode(text, true, false).size();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_GT(count, 10'000U);
    // Well above what it takes, for slow machines and sanitizers: quadratic merging fails it.
    EXPECT_LT(seconds.count(), 5.0);
    RecordProperty("mb_per_s",
                   std::to_string(static_cast<double>(text.size()) / 1e6 / seconds.count()));
}

}  // namespace
}  // namespace hc::model
