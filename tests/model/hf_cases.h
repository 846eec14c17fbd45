/// What the tests of Hugging Face folders share.
#pragma once

#include <gtest/gtest.h>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/model/model.h"
#include "tests/support/hf_builder.h"
#include "tests/support/paths.h"

namespace hc::model {

/// The text of the error that `read` throws; empty when it does not. Every error must be one line
/// of kind kInput that begins with a file's name.
template <class Read>
std::string input_error(const Read& read) {
    try {
        read();
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(error.code(), ExitCode::kInput) << message;
        EXPECT_TRUE(message.starts_with("'")) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        return message;
    }
    return {};
}

/// Writes the folder afresh, loads it and returns the error's text; empty when it loads.
inline std::string folder_error(const test::HfBuilder& builder) {
    const test::TemporaryFolder folder;
    builder.write(folder.path() / "m");
    return input_error([&] { (void)load_model(folder.path() / "m"); });
}

/// tokenizer.json of a tokenizer, whichever format it came from.
inline nlohmann::json tokenizer_json(const TokenizerData& data, bool merges_as_pairs) {
    using nlohmann::json;
    constexpr const char* kLlama3 =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    constexpr const char* kQwen2 =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    json file = {{"version", "1.0"}, {"normalizer", nullptr}, {"post_processor", nullptr}};
    file["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}};
    const bool smol = data.pre == PreTokenizer::kSmolLm;
    json steps = json::array();
    if (smol) {
        steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else {
        steps.push_back(
            {{"type", "Split"},
             {"pattern", {{"Regex", data.pre == PreTokenizer::kLlama3 ? kLlama3 : kQwen2}}},
             {"behavior", "Isolated"},
             {"invert", false}});
    }
    steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", smol}});
    file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    json& model = file["model"];
    model = {{"type", "BPE"}, {"ignore_merges", data.whole_words_first}, {"unk_token", nullptr}};
    model["merges"] = json::array();
    for (const std::string& merge : data.merges) {
        const std::size_t space = merge.find(' ');
        if (merges_as_pairs) {
            model["merges"].push_back({merge.substr(0, space), merge.substr(space + 1)});
        } else {
            model["merges"].push_back(merge);
        }
    }
    file["added_tokens"] = json::array();
    for (std::size_t id = 0; id < data.tokens.size(); ++id) {
        const TokenKind kind = data.kind(static_cast<TokenId>(id));
        if (kind == TokenKind::kNormal) {
            model["vocab"][data.tokens[id]] = id;
        } else {
            file["added_tokens"].push_back({{"id", id},
                                            {"content", data.tokens[id]},
                                            {"lstrip", false},
                                            {"rstrip", false},
                                            {"single_word", false},
                                            {"special", kind == TokenKind::kControl}});
        }
    }
    return file;
}

}  // namespace hc::model
