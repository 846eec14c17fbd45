/// Byte-level BPE with special tokens and chat templates. Knows no file format.
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

enum class TokenKind : std::uint8_t {
    kNormal = 0,
    kControl = 1,      ///< matched whole where asked for, no part of the text that is shown
    kUserDefined = 2,  ///< always matched whole, and part of the text
};

/// What a tokenizer is built from; filled by the GGUF reader, by tests, later by tokenizer.json.
struct TokenizerData {
    PreTokenizer pre = PreTokenizer::kSmolLm;
    std::vector<std::string> tokens;       ///< by id: byte-level spelling, of special ones plain
    std::vector<std::string> merges;       ///< "left right", best first
    std::vector<std::uint8_t> is_special;  ///< [token]: a TokenKind; may be shorter than tokens
    TokenId bos = -1;
    TokenId eos = -1;
    std::vector<TokenId> end_of_turn;  ///< further tokens that end a generation
    bool add_bos = false;              ///< prompts of this model begin with `bos`
    bool whole_words_first = false;    ///< a piece that is a token is not merged (Llama 3)
    std::string chat_template;         ///< the file's text, used to recognise its family

    [[nodiscard]] TokenKind kind(TokenId token) const {
        const auto index = static_cast<std::size_t>(token);
        return index < is_special.size() ? static_cast<TokenKind>(is_special[index])
                                         : TokenKind::kNormal;
    }
};

class Tokenizer {
public:
    /// Throws Error(kInput) when merges or special ids name tokens that do not exist.
    explicit Tokenizer(TokenizerData data);
    ~Tokenizer();
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    /// Throws Error(kInput) with the byte offset when `text` is not UTF-8. `parse_special`:
    /// spellings of control tokens in the text become these tokens. `add_bos`: the begin-of-text
    /// token comes first if this model's prompts have one and the text does not begin with it.
    /// Fit for several threads at once.
    [[nodiscard]] std::vector<TokenId> encode(std::string_view text, bool parse_special,
                                              bool add_bos) const;
    /// Bytes of the tokens; control tokens are spelled out only with `show_special`. Ids outside
    /// the vocabulary are our bug.
    [[nodiscard]] std::string decode(std::span<const TokenId> tokens,
                                     bool show_special = false) const;
    /// The conversation in the model's own format, ending where the assistant's answer begins;
    /// to be encoded with `parse_special`.
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
