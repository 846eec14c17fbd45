/// The CUDA backend's state. One class, its parts in files of their own:
///
///   cuda_backend.cpp    the public face, sequences, pages
///   cuda_prefill.cpp    a prompt, in chunks
///   cuda_select.cpp     what stays after a prompt, host tier, compaction; synthetic prompts
///   cuda_decode.cpp     one step of a batch: what it enqueues, graphs, launches
///   cuda_drift.cpp      checks of the pivots, what the host learns of them
///   cuda_fetches.cpp    from a trigger to a commit; the worker is fetch_worker.h
///   cuda_capture.cpp    attention rows for drift trace, calibration and oracle
///   cuda_report.cpp     what the observer gets between steps
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/cuda/device_info.h"
#include "engine/cuda/device_memory.h"
#include "engine/cuda/device_sequence.h"
#include "engine/cuda/device_weights.h"
#include "engine/cuda/fetch_worker.h"
#include "engine/cuda/matmul_library.h"
#include "engine/cuda/op_timer.h"
#include "engine/cuda/options.h"
#include "engine/cuda/page_pool.h"
#include "engine/cuda/stream.h"
#include "engine/runtime/backend.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/decode_matmul.h"

namespace hc::cuda {

using kernels::cuda::Bf16;
using runtime::SequenceId;
using runtime::TokenId;

/// Sequences that decode together: device arrays in their order, and a graph per combination of
/// where each stands in its window.
struct DecodeBatch {
    std::vector<SequenceId> ids;
    std::vector<DeviceSequence*> sequences;    ///< the same
    std::vector<std::int64_t> table_versions;  ///< per sequence, of the lists last uploaded
    std::vector<std::int64_t> lengths_known;   ///< per sequence: its length as the device has it
    DeviceBuffer indptr;                       ///< int32 [layer, sequence, KV head]
    DeviceBuffer lengths;                      ///< likewise
    kernels::cuda::DecodeAttentionPlan plan;
    DeviceBuffer attention_workspace;
    /// Queries of the last `ring_depth` steps: [layer, ring_depth, sequence, num_qo head_dim]. Step
    /// s of the batch (from 0) writes row s mod ring_depth.
    DeviceBuffer ring;
    std::int32_t ring_depth = 1;
    std::int64_t steps = 0;
    std::map<std::vector<std::int32_t>, Graph> graphs;  ///< by what the step does (step_key)
};

class CudaBackend final : public runtime::EngineBackend {
public:
    CudaBackend(const model::Model& model, const runtime::EngineOptions& options,
                const CudaOptions& cuda, Observer* observer);
    ~CudaBackend() override;

    SequenceId add_sequence(const runtime::SequenceOptions& options) override;
    void remove_sequence(SequenceId id) override;
    std::span<const float> prefill(SequenceId id, std::span<const TokenId> tokens,
                                   Progress* progress) override;
    std::span<const float> decode(std::span<const runtime::DecodeInput> inputs) override;
    std::span<const TokenId> decode_sampled(std::span<const runtime::DecodeInput> inputs,
                                            const runtime::Sampling& sampling,
                                            std::uint64_t draws) override;
    void keep_prefill_logits(std::int64_t count) override;
    std::span<const float> prefill_logits() const override { return kept_logits_; }
    std::int64_t length(SequenceId id) const override;
    MemoryRecord memory() const override;
    std::int64_t step() const override { return step_; }
    const model::Model& model() const override { return model_; }
    int threads() const override { return 1; }
    void capture_attention(SequenceId id,
                           const std::optional<runtime::AttentionCapture>& capture) override;
    void capture_rows(SequenceId id, runtime::AttentionRowSink* sink) override;
    void use_oracle(SequenceId id, const HeadProfile& profile,
                    const policy::Settings& settings) override;
    void finish() override;

    /// A prompt of `tokens` that is not computed (CudaOptions::synthetic_prefill).
    void prefill_synthetic(SequenceId id, std::int64_t tokens);
    /// Other synthetic drift from the next step on; fetches under way are given up. Drift cannot
    /// begin or end once a sequence has scratch: throws Error(kUsage).
    void set_drift(const std::optional<SyntheticDrift>& drift);
    /// Other gather_blocks, gather_threads, spare_sms, cluster_top_k, copy_engine_rows and
    /// dependent_launch from the next step on, for a bench that pins its host tier once; fetches
    /// under way are given up.
    void retune(const CudaOptions& options);

    [[nodiscard]] const MemoryLedger& device_ledger() const { return ledger_; }
    [[nodiscard]] const MemoryLedger& host_ledger() const { return host_ledger_; }
    [[nodiscard]] const FetchStatistics& fetch_statistics() const { return statistics_; }
    /// Device time of the last decode step's graph, ns; commits and waits for fetches included.
    [[nodiscard]] std::int64_t last_step_device_ns() const { return last_step_ns_; }

private:
    /// What of a step is enqueued: where logits go, how tokens are chosen.
    struct StepPlan {
        bool samples = false;
        runtime::Sampling sampling;
        std::uint64_t draws = 0;
    };
    struct ChunkBuffers;

    // --- sequences and pages (cuda_backend.cpp)
    DeviceSequence& sequence(SequenceId id);
    const DeviceSequence& sequence(SequenceId id) const;
    void check_profile(const HeadProfile& profile) const;
    void check_tokens(std::span<const TokenId> tokens) const;
    void ensure_lists(DeviceSequence& seq, std::int64_t tokens);
    void extend(DeviceSequence& seq, std::size_t head, std::int64_t length);
    void reserve_pages(const DeviceSequence& seq, std::int64_t tokens);
    void release_pages(DeviceSequence& seq, std::size_t head);
    void upload_lists(DeviceSequence& seq, std::int32_t first_layer, std::int32_t layers);
    void upload_lengths(DeviceSequence& seq, std::int32_t layer);
    [[nodiscard]] kernels::cuda::PagedKvCache cache_of(const DeviceSequence& seq,
                                                       std::int32_t layer) const;
    [[nodiscard]] const std::int32_t* list_of(const DeviceSequence& seq, std::size_t head) const;
    void refuse_what_does_not_fit(const DeviceSequence& seq, std::int64_t prompt);

    // --- prefill (cuda_prefill.cpp)
    void run_prompt(DeviceSequence& seq, std::span<const TokenId> tokens, Progress* progress);
    void prefill_chunk(DeviceSequence& seq, std::int32_t layer, float* x, std::int64_t first,
                       std::int64_t n, const ChunkBuffers& buffers);
    void finish_prompt_layer(DeviceSequence& seq, std::int32_t layer, const Bf16* last_q,
                             bool first);
    void multiply(const Bf16* w, std::int64_t rows, std::int64_t cols, const Bf16* bias,
                  const Bf16* x, std::int64_t n, Bf16* out);
    void logits_of(const float* x, std::int64_t n, float* device_logits);
    void keep_logits(const float* x, std::int64_t n);

    // --- selection (cuda_select.cpp)
    void begin_policy(DeviceSequence& seq, std::int64_t prompt);
    void make_stars(DeviceSequence& seq, std::int64_t prompt);
    template <typename Source>
    void fill_star(DeviceSequence& seq, const Star& star, StarState& state, Source& parts,
                   std::int64_t prompt);
    void reserve_drift_scratch(const DeviceSequence& seq, std::int64_t prompt);
    void select_layer(DeviceSequence& seq, std::int32_t layer, const Bf16* last_q);
    void keep_head(DeviceSequence& seq, std::size_t head, const float* score_row);
    [[nodiscard]] std::uint32_t* kept_bitmap(const DeviceSequence& seq, std::size_t head) const;
    void offload_head(DeviceSequence& seq, std::size_t head);
    void compact_head(DeviceSequence& seq, std::size_t head);
    void report_heads(const HeadProfile& profile, const policy::Budgets& budgets);
    void fill_synthetic_star(DeviceSequence& seq, const StarState& star);
    void reserve_cache_copy(const DeviceSequence& seq, std::int64_t prompt);

    // --- decode (cuda_decode.cpp)
    void run_step(std::span<const runtime::DecodeInput> inputs, const StepPlan& plan);
    DecodeBatch& batch_for(std::span<const runtime::DecodeInput> inputs);
    [[nodiscard]] std::unique_ptr<DecodeBatch> make_batch(const std::vector<SequenceId>& ids);
    void take_over_queries(DecodeBatch& batch);
    void refresh_batch(DecodeBatch& batch);
    void fill_inputs(const DecodeBatch& batch, std::span<const runtime::DecodeInput> inputs,
                     const StepPlan& plan);
    [[nodiscard]] std::vector<std::int32_t> step_key(const DecodeBatch& batch,
                                                     const StepPlan& plan) const;
    void enqueue_step(DecodeBatch& batch, const StepPlan& plan, bool eager);
    void enqueue_layer(DecodeBatch& batch, std::int32_t layer, bool eager);
    void enqueue_head(DecodeBatch& batch, const StepPlan& plan);
    void enqueue_cache_copy(const DecodeBatch& batch, std::int32_t layer,
                            const kernels::cuda::PagedKvCache& cache);
    template <typename Fill>
    void enqueue_matmul(kernels::cuda::DecodeMatmulArguments arguments, std::int64_t n,
                        const char* what, const Fill& fill);
    [[nodiscard]] bool must_be_eager(const DecodeBatch& batch) const;
    /// Event by event or kernel by kernel there is nothing to overlap.
    [[nodiscard]] bool uses_dependent_launch() const {
        return cuda_.dependent_launch && info_.has_dependent_launch() && !timer_.enabled() &&
               !cuda_.synchronous_kernels;
    }
    /// Where rows are fetched beside it, attention leaves the gather some multiprocessors. Products
    /// take all: their CTAs are small enough to share one.
    void settle_everything();
    void upload_told_drift();
    void restart_worker();
    void plan_attention(DecodeBatch& batch);
    [[nodiscard]] std::int32_t attention_ctas(bool fetches) const {
        return std::max(1, info_.num_sms - (fetches ? cuda_.spare_sms : 0));
    }
    [[nodiscard]] Bf16* queries_of(const DecodeBatch& batch, std::int32_t layer) const;
    [[nodiscard]] kernels::cuda::PagedKvCache cache_of(const DecodeBatch& batch,
                                                       std::int32_t layer) const;

    // --- drift (cuda_drift.cpp)
    [[nodiscard]] bool checks_now(const DeviceSequence& seq, std::int32_t layer) const;
    void enqueue_checks(DecodeBatch& batch, std::int32_t layer, bool eager, bool before);
    void enqueue_check(const DecodeBatch& batch, std::size_t row, StarState& star,
                       cudaStream_t stream);
    [[nodiscard]] std::vector<ExpectedCheck> expected_checks(const DecodeBatch& batch);
    [[nodiscard]] ExpectedCheck expected_check(DeviceSequence& seq, StarState& star);
    void collect_check(const ExpectedCheck& expected);
    void fetch_at_once(DeviceSequence& seq, StarState& star);

    // --- fetches (cuda_fetches.cpp)
    void commit_due(const DecodeBatch& batch);
    void commit(DeviceSequence& seq, DeviceFetch& fetch, std::int64_t holds_from);
    void note_first_use(const DecodeBatch& batch, std::int32_t layer);
    void collect_fetches(bool all);
    void report_fetch(DeviceFetch& fetch);
    void settle_fetches(DeviceSequence& seq);

    // --- capture (cuda_capture.cpp)
    enum class Pass : std::uint8_t { kPrompt, kTurn, kDecode };
    [[nodiscard]] bool captures(const DeviceSequence& seq) const {
        return seq.row_sink != nullptr || (seq.capture && observer_ != nullptr);
    }
    /// `cache` shows the sequence's layer alone; q [num_qo_heads, head_dim] of its last token.
    void capture_layer(DeviceSequence& seq, std::int32_t layer,
                       const kernels::cuda::PagedKvCache& cache, const Bf16* q, Pass pass);
    void capture_scores(DeviceSequence& seq, std::int32_t layer, const Bf16* q, bool at_prompt);
    void capture_probabilities(DeviceSequence& seq, std::int32_t layer, std::span<const float> rows,
                               std::int64_t length);
    [[nodiscard]] std::vector<float> probabilities(const kernels::cuda::PagedKvCache& cache,
                                                   const Bf16* q, std::int64_t length);
    void begin_oracle(DeviceSequence& seq, std::int64_t prompt);
    void oracle_attention(DeviceSequence& seq, std::int32_t layer,
                          const kernels::cuda::PagedKvCache& cache, const Bf16* q, Bf16* out);
    /// The part of a batch's cache that is sequence `row`.
    [[nodiscard]] kernels::cuda::PagedKvCache cache_of_row(const DecodeBatch& batch,
                                                           std::int32_t layer,
                                                           std::int64_t row) const;

    // --- reports (cuda_report.cpp)
    void begin_step();
    void end_step(Phase phase, std::int32_t batch);

    /// Names `what` when its launch failed; with synchronous kernels, also when it failed later.
    void launched(cudaError_t status, const char* what);

    [[nodiscard]] std::size_t head_index(std::int32_t layer, std::int32_t head) const {
        return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.num_kv_heads) +
               static_cast<std::size_t>(head);
    }
    [[nodiscard]] std::int32_t num_kv_heads() const {
        return static_cast<std::int32_t>(shape_.num_kv_heads);
    }
    [[nodiscard]] std::int32_t num_layers() const {
        return static_cast<std::int32_t>(shape_.num_layers);
    }
    [[nodiscard]] std::int32_t head_dim() const {
        return static_cast<std::int32_t>(shape_.head_dim);
    }
    [[nodiscard]] std::int32_t group() const { return static_cast<std::int32_t>(shape_.group()); }
    [[nodiscard]] std::int64_t q_elements() const { return shape_.num_qo_heads * shape_.head_dim; }
    [[nodiscard]] std::int64_t kv_row_bytes() const { return 2 * shape_.head_dim; }

    const model::Model& model_;
    const ModelShape& shape_;
    runtime::EngineOptions options_;
    CudaOptions cuda_;
    Observer* observer_;

    // Declared before what counts in them.
    MemoryLedger ledger_;
    MemoryLedger host_ledger_;
    MemoryLedger library_ledger_;  // cuBLASLt's workspace, listed apart
    DeviceInfo info_;
    Stream compute_;
    Stream side_;   ///< drift checks, beside the layers that follow
    Stream fetch_;  ///< of the worker
    PagePool pool_;
    PageTable table_;
    DeviceWeights weights_;
    std::unique_ptr<MatmulLibrary> library_;  // null: no_library_why_ says why
    std::string no_library_why_;
    DeviceBuffer inv_freq_;  // [head_dim / 2] fp32

    // Of a decode step, for up to max_batch_ sequences.
    std::int32_t max_batch_ = 0;
    DeviceBuffer step_memory_;
    struct StepBuffers {
        std::int32_t* tokens = nullptr;     // [batch]
        std::int32_t* positions = nullptr;  // [batch]
        std::int64_t* steps = nullptr;      // [batch] decode steps of each sequence, this one too
        std::uint64_t* random = nullptr;    // [batch] sampler states
        std::int32_t* sampled = nullptr;    // [batch]
        float* stream = nullptr;            // [batch, hidden]
        Bf16* attended = nullptr;           // [batch, num_qo_heads, head_dim]
        Bf16* mlp = nullptr;                // [batch, mlp]
        float* logits = nullptr;            // [batch, vocab]
        void* sample_workspace = nullptr;
    } buffers_;
    std::int64_t input_bytes_ = 0;
    PinnedBuffer inputs_;   // tokens, positions, steps, random: as in step_memory_, one copy
    PinnedBuffer outputs_;  // sampled tokens, then logits
    void reserve_batch(std::int32_t batch);

    DeviceBuffer cache_copy_;      // of the copying baseline
    DeviceBuffer capture_memory_;  // softmax rows under way

    std::vector<std::unique_ptr<DeviceSequence>> sequences_;  // by id; null once removed
    std::vector<std::unique_ptr<DecodeBatch>> batches_;       // the latest used last
    DriftScratch drift_scratch_;
    std::unique_ptr<FetchWorker> worker_;  // after everything that it uses

    OpTimer timer_;
    DeviceBuffer told_triggers_;           // of recorded drift, one byte a check
    std::vector<std::size_t> told_first_;  // of each recorded star
    StepClock step_clock_;  // when the host's and the device's clocks met last
    Event fork_;
    Event join_;
    Event step_begin_{true};
    Event step_end_{true};
    Reports reports_;
    FetchStatistics statistics_;
    std::vector<float> logits_;
    std::vector<float> kept_logits_;
    std::vector<TokenId> sampled_;
    std::int64_t kept_logit_rows_ = 0;
    std::int64_t step_ = -1;
    std::int64_t step_start_ns_ = 0;
    std::int64_t last_step_ns_ = 0;
    std::int64_t next_check_ = 0;
    std::int64_t next_fetch_ = 0;
    std::int64_t last_attention_op_ = -1;
    bool side_used_ = false;  // in the step being enqueued
};

}  // namespace hc::cuda
