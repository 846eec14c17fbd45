#include "engine/model/turn_ends.h"

#include <algorithm>
#include <iterator>

namespace hc::model {
namespace {

constexpr std::string_view kTurnEnds[] = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>",
                                          "<|end_of_text|>", "<|eom_id|>"};

}  // namespace

void add_turn_end(TokenizerData& data, TokenId token) {
    if (token < 0 || token == data.eos) return;
    if (std::find(data.end_of_turn.begin(), data.end_of_turn.end(), token) ==
        data.end_of_turn.end()) {
        data.end_of_turn.push_back(token);
    }
}

void add_known_turn_ends(TokenizerData& data) {
    for (std::size_t id = 0; id < data.is_special.size(); ++id) {
        if (data.kind(static_cast<TokenId>(id)) != TokenKind::kControl) continue;
        if (std::find(std::begin(kTurnEnds), std::end(kTurnEnds), data.tokens[id]) !=
            std::end(kTurnEnds)) {
            add_turn_end(data, static_cast<TokenId>(id));
        }
    }
}

}  // namespace hc::model
