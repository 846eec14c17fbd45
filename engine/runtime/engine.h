/// Prefill and decode on a backend, with a retrieval policy per sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/core/observer.h"
#include "engine/core/progress.h"
#include "engine/model/model.h"
#include "engine/policy/settings.h"
#include "engine/runtime/sampler.h"
#include "engine/runtime/synthetic_drift.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {

class EngineBackend;

using model::TokenId;

enum class Backend : std::uint8_t { kCpu, kCuda };

struct EngineOptions {
    Backend backend = Backend::kCpu;
    kernels::cpu::Precision precision = kernels::cpu::Precision::kFast;
    int threads = 0;               ///< 0: all cores of this process
    std::int64_t page_size = 256;  ///< tokens
    std::int64_t prefill_chunk = 512;
    bool record_operations = true;  ///< false: no clock is read inside a step
    // For shapes without weights, backend cuda alone:
    std::optional<SyntheticDrift> drift;  ///< decides triggers and fetched rows
    bool synthetic_prefill = false;       ///< KV and kept sets of a prompt are random ones
};

/// What a sequence keeps.
struct SequenceOptions {
    bool heterocache = false;              ///< false: FullKV
    policy::Settings settings;             ///< with heterocache
    const HeadProfile* profile = nullptr;  ///< with heterocache; borrowed
    std::int64_t reserve_generated = 128;  ///< tokens for which no step allocates
};

/// What the drift trace wants of a run (trace.md, "The drift trace").
struct AttentionCapture {
    double keep = 0.5;                     ///< fraction of the prompt per row
    std::int32_t every = 5;                ///< prob rows at every n-th step
    const HeadProfile* profile = nullptr;  ///< which heads are pivots, which compressed
    policy::Settings settings;             ///< pool width, half precision
};

/// Attention rows of the last query of a pass, for calibration: [query head, kv_len] fp32.
class AttentionRowSink {
public:
    virtual ~AttentionRowSink() = default;
    virtual void begin_pass(std::int64_t kv_len) = 0;
    virtual void layer_rows(std::int32_t layer, std::span<const float> rows) = 0;
};

using SequenceId = std::int32_t;

/// One token for one sequence in a decode step.
struct DecodeInput {
    SequenceId sequence = 0;
    TokenId token = 0;
};

/// Not thread-safe: one caller. Sequences share weights and pool; each has its own state.
class Engine {
public:
    /// On the CPU. `model` and `observer` (may be null) are borrowed and must outlive the engine.
    Engine(const model::Model& model, const EngineOptions& options, Observer* observer = nullptr);
    /// On a backend made elsewhere (engine/cuda).
    explicit Engine(std::unique_ptr<EngineBackend> backend);
    ~Engine();
    Engine(Engine&&) noexcept;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Throws Error(kInput) when the profile is of another model shape.
    [[nodiscard]] SequenceId add_sequence(const SequenceOptions& options);
    void remove_sequence(SequenceId sequence);

    /// Runs a prompt and returns the last token's logits [vocab], valid until the next call.
    /// The first prompt of a sequence is subject to selection; a later one (a further turn) is
    /// appended like generated tokens, which are never dropped. Throws Error(kRefused) when it
    /// does not fit the context, Error(kRefused) naming the minimum when the ratio is too small.
    std::span<const float> prefill(SequenceId sequence, std::span<const TokenId> tokens,
                                   Progress* progress = nullptr);
    /// One decode step of any set of distinct sequences: logits [inputs, vocab].
    std::span<const float> decode(std::span<const DecodeInput> inputs);
    /// The same, and the backend samples: one token per input, valid until the next call. Logits
    /// stay where they were computed. `draws`: random numbers that each sequence drew before, so
    /// that the tokens are those of one Sampler per sequence.
    std::span<const TokenId> decode_sampled(std::span<const DecodeInput> inputs,
                                            const Sampling& sampling, std::uint64_t draws);

    /// Logits of the last `count` prompt positions of the latest prefill, when asked for before:
    /// [count, vocab].
    void keep_prefill_logits(std::int64_t count);
    [[nodiscard]] std::span<const float> prefill_logits() const;

    [[nodiscard]] std::int64_t length(SequenceId sequence) const;  ///< tokens processed
    [[nodiscard]] MemoryRecord memory() const;
    [[nodiscard]] std::int64_t step() const;
    [[nodiscard]] const model::Model& model() const;
    [[nodiscard]] int threads() const;

    /// Rows for the drift trace go to the observer from now on; nullopt ends it. Costs time.
    void capture_attention(SequenceId sequence, const std::optional<AttentionCapture>& capture);
    /// Rows for calibration go to `sink` from now on; nullptr ends it. Costs time.
    void capture_rows(SequenceId sequence, AttentionRowSink* sink);
    /// The oracle of algorithm.md §9.4: from now on every compressed head attends, at each
    /// step, to its best `capacity` prompt tokens of that very step (and all generated ones).
    /// Needs heterocache off; costs time.
    void use_oracle(SequenceId sequence, const HeadProfile& profile,
                    const policy::Settings& settings);

    /// Waits for fetches under way and reports every fetch whose fate is open.
    void finish();

private:
    std::unique_ptr<EngineBackend> backend_;
};

}  // namespace hc::runtime
