/// The CPU backend's state. One struct, its parts in files of their own:
///
///   cpu_backend.cpp     the public face, sequences
///   layer_forward.cpp   embedding, projections, MLP, logits: all but attention
///   prefill.cpp         a prompt, layer by layer, each layer in chunks
///   prefill_select.cpp  what stays after a prompt, host tier, compaction
///   decode.cpp          one step of a batch
///   drift_watch.cpp     checks of the pivots
///   fetches.cpp         from a trigger to a commit
///   capture.cpp         attention rows for drift trace and calibration
///   oracle.cpp          attention to the best tokens of each step
///   report.cpp          what the observer gets between steps
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/runtime/backend.h"
#include "engine/runtime/decode_attention.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/op_log.h"
#include "engine/runtime/prepared_model.h"
#include "engine/runtime/sequence.h"
#include "engine/runtime/workspace.h"

namespace hc::runtime {

/// Rows for the observer, gathered during a step and handed over after it.
struct Reports {
    std::vector<HeadRecord> heads;
    std::vector<DriftRecord> drift;
    std::vector<FetchRecord> fetches;
    std::vector<RowsRecord> rows;
    std::vector<AttentionRecord> attention;
};

/// What the tokens of a pass are to their sequence.
enum class Pass : std::uint8_t { kPrompt, kTurn, kDecode };

struct CpuBackend final : EngineBackend {
    CpuBackend(const model::Model& m, const EngineOptions& o, Observer* watcher);

    // --- what Engine forwards (cpu_backend.cpp)
    SequenceId add_sequence(const SequenceOptions& options) override;
    void remove_sequence(SequenceId id) override;
    std::span<const float> prefill(SequenceId id, std::span<const TokenId> tokens,
                                   Progress* progress) override;
    std::span<const float> decode(std::span<const DecodeInput> inputs) override;  // decode.cpp
    std::span<const TokenId> decode_sampled(std::span<const DecodeInput> inputs,
                                            const Sampling& sampling, std::uint64_t draws) override;
    void keep_prefill_logits(std::int64_t count) override;
    std::span<const float> prefill_logits() const override { return kept_logits; }
    std::int64_t length(SequenceId id) const override;
    MemoryRecord memory() const override;
    std::int64_t step() const override { return current_step; }
    const model::Model& model() const override { return loaded; }
    int threads() const override { return pool.size(); }
    void capture_attention(SequenceId id, const std::optional<AttentionCapture>& capture) override;
    void capture_rows(SequenceId id, AttentionRowSink* sink) override;
    void use_oracle(SequenceId id, const HeadProfile& profile,
                    const policy::Settings& settings) override;
    void finish() override;

    // --- sequences (cpu_backend.cpp)
    Sequence& sequence(SequenceId id);
    void check_profile(const HeadProfile& profile) const;
    void reserve_for_decode();
    void settle_fetches(Sequence& seq);

    // --- dense parts (layer_forward.cpp); x is the residual stream [n, hidden]
    void embed(std::span<const TokenId> tokens, float* x);
    void project(std::int32_t layer, const float* x, std::int64_t n);
    /// Rotates row `row` of q and k and stores k and v `back` slots before each head's end.
    void append_row(Sequence& seq, std::int32_t layer, std::int64_t row, std::int64_t back);
    void finish_layer(std::int32_t layer, float* x, std::int64_t n);
    /// Normalises n rows of x and writes their logits to `out` [n, vocab].
    void logits_of(const float* x, std::int64_t n, float* out);

    // --- prefill (prefill.cpp)
    std::span<const float> prefill(Sequence& seq, std::span<const TokenId> tokens,
                                   Progress* progress);
    void run_prompt(Sequence& seq, std::span<const TokenId> tokens, Progress* progress);
    void prefill_chunk(Sequence& seq, std::int32_t layer, float* x, std::int64_t first,
                       std::int64_t n);
    void prefill_attention(Sequence& seq, std::int32_t layer, std::int64_t n);
    void keep_logits(const float* x, std::int64_t n);

    // --- selection (prefill_select.cpp)
    void begin_policy(Sequence& seq, std::int64_t prompt);
    void select_layer(Sequence& seq, std::int32_t layer, const float* last_q);
    void offload_layer(Sequence& seq, std::int32_t layer);
    void compact_layer(Sequence& seq, std::int32_t layer);
    void report_heads(const HeadProfile& profile, const policy::Budgets& budgets);

    // --- decode (decode.cpp)
    void decode_layer(std::int32_t layer, float* x);
    void decode_attention(std::int32_t layer);

    // --- drift (drift_watch.cpp)
    void remember_queries(Sequence& seq, std::int32_t layer, const float* q);
    /// Runs the layer's checks if they are due now; `before`: the call before attention.
    void watch_layer(Sequence& seq, std::int32_t layer, bool before);
    void score_windows(Sequence& seq, std::int32_t layer);
    void check_star(Sequence& seq, std::int32_t layer, const Star& star, std::size_t nth);

    // --- fetches (fetches.cpp)
    cache::FetchQueue& queue_for(const Sequence& seq);
    void start_fetch(Sequence& seq, HeadId pivot, std::int64_t check_id, std::int64_t check_op,
                     std::vector<policy::HeadFetch> heads);
    void commit_due(Sequence& seq);
    /// `holds_from`: the first step whose attention sees the rows.
    void commit(Sequence& seq, OpenFetch& fetch, std::int64_t holds_from);
    void place_rows(Sequence& seq, const OpenFetch& fetch, std::size_t piece);
    void log_fetch_op(OpenFetch& fetch);
    void note_first_use(Sequence& seq, std::int32_t layer, std::int64_t attention_op);
    void collect_fetches(Sequence& seq);

    // --- capture (capture.cpp); q [num_qo_heads, head_dim] of the last token
    void capture_layer(Sequence& seq, std::int32_t layer, const float* q, Pass pass);
    void capture_scores(Sequence& seq, std::int32_t layer, const float* q, bool at_prompt);
    void capture_probabilities(Sequence& seq, std::int32_t layer, const float* q);
    void sink_rows(Sequence& seq, std::int32_t layer, const float* q);
    [[nodiscard]] bool captures(const Sequence& seq) const {
        return seq.row_sink != nullptr || (seq.capture && observer != nullptr);
    }
    /// Per-worker scratch of `floats`. Allocates when it is not there.
    void ensure_scratch(std::int64_t floats);
    [[nodiscard]] float* scratch_of(int worker) {
        return scratch[static_cast<std::size_t>(worker)].data();
    }

    // --- oracle (oracle.cpp)
    void begin_oracle(Sequence& seq, std::int64_t prompt);
    [[nodiscard]] bool by_oracle(const Sequence& seq, HeadId head) const;
    void oracle_attention(Sequence& seq, std::int32_t layer, const float* q, float* out);

    // --- reports (report.cpp)
    void begin_step();
    void drop_step();
    void clear_reports();
    void end_step(Phase phase, std::int32_t batch);
    [[nodiscard]] MemoryRecord memory_now() const;
    [[nodiscard]] std::int64_t process_peak() const;

    [[nodiscard]] std::size_t head_index(std::int32_t layer, std::int32_t head) const {
        return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape.num_kv_heads) +
               static_cast<std::size_t>(head);
    }
    [[nodiscard]] std::int32_t num_kv_heads() const {
        return static_cast<std::int32_t>(shape.num_kv_heads);
    }
    [[nodiscard]] std::int64_t group_floats() const { return shape.group() * shape.head_dim; }
    [[nodiscard]] std::int64_t q_floats() const { return shape.num_qo_heads * shape.head_dim; }

    const model::Model& loaded;
    const ModelShape& shape;
    EngineOptions options;
    Observer* observer;
    ThreadPool pool;
    cache::KvPool kv_pool;
    PreparedModel weights;
    std::vector<float> inv_freq;  // [head_dim/2]
    Workspace work;
    DecodeAttention attention;
    OpLog log;
    Reports reports;
    std::vector<std::vector<float>> scratch;  // [worker]
    std::vector<float> scores;                // [rows, prompt], selection scores under way

    std::vector<std::unique_ptr<Sequence>> sequences;  // by id; null once removed
    std::vector<Sequence*> batch;                      // of the decode step under way
    std::vector<float> stream;                         // [batch, hidden], likewise
    // After the sequences: workers stop before the tiers that they read go away.
    std::unique_ptr<cache::FetchQueue> asynchronous_queue;
    std::unique_ptr<cache::FetchQueue> immediate_queue;

    std::int64_t current_step = -1;  // the latest
    std::int64_t step_start_ns = 0;
    std::int64_t next_check = 0;
    std::int64_t next_fetch = 0;
    mutable std::int64_t peak_bytes = 0;     // of the process, looked up now and then
    mutable std::int64_t peak_checked = -1;  // at this step
    std::int64_t kept_logit_rows = 0;
    std::vector<float> kept_logits;
    std::vector<TokenId> sampled;  // of decode_sampled
};

}  // namespace hc::runtime
