// The parts of a layer that know nothing of the cache: projections, MLP, logits.
#include <algorithm>

#include "engine/core/error.h"
#include "engine/runtime/cpu_backend.h"
#include "kernels/cpu/ops.h"
#include "kernels/reference/ops.h"

namespace hc::runtime {
namespace {

// Rows of this many tokens are worth handing out one by one; a decode step's are not.
constexpr std::int64_t kTokensWorthAFork = 16;
constexpr std::int64_t kTokensPerPiece = 8;

/// body(first row, rows) over `n` tokens, on the pool when there are many.
template <typename Body>
void over_tokens(ThreadPool& pool, std::int64_t n, const Body& body) {
    pool.parallel_for(n, n < kTokensWorthAFork ? n : kTokensPerPiece,
                      [&](std::int64_t begin, std::int64_t end, int) { body(begin, end - begin); });
}

const float* bias_or_null(const std::vector<float>& bias) {
    return bias.empty() ? nullptr : bias.data();
}

std::int64_t matmul_flops(const kernels::cpu::PreparedWeight& w, std::int64_t n) {
    return 2 * n * w.rows() * w.cols();
}

std::int64_t floats(std::int64_t count) {
    return count * static_cast<std::int64_t>(sizeof(float));
}

/// Cost of products that read `x` [n, cols] once and write their own outputs.
OpCost matmul_cost(std::initializer_list<const kernels::cpu::PreparedWeight*> weights,
                   std::int64_t n) {
    OpCost cost;
    cost.rows = n;
    for (const kernels::cpu::PreparedWeight* w : weights) {
        cost.bytes_read += w->size_bytes();
        cost.bytes_written += floats(n * w->rows());
        cost.flops += matmul_flops(*w, n);
    }
    cost.bytes_read += floats(n * (*weights.begin())->cols());
    return cost;
}

}  // namespace

void CpuBackend::embed(std::span<const TokenId> tokens, float* x) {
    const WeightView& table = loaded.weights.embedding;
    const auto n = static_cast<std::int64_t>(tokens.size());
    over_tokens(pool, n, [&](std::int64_t first, std::int64_t count) {
        for (std::int64_t i = first; i < first + count; ++i) {
            kernels::reference::dequantize_row(table, tokens[static_cast<std::size_t>(i)],
                                               x + i * shape.hidden);
        }
    });
    log.op(OpKind::kEmbed, -1,
           {static_cast<std::int64_t>(table.row_bytes()) * n, floats(n * shape.hidden), 0, n});
}

void CpuBackend::project(std::int32_t layer, const float* x, std::int64_t n) {
    const model::LayerWeights& l = loaded.weights.layers[static_cast<std::size_t>(layer)];
    const PreparedLayer& p = weights.layers[static_cast<std::size_t>(layer)];
    const auto eps = static_cast<float>(shape.rms_eps);
    over_tokens(pool, n, [&](std::int64_t first, std::int64_t count) {
        kernels::cpu::rms_norm(x + first * shape.hidden, l.attn_norm.data(), count, shape.hidden,
                               eps, work.normed.data() + first * shape.hidden);
    });
    log.op(OpKind::kNorm, layer,
           {floats((n + 1) * shape.hidden), floats(n * shape.hidden), 4 * n * shape.hidden, n});

    const kernels::cpu::MatmulTarget targets[] = {
        {&p.q, bias_or_null(l.q_bias), work.q.data(), p.q.rows()},
        {&p.k, bias_or_null(l.k_bias), work.k.data(), p.k.rows()},
        {&p.v, bias_or_null(l.v_bias), work.v.data(), p.v.rows()},
    };
    kernels::cpu::matmul_many(targets, 3, work.normed.data(), n, work.matmul(), pool);
    log.op(OpKind::kQkv, layer, matmul_cost({&p.q, &p.k, &p.v}, n));
}

void CpuBackend::append_row(Sequence& seq, std::int32_t layer, std::int64_t row,
                              std::int64_t back) {
    const std::int64_t dim = shape.head_dim;
    float* q = work.q.data() + row * q_floats();
    float* k = work.k.data() + row * shape.num_kv_heads * dim;
    const float* v = work.v.data() + row * shape.num_kv_heads * dim;
    const float* cos = work.cos.data() + row * (dim / 2);
    const float* sin = work.sin.data() + row * (dim / 2);
    const bool interleaved = loaded.weights.rope_interleaved;
    kernels::cpu::rope_table(q, shape.num_qo_heads, dim, cos, sin, interleaved);
    kernels::cpu::rope_table(k, shape.num_kv_heads, dim, cos, sin, interleaved);
    const kernels::KvType type = kv_pool.geometry().type;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        cache::HeadKv& kv = seq.heads[head_index(layer, head)];
        const std::int64_t slot = kv.length() - back;
        kernels::cpu::store_kv(k + head * dim, dim, type, kv.key(slot));
        kernels::cpu::store_kv(v + head * dim, dim, type, kv.value(slot));
    }
}

void CpuBackend::finish_layer(std::int32_t layer, float* x, std::int64_t n) {
    const model::LayerWeights& l = loaded.weights.layers[static_cast<std::size_t>(layer)];
    const PreparedLayer& p = weights.layers[static_cast<std::size_t>(layer)];
    const std::int64_t hidden = shape.hidden;
    const auto add_branch = [&] {
        over_tokens(pool, n, [&](std::int64_t first, std::int64_t count) {
            kernels::cpu::add(x + first * hidden, work.branch.data() + first * hidden,
                              count * hidden);
        });
    };
    kernels::cpu::matmul(p.o, nullptr, work.attended.data(), n, work.branch.data(), hidden,
                         work.matmul(), pool);
    add_branch();
    log.op(OpKind::kAttnOut, layer, matmul_cost({&p.o}, n));

    over_tokens(pool, n, [&](std::int64_t first, std::int64_t count) {
        kernels::cpu::rms_norm(x + first * hidden, l.mlp_norm.data(), count, hidden,
                               static_cast<float>(shape.rms_eps),
                               work.normed.data() + first * hidden);
    });
    const kernels::cpu::MatmulTarget targets[] = {
        {&p.gate, nullptr, work.gate.data(), shape.mlp},
        {&p.up, nullptr, work.up.data(), shape.mlp},
    };
    kernels::cpu::matmul_many(targets, 2, work.normed.data(), n, work.matmul(), pool);
    over_tokens(pool, n, [&](std::int64_t first, std::int64_t count) {
        float* gate = work.gate.data() + first * shape.mlp;
        kernels::cpu::silu_mul(gate, work.up.data() + first * shape.mlp, count * shape.mlp, gate);
    });
    kernels::cpu::matmul(p.down, nullptr, work.gate.data(), n, work.branch.data(), hidden,
                         work.matmul(), pool);
    add_branch();
    log.op(OpKind::kMlp, layer, matmul_cost({&p.gate, &p.up, &p.down}, n));
}

void CpuBackend::logits_of(const float* x, std::int64_t n, float* out) {
    HC_CHECK(n <= work.logit_rows());
    kernels::cpu::rms_norm(x, loaded.weights.final_norm.data(), n, shape.hidden,
                           static_cast<float>(shape.rms_eps), work.normed.data());
    log.op(OpKind::kNorm, -1,
           {floats((n + 1) * shape.hidden), floats(n * shape.hidden), 4 * n * shape.hidden, n});
    kernels::cpu::matmul(weights.lm_head, nullptr, work.normed.data(), n, out, shape.vocab,
                         work.head_matmul(), pool);
    log.op(OpKind::kLmHead, -1, matmul_cost({&weights.lm_head}, n));
}

}  // namespace hc::runtime
