// A prompt, in chunks. A sequence that keeps everything goes chunk by chunk through all layers; one
// that drops tokens goes layer by layer, so that only one layer at a time holds what it will drop.
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/cuda/cuda_backend.h"
#include "engine/policy/device_memory.h"
#include "kernels/cuda/decode_matmul.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/prefill_attention.h"
#include "kernels/cuda/rope_append_prefill.h"

namespace hc::cuda {
namespace {

// Tokens of one launch of decode_matmul.
constexpr std::int64_t kDecodeTokens = 8;

}  // namespace

/// Device buffers of a chunk of tokens; parts of one allocation that a prompt makes and frees.
struct CudaBackend::ChunkBuffers {
    ChunkBuffers(const ModelShape& shape, MemoryLedger& ledger, std::int64_t chunk,
                 std::int64_t stream_rows)
        : memory(ledger, "prefill workspace",
                 policy::prefill_workspace_bytes(shape, chunk, stream_rows)) {
        std::byte* at = memory.as<std::byte>();
        const auto take = [&](std::int64_t bytes) {
            std::byte* part = at;
            at += policy::aligned_bytes(bytes);
            return part;
        };
        const std::int64_t q_row = shape.num_qo_heads * shape.head_dim;
        const std::int64_t qkv_row = q_row + 2 * shape.num_kv_heads * shape.head_dim;
        const auto bf16 = [&](std::int64_t elements) {
            return reinterpret_cast<Bf16*>(take(2 * elements));
        };
        stream = reinterpret_cast<float*>(take(4 * stream_rows * shape.hidden));
        ids = reinterpret_cast<std::int32_t*>(take(4 * stream_rows));
        normed = bf16(chunk * shape.hidden);
        qkv = bf16(chunk * qkv_row);
        q = bf16(chunk * q_row);
        attended = bf16(chunk * q_row);
        branch = bf16(chunk * shape.hidden);
        gate_up = bf16(chunk * 2 * shape.mlp);
        act = bf16(chunk * shape.mlp);
        HC_CHECK(at - memory.as<std::byte>() <= memory.size_bytes());
    }
    DeviceBuffer memory;
    float* stream;      // [stream_rows, hidden] residual stream
    std::int32_t* ids;  // [stream_rows]
    Bf16* normed;       // [chunk, hidden]
    Bf16* qkv;          // [chunk, (num_qo + 2 num_kv) head_dim]
    Bf16* q;            // [chunk, num_qo head_dim]
    Bf16* attended;     // likewise
    Bf16* branch;       // [chunk, hidden]
    Bf16* gate_up;      // [chunk, 2 mlp]
    Bf16* act;          // [chunk, mlp]
};

std::span<const float> CudaBackend::prefill(SequenceId id, std::span<const TokenId> tokens,
                                            Progress* progress) {
    DeviceSequence& seq = sequence(id);
    const auto n = static_cast<std::int64_t>(tokens.size());
    if (n == 0) throw_input("the prompt is empty: expected at least one token");
    check_tokens(tokens);
    if (seq.length + n > shape_.context) {
        throw_refused(fmt::format(
            "the prompt does not fit: {} tokens after {} in the sequence, the context of {} is {}",
            n, seq.length, model_.name, shape_.context));
    }
    const bool first = seq.length == 0;
    if (cuda_.synthetic_prefill) {
        prefill_synthetic(id, n);
        logits_.assign(static_cast<std::size_t>(shape_.vocab), 0.0F);
        return logits_;
    }
    if (first) {
        refuse_what_does_not_fit(seq, n);
        begin_policy(seq, n);
        if (seq.oracle) begin_oracle(seq, n);
    }
    std::vector<std::int64_t> lengths;
    for (const HeadPages& head : seq.heads) lengths.push_back(head.length);
    begin_step();
    try {
        run_prompt(seq, tokens, progress);
    } catch (...) {
        // As if the call had not been made.
        static_cast<void>(cudaStreamSynchronize(compute_.get()));
        for (std::size_t i = 0; i < lengths.size(); ++i) seq.heads[i].length = lengths[i];
        for (std::size_t i = 0; first && i < lengths.size(); ++i) release_pages(seq, i);
        --step_;
        timer_.clear();
        reports_.clear();
        throw;
    }
    seq.length += n;
    if (first) seq.prompt = n;
    ++seq.table_version;
    end_step(Phase::kPrefill, 1);
    return logits_;
}

void CudaBackend::run_prompt(DeviceSequence& seq, std::span<const TokenId> tokens,
                             Progress* progress) {
    const auto n = static_cast<std::int64_t>(tokens.size());
    const bool first = seq.length == 0;
    // Kept logits need the rows of the whole prompt at the end.
    const bool by_layer = (first && seq.budgets.has_value()) || kept_logit_rows_ > 0;
    const std::int64_t chunk = std::min(options_.prefill_chunk, n);
    const ChunkBuffers buffers(shape_, ledger_, chunk, by_layer ? n : chunk);
    if (seq.row_sink != nullptr) seq.row_sink->begin_pass(seq.length + n);
    ensure_lists(seq, seq.length + n + seq.options.reserve_generated);
    reserve_pages(seq, n);
    const std::int64_t begin_length = seq.length;
    std::vector<std::int64_t> before;
    for (const HeadPages& head : seq.heads) before.push_back(head.length);

    const std::int64_t work_units = n * shape_.num_layers;
    std::int64_t done = 0;
    const auto run_chunk = [&](std::int32_t layer, std::int64_t begin, std::int64_t rows,
                               float* x) {
        if (progress != nullptr && progress->cancelled()) {
            throw Error(ExitCode::kInterrupted, "interrupted while reading the prompt");
        }
        for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
            const std::size_t index = head_index(layer, head);
            extend(seq, index, before[index] + begin + rows);
        }
        upload_lists(seq, layer, 1);
        upload_lengths(seq, layer);
        prefill_chunk(seq, layer, x, begin_length + begin, rows, buffers);
        if (begin + rows == n) {
            finish_prompt_layer(seq, layer, buffers.q + (rows - 1) * q_elements(), first);
        }
        done += rows;
        if (progress != nullptr) progress->update(n * done / work_units);
    };
    const auto embed = [&](std::int64_t begin, std::int64_t rows) {
        check(cudaMemcpyAsync(buffers.ids, tokens.data() + begin,
                              static_cast<std::size_t>(rows) * sizeof(TokenId),
                              cudaMemcpyHostToDevice, compute_.get()),
              "uploading tokens");
        launched(kernels::cuda::embedding_f32(weights_.embedding, shape_.vocab, shape_.hidden,
                                              buffers.ids, static_cast<std::int32_t>(rows),
                                              buffers.stream, compute_.get()),
                 "embedding");
        timer_.op(OpKind::kEmbed, -1, {2 * rows * shape_.hidden, 4 * rows * shape_.hidden, 0, rows},
                  compute_.get());
    };
    if (by_layer) {
        embed(0, n);
        for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
            for (std::int64_t begin = 0; begin < n; begin += chunk) {
                run_chunk(layer, begin, std::min(chunk, n - begin),
                          buffers.stream + begin * shape_.hidden);
            }
        }
        keep_logits(buffers.stream, n);
        logits_of(buffers.stream + (n - 1) * shape_.hidden, 1, buffers_.logits);
    } else {
        for (std::int64_t begin = 0; begin < n; begin += chunk) {
            const std::int64_t rows = std::min(chunk, n - begin);
            embed(begin, rows);
            for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
                run_chunk(layer, begin, rows, buffers.stream);
            }
            if (begin + rows == n) {
                logits_of(buffers.stream + (rows - 1) * shape_.hidden, 1, buffers_.logits);
            }
        }
        kept_logits_.clear();
    }
    logits_.resize(static_cast<std::size_t>(shape_.vocab));
    check(cudaMemcpyAsync(logits_.data(), buffers_.logits, logits_.size() * sizeof(float),
                          cudaMemcpyDeviceToHost, compute_.get()),
          "reading logits");
    check(cudaStreamSynchronize(compute_.get()), "the prompt");
}

void CudaBackend::prefill_chunk(DeviceSequence& seq, std::int32_t layer, float* x,
                                std::int64_t first, std::int64_t n, const ChunkBuffers& b) {
    const DeviceLayer& w = weights_.layers[static_cast<std::size_t>(layer)];
    const cudaStream_t stream = compute_.get();
    const auto rows = static_cast<std::int32_t>(n);
    const auto eps = static_cast<float>(shape_.rms_eps);
    const std::int64_t hidden = shape_.hidden;
    const std::int64_t kv_elements = shape_.num_kv_heads * shape_.head_dim;
    const std::int64_t qkv_row = q_elements() + 2 * kv_elements;
    const kernels::cuda::PagedKvCache cache = cache_of(seq, layer);

    launched(kernels::cuda::rms_norm_residual(nullptr, x, w.attn_norm, rows, hidden, eps, b.normed,
                                              stream),
             "rms_norm");
    timer_.op(OpKind::kNorm, layer, {4 * n * hidden, 2 * n * hidden, 4 * n * hidden, n}, stream);
    multiply(w.qkv, qkv_row, hidden, w.qkv_bias, b.normed, n, b.qkv);
    timer_.op(OpKind::kQkv, layer,
              {2 * (qkv_row * hidden + n * hidden), 2 * n * qkv_row, 2 * n * qkv_row * hidden, n},
              stream);
    launched(kernels::cuda::rope_append_prefill(b.qkv, qkv_row, first, inv_freq_.as<float>(), rows,
                                                static_cast<std::int32_t>(shape_.num_qo_heads),
                                                num_kv_heads(), cache, b.q, stream),
             "rope_append");
    timer_.op(OpKind::kRopeAppend, layer,
              {2 * n * qkv_row, 2 * n * qkv_row, 3 * n * (q_elements() + kv_elements),
               n * shape_.num_kv_heads},
              stream);
    kernels::cuda::PrefillAttentionArguments attention;
    attention.cache = cache;
    attention.q = b.q;
    attention.q_stride = q_elements();
    attention.out = b.attended;
    attention.out_stride = q_elements();
    attention.n = rows;
    attention.num_qo_heads = static_cast<std::int32_t>(shape_.num_qo_heads);
    launched(kernels::cuda::prefill_attention(attention, stream), "prefill_attention");
    std::int64_t kv_rows = 0;
    std::int64_t seen = 0;  // (query, key) pairs of one query head each
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        const std::int64_t length = seq.heads[head_index(layer, head)].length;
        kv_rows += length;
        seen += n * (length - n) + n * (n + 1) / 2;
    }
    timer_.op(OpKind::kAttention, layer,
              {kv_rows * 2 * kv_row_bytes() + 2 * n * q_elements(), 2 * n * q_elements(),
               4 * seen * group() * shape_.head_dim, kv_rows},
              stream);
    multiply(w.o, hidden, q_elements(), nullptr, b.attended, n, b.branch);
    timer_.op(OpKind::kAttnOut, layer,
              {2 * (hidden * q_elements() + n * q_elements()), 2 * n * hidden,
               2 * n * hidden * q_elements(), n},
              stream);
    launched(kernels::cuda::rms_norm_residual(b.branch, x, w.mlp_norm, rows, hidden, eps, b.normed,
                                              stream),
             "rms_norm");
    multiply(w.gate_up, 2 * shape_.mlp, hidden, nullptr, b.normed, n, b.gate_up);
    launched(kernels::cuda::silu_mul(b.gate_up, rows, shape_.mlp, b.act, stream), "silu_mul");
    multiply(w.down, hidden, shape_.mlp, nullptr, b.act, n, b.branch);
    launched(kernels::cuda::rms_norm_residual(b.branch, x, w.mlp_norm, rows, hidden, eps, nullptr,
                                              stream),
             "residual");
    timer_.op(OpKind::kMlp, layer,
              {2 * (3 * shape_.mlp * hidden + 2 * n * hidden), 2 * n * hidden,
               6 * n * shape_.mlp * hidden, n},
              stream);
}

void CudaBackend::finish_prompt_layer(DeviceSequence& seq, std::int32_t layer, const Bf16* last_q,
                                      bool first) {
    if (captures(seq)) {
        capture_layer(seq, layer, cache_of(seq, layer), last_q,
                      first ? Pass::kPrompt : Pass::kTurn);
        timer_.skip(compute_.get());
    }
    if (first && seq.budgets) select_layer(seq, layer, last_q);
}

void CudaBackend::multiply(const Bf16* w, std::int64_t rows, std::int64_t cols, const Bf16* bias,
                           const Bf16* x, std::int64_t n, Bf16* out) {
    if (library_ != nullptr) {
        library_->multiply(w, rows, cols, bias, x, n, out, compute_.get());
        if (cuda_.synchronous_kernels) launched(cudaSuccess, "matrix product");
        return;
    }
    // Without the library: right, and slow for long prompts (open_library says so once).
    for (std::int64_t done = 0; done < n; done += kDecodeTokens) {
        kernels::cuda::DecodeMatmulArguments a;
        a.w = w;
        a.rows = rows;
        a.cols = cols;
        a.n = static_cast<std::int32_t>(std::min(kDecodeTokens, n - done));
        a.bias = bias;
        a.x = x + done * cols;
        a.out = out + done * rows;
        launched(kernels::cuda::decode_matmul(a, false, compute_.get()), "decode_matmul");
    }
}

void CudaBackend::logits_of(const float* x, std::int64_t n, float* device_logits) {
    kernels::cuda::DecodeMatmulArguments a;
    a.prologue = kernels::cuda::MatmulPrologue::kRmsNorm;
    a.epilogue = kernels::cuda::MatmulEpilogue::kStoreF32;
    a.w = weights_.lm_head;
    a.rows = shape_.vocab;
    a.cols = shape_.hidden;
    a.n = static_cast<std::int32_t>(n);
    a.x_f32 = x;
    a.norm_weight = weights_.final_norm;
    a.eps = static_cast<float>(shape_.rms_eps);
    a.out_f32 = device_logits;
    launched(kernels::cuda::decode_matmul(a, false, compute_.get()), "lm_head");
    timer_.op(OpKind::kLmHead, -1,
              {2 * shape_.vocab * shape_.hidden, 4 * n * shape_.vocab,
               2 * n * shape_.vocab * shape_.hidden, n},
              compute_.get());
}

/// Logits of the last rows of x [n, hidden], as many as were asked for.
void CudaBackend::keep_logits(const float* x, std::int64_t n) {
    const std::int64_t count = std::min(kept_logit_rows_, n);
    kept_logits_.clear();
    const std::int64_t width = std::min<std::int64_t>(max_batch_, kDecodeTokens);
    for (std::int64_t done = 0; done < count;) {
        const std::int64_t rows = std::min(count - done, width);
        logits_of(x + (n - count + done) * shape_.hidden, rows, buffers_.logits);
        const auto floats = static_cast<std::size_t>(rows * shape_.vocab);
        const std::size_t at = kept_logits_.size();
        kept_logits_.resize(at + floats);
        check(cudaMemcpyAsync(kept_logits_.data() + at, buffers_.logits, floats * sizeof(float),
                              cudaMemcpyDeviceToHost, compute_.get()),
              "reading logits");
        done += rows;
    }
}

}  // namespace hc::cuda
