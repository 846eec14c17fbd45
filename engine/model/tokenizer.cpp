#include "engine/model/tokenizer.h"

#include <fmt/format.h>
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "engine/core/error.h"
#include "engine/model/bpe.h"
#include "engine/model/byte_alphabet.h"
#include "engine/model/chat_template.h"
#include "engine/model/pre_tokenizer.h"
#include "engine/model/special_tokens.h"
#include "engine/model/utf8.h"

namespace hc::model {
namespace {

/// The bytes of every normal token; empty for tokens that are matched whole. A token that is
/// not spelled in the byte alphabet (padding of a vocabulary, say) stands for its own text.
std::vector<std::string> raw_tokens(const TokenizerData& data) {
    const ByteAlphabet alphabet;
    std::vector<std::string> raw(data.tokens.size());
    for (std::size_t id = 0; id < raw.size(); ++id) {
        if (data.kind(static_cast<TokenId>(id)) != TokenKind::kNormal) continue;
        raw[id] = alphabet.bytes(data.tokens[id]).value_or(data.tokens[id]);
    }
    return raw;
}

TokenizerData checked(TokenizerData data) {
    if (data.tokens.empty()) throw_input("the tokenizer's vocabulary is empty");
    if (data.is_special.size() > data.tokens.size()) {
        throw_input(
            fmt::format("the tokenizer states the kinds of {} tokens, its vocabulary has {}",
                        data.is_special.size(), data.tokens.size()));
    }
    const auto check = [&data](TokenId id, std::string_view what) {
        if (id >= 0 && static_cast<std::size_t>(id) >= data.tokens.size()) {
            throw_input(fmt::format("the tokenizer's {} token is {}, its vocabulary has {}", what,
                                    id, data.tokens.size()));
        }
    };
    check(data.bos, "begin-of-text");
    check(data.eos, "end-of-text");
    for (const TokenId id : data.end_of_turn) check(id, "end-of-turn");
    if (data.add_bos && data.bos < 0) {
        throw_input("the tokenizer wants a begin-of-text token and names none");
    }
    return data;
}

}  // namespace

struct Tokenizer::Impl {
    explicit Impl(TokenizerData given)
        : data(checked(std::move(given))),
          raw(raw_tokens(data)),
          encoder(raw, data),
          splitter(data.pre),
          all_special(data, {TokenKind::kControl, TokenKind::kUserDefined}),
          user_defined(data, {TokenKind::kUserDefined}),
          chat(recognise_chat_format(data.chat_template)) {}

    // Members below borrow from these two.
    TokenizerData data;
    std::vector<std::string> raw;

    BytePairEncoder encoder;
    PreTokenSplitter splitter;
    SpecialTokens all_special;
    SpecialTokens user_defined;
    ChatFormat chat;
};

namespace {

/// Encodes the stretches between special tokens of one text. Most words of a text come more
/// than once: their tokens are remembered for the length of the call.
class StretchEncoder {
public:
    StretchEncoder(const PreTokenSplitter& splitter, const BytePairEncoder& encoder,
                   std::vector<TokenId>& tokens)
        : splitter_(splitter), encoder_(encoder), tokens_(tokens) {}

    void encode(std::string_view stretch) {
        splitter_.split(stretch, [this](std::string_view piece) { encode_piece(piece); });
    }

private:
    struct Range {
        std::size_t begin = 0;
        std::size_t count = 0;
    };

    void encode_piece(std::string_view piece) {
        const auto [found, is_new] = known_.try_emplace(piece);
        if (is_new) {
            found->second.begin = tokens_.size();
            encoder_.encode(piece, tokens_);
            found->second.count = tokens_.size() - found->second.begin;
            return;
        }
        const Range range = found->second;
        for (std::size_t i = 0; i < range.count; ++i) tokens_.push_back(tokens_[range.begin + i]);
    }

    const PreTokenSplitter& splitter_;
    const BytePairEncoder& encoder_;
    std::vector<TokenId>& tokens_;
    std::unordered_map<std::string_view, Range> known_;  ///< where a word's tokens stand
};

}  // namespace

Tokenizer::Tokenizer(TokenizerData data) : impl_(std::make_unique<Impl>(std::move(data))) {}
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_special,
                                       bool add_bos) const {
    constexpr std::size_t kLongestText = std::size_t{1} << 30;  // symbols are counted in 32 bits
    if (text.size() > kLongestText) {
        throw_refused(fmt::format("the text has {} bytes, at most {} can be encoded at once",
                                  text.size(), kLongestText));
    }
    if (const auto offset = find_invalid_utf8(text)) {
        throw_input(fmt::format("the text is not UTF-8: byte {} (0x{:02x})", *offset,
                                static_cast<unsigned char>(text[*offset])));
    }
    std::vector<TokenId> tokens;
    tokens.reserve(text.size() / 3 + 1);
    StretchEncoder stretches(impl_->splitter, impl_->encoder, tokens);
    const SpecialTokens& special = parse_special ? impl_->all_special : impl_->user_defined;
    const bool wants_bos = add_bos && impl_->data.add_bos;
    const auto first = special.find(text, 0);
    if (wants_bos && !(first && first->begin == 0 && first->token == impl_->data.bos)) {
        tokens.push_back(impl_->data.bos);
    }
    std::size_t begin = 0;
    for (auto match = first; match; match = special.find(text, begin)) {
        stretches.encode(text.substr(begin, match->begin - begin));
        tokens.push_back(match->token);
        begin = match->begin + match->length;
    }
    stretches.encode(text.substr(begin));
    return tokens;
}

std::string Tokenizer::decode(std::span<const TokenId> tokens, bool show_special) const {
    std::string text;
    for (const TokenId token : tokens) {
        HC_CHECK(token >= 0);
        const auto id = static_cast<std::size_t>(token);
        HC_CHECK(id < impl_->raw.size());
        switch (impl_->data.kind(token)) {
            case TokenKind::kNormal:
                text += impl_->raw[id];
                break;
            case TokenKind::kControl:
                if (show_special) text += impl_->data.tokens[id];
                break;
            case TokenKind::kUserDefined:
                text += impl_->data.tokens[id];
                break;
        }
    }
    return text;
}

std::string Tokenizer::apply_chat_template(std::span<const ChatMessage> messages) const {
    const TokenId bos = impl_->data.bos;
    const std::string_view spelling =
        bos < 0 ? std::string_view{} : impl_->data.tokens[static_cast<std::size_t>(bos)];
    return render_chat(impl_->chat, spelling, messages);
}

bool Tokenizer::ends_generation(TokenId token) const {
    if (token < 0) return false;
    const std::vector<TokenId>& ends = impl_->data.end_of_turn;
    return token == impl_->data.eos || std::find(ends.begin(), ends.end(), token) != ends.end();
}

const TokenizerData& Tokenizer::data() const {
    return impl_->data;
}
std::size_t Tokenizer::vocab() const {
    return impl_->data.tokens.size();
}

}  // namespace hc::model
