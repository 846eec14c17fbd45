/// What a backend does for Engine. Same contracts as Engine's methods of the same names (engine.h);
/// Engine only forwards, so that callers see one class whatever runs below.
#pragma once

#include <optional>
#include <span>

#include "engine/runtime/engine.h"

namespace hc::runtime {

class EngineBackend {
public:
    virtual ~EngineBackend() = default;

    [[nodiscard]] virtual SequenceId add_sequence(const SequenceOptions& options) = 0;
    virtual void remove_sequence(SequenceId sequence) = 0;
    virtual std::span<const float> prefill(SequenceId sequence, std::span<const TokenId> tokens,
                                           Progress* progress) = 0;
    virtual std::span<const float> decode(std::span<const DecodeInput> inputs) = 0;
    virtual std::span<const TokenId> decode_sampled(std::span<const DecodeInput> inputs,
                                                    const Sampling& sampling,
                                                    std::uint64_t draws) = 0;
    virtual void keep_prefill_logits(std::int64_t count) = 0;
    [[nodiscard]] virtual std::span<const float> prefill_logits() const = 0;
    [[nodiscard]] virtual std::int64_t length(SequenceId sequence) const = 0;
    [[nodiscard]] virtual MemoryRecord memory() const = 0;
    [[nodiscard]] virtual std::int64_t step() const = 0;
    [[nodiscard]] virtual const model::Model& model() const = 0;
    [[nodiscard]] virtual int threads() const = 0;
    virtual void capture_attention(SequenceId sequence,
                                   const std::optional<AttentionCapture>& capture) = 0;
    virtual void capture_rows(SequenceId sequence, AttentionRowSink* sink) = 0;
    virtual void use_oracle(SequenceId sequence, const HeadProfile& profile,
                            const policy::Settings& settings) = 0;
    virtual void finish() = 0;
};

}  // namespace hc::runtime
