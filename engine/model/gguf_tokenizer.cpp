// Metadata of a GGUF file -> TokenizerData.
#include <fmt/format.h>
#include <limits>

#include "engine/model/gguf_model.h"
#include "engine/model/turn_ends.h"

namespace hc::model {
namespace {

struct PreTokenizerName {
    std::string_view name;
    PreTokenizer pre;
};

// Names as llama.cpp's converter writes them in tokenizer.ggml.pre.
constexpr PreTokenizerName kPreTokenizers[] = {
    {"smollm", PreTokenizer::kSmolLm}, {"llama-bpe", PreTokenizer::kLlama3},
    {"llama3", PreTokenizer::kLlama3}, {"llama-v3", PreTokenizer::kLlama3},
    {"qwen2", PreTokenizer::kQwen2},   {"deepseek-r1-qwen", PreTokenizer::kQwen2},
};

// Token types of the format; the others (unknown, unused, byte) are treated as normal text.
constexpr std::int64_t kTypeControl = 3;
constexpr std::int64_t kTypeUserDefined = 4;

PreTokenizer read_pre_tokenizer(const GgufFile& file) {
    const std::string_view model = file.need_string("tokenizer.ggml.model");
    if (model != "gpt2") {
        file.fail(fmt::format("holds a tokenizer of kind '{}', expected gpt2 (byte-level BPE)",
                              printable(model)));
    }
    const std::string_view name = file.need_string("tokenizer.ggml.pre");
    for (const PreTokenizerName& known : kPreTokenizers) {
        if (known.name == name) return known.pre;
    }
    file.fail(
        fmt::format("holds a tokenizer with pre-tokenizer '{}', expected smollm, llama-bpe "
                    "or qwen2",
                    printable(name)));
}

TokenId read_token(const GgufFile& file, std::string_view name, std::size_t vocab) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    const auto id = file.find_int(key);
    if (!id) return -1;
    if (*id < 0 || static_cast<std::uint64_t>(*id) >= vocab) {
        file.fail(
            fmt::format("metadata '{}' is {}, the vocabulary has {} tokens", key, *id, vocab));
    }
    return static_cast<TokenId>(*id);
}

void read_vocabulary(const GgufFile& file, TokenizerData& data) {
    const auto tokens = file.find_strings("tokenizer.ggml.tokens");
    if (!tokens) file.fail("metadata 'tokenizer.ggml.tokens' is missing");
    const auto merges = file.find_strings("tokenizer.ggml.merges");
    if (!merges) file.fail("metadata 'tokenizer.ggml.merges' is missing");
    data.tokens.assign(tokens->begin(), tokens->end());
    data.merges.assign(merges->begin(), merges->end());
    if (data.tokens.size() > static_cast<std::size_t>(std::numeric_limits<TokenId>::max())) {
        file.fail(fmt::format("the tokenizer has {} tokens", data.tokens.size()));
    }
    const auto types = file.find_ints("tokenizer.ggml.token_type");
    if (!types) return;
    if (types->size() != data.tokens.size()) {
        file.fail(fmt::format("tokenizer.ggml.token_type has {} entries, the vocabulary {}",
                              types->size(), data.tokens.size()));
    }
    for (const std::int64_t type : *types) {
        const TokenKind kind = type == kTypeControl       ? TokenKind::kControl
                               : type == kTypeUserDefined ? TokenKind::kUserDefined
                                                          : TokenKind::kNormal;
        data.is_special.push_back(static_cast<std::uint8_t>(kind));
    }
}

}  // namespace

TokenizerData read_tokenizer(const GgufFile& file) {
    TokenizerData data;
    data.pre = read_pre_tokenizer(file);
    read_vocabulary(file, data);
    const std::size_t vocab = data.tokens.size();
    data.bos = read_token(file, "bos", vocab);
    data.eos = read_token(file, "eos", vocab);
    add_turn_end(data, read_token(file, "eot", vocab));
    add_turn_end(data, read_token(file, "eom", vocab));
    add_known_turn_ends(data);
    // Llama 3's tokenizer takes whole words from the vocabulary and begins every prompt with
    // its begin-of-text token; its files need not say so.
    const bool llama3 = data.pre == PreTokenizer::kLlama3;
    data.whole_words_first = llama3;
    data.add_bos = file.find_bool("tokenizer.ggml.add_bos_token").value_or(llama3 && data.bos >= 0);
    data.chat_template = file.find_string("tokenizer.chat_template").value_or("");
    return data;
}

}  // namespace hc::model
