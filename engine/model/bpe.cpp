#include "engine/model/bpe.h"

#include <fmt/format.h>
#include <algorithm>
#include <queue>

#include "engine/core/error.h"
#include "engine/model/byte_alphabet.h"

namespace hc::model {
namespace {

std::uint64_t pair_key(TokenId left, TokenId right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
           static_cast<std::uint32_t>(right);
}

/// A merge that was possible when it was queued; symbols may have changed since.
struct Candidate {
    std::int32_t rank = 0;
    std::int32_t left = 0;  ///< index of the left symbol
    TokenId left_token = 0;
    TokenId right_token = 0;
    TokenId merged = 0;
};

/// Lowest rank first, leftmost first among equals.
struct Later {
    bool operator()(const Candidate& a, const Candidate& b) const {
        return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
};

struct Symbol {
    TokenId token = 0;  ///< -1: merged into its left neighbour
    std::int32_t previous = -1;
    std::int32_t next = -1;
};

}  // namespace

std::size_t BytePairEncoder::PairHash::operator()(std::uint64_t pair) const {
    // Token ids fill few low bits of each half; the product spreads them (Fibonacci hashing).
    const std::uint64_t product = pair * 0x9E3779B97F4A7C15ULL;
    return static_cast<std::size_t>(product ^ (product >> 32));
}

BytePairEncoder::BytePairEncoder(const std::vector<std::string>& raw, const TokenizerData& data)
    : whole_words_first_(data.whole_words_first) {
    by_bytes_.reserve(raw.size());
    for (std::size_t id = 0; id < raw.size(); ++id) {
        if (!raw[id].empty()) by_bytes_.emplace(raw[id], static_cast<TokenId>(id));
    }
    for (std::size_t byte = 0; byte < byte_token_.size(); ++byte) {
        const char character = static_cast<char>(byte);
        const auto found = by_bytes_.find(std::string_view(&character, 1));
        byte_token_[byte] = found == by_bytes_.end() ? -1 : found->second;
    }
    const ByteAlphabet alphabet;
    merges_.reserve(data.merges.size());
    for (std::size_t rank = 0; rank < data.merges.size(); ++rank) {
        const std::string& line = data.merges[rank];
        const std::size_t space = line.find(' ');
        const auto refuse = [&] {
            throw_input(
                fmt::format("merge {} of the tokenizer is no pair of tokens whose union is "
                            "a token",
                            rank));
        };
        if (space == std::string::npos) refuse();
        const auto left = alphabet.bytes(std::string_view(line).substr(0, space));
        const auto right = alphabet.bytes(std::string_view(line).substr(space + 1));
        if (!left || !right || left->empty() || right->empty()) refuse();
        const auto left_token = by_bytes_.find(*left);
        const auto right_token = by_bytes_.find(*right);
        const auto merged = by_bytes_.find(*left + *right);
        if (left_token == by_bytes_.end() || right_token == by_bytes_.end() ||
            merged == by_bytes_.end()) {
            refuse();
        }
        merges_.emplace(pair_key(left_token->second, right_token->second),
                        Merge{static_cast<std::int32_t>(rank), merged->second});
    }
}

const BytePairEncoder::Merge* BytePairEncoder::find_merge(TokenId left, TokenId right) const {
    const auto found = merges_.find(pair_key(left, right));
    return found == merges_.end() ? nullptr : &found->second;
}

void BytePairEncoder::merge_symbols(std::vector<TokenId>& symbols) const {
    const auto count = static_cast<std::int32_t>(symbols.size());
    std::vector<Symbol> chain(symbols.size());
    for (std::int32_t i = 0; i < count; ++i) {
        chain[static_cast<std::size_t>(i)] = {symbols[static_cast<std::size_t>(i)], i - 1,
                                              i + 1 < count ? i + 1 : -1};
    }
    const auto at = [&chain](std::int32_t i) -> Symbol& {
        return chain[static_cast<std::size_t>(i)];
    };
    std::priority_queue<Candidate, std::vector<Candidate>, Later> queue;
    const auto consider = [&](std::int32_t left) {
        if (left < 0 || at(left).next < 0) return;
        const TokenId a = at(left).token;
        const TokenId b = at(at(left).next).token;
        if (const Merge* merge = find_merge(a, b)) {
            queue.push({merge->rank, left, a, b, merge->merged});
        }
    };
    for (std::int32_t i = 0; i + 1 < count; ++i) consider(i);
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        Symbol& left = at(best.left);
        // Stale: one of the two has been merged meanwhile.
        if (left.token != best.left_token || left.next < 0) continue;
        Symbol& right = at(left.next);
        if (right.token != best.right_token) continue;
        left.token = best.merged;
        right.token = -1;
        left.next = right.next;
        if (left.next >= 0) at(left.next).previous = best.left;
        consider(left.previous);
        consider(best.left);
    }
    symbols.clear();
    for (const Symbol& symbol : chain) {
        if (symbol.token >= 0) symbols.push_back(symbol.token);
    }
}

void BytePairEncoder::encode(std::string_view piece, std::vector<TokenId>& tokens) const {
    if (whole_words_first_) {
        if (const auto found = by_bytes_.find(piece); found != by_bytes_.end()) {
            tokens.push_back(found->second);
            return;
        }
    }
    std::vector<TokenId> symbols;
    symbols.reserve(piece.size());
    for (const char c : piece) {
        const TokenId token = byte_token_[static_cast<std::uint8_t>(c)];
        if (token >= 0) symbols.push_back(token);
    }
    if (symbols.size() > 1) merge_symbols(symbols);
    tokens.insert(tokens.end(), symbols.begin(), symbols.end());
}

}  // namespace hc::model
