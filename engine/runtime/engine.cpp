#include "engine/runtime/engine.h"

#include "engine/core/error.h"
#include "engine/runtime/backend.h"
#include "engine/runtime/cpu_backend.h"

namespace hc::runtime {

Engine::Engine(const model::Model& model, const EngineOptions& options, Observer* observer) {
    if (options.backend != Backend::kCpu) {
        throw_unavailable("backend 'cuda' is not in this program, which has 'cpu' only");
    }
    if (model.shape_only) {
        throw_refused("model '" + model.name +
                      "' is a shape without weights: backend cpu needs weights, backend cuda makes "
                      "random ones");
    }
    if (options.drift || options.synthetic_prefill) {
        throw_refused("synthetic drift and synthetic prefill are of backend cuda");
    }
    backend_ = std::make_unique<CpuBackend>(model, options, observer);
}

Engine::Engine(std::unique_ptr<EngineBackend> backend) : backend_(std::move(backend)) {
    HC_CHECK(backend_ != nullptr);
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

SequenceId Engine::add_sequence(const SequenceOptions& options) {
    return backend_->add_sequence(options);
}

void Engine::remove_sequence(SequenceId sequence) {
    backend_->remove_sequence(sequence);
}

std::span<const float> Engine::prefill(SequenceId sequence, std::span<const TokenId> tokens,
                                       Progress* progress) {
    return backend_->prefill(sequence, tokens, progress);
}

std::span<const float> Engine::decode(std::span<const DecodeInput> inputs) {
    return backend_->decode(inputs);
}

std::span<const TokenId> Engine::decode_sampled(std::span<const DecodeInput> inputs,
                                                const Sampling& sampling, std::uint64_t draws) {
    return backend_->decode_sampled(inputs, sampling, draws);
}

void Engine::keep_prefill_logits(std::int64_t count) {
    backend_->keep_prefill_logits(count);
}

std::span<const float> Engine::prefill_logits() const {
    return backend_->prefill_logits();
}

std::int64_t Engine::length(SequenceId sequence) const {
    return backend_->length(sequence);
}

MemoryRecord Engine::memory() const {
    return backend_->memory();
}

std::int64_t Engine::step() const {
    return backend_->step();
}

const model::Model& Engine::model() const {
    return backend_->model();
}

int Engine::threads() const {
    return backend_->threads();
}

void Engine::capture_attention(SequenceId sequence,
                               const std::optional<AttentionCapture>& capture) {
    backend_->capture_attention(sequence, capture);
}

void Engine::capture_rows(SequenceId sequence, AttentionRowSink* sink) {
    backend_->capture_rows(sequence, sink);
}

void Engine::use_oracle(SequenceId sequence, const HeadProfile& profile,
                        const policy::Settings& settings) {
    backend_->use_oracle(sequence, profile, settings);
}

void Engine::finish() {
    backend_->finish();
}

}  // namespace hc::runtime
