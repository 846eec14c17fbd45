// One decode step of a batch: products over all inputs together, attention per sequence.
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/runtime/cpu_backend.h"
#include "engine/runtime/rope_frequencies.h"

namespace hc::runtime {

std::span<const float> CpuBackend::decode(std::span<const DecodeInput> inputs) {
    if (inputs.empty()) throw_usage("a decode step needs at least one input");
    const auto n = static_cast<std::int64_t>(inputs.size());
    batch.clear();
    std::int64_t longest = 0;
    for (const DecodeInput& input : inputs) {
        Sequence& seq = sequence(input.sequence);
        if (seq.length == 0) {
            throw_usage(fmt::format("sequence {} has no prompt yet", input.sequence));
        }
        if (seq.length >= shape.context) {
            throw_refused(fmt::format("sequence {} is full: {} tokens, the context of {} is {}",
                                      input.sequence, seq.length, loaded.name, shape.context));
        }
        if (input.token < 0 || input.token >= shape.vocab) {
            throw_input(fmt::format("token {} is not in the vocabulary of {} tokens", input.token,
                                    shape.vocab));
        }
        if (std::find(batch.begin(), batch.end(), &seq) != batch.end()) {
            throw_usage(fmt::format("sequence {} comes twice in one decode step", input.sequence));
        }
        batch.push_back(&seq);
        longest = std::max(longest, seq.length + 1);
    }
    // Beyond what was reserved these grow (row 22); within it they do nothing.
    work.ensure_logits(n);
    attention.reserve(n * shape.num_kv_heads, longest);
    const auto floats = static_cast<std::size_t>(n * shape.hidden);
    if (stream.size() < floats) stream.resize(floats);

    begin_step();
    for (std::size_t i = 0; i < batch.size(); ++i) {
        Sequence& seq = *batch[i];
        ++seq.decode_steps;
        commit_due(seq);
        const std::int64_t half = shape.head_dim / 2;
        const auto row = static_cast<std::int64_t>(i);
        rope_angles(inv_freq, seq.length, 1, work.cos.data() + row * half,
                    work.sin.data() + row * half);
        if (seq.row_sink != nullptr) seq.row_sink->begin_pass(seq.length + 1);
    }
    float* x = stream.data();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        embed({&inputs[i].token, 1}, x + static_cast<std::int64_t>(i) * shape.hidden);
    }
    for (std::int32_t layer = 0; layer < shape.num_layers; ++layer) decode_layer(layer, x);
    logits_of(x, n, work.logits.data());
    for (Sequence* seq : batch) ++seq->length;
    end_step(Phase::kDecode, static_cast<std::int32_t>(n));
    return {work.logits.data(), static_cast<std::size_t>(n * shape.vocab)};
}

void CpuBackend::decode_layer(std::int32_t layer, float* x) {
    const auto n = static_cast<std::int64_t>(batch.size());
    project(layer, x, n);
    for (std::int64_t row = 0; row < n; ++row) {
        Sequence& seq = *batch[static_cast<std::size_t>(row)];
        for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
            seq.heads[head_index(layer, head)].extend(1);
        }
        append_row(seq, layer, row, 1);
        remember_queries(seq, layer, work.q.data() + row * q_floats());
    }
    const std::int64_t kv_rows = n * shape.num_kv_heads;
    log.op(OpKind::kRopeAppend, layer,
           {n * (q_floats() + 2 * shape.num_kv_heads * shape.head_dim) * 4,
            n * q_floats() * 4 + kv_rows * 2 * kv_pool.geometry().row_bytes(),
            3 * n * (q_floats() + shape.num_kv_heads * shape.head_dim), kv_rows});
    for (Sequence* seq : batch) watch_layer(*seq, layer, true);
    decode_attention(layer);
    for (Sequence* seq : batch) watch_layer(*seq, layer, false);
    finish_layer(layer, x, n);
}

void CpuBackend::decode_attention(std::int32_t layer) {
    attention.clear();
    const auto n = static_cast<std::int64_t>(batch.size());
    for (std::int64_t row = 0; row < n; ++row) {
        const Sequence& seq = *batch[static_cast<std::size_t>(row)];
        for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
            if (by_oracle(seq, {layer, head})) continue;
            const std::int64_t at = row * q_floats() + head * group_floats();
            attention.add(seq.heads[head_index(layer, head)].view(), work.q.data() + at,
                          work.attended.data() + at);
        }
    }
    attention.run(pool);
    for (std::int64_t row = 0; row < n; ++row) {
        Sequence& seq = *batch[static_cast<std::size_t>(row)];
        if (!seq.oracle) continue;
        oracle_attention(seq, layer, work.q.data() + row * q_floats(),
                         work.attended.data() + row * q_floats());
    }
    const std::int64_t rows = attention.rows();
    const std::int64_t op = log.op(OpKind::kAttention, layer,
                                   {rows * 2 * kv_pool.geometry().row_bytes() + n * q_floats() * 4,
                                    n * q_floats() * 4, 4 * rows * group_floats(), rows});
    for (std::int64_t row = 0; row < n; ++row) {
        Sequence& seq = *batch[static_cast<std::size_t>(row)];
        note_first_use(seq, layer, op);
        if (!captures(seq)) continue;
        capture_layer(seq, layer, work.q.data() + row * q_floats(), Pass::kDecode);
    }
}

}  // namespace hc::runtime
