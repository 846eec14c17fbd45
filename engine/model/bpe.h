/// Byte-pair encoding of one piece of text: merges neighbours, best rank first.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/model/tokenizer.h"

namespace hc::model {

/// Immutable after construction: may be shared by threads.
class BytePairEncoder {
public:
    /// Throws Error(kInput) when a merge names a token that is not in the vocabulary. `raw` are
    /// the tokens as bytes; those that are matched whole are empty and never come out of here.
    BytePairEncoder(const std::vector<std::string>& raw, const TokenizerData& data);

    /// Appends the tokens of `piece`. Bytes that have no token vanish, as they do in the
    /// libraries that these vocabularies are made for.
    void encode(std::string_view piece, std::vector<TokenId>& tokens) const;

private:
    struct Merge {
        std::int32_t rank = 0;
        TokenId merged = 0;
    };
    struct PairHash {
        std::size_t operator()(std::uint64_t pair) const;
    };

    [[nodiscard]] const Merge* find_merge(TokenId left, TokenId right) const;
    void merge_symbols(std::vector<TokenId>& symbols) const;

    std::unordered_map<std::string_view, TokenId> by_bytes_;  ///< views into `raw`
    std::unordered_map<std::uint64_t, Merge, PairHash> merges_;
    std::array<TokenId, 256> byte_token_{};
    bool whole_words_first_ = false;
};

}  // namespace hc::model
