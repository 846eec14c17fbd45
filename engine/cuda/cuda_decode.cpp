// One decode step of a batch: what it enqueues, as a graph where it can be, and its launch.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "engine/cuda/cuda_backend.h"
#include "engine/policy/device_memory.h"
#include "kernels/cuda/advance_lengths.h"
#include "kernels/cuda/cache_copy.h"
#include "kernels/cuda/decode_matmul.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/sample.h"

namespace hc::cuda {
namespace {

namespace k = kernels::cuda;

constexpr std::int64_t kMatmulTokens = 8;          // of one launch
constexpr std::int64_t kNormalisedInputs = 72000;  // n * cols that fit beside the weights
constexpr std::size_t kBatchesKept = 8;

}  // namespace

std::span<const float> CudaBackend::decode(std::span<const runtime::DecodeInput> inputs) {
    run_step(inputs, {});
    const auto floats = inputs.size() * static_cast<std::size_t>(shape_.vocab);
    return {outputs_.as<float>(), floats};
}

std::span<const TokenId> CudaBackend::decode_sampled(std::span<const runtime::DecodeInput> inputs,
                                                     const runtime::Sampling& sampling,
                                                     std::uint64_t draws) {
    const runtime::Sampler valid(sampling);  // refuses what is out of range
    StepPlan plan;
    plan.samples = true;
    plan.sampling = sampling;
    plan.draws = draws;
    run_step(inputs, plan);
    return {outputs_.as<TokenId>(), inputs.size()};
}

void CudaBackend::run_step(std::span<const runtime::DecodeInput> inputs, const StepPlan& plan) {
    DecodeBatch& batch = batch_for(inputs);
    for (DeviceSequence* seq : batch.sequences) {
        ensure_lists(*seq, seq->length + 1);
        bool grown = false;
        for (std::size_t head = 0; head < seq->heads.size(); ++head) {
            const std::size_t before = seq->heads[head].pages.size();
            const std::int64_t length = seq->heads[head].length;
            extend(*seq, head, length + 1);
            seq->heads[head].length = length;
            grown = grown || seq->heads[head].pages.size() != before;
        }
        if (grown) upload_lists(*seq, 0, num_layers());
        ++seq->decode_steps;
    }
    begin_step();
    refresh_batch(batch);
    fill_inputs(batch, inputs, plan);
    step_begin_.record(compute_.get());
    commit_due(batch);
    const bool eager = must_be_eager(batch);
    const std::vector<ExpectedCheck> checks = expected_checks(batch);
    std::vector<ExpectedCheck> watched;  // those that the worker acts on
    for (const ExpectedCheck& expected : checks) {
        if (expected.sequence->settings().commit_lag > 0) watched.push_back(expected);
    }
    if (!watched.empty()) worker_->expect(watched);
    if (eager) {
        timer_.skip(compute_.get());
        enqueue_step(batch, plan, true);
    } else {
        const std::vector<std::int32_t> key = step_key(batch, plan);
        auto graph = batch.graphs.find(key);
        if (graph == batch.graphs.end()) {
            graph =
                batch.graphs
                    .emplace(key, Graph(compute_.get(), [&] { enqueue_step(batch, plan, false); }))
                    .first;
        }
        graph->second.launch(compute_.get());
    }
    step_end_.record(compute_.get());
    const cudaError_t status = cudaStreamSynchronize(compute_.get());
    if (status != cudaSuccess) {
        check(status,
              fmt::format("a kernel of decode step {} failed (HCPROF_CUDA_SYNC=1 names it)", step_)
                  .c_str());
    }
    last_step_ns_ = elapsed_ns(step_begin_, step_end_);
    if (!watched.empty()) worker_->wait_checks();
    for (const ExpectedCheck& expected : checks) collect_check(expected);
    for (DeviceSequence* seq : batch.sequences) {
        for (HeadPages& head : seq->heads) ++head.length;
        ++seq->length;
        seq->last_batch = &batch;
    }
    for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
        batch.lengths_known[i] = batch.sequences[i]->length;
    }
    ++batch.steps;
    end_step(Phase::kDecode, static_cast<std::int32_t>(inputs.size()));
}

DecodeBatch& CudaBackend::batch_for(std::span<const runtime::DecodeInput> inputs) {
    if (inputs.empty()) throw_usage("a decode step needs at least one input");
    std::vector<SequenceId> ids;
    for (const runtime::DecodeInput& input : inputs) {
        const DeviceSequence& seq = sequence(input.sequence);
        if (seq.length == 0) {
            throw_usage(fmt::format("sequence {} has no prompt yet", input.sequence));
        }
        if (seq.length >= shape_.context) {
            throw_refused(fmt::format("sequence {} is full: {} tokens, the context of {} is {}",
                                      input.sequence, seq.length, model_.name, shape_.context));
        }
        check_tokens({&input.token, 1});
        if (std::find(ids.begin(), ids.end(), input.sequence) != ids.end()) {
            throw_usage(fmt::format("sequence {} comes twice in one decode step", input.sequence));
        }
        ids.push_back(input.sequence);
    }
    const auto known = std::find_if(batches_.begin(), batches_.end(),
                                    [&](const auto& batch) { return batch->ids == ids; });
    if (known != batches_.end()) {
        std::rotate(known, known + 1, batches_.end());
        return *batches_.back();
    }
    if (batches_.size() == kBatchesKept) {
        for (const auto& seq : sequences_) {
            if (seq != nullptr && seq->last_batch == batches_.front().get()) {
                throw_refused(fmt::format("sequences decode in more than {} different combinations",
                                          kBatchesKept));
            }
        }
        batches_.erase(batches_.begin());
    }
    batches_.push_back(make_batch(ids));
    return *batches_.back();
}

std::unique_ptr<DecodeBatch> CudaBackend::make_batch(const std::vector<SequenceId>& ids) {
    auto batch = std::make_unique<DecodeBatch>();
    batch->ids = ids;
    const auto n = static_cast<std::int64_t>(ids.size());
    for (const SequenceId id : ids) {
        DeviceSequence& seq = sequence(id);
        batch->sequences.push_back(&seq);
        if (!seq.retrieves()) continue;
        batch->ring_depth = std::max(batch->ring_depth, seq.settings().window);
    }
    batch->table_versions.assign(ids.size(), -1);
    batch->lengths_known.assign(ids.size(), -1);
    const std::int64_t entries = shape_.num_layers * n * shape_.num_kv_heads;
    batch->indptr = DeviceBuffer(ledger_, "step", 4 * entries);
    batch->lengths = DeviceBuffer(ledger_, "step", 4 * entries);
    plan_attention(*batch);
    const std::int64_t row = n * q_elements();
    batch->ring =
        DeviceBuffer(ledger_, "query windows", 2 * shape_.num_layers * batch->ring_depth * row);
    take_over_queries(*batch);
    return batch;
}

void CudaBackend::plan_attention(DecodeBatch& batch) {
    const bool fetches = std::any_of(batch.sequences.begin(), batch.sequences.end(),
                                     [](const auto* seq) { return seq->retrieves(); });
    const auto pairs = static_cast<std::int32_t>(batch.ids.size()) * num_kv_heads();
    check(k::plan_decode_attention(pairs, group(), head_dim(), batch.plan, attention_ctas(fetches)),
          "plan of decode attention");
    batch.attention_workspace =
        DeviceBuffer(ledger_, "step", static_cast<std::int64_t>(batch.plan.workspace_bytes));
    check(cudaMemsetAsync(batch.attention_workspace.as<void>(), 0, batch.plan.workspace_bytes,
                          compute_.get()),
          "clearing a workspace");
}

/// Queries of earlier steps that checks still look at, from the batch that a sequence was in.
void CudaBackend::take_over_queries(DecodeBatch& batch) {
    const auto n = static_cast<std::int64_t>(batch.ids.size());
    // The new ring has seen ring_depth steps already, so that row ring_depth - j is j steps old.
    batch.steps = batch.ring_depth;
    for (std::int64_t i = 0; i < n; ++i) {
        const DeviceSequence& seq = *batch.sequences[static_cast<std::size_t>(i)];
        const DecodeBatch* old = seq.last_batch;
        if (old == nullptr || !seq.retrieves()) continue;
        const auto old_n = static_cast<std::int64_t>(old->ids.size());
        const std::int64_t old_i =
            std::find(old->ids.begin(), old->ids.end(), seq.id) - old->ids.begin();
        const std::int64_t count = std::min<std::int64_t>(old->ring_depth, batch.ring_depth);
        for (std::int64_t layer = 0; layer < shape_.num_layers; ++layer) {
            for (std::int64_t back = 1; back <= count; ++back) {
                const std::int64_t from = (old->steps - back + old->ring_depth) % old->ring_depth;
                const std::int64_t to = (batch.steps - back) % batch.ring_depth;
                const Bf16* source =
                    old->ring.as<Bf16>() +
                    ((layer * old->ring_depth + from) * old_n + old_i) * q_elements();
                Bf16* target = batch.ring.as<Bf16>() +
                               ((layer * batch.ring_depth + to) * n + i) * q_elements();
                check(cudaMemcpyAsync(target, source, static_cast<std::size_t>(2 * q_elements()),
                                      cudaMemcpyDeviceToDevice, compute_.get()),
                      "moving queries");
            }
        }
    }
}

/// Brings the device's lists and lengths of a batch up to date where a step alone did not.
void CudaBackend::refresh_batch(DecodeBatch& batch) {
    bool stale = false;
    for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
        const DeviceSequence& seq = *batch.sequences[i];
        stale = stale || batch.table_versions[i] != seq.table_version ||
                batch.lengths_known[i] != seq.length;
    }
    if (!stale) return;
    const auto n = batch.sequences.size();
    const auto heads = static_cast<std::size_t>(shape_.num_kv_heads);
    std::vector<std::int32_t> indptr(n * heads * static_cast<std::size_t>(shape_.num_layers));
    std::vector<std::int32_t> lengths(indptr.size());
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
        for (std::size_t i = 0; i < n; ++i) {
            const DeviceSequence& seq = *batch.sequences[i];
            for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
                const std::size_t index = head_index(layer, head);
                const std::size_t at = (static_cast<std::size_t>(layer) * n + i) * heads +
                                       static_cast<std::size_t>(head);
                indptr[at] = static_cast<std::int32_t>(
                    seq.table_first + static_cast<std::int64_t>(index) * seq.list_stride);
                lengths[at] = static_cast<std::int32_t>(seq.heads[index].length);
            }
        }
    }
    const std::size_t bytes = indptr.size() * sizeof(std::int32_t);
    check(cudaMemcpyAsync(batch.indptr.as<void>(), indptr.data(), bytes, cudaMemcpyHostToDevice,
                          compute_.get()),
          "uploading page lists");
    check(cudaMemcpyAsync(batch.lengths.as<void>(), lengths.data(), bytes, cudaMemcpyHostToDevice,
                          compute_.get()),
          "uploading lengths");
    for (std::size_t i = 0; i < n; ++i) {
        batch.table_versions[i] = batch.sequences[i]->table_version;
        batch.lengths_known[i] = batch.sequences[i]->length;
    }
}

void CudaBackend::fill_inputs(const DecodeBatch& batch,
                              std::span<const runtime::DecodeInput> inputs, const StepPlan& plan) {
    // As in step_memory_: tokens, positions, steps, random, each aligned.
    std::byte* at = inputs_.as<std::byte>();
    const auto offset = [&](const void* device) {
        return at + (static_cast<const std::byte*>(device) - step_memory_.as<std::byte>());
    };
    auto* tokens = reinterpret_cast<std::int32_t*>(offset(buffers_.tokens));
    auto* positions = reinterpret_cast<std::int32_t*>(offset(buffers_.positions));
    auto* steps = reinterpret_cast<std::int64_t*>(offset(buffers_.steps));
    auto* random = reinterpret_cast<std::uint64_t*>(offset(buffers_.random));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        tokens[i] = inputs[i].token;
        positions[i] = static_cast<std::int32_t>(batch.sequences[i]->length);
        steps[i] = batch.sequences[i]->decode_steps;
        random[i] = plan.sampling.seed + plan.draws * k::kSampleIncrement;
    }
}

bool CudaBackend::must_be_eager(const DecodeBatch& batch) const {
    if (timer_.enabled() || !cuda_.graphs) return true;
    return std::any_of(batch.sequences.begin(), batch.sequences.end(), [&](const auto* seq) {
        return captures(*seq) || seq->oracle.has_value() ||
               (seq->retrieves() && seq->settings().commit_lag == 0);
    });
}

/// Everything that makes one step's work differ from another's.
std::vector<std::int32_t> CudaBackend::step_key(const DecodeBatch& batch,
                                                const StepPlan& plan) const {
    std::vector<std::int32_t> key;
    key.push_back(static_cast<std::int32_t>(batch.steps % batch.ring_depth));
    key.push_back(plan.samples ? 1 : 0);
    if (plan.samples) {
        key.push_back(std::bit_cast<std::int32_t>(plan.sampling.temperature));
        key.push_back(plan.sampling.top_k);
        key.push_back(std::bit_cast<std::int32_t>(plan.sampling.top_p));
    }
    for (const DeviceSequence* seq : batch.sequences) {
        // With retrieval, checks repeat every window, once there is a whole one.
        std::int64_t phase = -1;
        if (seq->retrieves()) {
            const std::int64_t window = seq->settings().window;
            if (seq->decode_steps >= window) phase = seq->decode_steps % window;
        }
        key.push_back(static_cast<std::int32_t>(phase));
        key.push_back(static_cast<std::int32_t>(seq->table_first));
    }
    return key;
}

k::PagedKvCache CudaBackend::cache_of(const DecodeBatch& batch, std::int32_t layer) const {
    const auto pairs = static_cast<std::int32_t>(batch.ids.size()) * num_kv_heads();
    k::PagedKvCache cache;
    cache.pages = pool_.pages();
    cache.page_indices = table_.device();
    cache.page_indptr = batch.indptr.as<std::int32_t>() + layer * pairs;
    cache.lengths = batch.lengths.as<std::int32_t>() + layer * pairs;
    cache.num_pairs = pairs;
    cache.page_size = static_cast<std::int32_t>(options_.page_size);
    cache.head_dim = head_dim();
    cache.appended = 1;  // lengths advance at the end of the step
    return cache;
}

Bf16* CudaBackend::queries_of(const DecodeBatch& batch, std::int32_t layer) const {
    const std::int64_t row = batch.steps % batch.ring_depth;
    return batch.ring.as<Bf16>() + (layer * batch.ring_depth + row) *
                                       static_cast<std::int64_t>(batch.ids.size()) * q_elements();
}

void CudaBackend::enqueue_step(DecodeBatch& batch, const StepPlan& plan, bool eager) {
    const cudaStream_t stream = compute_.get();
    const auto n = static_cast<std::int32_t>(batch.ids.size());
    side_used_ = false;
    check(cudaMemcpyAsync(step_memory_.as<void>(), inputs_.as<void>(),
                          static_cast<std::size_t>(input_bytes_), cudaMemcpyHostToDevice, stream),
          "uploading a step's inputs");
    launched(k::embedding_f32(weights_.embedding, shape_.vocab, shape_.hidden, buffers_.tokens, n,
                              buffers_.stream, stream),
             "embedding");
    timer_.op(OpKind::kEmbed, -1, {2 * n * shape_.hidden, 4 * n * shape_.hidden, 0, n}, stream);
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) enqueue_layer(batch, layer, eager);
    enqueue_head(batch, plan);
}

/// decode_matmul over the batch, in slices that one launch takes.
template <typename Fill>
void CudaBackend::enqueue_matmul(k::DecodeMatmulArguments arguments, std::int64_t n,
                                 const char* what, const Fill& fill) {
    std::int64_t most = kMatmulTokens;
    if (arguments.prologue == k::MatmulPrologue::kRmsNorm) {
        most = std::clamp<std::int64_t>(kNormalisedInputs / arguments.cols, 1, most);
    }
    for (std::int64_t first = 0; first < n; first += most) {
        arguments.n = static_cast<std::int32_t>(std::min(most, n - first));
        fill(arguments, first);
        launched(k::decode_matmul(arguments, uses_dependent_launch(), compute_.get()), what);
    }
}

void CudaBackend::enqueue_layer(DecodeBatch& batch, std::int32_t layer, bool eager) {
    const cudaStream_t stream = compute_.get();
    const DeviceLayer& w = weights_.layers[static_cast<std::size_t>(layer)];
    const auto n = static_cast<std::int64_t>(batch.ids.size());
    const std::int64_t hidden = shape_.hidden;
    const std::int64_t kv_elements = shape_.num_kv_heads * shape_.head_dim;
    const std::int64_t qkv_row = q_elements() + 2 * kv_elements;
    const k::PagedKvCache cache = cache_of(batch, layer);
    Bf16* q = queries_of(batch, layer);

    k::DecodeMatmulArguments qkv;
    qkv.w = w.qkv;
    qkv.rows = qkv_row;
    qkv.cols = hidden;
    qkv.prologue = k::MatmulPrologue::kRmsNorm;
    qkv.epilogue = k::MatmulEpilogue::kRopeAppend;
    qkv.norm_weight = w.attn_norm;
    qkv.eps = static_cast<float>(shape_.rms_eps);
    qkv.bias = w.qkv_bias;
    qkv.inv_freq = inv_freq_.as<float>();
    qkv.num_qo_heads = static_cast<std::int32_t>(shape_.num_qo_heads);
    qkv.num_kv_heads = num_kv_heads();
    enqueue_matmul(qkv, n, "qkv", [&](k::DecodeMatmulArguments& a, std::int64_t first) {
        a.x_f32 = buffers_.stream + first * hidden;
        a.out = q + first * q_elements();
        a.positions = buffers_.positions + first;
        a.cache = cache;
        a.cache.page_indptr += first * shape_.num_kv_heads;
        a.cache.lengths += first * shape_.num_kv_heads;
        a.cache.num_pairs = a.n * num_kv_heads();
    });
    timer_.op(OpKind::kQkv, layer,
              {2 * qkv_row * hidden + 4 * n * hidden, 2 * n * qkv_row, 2 * n * qkv_row * hidden, n},
              stream);
    if (cuda_.copy_cache_each_token) enqueue_cache_copy(batch, layer, cache);
    enqueue_checks(batch, layer, eager, true);
    launched(
        k::decode_attention(batch.plan, cache, q, buffers_.attended,
                            batch.attention_workspace.as<void>(), stream, uses_dependent_launch()),
        "decode_attention");
    std::int64_t rows = n;
    for (const DeviceSequence* seq : batch.sequences) {
        for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
            rows += seq->heads[head_index(layer, head)].length;
        }
    }
    last_attention_op_ =
        timer_.op(OpKind::kAttention, layer,
                  {rows * 2 * kv_row_bytes() + 2 * n * q_elements(), 2 * n * q_elements(),
                   4 * rows * group() * shape_.head_dim, rows},
                  stream);
    if (timer_.enabled()) note_first_use(batch, layer);
    for (std::int64_t i = 0; i < n && eager; ++i) {
        DeviceSequence& seq = *batch.sequences[static_cast<std::size_t>(i)];
        if (seq.oracle) {
            oracle_attention(seq, layer, cache_of_row(batch, layer, i), q + i * q_elements(),
                             buffers_.attended + i * q_elements());
        }
        if (captures(seq)) {
            capture_layer(seq, layer, cache_of_row(batch, layer, i), q + i * q_elements(),
                          Pass::kDecode);
            timer_.skip(stream);
        }
    }
    enqueue_checks(batch, layer, eager, false);

    k::DecodeMatmulArguments o;
    o.w = w.o;
    o.rows = hidden;
    o.cols = q_elements();
    o.epilogue = k::MatmulEpilogue::kAddF32;
    enqueue_matmul(o, n, "attention output", [&](k::DecodeMatmulArguments& a, std::int64_t first) {
        a.x = buffers_.attended + first * q_elements();
        a.out_f32 = buffers_.stream + first * hidden;
    });
    timer_.op(OpKind::kAttnOut, layer,
              {2 * (hidden * q_elements() + n * q_elements()), 4 * n * hidden,
               2 * n * hidden * q_elements(), n},
              stream);
    k::DecodeMatmulArguments gate_up;
    gate_up.w = w.gate_up;
    gate_up.rows = 2 * shape_.mlp;
    gate_up.cols = hidden;
    gate_up.prologue = k::MatmulPrologue::kRmsNorm;
    gate_up.epilogue = k::MatmulEpilogue::kSiluMul;
    gate_up.norm_weight = w.mlp_norm;
    gate_up.eps = static_cast<float>(shape_.rms_eps);
    enqueue_matmul(gate_up, n, "gate and up", [&](k::DecodeMatmulArguments& a, std::int64_t first) {
        a.x_f32 = buffers_.stream + first * hidden;
        a.out = buffers_.mlp + first * shape_.mlp;
    });
    k::DecodeMatmulArguments down;
    down.w = w.down;
    down.rows = hidden;
    down.cols = shape_.mlp;
    down.epilogue = k::MatmulEpilogue::kAddF32;
    enqueue_matmul(down, n, "down", [&](k::DecodeMatmulArguments& a, std::int64_t first) {
        a.x = buffers_.mlp + first * shape_.mlp;
        a.out_f32 = buffers_.stream + first * hidden;
    });
    timer_.op(
        OpKind::kMlp, layer,
        {6 * shape_.mlp * hidden + 4 * n * hidden, 4 * n * hidden, 6 * n * shape_.mlp * hidden, n},
        stream);
}

void CudaBackend::enqueue_cache_copy(const DecodeBatch& batch, std::int32_t layer,
                                     const k::PagedKvCache& cache) {
    std::int64_t most = 0;
    for (const DeviceSequence* seq : batch.sequences) {
        for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
            most = std::max(
                most, static_cast<std::int64_t>(seq->heads[head_index(layer, head)].pages.size()));
        }
    }
    const std::int64_t bytes = cache.num_pairs * most * 4 * options_.page_size * shape_.head_dim;
    if (cache_copy_.size_bytes() < bytes) {
        // Graphs hold its address; they are made after this, as pages grow before a step.
        throw_refused("the copying baseline's cache grew beyond what was reserved");
    }
    launched(k::copy_cache(cache, static_cast<std::int32_t>(most), cache_copy_.as<Bf16>(),
                           compute_.get()),
             "copy_cache");
}

void CudaBackend::enqueue_head(DecodeBatch& batch, const StepPlan& plan) {
    const cudaStream_t stream = compute_.get();
    const auto n = static_cast<std::int64_t>(batch.ids.size());
    k::DecodeMatmulArguments head;
    head.w = weights_.lm_head;
    head.rows = shape_.vocab;
    head.cols = shape_.hidden;
    head.prologue = k::MatmulPrologue::kRmsNorm;
    head.epilogue = k::MatmulEpilogue::kStoreF32;
    head.norm_weight = weights_.final_norm;
    head.eps = static_cast<float>(shape_.rms_eps);
    enqueue_matmul(head, n, "lm_head", [&](k::DecodeMatmulArguments& a, std::int64_t first) {
        a.x_f32 = buffers_.stream + first * shape_.hidden;
        a.out_f32 = buffers_.logits + first * shape_.vocab;
    });
    timer_.op(OpKind::kLmHead, -1,
              {2 * shape_.vocab * shape_.hidden + 4 * n * shape_.hidden, 4 * n * shape_.vocab,
               2 * n * shape_.vocab * shape_.hidden, n},
              stream);
    if (side_used_) {
        join_.record(side_.get());
        check(cudaStreamWaitEvent(stream, join_.get(), 0), "joining the checks");
    }
    if (plan.samples) {
        k::SampleArguments sample;
        sample.logits = buffers_.logits;
        sample.stride = shape_.vocab;
        sample.n = static_cast<std::int32_t>(n);
        sample.vocab = static_cast<std::int32_t>(shape_.vocab);
        sample.temperature = plan.sampling.temperature;
        sample.top_k = plan.sampling.top_k;
        sample.top_p = plan.sampling.top_p;
        sample.states = buffers_.random;
        sample.tokens = buffers_.sampled;
        sample.workspace = buffers_.sample_workspace;
        launched(k::sample(sample, stream), "sample");
        timer_.op(OpKind::kSample, -1, {4 * n * shape_.vocab, 4 * n, 0, n}, stream);
    }
    launched(
        k::advance_lengths(batch.lengths.as<std::int32_t>(),
                           static_cast<std::int32_t>(shape_.num_layers * n * shape_.num_kv_heads),
                           nullptr, 0, false, stream),
        "advance_lengths");
    const void* source = plan.samples ? static_cast<const void*>(buffers_.sampled)
                                      : static_cast<const void*>(buffers_.logits);
    const std::int64_t bytes = plan.samples ? 4 * n : 4 * n * shape_.vocab;
    check(cudaMemcpyAsync(outputs_.as<void>(), source, static_cast<std::size_t>(bytes),
                          cudaMemcpyDeviceToHost, stream),
          "reading a step's results");
}

}  // namespace hc::cuda
