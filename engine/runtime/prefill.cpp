// A prompt, layer by layer, each layer in chunks. Going layer by layer means that at any time
// only one layer holds the KV that selection will drop.
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/runtime/cpu_backend.h"
#include "engine/runtime/rope_frequencies.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {
namespace {

// Queries per task: enough to reuse each key many times, few enough that threads end together.
constexpr std::int64_t kQueriesPerTask = 64;
// Rows of logits kept beyond the last are computed in groups of this many.
constexpr std::int64_t kKeptLogitsPerPass = 16;

void check_tokens(std::span<const TokenId> tokens, std::int64_t vocab) {
    for (const TokenId token : tokens) {
        if (token >= 0 && token < vocab) continue;
        throw_input(fmt::format("token {} is not in the vocabulary of {} tokens", token, vocab));
    }
}

}  // namespace

std::span<const float> CpuBackend::prefill(Sequence& seq, std::span<const TokenId> tokens,
                                           Progress* progress) {
    const auto n = static_cast<std::int64_t>(tokens.size());
    if (n == 0) throw_input("the prompt is empty: expected at least one token");
    check_tokens(tokens, shape.vocab);
    if (seq.length + n > shape.context) {
        throw_refused(fmt::format(
            "the prompt does not fit: {} tokens after {} in the sequence, the context of {} is {}",
            n, seq.length, loaded.name, shape.context));
    }
    const bool first = seq.length == 0;
    if (first) {
        begin_policy(seq, n);
        if (seq.oracle) begin_oracle(seq, n);
    }
    std::vector<std::int64_t> lengths;
    for (const cache::HeadKv& head : seq.heads) lengths.push_back(head.length());
    begin_step();
    try {
        run_prompt(seq, tokens, progress);
    } catch (...) {
        // As if the call had not been made.
        for (std::size_t i = 0; i < lengths.size(); ++i) seq.heads[i].shrink(lengths[i]);
        drop_step();
        throw;
    }
    seq.length += n;
    if (first) seq.prompt = n;
    seq.reserved_until = std::max(seq.reserved_until, seq.length + seq.options.reserve_generated);
    reserve_for_decode();
    end_step(Phase::kPrefill, 1);
    return {work.logits.data(), static_cast<std::size_t>(shape.vocab)};
}

void CpuBackend::run_prompt(Sequence& seq, std::span<const TokenId> tokens, Progress* progress) {
    const auto n = static_cast<std::int64_t>(tokens.size());
    const bool first = seq.length == 0;
    std::vector<float> x(static_cast<std::size_t>(n * shape.hidden));
    embed(tokens, x.data());
    if (seq.row_sink != nullptr) seq.row_sink->begin_pass(seq.length + n);
    ensure_scratch(kernels::cpu::prefill_attention_scratch(seq.length + n, shape.head_dim));
    const std::int64_t chunk = work.tokens();
    const std::int64_t work_units = n * shape.num_layers;
    std::int64_t done = 0;
    for (std::int32_t layer = 0; layer < shape.num_layers; ++layer) {
        std::int64_t last_rows = 0;
        for (std::int64_t begin = 0; begin < n; begin += last_rows) {
            if (progress != nullptr && progress->cancelled()) {
                throw Error(ExitCode::kInterrupted, "interrupted while reading the prompt");
            }
            last_rows = std::min(chunk, n - begin);
            prefill_chunk(seq, layer, x.data() + begin * shape.hidden, begin, last_rows);
            done += last_rows;
            if (progress != nullptr) progress->update(n * done / work_units);
        }
        // work.q still holds the layer's last chunk, so its last row is the last query.
        const float* last_q = work.q.data() + (last_rows - 1) * q_floats();
        if (captures(seq)) capture_layer(seq, layer, last_q, first ? Pass::kPrompt : Pass::kTurn);
        if (first && seq.policy) {
            select_layer(seq, layer, last_q);
            offload_layer(seq, layer);
            compact_layer(seq, layer);
        }
    }
    keep_logits(x.data(), n);
    logits_of(x.data() + (n - 1) * shape.hidden, 1, work.logits.data());
}

void CpuBackend::prefill_chunk(Sequence& seq, std::int32_t layer, float* x, std::int64_t first,
                               std::int64_t n) {
    rope_angles(inv_freq, seq.length + first, n, work.cos.data(), work.sin.data());
    project(layer, x, n);
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        seq.heads[head_index(layer, head)].extend(n);
    }
    pool.parallel_for(n, 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row) append_row(seq, layer, row, n - row);
    });
    const std::int64_t kv_rows = n * shape.num_kv_heads;
    const std::int64_t qkv_bytes = n * (q_floats() + 2 * shape.num_kv_heads * shape.head_dim) * 4;
    log.op(OpKind::kRopeAppend, layer,
           {qkv_bytes, n * q_floats() * 4 + kv_rows * 2 * kv_pool.geometry().row_bytes(),
            3 * n * (q_floats() + shape.num_kv_heads * shape.head_dim), kv_rows});
    prefill_attention(seq, layer, n);
    finish_layer(layer, x, n);
}

void CpuBackend::prefill_attention(Sequence& seq, std::int32_t layer, std::int64_t n) {
    const std::int64_t blocks = (n + kQueriesPerTask - 1) / kQueriesPerTask;
    const std::int64_t group = shape.group();
    pool.parallel_for(
        blocks * shape.num_kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
            for (std::int64_t task = begin; task < end; ++task) {
                const auto head = static_cast<std::int32_t>(task % shape.num_kv_heads);
                // Last blocks first: they see most keys, so the short ones fill the gaps.
                const std::int64_t block = blocks - 1 - task / shape.num_kv_heads;
                const std::int64_t row = block * kQueriesPerTask;
                const std::int64_t rows = std::min(kQueriesPerTask, n - row);
                kernels::PagedKv kv = seq.heads[head_index(layer, head)].view();
                kv.length -= n - row - rows;  // the block's last query sees up to itself
                const std::int64_t at = row * q_floats() + head * group_floats();
                kernels::cpu::prefill_attention(kv, work.q.data() + at, rows, group, q_floats(),
                                                work.attended.data() + at, scratch_of(worker));
            }
        });
    std::int64_t rows = 0;
    std::int64_t seen = 0;  // (query, key) pairs of one query head each
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        const std::int64_t length = seq.heads[head_index(layer, head)].length();
        rows += length;
        seen += n * (length - n) + n * (n + 1) / 2;
    }
    log.op(OpKind::kAttention, layer,
           {rows * 2 * kv_pool.geometry().row_bytes() + n * q_floats() * 4, n * q_floats() * 4,
            4 * seen * group_floats(), rows});
}

void CpuBackend::keep_logits(const float* x, std::int64_t n) {
    const std::int64_t count = std::min(kept_logit_rows, n);
    kept_logits.resize(static_cast<std::size_t>(count * shape.vocab));
    if (count > 0) work.ensure_logits(std::min(count, kKeptLogitsPerPass));
    for (std::int64_t done = 0; done < count;) {
        const std::int64_t rows = std::min({count - done, kKeptLogitsPerPass, work.logit_rows()});
        logits_of(x + (n - count + done) * shape.hidden, rows,
                  kept_logits.data() + done * shape.vocab);
        done += rows;
    }
}

}  // namespace hc::runtime
