#include "profiler/activity/kernel_names.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

namespace hc::activity {
namespace {

constexpr std::string_view kOperator = "operator";

/// Position of the bracket that matches the one `text` ends with, npos without one. An arrow's
/// '>' is no bracket.
std::size_t matching_open(std::string_view text) {
    int depth = 0;
    for (std::size_t at = text.size(); at-- > 0;) {
        switch (text[at]) {
            case '>':
                if (at > 0 && text[at - 1] == '-') break;
                [[fallthrough]];
            case ')':
            case '}':
            case ']': ++depth; break;
            case '<':
            case '(':
            case '{':
            case '[':
                if (--depth == 0) return at;
                break;
            default: break;
        }
    }
    return std::string_view::npos;
}

std::string_view without_tail_from(std::string_view text, std::size_t at) {
    return at == std::string_view::npos ? text : text.substr(0, at);
}

/// Where `text` ends with operator() or another operator of symbols: the operator's start.
std::size_t operator_start(std::string_view text) {
    const std::size_t at = text.rfind(kOperator);
    if (at == std::string_view::npos) return at;
    if (at > 0 && text[at - 1] != ':' && text[at - 1] != ' ') return std::string_view::npos;
    const std::string_view symbols = text.substr(at + kOperator.size());
    const bool only_symbols = !symbols.empty() && symbols.find_first_not_of("()<>=!+-*/%^&|~[],") ==
                                                      std::string_view::npos;
    return only_symbols ? at : std::string_view::npos;
}

/// Drops " const", " [clone .part]", ABI tags and the parameter list.
std::string_view without_parameters(std::string_view text) {
    while (text.ends_with(']')) {
        const std::size_t open = matching_open(text);
        if (open == 0 || open == std::string_view::npos) break;
        text = text.substr(0, text[open - 1] == ' ' ? open - 1 : open);
    }
    for (const std::string_view suffix : {" const", " volatile", " &", " &&", " noexcept"}) {
        if (text.ends_with(suffix)) text.remove_suffix(suffix.size());
    }
    return text.ends_with(')') ? without_tail_from(text, matching_open(text)) : text;
}

}  // namespace

std::string demangle(const char* mangled) {
    if (mangled == nullptr) return "(unknown)";
    if (mangled[0] != '_' || mangled[1] != 'Z') return mangled;
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &std::free);
    return status == 0 && text ? text.get() : mangled;
}

std::string_view short_name(std::string_view demangled) {
    std::string_view text = without_parameters(demangled);
    if (const std::size_t at = operator_start(text); at != std::string_view::npos) {
        return text.substr(at);
    }
    if (text.ends_with('>')) text = without_tail_from(text, matching_open(text));
    if (text.ends_with(' ')) text.remove_suffix(1);  // "operator< <int>"
    if (const std::size_t at = operator_start(text); at != std::string_view::npos) {
        return text.substr(at);
    }
    // Back to the last "::" or blank outside of brackets.
    int depth = 0;
    std::size_t begin = text.size();
    while (begin > 0) {
        const char letter = text[begin - 1];
        if (letter == '>' || letter == ')' || letter == '}') ++depth;
        if (letter == '<' || letter == '(' || letter == '{') --depth;
        if (depth == 0 && (letter == ':' || letter == ' ')) break;
        --begin;
    }
    const std::string_view name = text.substr(begin);
    return name.empty() ? demangled : name;
}

}  // namespace hc::activity
