/// An independent forward pass: all positions at once, straight loops, no cache, attention in
/// double. What each head may see is the caller's, so that any policy can be stated as a mask.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/model/model.h"

namespace hc::test {

struct SlowHead {
    std::int32_t layer = 0;
    std::int32_t head = 0;   ///< KV head
    std::int64_t query = 0;  ///< position
    /// Softmax over keys 0..query, mean over the query group.
    std::vector<double> probability;
    /// Per query head of the group, before pooling: softmax rows [group][query+1].
    std::vector<std::vector<double>> rows;
};

/// Which keys 0..query the head sees; an empty result means all.
using Visibility = std::function<std::vector<bool>(const SlowHead&)>;

struct SlowResult {
    std::vector<std::vector<float>> logits;  ///< [position][vocab]
};

/// `visible` may be null: full causal attention.
[[nodiscard]] SlowResult slow_forward(const model::Model& model,
                                      std::span<const model::TokenId> tokens,
                                      const Visibility& visible = nullptr);

/// Mean filter of width 5 with zeros outside over each row, then the maximum over the rows: the
/// selection score of algorithm.md, section 4.
[[nodiscard]] std::vector<float> slow_selection_score(const SlowHead& head, std::size_t prompt);

}  // namespace hc::test
