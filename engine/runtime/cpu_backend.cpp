#include "engine/runtime/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/runtime/rope_frequencies.h"

namespace hc::runtime {
namespace {

kernels::KvType kv_type(kernels::cpu::Precision precision) {
    return precision == kernels::cpu::Precision::kFp32 ? kernels::KvType::kF32
                                                       : kernels::KvType::kF16;
}

cache::PoolGeometry pool_geometry(const ModelShape& shape, const EngineOptions& options) {
    cache::PoolGeometry geometry;
    geometry.num_layers = static_cast<std::int32_t>(shape.num_layers);
    geometry.num_kv_heads = static_cast<std::int32_t>(shape.num_kv_heads);
    geometry.head_dim = shape.head_dim;
    geometry.page_size = options.page_size;
    geometry.type = kv_type(options.precision);
    return geometry;
}

const EngineOptions& checked(const EngineOptions& options) {
    HC_CHECK(options.backend == Backend::kCpu);
    if (options.page_size < 1) {
        throw_usage(fmt::format("page size {}: expected at least 1 token", options.page_size));
    }
    if (options.prefill_chunk < 1) {
        throw_usage(
            fmt::format("prefill chunk {}: expected at least 1 token", options.prefill_chunk));
    }
    return options;
}

/// Operations of a decode step: six a layer, checks and fetches of a few heads, the ends.
std::size_t expected_ops(const ModelShape& shape) {
    return static_cast<std::size_t>(shape.num_layers * (8 + 4 * shape.num_kv_heads) + 64);
}

}  // namespace

CpuBackend::CpuBackend(const model::Model& m, const EngineOptions& o, Observer* watcher)
    : loaded(m),
      shape(m.shape),
      options(checked(o)),
      observer(watcher),
      pool(o.threads),
      kv_pool(pool_geometry(m.shape, o)),
      weights(prepare(m.weights, o.precision, pool)),
      inv_freq(rope_frequencies(m.shape, m.weights.rope_factors)),
      work(m.shape, std::min(o.prefill_chunk, m.shape.context), pool.size()),
      attention(m.shape.group(), m.shape.head_dim, pool.size()),
      log(o.record_operations && watcher != nullptr, expected_ops(m.shape)),
      scratch(static_cast<std::size_t>(pool.size())) {}

Sequence& CpuBackend::sequence(SequenceId id) {
    const bool known = id >= 0 && static_cast<std::size_t>(id) < sequences.size() &&
                       sequences[static_cast<std::size_t>(id)] != nullptr;
    if (!known) throw_usage(fmt::format("sequence {} does not exist in this engine", id));
    return *sequences[static_cast<std::size_t>(id)];
}

void CpuBackend::check_profile(const HeadProfile& profile) const {
    if (profile.num_layers == shape.num_layers && profile.num_kv_heads == shape.num_kv_heads) {
        return;
    }
    throw_input(fmt::format(
        "the head profile is of another model: it has {} layers of {} KV heads, {} has {} of {}",
        profile.num_layers, profile.num_kv_heads, loaded.name, shape.num_layers,
        shape.num_kv_heads));
}

/// Everything that the reserved tokens of all sequences will need: pages, page lists, tasks.
void CpuBackend::reserve_for_decode() {
    std::int64_t pages = 0;
    std::int64_t longest = 0;
    std::int64_t live = 0;
    for (const auto& seq : sequences) {
        if (seq == nullptr) continue;
        ++live;
        const std::int64_t more = std::max<std::int64_t>(0, seq->reserved_until - seq->length);
        for (cache::HeadKv& head : seq->heads) {
            head.reserve(head.length() + more);
            pages += head.pages_to_reach(head.length() + more);
            longest = std::max(longest, head.length() + more);
        }
    }
    kv_pool.reserve(pages);
    attention.reserve(live * shape.num_kv_heads, longest);
    work.ensure_logits(live);
    batch.reserve(static_cast<std::size_t>(live));
    const auto floats = static_cast<std::size_t>(live * shape.hidden);
    if (stream.size() < floats) stream.resize(floats);
}

/// Ends every fetch of a sequence and reports those whose fate was open.
void CpuBackend::settle_fetches(Sequence& seq) {
    for (OpenFetch& fetch : seq.fetches) {
        if (fetch.ticket >= 0 && !fetch.committed && !fetch.record.superseded) {
            fetch.queue->wait(fetch.ticket);
            log_fetch_op(fetch);
        }
        if (fetch.reported || observer == nullptr) continue;
        observer->on_fetch(fetch.record);
        fetch.reported = true;
    }
}

SequenceId CpuBackend::add_sequence(const SequenceOptions& wanted) {
    if (wanted.heterocache) {
        if (wanted.profile == nullptr) throw_usage("heterocache needs a head profile");
        check_profile(*wanted.profile);
        policy::validate(wanted.settings);
    }
    const auto id = static_cast<SequenceId>(sequences.size());
    auto seq = std::make_unique<Sequence>(id, wanted);
    const std::int64_t heads = shape.num_kv_heads_total();
    seq->heads.reserve(static_cast<std::size_t>(heads));
    for (std::int64_t head = 0; head < heads; ++head) seq->heads.emplace_back(kv_pool);
    sequences.push_back(std::move(seq));
    return id;
}

void CpuBackend::remove_sequence(SequenceId id) {
    Sequence& seq = sequence(id);
    settle_fetches(seq);
    for (OpenFetch& fetch : seq.fetches) {
        if (fetch.ticket >= 0) fetch.queue->release(fetch.ticket);
    }
    sequences[static_cast<std::size_t>(id)].reset();
}

std::span<const float> CpuBackend::prefill(SequenceId id, std::span<const TokenId> tokens,
                                           Progress* progress) {
    return prefill(sequence(id), tokens, progress);
}

void CpuBackend::keep_prefill_logits(std::int64_t count) {
    if (count < 0) throw_usage(fmt::format("{} prefill logits asked for", count));
    kept_logit_rows = count;
}

std::int64_t CpuBackend::length(SequenceId id) const {
    return const_cast<CpuBackend*>(this)->sequence(id).length;
}

MemoryRecord CpuBackend::memory() const {
    peak_checked = -1;
    static_cast<void>(process_peak());
    return memory_now();
}

void CpuBackend::capture_attention(SequenceId id, const std::optional<AttentionCapture>& capture) {
    Sequence& seq = sequence(id);
    if (capture) {
        if (capture->profile == nullptr) throw_usage("a drift trace needs a head profile");
        check_profile(*capture->profile);
        if (!(capture->keep > 0 && capture->keep <= 1)) {
            throw_usage(fmt::format(
                "drift trace keeps {} of the prompt: expected a share in (0, 1]", capture->keep));
        }
        if (capture->every < 1) {
            throw_usage(
                fmt::format("drift trace every {} steps: expected at least 1", capture->every));
        }
    }
    seq.capture = capture;
}

void CpuBackend::capture_rows(SequenceId id, AttentionRowSink* sink) {
    Sequence& seq = sequence(id);
    if (sink != nullptr && seq.options.heterocache) {
        throw_refused("attention rows for calibration need a sequence that keeps every token");
    }
    seq.row_sink = sink;
}

void CpuBackend::use_oracle(SequenceId id, const HeadProfile& profile,
                            const policy::Settings& settings) {
    Sequence& seq = sequence(id);
    if (seq.options.heterocache) {
        throw_refused("the oracle needs a sequence that keeps every token");
    }
    check_profile(profile);
    policy::validate(settings);
    seq.oracle = Oracle{&profile, settings, {}};
    if (seq.prompt > 0) begin_oracle(seq, seq.prompt);
}

void CpuBackend::finish() {
    for (const auto& seq : sequences) {
        if (seq != nullptr) settle_fetches(*seq);
    }
}

std::span<const TokenId> CpuBackend::decode_sampled(std::span<const DecodeInput> inputs,
                                                    const Sampling& sampling, std::uint64_t draws) {
    const std::span<const float> logits = decode(inputs);
    const auto vocab = static_cast<std::size_t>(shape.vocab);
    sampled.clear();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        Sampler sampler(sampling, draws);
        sampled.push_back(sampler.sample(logits.subspan(i * vocab, vocab)));
    }
    return sampled;
}

}  // namespace hc::runtime
