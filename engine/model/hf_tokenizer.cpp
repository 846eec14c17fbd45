// tokenizer.json and its companions -> TokenizerData.
#include <fmt/format.h>
#include <unordered_map>
#include <utility>

#include "engine/core/error.h"
#include "engine/model/byte_alphabet.h"
#include "engine/model/byte_reader.h"
#include "engine/model/gguf_file.h"
#include "engine/model/hf_json.h"
#include "engine/model/hf_model.h"
#include "engine/model/hf_pipeline.h"
#include "engine/model/turn_ends.h"

namespace hc::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestTokenizer = std::size_t{64} << 20;  // Llama 3's has 9 to 17 MB
constexpr std::size_t kLargestTemplate = std::size_t{1} << 20;

/// The vocabulary and the tokens added to it, as one table by id.
class Vocabulary {
public:
    Vocabulary(const JsonObject& tokenizer, std::int64_t vocab)
        : file_(tokenizer),
          tokens_(static_cast<std::size_t>(vocab)),
          kinds_(tokens_.size(), static_cast<std::uint8_t>(TokenKind::kNormal)) {}

    void add(const std::string& spelling, const Json& id, TokenKind kind) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= tokens_.size()) {
            file_.fail(fmt::format("token '{}' has id {}, expected 0 to {} (vocab_size)",
                                   printable(spelling), shown(id), tokens_.size() - 1));
        }
        const auto token = id.get<TokenId>();
        const auto index = static_cast<std::size_t>(token);
        const auto [known, is_new] = by_spelling_.emplace(spelling, token);
        if (known->second != token || (is_new && !tokens_[index].empty())) {
            file_.fail(fmt::format("token '{}' with id {} contradicts another of the same {}",
                                   printable(spelling), token, is_new ? "id" : "spelling"));
        }
        tokens_[index] = spelling;
        kinds_[index] = static_cast<std::uint8_t>(kind);
    }

    /// -1 where no token is spelled so.
    [[nodiscard]] TokenId find(const std::string& spelling) const {
        const auto found = by_spelling_.find(spelling);
        return found == by_spelling_.end() ? -1 : found->second;
    }

    void move_to(TokenizerData& data) {
        data.tokens = std::move(tokens_);
        data.is_special = std::move(kinds_);
    }

private:
    const JsonObject& file_;
    std::vector<std::string> tokens_;  ///< by id; empty: no such token
    std::vector<std::uint8_t> kinds_;
    std::unordered_map<std::string, TokenId> by_spelling_;
};

void check_model(const JsonObject& model) {
    const std::string type = model.find_string("type").value_or("BPE");
    if (type != "BPE") {
        model.fail(fmt::format("holds a tokenizer of kind '{}', expected BPE", printable(type)));
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        if (const auto part = model.find_string(key); part && !part->empty()) {
            model.fail(fmt::format("key {} is '{}', expected none", model.describe(key),
                                   printable(*part)));
        }
    }
    if (model.find_number("dropout").value_or(0) != 0) {
        model.fail(
            fmt::format("key {} is not 0, which is not supported", model.describe("dropout")));
    }
    if (model.find_bool("byte_fallback").value_or(false)) {
        model.fail("spells bytes by fallback (SentencePiece), expected byte-level BPE");
    }
}

void read_vocabulary(const JsonObject& model, Vocabulary& vocabulary) {
    const JsonObject listed = model.need_object("vocab");
    for (const auto& [spelling, id] : listed.json().items()) {
        if (spelling.empty()) model.fail("the vocabulary has a token without spelling");
        vocabulary.add(spelling, id, TokenKind::kNormal);
    }
    if (model.find("unk_token") == nullptr) return;
    const ByteAlphabet alphabet;
    for (int byte = 0; byte < 256; ++byte) {
        if (vocabulary.find(alphabet.spelling(static_cast<std::uint8_t>(byte))) < 0) {
            model.fail(
                fmt::format("byte 0x{:02x} has no token, so that {} would be used, which is "
                            "not supported",
                            byte, model.describe("unk_token")));
        }
    }
}

/// Older files write a merge as "left right", newer ones as a pair.
std::string read_merge(const JsonObject& model, const Json& merge, std::size_t rank) {
    if (merge.is_string()) return merge.get<std::string>();
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        const auto& left = merge[0].get_ref<const std::string&>();
        const auto& right = merge[1].get_ref<const std::string&>();
        // A space is no character of a byte-level spelling, and would move the border here.
        if (left.find(' ') == std::string::npos) return left + ' ' + right;
    }
    model.fail(fmt::format("merge {} is {}, expected 'left right' or a pair of byte-level tokens",
                           rank, shown(merge)));
}

std::vector<std::string> read_merges(const JsonObject& model) {
    const Json& listed = model.need("merges");
    if (!listed.is_array()) {
        model.fail(fmt::format("key {} is of type {}, expected an array", model.describe("merges"),
                               listed.type_name()));
    }
    std::vector<std::string> merges;
    merges.reserve(listed.size());
    for (const Json& merge : listed) merges.push_back(read_merge(model, merge, merges.size()));
    return merges;
}

void read_added_tokens(const JsonObject& tokenizer, Vocabulary& vocabulary) {
    const Json* listed = tokenizer.find("added_tokens");
    if (listed == nullptr) return;
    if (!listed->is_array()) {
        tokenizer.fail(fmt::format("key 'added_tokens' is of type {}, expected an array",
                                   listed->type_name()));
    }
    for (const Json& value : *listed) {
        const JsonObject token(value, tokenizer.path(), "added_tokens.");
        const std::string spelling = token.need_string("content");
        if (spelling.empty()) token.fail("an added token has no spelling");
        for (const char* key : {"single_word", "lstrip", "rstrip"}) {
            if (token.find_bool(key).value_or(false)) {
                token.fail(fmt::format("added token '{}' has {} set, which is not supported",
                                       printable(spelling), key));
            }
        }
        const bool special = token.find_bool("special").value_or(false);
        vocabulary.add(spelling, token.need("id"),
                       special ? TokenKind::kControl : TokenKind::kUserDefined);
    }
}

/// A token that tokenizer_config.json names, as text or as an object with its text; -1: none.
TokenId read_named_token(const JsonObject& config, std::string_view key,
                         const Vocabulary& vocabulary) {
    const Json* value = config.find(key);
    if (value == nullptr) return -1;
    const std::string spelling = value->is_object() ? config.need_object(key).need_string("content")
                                                    : config.need_string(key);
    const TokenId token = vocabulary.find(spelling);
    if (token < 0) {
        config.fail(fmt::format("key {} is '{}', which is no token of tokenizer.json",
                                config.describe(key), printable(spelling)));
    }
    return token;
}

/// The template of everyday use; files may list others beside it.
std::string read_chat_template(const JsonObject& config) {
    const Json* value = config.find("chat_template");
    if (value == nullptr) return {};
    if (!value->is_array()) return config.need_string("chat_template");
    for (const Json& item : *value) {
        const JsonObject named(item, config.path(), "chat_template.");
        if (named.need_string("name") == "default") return named.need_string("template");
    }
    return {};
}

std::string read_template_file(const fs::path& path) {
    const MappedFile file(path);
    if (file.bytes().size() > kLargestTemplate) {
        throw_input(fmt::format("'{}': has {} bytes, expected at most {}", path.string(),
                                file.bytes().size(), kLargestTemplate));
    }
    return std::string(as_text(file.bytes()));
}

/// Which tokens begin and end a text, and what a conversation looks like.
void read_customs(const fs::path& folder, const HfConfig& config, const Vocabulary& vocabulary,
                  TokenId first_token, TokenizerData& data) {
    data.add_bos = first_token >= 0;
    if (const auto file = find_json_file(folder / "tokenizer_config.json", kLargestConfig)) {
        const JsonObject object = file->object();
        data.bos = read_named_token(object, "bos_token", vocabulary);
        data.eos = read_named_token(object, "eos_token", vocabulary);
        data.add_bos = object.find_bool("add_bos_token").value_or(data.add_bos);
        data.chat_template = read_chat_template(object);
        if (object.find_bool("add_eos_token").value_or(false)) {
            object.fail("key 'add_eos_token' is true, which is not supported");
        }
        if (data.bos >= 0 && first_token >= 0 && data.bos != first_token) {
            object.fail(fmt::format("key 'bos_token' is token {}, tokenizer.json puts {} first",
                                    data.bos, first_token));
        }
    }
    if (data.bos < 0) data.bos = first_token;
    if (data.bos < 0) data.bos = static_cast<TokenId>(config.bos.value_or(-1));
    if (data.eos < 0 && !config.ends.empty()) data.eos = static_cast<TokenId>(config.ends[0]);
    for (const std::int64_t end : config.ends) add_turn_end(data, static_cast<TokenId>(end));
    add_known_turn_ends(data);
    std::error_code error;
    if (const fs::path own = folder / "chat_template.jinja"; fs::exists(own, error)) {
        data.chat_template = read_template_file(own);
    }
}

}  // namespace

TokenizerData read_hf_tokenizer(const fs::path& folder, const HfConfig& config) {
    const auto file = find_json_file(folder / "tokenizer.json", kLargestTokenizer);
    if (!file) {
        throw_input(fmt::format("'{}': holds no tokenizer.json, which the model's texts need",
                                folder.string()));
    }
    const JsonObject tokenizer = file->object();
    const HfPipeline pipeline = read_hf_pipeline(tokenizer);
    const JsonObject model = tokenizer.need_object("model");
    check_model(model);
    Vocabulary vocabulary(tokenizer, config.shape.vocab);
    read_vocabulary(model, vocabulary);
    read_added_tokens(tokenizer, vocabulary);
    TokenId first_token = -1;
    if (!pipeline.first_token.empty()) {
        first_token = vocabulary.find(pipeline.first_token);
        if (first_token < 0) {
            tokenizer.fail(fmt::format("the post-processor puts '{}' first, which is no token",
                                       printable(pipeline.first_token)));
        }
    }
    TokenizerData data;
    data.pre = pipeline.pre;
    data.merges = read_merges(model);
    data.whole_words_first = model.find_bool("ignore_merges").value_or(false);
    vocabulary.move_to(data);
    read_customs(folder, config, vocabulary, first_token, data);
    return data;
}

}  // namespace hc::model
