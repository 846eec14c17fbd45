#include "engine/model/hf_pipeline.h"

#include <fmt/format.h>
#include <vector>

namespace hc::model {
namespace {

// The patterns as the files of the families spell them; pre_tokenizer.cpp has their meaning.
constexpr std::string_view kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The steps under `key`: none, one, or those that a Sequence lists under `list_key`.
std::vector<JsonObject> read_steps(const JsonObject& tokenizer, std::string_view key,
                                   std::string_view list_key) {
    std::vector<JsonObject> steps;
    const auto whole = tokenizer.find_object(key);
    if (!whole) return steps;
    if (whole->need_string("type") != "Sequence") return {*whole};
    const Json& list = whole->need(list_key);
    if (!list.is_array()) {
        tokenizer.fail(fmt::format("key {} is of type {}, expected an array",
                                   whole->describe(list_key), list.type_name()));
    }
    for (const Json& step : list) {
        steps.emplace_back(step, tokenizer.path(), fmt::format("{}.{}.", key, list_key));
    }
    return steps;
}

std::string types_of(const std::vector<JsonObject>& steps) {
    std::string types;
    for (const JsonObject& step : steps) {
        if (!types.empty()) types += ", ";
        types += shown(step.need("type"));
    }
    return types.empty() ? "nothing" : types;
}

bool has_type(const JsonObject& step, std::string_view type) {
    return step.need_string("type") == type;
}

/// Turns bytes to their spelling; with `regex` it cuts after GPT-2's pattern too.
bool is_byte_level(const JsonObject& step, bool regex) {
    // What the library takes where a key is absent: both true.
    return has_type(step, "ByteLevel") && !step.find_bool("add_prefix_space").value_or(true) &&
           step.find_bool("use_regex").value_or(true) == regex;
}

bool is_digits(const JsonObject& step) {
    return has_type(step, "Digits") && step.find_bool("individual_digits").value_or(false);
}

/// A pattern whose matches become pieces. The patterns we know match all of a text, so that
/// keeping what matches and dropping the rest is the same.
std::optional<std::string> split_pattern(const JsonObject& step) {
    if (!has_type(step, "Split")) return std::nullopt;
    const std::string behaviour = step.need_string("behavior");
    const bool inverted = step.find_bool("invert").value_or(false);
    const bool isolates =
        (behaviour == "Isolated" && !inverted) || (behaviour == "Removed" && inverted);
    if (!isolates) {
        step.fail(fmt::format("key {} is '{}', expected Isolated", step.describe("behavior"),
                              shown(step.need("behavior"))));
    }
    return step.need_object("pattern").need_string("Regex");
}

PreTokenizer read_pre_tokenizer(const JsonObject& tokenizer) {
    const auto steps = read_steps(tokenizer, "pre_tokenizer", "pretokenizers");
    if (steps.size() == 2) {
        if (is_digits(steps[0]) && is_byte_level(steps[1], true)) return PreTokenizer::kSmolLm;
        if (const auto pattern = split_pattern(steps[0]);
            pattern && is_byte_level(steps[1], false)) {
            if (*pattern == kLlama3Split) return PreTokenizer::kLlama3;
            if (*pattern == kQwen2Split) return PreTokenizer::kQwen2;
            tokenizer.fail(
                fmt::format("the pre-tokenizer splits at '{}', expected Llama 3's or "
                            "Qwen2's pattern",
                            shown(Json(*pattern))));
        }
    }
    tokenizer.fail(
        fmt::format("the pre-tokenizer is {}, expected the steps of SmolLM (Digits, ByteLevel), "
                    "Llama 3 or Qwen2 (Split, ByteLevel) with their settings",
                    types_of(steps)));
}

/// The token that a template puts before a single text; it may add nothing else.
std::string read_template(const JsonObject& step) {
    const Json& items = step.need("single");
    const auto refuse = [&] {
        step.fail(fmt::format("key {} is {}, expected at most one special token and then the text",
                              step.describe("single"), shown(items)));
    };
    if (!items.is_array() || items.empty() || items.size() > 2) refuse();
    if (!items.back().is_object() || !items.back().contains("Sequence")) refuse();
    if (items.size() == 1) return {};
    const JsonObject first(items.front(), step.path(), step.describe("single") + ".");
    if (first.find("SpecialToken") == nullptr) refuse();
    return first.need_object("SpecialToken").need_string("id");
}

std::string read_first_token(const JsonObject& tokenizer) {
    std::string token;
    for (const JsonObject& step : read_steps(tokenizer, "post_processor", "processors")) {
        if (has_type(step, "ByteLevel")) continue;  // moves offsets only
        if (!has_type(step, "TemplateProcessing")) {
            tokenizer.fail(
                fmt::format("the post-processor is {}, expected ByteLevel or TemplateProcessing",
                            shown(step.need("type"))));
        }
        if (!token.empty()) tokenizer.fail("the post-processor has two templates, expected one");
        token = read_template(step);
    }
    return token;
}

void check_normalizer(const JsonObject& tokenizer) {
    for (const JsonObject& step : read_steps(tokenizer, "normalizer", "normalizers")) {
        if (has_type(step, "NFC")) continue;
        tokenizer.fail(
            fmt::format("the normalizer is {}, expected none or NFC", shown(step.need("type"))));
    }
}

void check_decoder(const JsonObject& tokenizer) {
    const auto steps = read_steps(tokenizer, "decoder", "decoders");
    if (steps.size() != 1 || !has_type(steps[0], "ByteLevel")) {
        tokenizer.fail(fmt::format("the decoder is {}, expected ByteLevel", types_of(steps)));
    }
}

}  // namespace

HfPipeline read_hf_pipeline(const JsonObject& tokenizer) {
    check_normalizer(tokenizer);
    check_decoder(tokenizer);
    return {read_pre_tokenizer(tokenizer), read_first_token(tokenizer)};
}

}  // namespace hc::model
