#include "engine/model/special_tokens.h"

#include <algorithm>
#include <functional>
#include <initializer_list>

namespace hc::model {

SpecialTokens::SpecialTokens(const TokenizerData& data, std::initializer_list<TokenKind> kinds) {
    for (std::size_t id = 0; id < data.tokens.size(); ++id) {
        const std::string& spelling = data.tokens[id];
        if (spelling.empty() || std::find(kinds.begin(), kinds.end(),
                                          data.kind(static_cast<TokenId>(id))) == kinds.end()) {
            continue;
        }
        if (!by_spelling_.emplace(spelling, static_cast<TokenId>(id)).second) continue;
        std::vector<std::size_t>& lengths = lengths_[static_cast<unsigned char>(spelling[0])];
        const auto place =
            std::lower_bound(lengths.begin(), lengths.end(), spelling.size(), std::greater<>());
        if (place == lengths.end() || *place != spelling.size()) {
            lengths.insert(place, spelling.size());
        }
    }
}

std::optional<SpecialTokens::Match> SpecialTokens::find(std::string_view text,
                                                        std::size_t from) const {
    if (by_spelling_.empty()) return std::nullopt;
    for (std::size_t begin = from; begin < text.size(); ++begin) {
        for (const std::size_t length : lengths_[static_cast<unsigned char>(text[begin])]) {
            if (length > text.size() - begin) continue;
            const auto found = by_spelling_.find(text.substr(begin, length));
            if (found != by_spelling_.end()) return Match{begin, length, found->second};
        }
    }
    return std::nullopt;
}

}  // namespace hc::model
