/// Several sequences that decode together, for timing batches.
#pragma once

#include <span>
#include <vector>

#include "engine/runtime/engine.h"
#include "engine/runtime/generate.h"

namespace hc::cli {

/// Prefills `prompt` into every sequence, begun at another token each (rotated), so that they
/// attend to different places; then decodes all in lock step, greedily, `max_tokens` - 1 steps.
/// `observer` (may be null) gets the token rows. The caller begins a piece of progress of
/// sequences.size() * prompt.size() + max_tokens units. Throws Error(kInterrupted).
void generate_batch(runtime::Engine& engine, std::span<const runtime::SequenceId> sequences,
                    std::span<const model::TokenId> prompt, std::int64_t max_tokens, Observer* observer,
                    Progress& progress);

}  // namespace hc::cli
