/// Finds tokens that are matched whole in a text, longest first.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/model/tokenizer.h"

namespace hc::model {

/// Immutable after construction: may be shared by threads.
class SpecialTokens {
public:
    /// Takes the tokens of `data` whose kind is in `kinds`; borrows their spellings.
    SpecialTokens(const TokenizerData& data, std::initializer_list<TokenKind> kinds);

    struct Match {
        std::size_t begin = 0;
        std::size_t length = 0;
        TokenId token = 0;
    };
    /// The first match at or after `from`; of several that begin there, the longest.
    [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from) const;

private:
    std::unordered_map<std::string_view, TokenId> by_spelling_;
    /// For each first byte the lengths of the spellings that begin with it, longest first.
    std::array<std::vector<std::size_t>, 256> lengths_;
};

}  // namespace hc::model
