#include "engine/model/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "engine/core/error.h"

namespace hc::model {
namespace {

// White space is spelled out as Unicode's property White_Space: PCRE2's \s would also take
// U+180E, which has not been white space since Unicode 6.3.
#define HC_SPACE "\\t-\\r\\x{85}\\p{Z}"

// SmolLM: every numeral is a piece of its own, then GPT-2's pattern within what lies between
// them. In one pattern: no run contains a numeral, and white space before one counts as white
// space at the end of its text.
constexpr const char* kSmolLmPattern =
    "'s|'t|'re|'ve|'m|'ll|'d"
    "| ?\\p{L}+"
    "|\\p{N}"
    "| ?[^" HC_SPACE
    "\\p{L}\\p{N}]+"
    "|[" HC_SPACE "]+(?![^" HC_SPACE
    "\\p{N}])"
    "|[" HC_SPACE "]+";

// Llama 3: contractions in either case, one leading non-letter joins a word, at most three
// numerals together, line ends stay with the punctuation or the spaces before them.
constexpr const char* kLlama3Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
    "|\\p{N}{1,3}"
    "| ?[^" HC_SPACE
    "\\p{L}\\p{N}]+[\\r\\n]*"
    "|[" HC_SPACE
    "]*[\\r\\n]+"
    "|[" HC_SPACE "]+(?![^" HC_SPACE
    "])"
    "|[" HC_SPACE "]+";

// Qwen2: as Llama 3, with every numeral alone.
constexpr const char* kQwen2Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
    "|\\p{N}"
    "| ?[^" HC_SPACE
    "\\p{L}\\p{N}]+[\\r\\n]*"
    "|[" HC_SPACE
    "]*[\\r\\n]+"
    "|[" HC_SPACE "]+(?![^" HC_SPACE
    "])"
    "|[" HC_SPACE "]+";

#undef HC_SPACE

const char* pattern_of(PreTokenizer kind) {
    switch (kind) {
        case PreTokenizer::kSmolLm:
            return kSmolLmPattern;
        case PreTokenizer::kLlama3:
            return kLlama3Pattern;
        case PreTokenizer::kQwen2:
            return kQwen2Pattern;
    }
    HC_CHECK(!"a pre-tokenizer without a pattern");
    return nullptr;
}

struct CodeFree {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchFree {
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct ContextFree {
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

struct PreTokenSplitter::Impl {
    std::unique_ptr<pcre2_code, CodeFree> code;
    std::unique_ptr<pcre2_match_context, ContextFree> context;
};

PreTokenSplitter::PreTokenSplitter(PreTokenizer kind) : impl_(std::make_unique<Impl>()) {
    int error = 0;
    PCRE2_SIZE error_offset = 0;
    impl_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern_of(kind)),
                                    PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &error_offset,
                                    nullptr));
    HC_CHECK(impl_->code != nullptr);
    // Where code may not be generated (hardened kernels) PCRE2 interprets the pattern instead.
    (void)pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE);
    impl_->context.reset(pcre2_match_context_create(nullptr));
    HC_CHECK(impl_->context != nullptr);
    // The default limit guards against patterns that backtrack without bound; ours walk back at
    // most over one run of white space, which a text may make as long as it likes.
    pcre2_set_match_limit(impl_->context.get(), UINT32_MAX);
}

PreTokenSplitter::~PreTokenSplitter() = default;

void PreTokenSplitter::split(std::string_view text,
                             const std::function<void(std::string_view)>& piece) const {
    const std::unique_ptr<pcre2_match_data, MatchFree> match(
        pcre2_match_data_create_from_pattern(impl_->code.get(), nullptr));
    HC_CHECK(match != nullptr);
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t begin = 0;
    while (begin < text.size()) {
        const int found = pcre2_match(impl_->code.get(), subject, text.size(), begin,
                                      PCRE2_NO_UTF_CHECK, match.get(), impl_->context.get());
        if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
            throw_refused(fmt::format("cannot cut the text into words at byte {}: PCRE2 error {}",
                                      begin, found));
        }
        // The alternatives cover every character, so a match begins where the last one ended.
        HC_CHECK(found > 0);
        HC_CHECK(bounds[0] == begin);
        HC_CHECK(bounds[1] > begin);
        piece(text.substr(begin, bounds[1] - begin));
        begin = bounds[1];
    }
}

}  // namespace hc::model
