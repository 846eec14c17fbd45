#include "cli/text_source.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <iterator>

#include "engine/core/error.h"

namespace hc::cli {
namespace {

std::string joined_text(const TextSource& source) {
    if (source.files.empty()) throw_usage("no text given: name a file with --text (or - for standard input)");
    std::string text;
    for (const std::string& file : source.files) {
        const std::string piece = read_text_file(file);
        if (piece.find_first_not_of(" \t\r\n") == std::string::npos) {
            throw_input(fmt::format("text '{}' is empty: expected at least one word", file));
        }
        if (!text.empty()) text += "\n\n";
        text += piece;
    }
    return text;
}

std::vector<model::TokenId> render(const model::Model& model, const std::string& text,
                                   const std::string& question) {
    const model::Tokenizer& tokenizer = *model.tokenizer;
    if (question.empty()) return tokenizer.encode(text, false, tokenizer.data().add_bos);
    const model::ChatMessage message{"user", text + "\n\n" + question};
    const std::string chat = tokenizer.apply_chat_template(std::span(&message, 1));
    return tokenizer.encode(chat, true, tokenizer.data().add_bos);
}

/// Cuts `text` at a character boundary so that it has at most `tokens` tokens.
std::string cut_text(const model::Tokenizer& tokenizer, const std::string& text, std::int64_t tokens) {
    std::vector<model::TokenId> ids = tokenizer.encode(text, false, false);
    if (static_cast<std::int64_t>(ids.size()) <= tokens) return text;
    ids.resize(static_cast<std::size_t>(std::max<std::int64_t>(tokens, 0)));
    std::string cut = tokenizer.decode(ids);
    std::size_t end = std::min(cut.size(), text.size());
    while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return text.substr(0, end);
}

}  // namespace

std::string read_text_file(const std::string& path) {
    if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
    if (std::filesystem::is_directory(path)) throw_io(fmt::format("cannot read text '{}': it is a folder", path));
    std::ifstream file(path, std::ios::binary);
    if (!file) throw_io(fmt::format("cannot read text '{}': {}", path, std::strerror(errno)));
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) throw_io(fmt::format("cannot read text '{}': {}", path, std::strerror(errno)));
    return text;
}

namespace {

/// A shape without weights has no words: any tokens do, the same ones every time.
std::vector<model::TokenId> made_up_tokens(const model::Model& model, const TextSource& source) {
    if (!source.files.empty() || !source.question.empty()) {
        throw_usage(model.name + " has no tokenizer: leave --text and --question out, and say --prompt-tokens N");
    }
    if (source.max_prompt_tokens == 0) {
        throw_usage(model.name + " has no tokenizer: say how long the prompt is with --prompt-tokens N");
    }
    std::vector<model::TokenId> tokens;
    for (std::int64_t i = 0; i < source.max_prompt_tokens; ++i) {
        tokens.push_back(static_cast<model::TokenId>((static_cast<std::uint64_t>(i) * 2654435761U >> 7) %
                                                     static_cast<std::uint64_t>(model.shape.vocab)));
    }
    return tokens;
}

}  // namespace

std::vector<model::TokenId> prompt_tokens(const model::Model& model, const TextSource& source) {
    if (model.tokenizer == nullptr) return made_up_tokens(model, source);
    const std::string text = joined_text(source);
    std::vector<model::TokenId> tokens;
    try {
        tokens = render(model, text, source.question);
    } catch (const Error& e) {
        if (e.code() != ExitCode::kInput) throw;
        throw Error(e.code(), fmt::format("text '{}': {}", fmt::join(source.files, "', '"), e.what()));
    }
    const std::int64_t context = model.shape.context - source.reserve_tokens;
    const auto have = static_cast<std::int64_t>(tokens.size());
    if (source.max_prompt_tokens == 0) {
        if (have > context) {
            throw_refused(fmt::format(
                "the prompt has {} tokens and {} more are to be generated, but the model's context is {}: "
                "cut it with --prompt-tokens {}",
                have, source.reserve_tokens, model.shape.context, std::max<std::int64_t>(context, 0)));
        }
        return tokens;
    }
    if (source.max_prompt_tokens > context) {
        throw_refused(fmt::format("--prompt-tokens {} with {} tokens to generate is more than the model's context of {}",
                                  source.max_prompt_tokens, source.reserve_tokens, model.shape.context));
    }
    if (have <= source.max_prompt_tokens) return tokens;
    // Words at the cut may merge otherwise, so the count can move by a token or two: step down.
    const std::int64_t around = have - static_cast<std::int64_t>(model.tokenizer->encode(text, false, false).size());
    std::int64_t room = source.max_prompt_tokens - around;
    while (have > source.max_prompt_tokens && room > 0) {
        tokens = render(model, cut_text(*model.tokenizer, text, room), source.question);
        const auto now = static_cast<std::int64_t>(tokens.size());
        if (now <= source.max_prompt_tokens) return tokens;
        room -= now - source.max_prompt_tokens;
    }
    throw_refused(fmt::format("--prompt-tokens {} leaves no room for the text beside the question", source.max_prompt_tokens));
}

}  // namespace hc::cli
