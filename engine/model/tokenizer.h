/// Byte-level BPE from GGUF metadata, with special tokens and chat templates.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hc::model {

using TokenId = std::int32_t;

struct ChatMessage {
    std::string role;  ///< "system", "user", "assistant"
    std::string content;
};

/// How a text is cut before merging.
enum class PreTokenizer : std::uint8_t { kSmolLm, kLlama3, kQwen2 };

/// What a tokenizer is built from; filled by the GGUF reader, by tests, later by tokenizer.json.
struct TokenizerData {
    PreTokenizer pre = PreTokenizer::kSmolLm;
    std::vector<std::string> tokens;         ///< byte-level spelling, by id
    std::vector<std::string> merges;         ///< "left right", best first
    std::vector<std::uint8_t> is_special;    ///< [token]: control or user-defined, matched whole
    TokenId bos = -1;
    TokenId eos = -1;
    std::vector<TokenId> end_of_turn;        ///< further tokens that end a generation
    bool add_bos = false;
    std::string chat_template;               ///< the file's text, used to recognise its family
};

class Tokenizer {
public:
    explicit Tokenizer(TokenizerData data);
    ~Tokenizer();
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    /// Throws Error(kInput) with the byte offset when `text` is not UTF-8. `parse_special`:
    /// spellings of special tokens in the text become these tokens.
    [[nodiscard]] std::vector<TokenId> encode(std::string_view text, bool parse_special,
                                              bool add_bos) const;
    /// Bytes of the tokens; special tokens are spelled out only with `show_special`.
    [[nodiscard]] std::string decode(std::span<const TokenId> tokens, bool show_special = false) const;
    /// The conversation in the model's own format, ending where the assistant's answer begins.
    /// Throws Error(kRefused) when the model's template is of no known family.
    [[nodiscard]] std::string apply_chat_template(std::span<const ChatMessage> messages) const;
    [[nodiscard]] bool ends_generation(TokenId token) const;
    [[nodiscard]] const TokenizerData& data() const;
    [[nodiscard]] std::size_t vocab() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace hc::model
