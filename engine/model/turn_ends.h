/// Which tokens end a generation, for every file format alike.
#pragma once

#include "engine/model/tokenizer.h"

namespace hc::model {

/// Adds `token` to the ends of a turn unless it is none (below 0), the end of text or there
/// already.
void add_turn_end(TokenizerData& data, TokenId token);

/// Adds the control tokens that end a turn in the model families that we know: files name one or
/// two of them by id, chat models of these families may use the others too.
void add_known_turn_ends(TokenizerData& data);

}  // namespace hc::model
