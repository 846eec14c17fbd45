/// Every buffer of a forward pass, so that passes reuse them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/core/model_shape.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {

/// Buffers hold `tokens()` rows; a layer works on any smaller number of them.
class Workspace {
public:
    Workspace(const ModelShape& shape, std::int64_t tokens, int threads)
        : shape_(shape), threads_(threads) {
        resize(tokens);
        ensure_logits(1);
    }

    [[nodiscard]] std::int64_t tokens() const { return tokens_; }

    /// Room for `rows` rows of logits in one pass. Allocates when it is not there.
    void ensure_logits(std::int64_t rows) {
        if (rows <= logit_rows_) return;
        logit_rows_ = rows;
        logits.resize(size(rows, shape_.vocab));
        head_matmul_.emplace(rows, shape_.hidden, shape_.vocab, threads_);
        if (rows > tokens_) resize(rows);
    }
    [[nodiscard]] std::int64_t logit_rows() const { return logit_rows_; }
    [[nodiscard]] kernels::cpu::MatmulWorkspace& matmul() { return *matmul_; }
    [[nodiscard]] kernels::cpu::MatmulWorkspace& head_matmul() { return *head_matmul_; }

    std::vector<float> normed;    // [tokens, hidden]
    std::vector<float> branch;    // [tokens, hidden], what a sublayer adds to the stream
    std::vector<float> q;         // [tokens, num_qo_heads, head_dim]
    std::vector<float> k, v;      // [tokens, num_kv_heads, head_dim]
    std::vector<float> attended;  // [tokens, num_qo_heads, head_dim]
    std::vector<float> gate, up;  // [tokens, mlp]
    std::vector<float> cos, sin;  // [tokens, head_dim/2], of the positions under way
    std::vector<float> logits;    // [logit_rows, vocab]

private:
    [[nodiscard]] static std::size_t size(std::int64_t a, std::int64_t b) {
        return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
    }
    void resize(std::int64_t tokens) {
        tokens_ = tokens;
        const std::int64_t heads = shape_.num_qo_heads * shape_.head_dim;
        const std::int64_t widest = std::max({shape_.hidden, shape_.mlp, heads});
        matmul_.emplace(tokens, widest, widest, threads_);
        normed.resize(size(tokens, shape_.hidden));
        branch.resize(size(tokens, shape_.hidden));
        q.resize(size(tokens, shape_.num_qo_heads * shape_.head_dim));
        attended.resize(q.size());
        k.resize(size(tokens, shape_.num_kv_heads * shape_.head_dim));
        v.resize(k.size());
        gate.resize(size(tokens, shape_.mlp));
        up.resize(gate.size());
        cos.resize(size(tokens, shape_.head_dim / 2));
        sin.resize(cos.size());
    }

    ModelShape shape_;
    int threads_;
    std::int64_t tokens_ = 0;
    std::int64_t logit_rows_ = 0;
    std::optional<kernels::cpu::MatmulWorkspace> matmul_;       // of a layer's products
    std::optional<kernels::cpu::MatmulWorkspace> head_matmul_;  // of the logits: few rows, wide
};

}  // namespace hc::runtime
