#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fstream>
#include <random>

#include "engine/model/hf_model.h"
#include "gguf_cases.h"
#include "hf_cases.h"

namespace hc::model {
namespace {

using nlohmann::json;
using test::HfBuilder;
using test::tiny_hf_model;
using test::TinyHfOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kTexts[] = {
    "",
    "the other theatre, the 1234567 things",
    "  two spaces\n\n\tand a tab   \r\n",
    "<|im_start|>user\nthe thing<|im_end|>\n",
    "don't WE'LL  na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x98\x80 x=3.14; \xC2\xA0y",
};

Model load_builder(const HfBuilder& builder) {
    const test::TemporaryFolder folder;  // mappings outlive their files
    return load_model(builder.write(folder.path() / "m"));
}

/// A folder whose tokenizer.json is `file`, with the configuration alone: no weights are needed.
TokenizerData read_data(const test::TemporaryFolder& folder, const json& file, std::int64_t vocab,
                        const json& custom = nullptr) {
    HfBuilder builder;
    builder.files["tokenizer.json"] = file.dump();
    if (!custom.is_null()) builder.files["tokenizer_config.json"] = custom.dump();
    builder.write(folder.path());
    HfConfig config;
    config.shape.vocab = vocab;
    return read_hf_tokenizer(folder.path(), config);
}

void expect_same_tokens(const Tokenizer& tokenizer, const Tokenizer& twin) {
    for (const char* text : kTexts) {
        for (const bool special : {false, true}) {
            const std::vector<TokenId> tokens = tokenizer.encode(text, special, true);
            EXPECT_EQ(tokens, twin.encode(text, special, true)) << text;
            EXPECT_EQ(tokenizer.decode(tokens, true), twin.decode(tokens, true));
        }
    }
}

TEST(HfTokenizer, GivesTheTokensOfItsGgufTwin) {
    const test::TemporaryFolder folder;
    const Model twin = load_model(test::write_tiny_model(folder.path()));
    for (const bool pairs : {false, true}) {
        TinyHfOptions options;
        options.merges_as_pairs = pairs;
        const Model model = load_builder(tiny_hf_model(options));
        expect_same_tokens(*model.tokenizer, *twin.tokenizer);
        EXPECT_EQ(model.tokenizer->data().bos, twin.tokenizer->data().bos);
        EXPECT_EQ(model.tokenizer->data().eos, twin.tokenizer->data().eos);
        EXPECT_EQ(model.tokenizer->data().end_of_turn, twin.tokenizer->data().end_of_turn);
        const ChatMessage message{"user", "the thing"};
        EXPECT_EQ(model.tokenizer->apply_chat_template(std::span(&message, 1)),
                  twin.tokenizer->apply_chat_template(std::span(&message, 1)));
    }
}

TEST(HfTokenizer, RecognisesThePatternsOfTheFamilies) {
    const test::TemporaryFolder gguf;
    const Model twin = load_model(test::write_tiny_model(gguf.path()));
    for (const PreTokenizer pre :
         {PreTokenizer::kSmolLm, PreTokenizer::kLlama3, PreTokenizer::kQwen2}) {
        TokenizerData data = twin.tokenizer->data();
        data.pre = pre;
        data.whole_words_first = pre == PreTokenizer::kLlama3;
        const test::TemporaryFolder folder;
        const TokenizerData read = read_data(folder, tokenizer_json(data, true), 320);
        EXPECT_EQ(read.pre, pre);
        EXPECT_EQ(read.tokens, data.tokens);
        EXPECT_EQ(read.merges, data.merges);
        EXPECT_EQ(read.is_special, data.is_special);
        EXPECT_EQ(read.whole_words_first, data.whole_words_first);
        expect_same_tokens(Tokenizer(read), Tokenizer(data));
    }
}

TEST(HfTokenizer, GivesTheTokensOfTheDefaultModel) {
    const auto path = test::model_file();
    HC_REQUIRE_OR_SKIP(path, "the default model");
    const Model model = load_model(*path);
    const test::TemporaryFolder folder;
    const TokenizerData read =
        read_data(folder, tokenizer_json(model.tokenizer->data(), false), model.shape.vocab);
    expect_same_tokens(Tokenizer(read), *model.tokenizer);
}

class HfTokenizerFile : public ::testing::Test {
protected:
    HfTokenizerFile() {
        const std::string gguf = test::tiny_model().build();
        file_ = tokenizer_json(model_from_gguf(as_bytes(gguf), "m").tokenizer->data(), false);
    }
    [[nodiscard]] TokenizerData read(const json& file, const json& custom = nullptr,
                                     std::int64_t vocab = 320) const {
        const test::TemporaryFolder folder;
        return read_data(folder, file, vocab, custom);
    }
    [[nodiscard]] std::string error(const json& file, const json& custom = nullptr,
                                    std::int64_t vocab = 320) const {
        return input_error([&] { (void)read(file, custom, vocab); });
    }
    /// The error with the value at `pointer` replaced.
    [[nodiscard]] std::string with(const std::string& pointer, const json& value) const {
        json file = file_;
        file[json::json_pointer(pointer)] = value;
        return error(file);
    }

    json file_;
};

TEST_F(HfTokenizerFile, LeavesIdsWithoutATokenUnspelled) {
    const TokenizerData data = read(file_, nullptr, 400);
    ASSERT_EQ(data.tokens.size(), 400U);
    EXPECT_EQ(data.tokens[399], "");
    const Tokenizer tokenizer(data);
    const std::vector<TokenId> tokens = {399, 97};
    EXPECT_EQ(tokenizer.decode(tokens, true), "a");
}

TEST_F(HfTokenizerFile, PutsFirstWhatThePostProcessorPutsFirst) {
    const json item = {{"SpecialToken", {{"id", "<|endoftext|>"}, {"type_id", 0}}}};
    const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const auto processor = [](const json& single) {
        return json{{"type", "TemplateProcessing"}, {"single", single}, {"pair", json::array()}};
    };
    json file = file_;
    EXPECT_FALSE(read(file).add_bos);
    file["post_processor"] = {{"type", "Sequence"},
                              {"processors", {{{"type", "ByteLevel"}}, processor({item, text})}}};
    const TokenizerData data = read(file);
    EXPECT_TRUE(data.add_bos);
    EXPECT_EQ(data.bos, 256);
    EXPECT_THAT(Tokenizer(data).encode("a", false, true), ElementsAre(256, 'a'));
    // The explicit key has the last word, and the two must not name different tokens.
    EXPECT_FALSE(read(file, {{"add_bos_token", false}}).add_bos);
    EXPECT_THAT(error(file, {{"bos_token", "<|im_start|>"}}), HasSubstr("puts 256 first"));
    file["post_processor"] = processor(json::array({text}));
    EXPECT_FALSE(read(file).add_bos);
    file["post_processor"] = processor({text, item});
    EXPECT_THAT(error(file), HasSubstr("at most one special token and then the text"));
    file["post_processor"] = processor({item, item, text});
    EXPECT_THAT(error(file), HasSubstr("at most one special token and then the text"));
    file["post_processor"] = {{"type", "BertProcessing"}};
    EXPECT_THAT(error(file), HasSubstr("the post-processor is BertProcessing"));
    file["post_processor"] = processor({{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, text});
    EXPECT_THAT(error(file), HasSubstr("puts '<s>' first, which is no token"));
}

TEST_F(HfTokenizerFile, ReadsItsCompanions) {
    const json custom = {
        {"bos_token", {{"content", "<|im_start|>"}, {"lstrip", false}}},
        {"eos_token", "<|im_end|>"},
        {"add_bos_token", true},
        {"chat_template",
         {{{"name", "tool_use"}, {"template", "x"}}, {{"name", "default"}, {"template", "y"}}}}};
    const TokenizerData data = read(file_, custom);
    EXPECT_EQ(data.bos, 257);
    EXPECT_EQ(data.eos, 258);
    EXPECT_TRUE(data.add_bos);
    EXPECT_EQ(data.chat_template, "y");
    EXPECT_THAT(data.end_of_turn, ElementsAre(256));
    EXPECT_THAT(error(file_, {{"eos_token", "</s>"}}), HasSubstr("'</s>', which is no token"));
    EXPECT_THAT(error(file_, {{"eos_token", 3}}), HasSubstr("expected a string"));
    EXPECT_THAT(error(file_, {{"add_eos_token", true}}), HasSubstr("'add_eos_token'"));
    EXPECT_THAT(error(file_, json::array()), HasSubstr("tokenizer_config.json': the document"));
}

TEST_F(HfTokenizerFile, PrefersTheTemplateThatHasAFileOfItsOwn) {
    HfBuilder builder = tiny_hf_model();
    builder.files["chat_template.jinja"] = "<|start_header_id|><|eot_id|>";
    EXPECT_EQ(load_builder(builder).tokenizer->data().chat_template,
              "<|start_header_id|><|eot_id|>");
    builder.files["chat_template.jinja"] = std::string((1 << 20) + 1, 'x');
    EXPECT_THAT(folder_error(builder), HasSubstr("chat_template.jinja': has 1048577 bytes"));
}

TEST_F(HfTokenizerFile, RefusesStepsThatAreNotUnderstood) {
    EXPECT_THAT(with("/pre_tokenizer", {{"type", "Whitespace"}}),
                HasSubstr("the pre-tokenizer is Whitespace, expected the steps of SmolLM"));
    EXPECT_THAT(with("/pre_tokenizer", nullptr), HasSubstr("the pre-tokenizer is nothing"));
    EXPECT_THAT(with("/pre_tokenizer/pretokenizers/0/individual_digits", false),
                HasSubstr("the pre-tokenizer is Digits, ByteLevel"));
    EXPECT_THAT(with("/pre_tokenizer/pretokenizers/1/add_prefix_space", true),
                HasSubstr("with their settings"));
    // GPT-2's own pattern keeps numerals together, which none of ours does.
    EXPECT_THAT(with("/pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}),
                HasSubstr("the pre-tokenizer is ByteLevel"));
    const json split = {{"type", "Split"},
                        {"pattern", {{"Regex", "\\s+"}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
    const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    EXPECT_THAT(with("/pre_tokenizer/pretokenizers", {split, bytes}),
                HasSubstr("splits at '\\s+', expected Llama 3's or Qwen2's"));
    EXPECT_THAT(with("/normalizer", {{"type", "Lowercase"}}), HasSubstr("normalizer is Lowercase"));
    EXPECT_EQ(with("/normalizer", {{"type", "NFC"}}), "");
    EXPECT_THAT(with("/decoder", {{"type", "Metaspace"}}), HasSubstr("the decoder is Metaspace"));
    EXPECT_THAT(with("/decoder", nullptr), HasSubstr("the decoder is nothing"));
    EXPECT_THAT(with("/model/type", "Unigram"), HasSubstr("kind 'Unigram', expected BPE"));
    EXPECT_THAT(with("/model/byte_fallback", true), HasSubstr("SentencePiece"));
    EXPECT_THAT(with("/model/dropout", 0.1), HasSubstr("'model.dropout' is not 0"));
    EXPECT_THAT(with("/model/end_of_word_suffix", "</w>"), HasSubstr("is '</w>', expected none"));
    EXPECT_THAT(with("/added_tokens/0/lstrip", true), HasSubstr("has lstrip set"));
}

TEST_F(HfTokenizerFile, RefusesAnUnknownTokenThatCouldBeUsed) {
    json file = file_;
    file["model"]["unk_token"] = "<|endoftext|>";
    EXPECT_EQ(error(file), "");
    file["model"]["vocab"].erase("a");
    EXPECT_THAT(error(file), HasSubstr("byte 0x61 has no token"));
}

TEST_F(HfTokenizerFile, RefusesBrokenVocabularies) {
    EXPECT_THAT(with("/model/vocab/a", 320), HasSubstr("'a' has id 320, expected 0 to 319"));
    EXPECT_THAT(with("/model/vocab/a", -1), HasSubstr("'a' has id -1"));
    EXPECT_THAT(with("/model/vocab/a", 1.0), HasSubstr("'a' has id 1.0"));
    EXPECT_THAT(with("/model/vocab/a", 98), HasSubstr("contradicts another of the same id"));
    EXPECT_THAT(with("/model/vocab", json::array()), HasSubstr("expected an object"));
    EXPECT_THAT(with("/added_tokens/0/id", 3), HasSubstr("contradicts another"));
    EXPECT_THAT(with("/added_tokens/0/id", 4000000000U), HasSubstr("expected 0 to 319"));
    EXPECT_THAT(with("/added_tokens/0/content", ""), HasSubstr("no spelling"));
    EXPECT_THAT(with("/added_tokens/0/content", "a"), HasSubstr("same spelling"));
    EXPECT_THAT(with("/added_tokens", 3), HasSubstr("expected an array"));
    EXPECT_THAT(with("/model/merges", "a b"), HasSubstr("expected an array"));
    EXPECT_THAT(with("/model/merges", {1}), HasSubstr("merge 0 is 1"));
    EXPECT_THAT(with("/model/merges", json::array({json::array({"a", "b", "c"})})),
                HasSubstr("merge 0 is"));
    EXPECT_THAT(with("/model/merges", json::array({json::array({"a b", "c"})})),
                HasSubstr("merge 0 is"));
    EXPECT_THAT(error(json::object()), HasSubstr("the decoder is nothing"));
}

TEST_F(HfTokenizerFile, NamesTheFileOfMergesThatDoNotFit) {
    HfBuilder builder = tiny_hf_model();
    for (const char* merge : {"a b", "ab", "a b c", " ", ""}) {
        json file = file_;
        file["model"]["merges"] = {merge};
        builder.files["tokenizer.json"] = file.dump();
        EXPECT_THAT(folder_error(builder), HasSubstr("tokenizer.json': merge 0 of the tokenizer"));
    }
}

TEST_F(HfTokenizerFile, DamagedFilesLoadOrAreRefused) {
    const test::TemporaryFolder folder;
    const std::string good = file_.dump();
    HfConfig config;
    config.shape.vocab = 320;
    std::mt19937_64 random(11);
    int refused = 0;
    for (int round = 0; round < 500; ++round) {
        std::string text = good;
        const std::size_t at = random() % text.size();
        switch (random() % 4) {
            case 0:
                text[at] = static_cast<char>(random());
                break;
            case 1:
                text.resize(at);
                break;
            case 2:
                text.erase(at, 1 + random() % 64);
                break;
            default:
                text.insert(at, text.substr(random() % text.size(), 1 + random() % 64));
        }
        std::ofstream(folder.path() / "tokenizer.json", std::ios::binary) << text;
        const std::string why =
            input_error([&] { (void)read_hf_tokenizer(folder.path(), config); });
        if (!why.empty()) ++refused;
    }
    EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace hc::model
