#include "engine/model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <thread>

#include "engine/core/error.h"
#include "engine/model/bpe.h"
#include "engine/model/byte_alphabet.h"
#include "engine/model/utf8.h"

namespace hc::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Bytes 0 to 255, then the merged tokens of `merges` (each "left right" of printable ASCII),
/// then the special ones.
TokenizerData data_with(const std::vector<std::string>& merges,
                        const std::vector<std::pair<std::string, TokenKind>>& special = {}) {
    const ByteAlphabet alphabet;
    TokenizerData data;
    for (int byte = 0; byte < 256; ++byte) {
        data.tokens.push_back(alphabet.spelling(static_cast<std::uint8_t>(byte)));
    }
    data.merges = merges;
    for (const std::string& merge : merges) {
        std::string merged = merge;
        merged.erase(merged.find(' '), 1);
        data.tokens.push_back(merged);
    }
    for (const auto& [spelling, kind] : special) {
        data.tokens.push_back(spelling);
        data.is_special.resize(data.tokens.size());
        data.is_special.back() = static_cast<std::uint8_t>(kind);
    }
    return data;
}

std::string error_of(const std::function<void()>& action, ExitCode code) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code);
        return error.what();
    }
    return {};
}

TEST(Tokenizer, MergesTheBestRankFirstAndNotTheFirstPair) {
    const Tokenizer tokenizer(data_with({"b c", "a b", "ab c"}));
    EXPECT_THAT(tokenizer.encode("abc", false, false), ElementsAre('a', 256));
    EXPECT_THAT(tokenizer.encode("ab", false, false), ElementsAre(257));
    EXPECT_THAT(tokenizer.encode("ababc", false, false), ElementsAre(257, 'a', 256));
}

TEST(Tokenizer, MergesLeftmostFirstAmongEquals) {
    const Tokenizer tokenizer(data_with({"a a", "aa aa"}));
    EXPECT_THAT(tokenizer.encode("aaaaa", false, false), ElementsAre(257, 'a'));
    EXPECT_THAT(tokenizer.encode("aaa", false, false), ElementsAre(256, 'a'));
}

/// Merging by its definition: again and again the best pair, all occurrences left to right.
std::vector<TokenId> merge_by_definition(std::string_view piece, const TokenizerData& data) {
    std::vector<std::string> symbols;
    for (const char c : piece) symbols.emplace_back(1, c);
    for (;;) {
        std::size_t best_rank = data.merges.size();
        std::size_t best_at = 0;
        for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
            const auto rank =
                static_cast<std::size_t>(std::find(data.merges.begin(), data.merges.end(),
                                                   symbols[i] + " " + symbols[i + 1]) -
                                         data.merges.begin());
            if (rank < best_rank) {
                best_rank = rank;
                best_at = i;
            }
        }
        if (best_rank == data.merges.size()) break;
        symbols[best_at] += symbols[best_at + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
    }
    std::vector<TokenId> tokens;
    for (const std::string& symbol : symbols) {
        tokens.push_back(static_cast<TokenId>(
            std::find(data.tokens.begin(), data.tokens.end(), symbol) - data.tokens.begin()));
    }
    return tokens;
}

TEST(Tokenizer, MergesRandomWordsAsTheDefinitionDoes) {
    std::mt19937 random(3);
    for (int vocabulary = 0; vocabulary < 20; ++vocabulary) {
        // Random merges of what is there already, so that long tokens come about.
        std::vector<std::string> symbols = {"a", "b", "c"};
        std::vector<std::string> merges;
        for (int i = 0; i < 40; ++i) {
            const std::string left = symbols[random() % symbols.size()];
            const std::string right = symbols[random() % symbols.size()];
            if (std::find(symbols.begin(), symbols.end(), left + right) != symbols.end()) continue;
            symbols.push_back(left + right);
            merges.push_back(left + " " + right);
        }
        const TokenizerData data = data_with(merges);
        const Tokenizer tokenizer(data);
        for (int round = 0; round < 50; ++round) {
            std::string word;
            const std::size_t size = 1 + random() % 60;
            for (std::size_t i = 0; i < size; ++i) word += static_cast<char>('a' + random() % 3);
            EXPECT_EQ(tokenizer.encode(word, false, false), merge_by_definition(word, data))
                << word;
        }
    }
}

TEST(Tokenizer, TakesWholeWordsFirstWhereTheModelDoes) {
    // "abc" is a token that merging "bc" first cannot reach.
    TokenizerData data = data_with({"b c", "a b", "ab c"});
    const Tokenizer merging(data);
    EXPECT_EQ(merging.encode("abc", false, false).size(), 2U);
    data.whole_words_first = true;
    const Tokenizer whole(std::move(data));
    EXPECT_THAT(whole.encode("abc", false, false), ElementsAre(258));
}

TEST(Tokenizer, MatchesControlTokensWholeOnlyWhenAsked) {
    const Tokenizer tokenizer(data_with({}, {{"<s>", TokenKind::kControl}}));
    EXPECT_THAT(tokenizer.encode("a<s>b", true, false), ElementsAre('a', 256, 'b'));
    EXPECT_THAT(tokenizer.encode("a<s>b", false, false), ElementsAre('a', '<', 's', '>', 'b'));
    EXPECT_THAT(tokenizer.encode("<s><s>", true, false), ElementsAre(256, 256));
    EXPECT_THAT(tokenizer.encode("<s", true, false), ElementsAre('<', 's'));
}

TEST(Tokenizer, MatchesTheLongestSpecialToken) {
    const Tokenizer tokenizer(data_with({}, {{"<a", TokenKind::kControl},
                                             {"<a>", TokenKind::kControl},
                                             {"<a>>", TokenKind::kControl}}));
    EXPECT_THAT(tokenizer.encode("<a>><a><a", true, false), ElementsAre(258, 257, 256));
}

TEST(Tokenizer, TreatsUserDefinedTokensAsText) {
    const Tokenizer tokenizer(data_with({}, {{"[tool]", TokenKind::kUserDefined}}));
    const auto tokens = tokenizer.encode("x[tool]", false, false);
    EXPECT_THAT(tokens, ElementsAre('x', 256));
    EXPECT_EQ(tokenizer.decode(tokens), "x[tool]");
}

TEST(Tokenizer, ShowsControlTokensOnlyWhenAsked) {
    const Tokenizer tokenizer(data_with({}, {{"<s>", TokenKind::kControl}}));
    const std::vector<TokenId> tokens = {'a', 256, 'b'};
    EXPECT_EQ(tokenizer.decode(tokens), "ab");
    EXPECT_EQ(tokenizer.decode(tokens, true), "a<s>b");
}

TEST(Tokenizer, PutsTheBeginTokenOnceAndOnlyForModelsThatWantIt) {
    TokenizerData data = data_with({}, {{"<s>", TokenKind::kControl}});
    data.bos = 256;
    const Tokenizer without(data);
    EXPECT_THAT(without.encode("a", true, true), ElementsAre('a'));
    data.add_bos = true;
    const Tokenizer with(std::move(data));
    EXPECT_THAT(with.encode("a", true, true), ElementsAre(256, 'a'));
    EXPECT_THAT(with.encode("a", true, false), ElementsAre('a'));
    EXPECT_THAT(with.encode("<s>a", true, true), ElementsAre(256, 'a'));
    EXPECT_THAT(with.encode("", true, true), ElementsAre(256));
}

TEST(Tokenizer, EndsGenerationAtEveryTurnEnd) {
    TokenizerData data = data_with({});
    data.eos = 5;
    data.end_of_turn = {7, 9};
    const Tokenizer tokenizer(std::move(data));
    for (TokenId token = -1; token < 12; ++token) {
        EXPECT_EQ(tokenizer.ends_generation(token), token == 5 || token == 7 || token == 9);
    }
}

TEST(Tokenizer, NamesTheByteThatIsNotUtf8) {
    const Tokenizer tokenizer(data_with({}));
    const std::pair<std::string, int> cases[] = {
        {"ab\x80", 2},           {"\xC3", 0},
        {"\xC3\xA9\xC3(", 2},    {"\xC0\xAF", 0},
        {"x\xE0\x80\x80", 1},    {"\xED\xA0\x80", 0},
        {"\xF4\x90\x80\x80", 0}, {"\xF8\x88\x80\x80\x80", 0},
        {"\xE4\xB8", 0},         {"\xF0\x9F\x98", 0},
    };
    for (const auto& [text, offset] : cases) {
        const std::string message =
            error_of([&] { (void)tokenizer.encode(text, true, true); }, ExitCode::kInput);
        EXPECT_THAT(message, HasSubstr("not UTF-8: byte " + std::to_string(offset) + " "));
    }
}

TEST(Tokenizer, EncodesEveryByteSequenceBack) {
    const Tokenizer tokenizer(data_with({"t h", "th e"}));
    std::mt19937 random(5);
    for (int round = 0; round < 200; ++round) {
        std::string text;
        for (int i = 0; i < 30; ++i) {
            char32_t code_point = random() % (round % 2 == 0 ? 0x3000U : 0x110000U);
            if (code_point >= 0xD800 && code_point < 0xE000) code_point = 'e';
            append_utf8(code_point, text);
        }
        EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, false, false)), text);
    }
}

TEST(Tokenizer, MergesALongRunInTimeNearItsLength) {
    const Tokenizer tokenizer(data_with({"a a", "aa aa", "aaaa aaaa"}));
    const std::string run(200'000, 'a');  // one piece; quadratic merging takes minutes
    EXPECT_EQ(tokenizer.encode(run, false, false).size(), run.size() / 8);
    const std::string spaces(200'000, ' ');
    EXPECT_EQ(tokenizer.encode(spaces + "x", false, false).size(), spaces.size() + 1);
}

TEST(Tokenizer, ServesSeveralThreads) {
    const Tokenizer tokenizer(data_with({"t h", "th e"}));
    const auto expected = tokenizer.encode("the cat and the hat 123", true, true);
    std::vector<int> equal(4, 0);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < equal.size(); ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 50; ++round) {
                equal[i] += tokenizer.encode("the cat and the hat 123", true, true) == expected;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(equal, ElementsAre(50, 50, 50, 50));
}

TEST(Tokenizer, RefusesInconsistentData) {
    const auto refused = [](const TokenizerData& data) {
        return error_of([&] { const Tokenizer tokenizer(data); }, ExitCode::kInput);
    };
    EXPECT_THAT(refused({}), HasSubstr("vocabulary is empty"));
    for (const char* merge : {"a", "a b", " b", "a ", "a b c", ""}) {
        TokenizerData data = data_with({});
        data.merges = {merge};
        EXPECT_THAT(refused(data), HasSubstr("merge 0 of the tokenizer")) << merge;
    }
    TokenizerData data = data_with({});
    data.bos = 256;
    EXPECT_THAT(refused(data), HasSubstr("begin-of-text token is 256"));
    data.bos = -1;
    data.add_bos = true;
    EXPECT_THAT(refused(data), HasSubstr("names none"));
}

TEST(ByteAlphabet, SpellsBytesAsGpt2) {
    const ByteAlphabet alphabet;
    EXPECT_EQ(alphabet.spelling('A'), "A");
    EXPECT_EQ(alphabet.spelling(' '), "\xC4\xA0");   // U+0120
    EXPECT_EQ(alphabet.spelling('\n'), "\xC4\x8A");  // U+010A
    EXPECT_EQ(alphabet.spelling(0xAD), "\xC5\x83");  // U+0143, the last
    EXPECT_EQ(alphabet.spelling(0xE9), "\xC3\xA9");
    for (int byte = 0; byte < 256; ++byte) {
        const auto one = static_cast<std::uint8_t>(byte);
        EXPECT_EQ(alphabet.bytes(alphabet.spelling(one)), std::string(1, static_cast<char>(one)));
    }
    EXPECT_EQ(alphabet.bytes(" "), std::nullopt);
    EXPECT_EQ(alphabet.bytes("\xE4\xB8\xAD"), std::nullopt);
    EXPECT_EQ(alphabet.bytes("\xFF"), std::nullopt);
}

}  // namespace
}  // namespace hc::model
