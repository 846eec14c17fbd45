// Pivots watch the drift of attention over the prompt (algorithm.md §5). The device decides; the
// host learns of it through pinned headers.
#include <algorithm>

#include "engine/core/error.h"
#include "engine/cuda/cuda_backend.h"
#include "kernels/cuda/drift.h"
#include "kernels/cuda/query_window.h"
#include "kernels/cuda/selection_score.h"
#include "kernels/cuda/top_k.h"

namespace hc::cuda {
namespace {

namespace k = kernels::cuda;

}  // namespace

/// As HeteroCachePolicy::checks_at.
bool CudaBackend::checks_now(const DeviceSequence& seq, std::int32_t layer) const {
    if (!seq.retrieves() || seq.stars_of_layer[static_cast<std::size_t>(layer)].empty())
        return false;
    const std::int64_t window = seq.settings().window;
    if (seq.decode_steps < window) return false;
    const std::int64_t phase = seq.settings().stagger_checks ? layer % window : 0;
    return seq.decode_steps % window == phase;
}

/// Before or after the layer's attention (row 4 makes a difference only where the same step's
/// attention could see the rows).
void CudaBackend::enqueue_checks(DecodeBatch& batch, std::int32_t layer, bool eager, bool before) {
    bool forked = false;
    for (std::size_t row = 0; row < batch.sequences.size(); ++row) {
        DeviceSequence& seq = *batch.sequences[row];
        if (!checks_now(seq, layer)) continue;
        const bool at_once = seq.settings().commit_lag == 0;
        const bool wants_before = seq.settings().retrieve_before_attention && at_once;
        if (wants_before != before) continue;
        HC_CHECK(!at_once || eager);
        const bool beside = !at_once && !timer_.enabled();
        if (beside && !forked) {
            fork_.record(compute_.get());
            check(cudaStreamWaitEvent(side_.get(), fork_.get(), 0), "starting checks");
            forked = true;
            side_used_ = true;
        }
        for (const std::size_t star : seq.stars_of_layer[static_cast<std::size_t>(layer)]) {
            enqueue_check(batch, row, seq.stars[star], beside ? side_.get() : compute_.get());
            if (at_once) fetch_at_once(seq, seq.stars[star]);
        }
    }
}

void CudaBackend::enqueue_check(const DecodeBatch& batch, std::size_t row, StarState& star,
                                cudaStream_t stream) {
    const DeviceSequence& seq = *batch.sequences[row];
    const policy::Settings& settings = seq.settings();
    const auto n = static_cast<std::int64_t>(batch.ids.size());
    const auto prompt = static_cast<std::int32_t>(seq.prompt);
    const std::int64_t words = k::bitmap_words(prompt);
    const Bf16* ring = batch.ring.as<Bf16>() + (star.layer * std::int64_t{batch.ring_depth} * n +
                                                static_cast<std::int64_t>(row)) *
                                                   q_elements();
    const auto oldest = static_cast<std::int32_t>(
        (batch.steps - settings.window + 1 + batch.ring_depth) % batch.ring_depth);
    launched(
        k::gather_query_window(ring, n * q_elements(), batch.ring_depth, settings.window, oldest,
                               star.pivot, group(), head_dim(), drift_scratch_.queries, stream),
        "gather_query_window");
    k::SelectionScoreArguments score;
    score.queries = drift_scratch_.queries;
    score.pages = pool_.pages();
    score.page_indices = list_of(seq, head_index(star.layer, star.pivot));
    score.page_size = static_cast<std::int32_t>(options_.page_size);
    score.prompt = prompt;
    score.window = settings.window;
    score.group = group();
    score.head_dim = head_dim();
    score.pool_width = settings.pool_width;
    score.scores = drift_scratch_.scores;
    score.score_stride = drift_scratch_.score_stride;
    score.workspace = drift_scratch_.score_workspace;
    launched(k::selection_score(score, stream), "selection_score");
    const std::int64_t rows = settings.window * seq.prompt;
    timer_.op(OpKind::kDriftScore, star.layer,
              {seq.prompt * kv_row_bytes(), rows * 4, 2 * rows * group() * shape_.head_dim, rows},
              stream);
    // Kept for the plan of a fetch: the next check overwrites the scratch.
    check(
        cudaMemcpyAsync(star.last_scores,
                        drift_scratch_.scores + (settings.window - 1) * drift_scratch_.score_stride,
                        static_cast<std::size_t>(4 * seq.prompt), cudaMemcpyDeviceToDevice, stream),
        "keeping scores");
    k::TopKArguments top;
    top.scores = drift_scratch_.scores;
    top.score_stride = drift_scratch_.score_stride;
    top.k = seq.base_k;
    top.num_rows = settings.window;
    top.count = prompt;
    top.bitmaps = drift_scratch_.candidates;
    top.bitmap_stride = words;
    top.workspace = drift_scratch_.top_k_workspace;
    top.may_use_clusters = cuda_.cluster_top_k;
    launched(k::top_k(top, stream), "top_k");
    k::DriftDecideArguments decide;
    decide.candidates = drift_scratch_.candidates;
    decide.candidate_stride = words;
    decide.reference = star.reference;
    decide.prompt = prompt;
    decide.base = static_cast<std::int32_t>(seq.budgets->base);
    decide.window = settings.window;
    decide.threshold = settings.stable_threshold;
    decide.chance_corrected = settings.chance_corrected;
    if (cuda_.drift) {
        decide.forced_rate = cuda_.drift->rate;
        decide.seed = cuda_.drift->seed + static_cast<std::uint64_t>(seq.id);
        if (!cuda_.drift->told.empty()) {
            const std::size_t recorded = static_cast<std::size_t>(star.number) % told_first_.size();
            decide.told = told_triggers_.as<std::uint8_t>() + told_first_[recorded];
            decide.num_told = static_cast<std::int32_t>(cuda_.drift->told[recorded].size());
        }
    }
    decide.star = star.number;
    decide.step_counter = buffers_.steps + row;
    decide.host_header = star.header_device;
    launched(k::drift_decide(decide, stream), "drift_decide");
    star.check_op = timer_.op(OpKind::kDriftTopk, star.layer, {rows * 4, 0, 0, rows}, stream);
}

ExpectedCheck CudaBackend::expected_check(DeviceSequence& seq, StarState& star) {
    return {&seq, &star, seq.decode_steps, step_, next_check_++};
}

/// The checks of the step that is about to run, in the order in which the device makes them.
std::vector<ExpectedCheck> CudaBackend::expected_checks(const DecodeBatch& batch) {
    std::vector<ExpectedCheck> checks;
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
        for (DeviceSequence* seq : batch.sequences) {
            if (!checks_now(*seq, layer)) continue;
            for (const std::size_t star : seq->stars_of_layer[static_cast<std::size_t>(layer)]) {
                checks.push_back(expected_check(*seq, seq->stars[star]));
                seq->stars[star].check_id = checks.back().check_id;
            }
        }
    }
    return checks;
}

/// Commit lag 0: the host waits for the decision and lands the rows before it goes on.
void CudaBackend::fetch_at_once(DeviceSequence& seq, StarState& star) {
    check(cudaStreamSynchronize(compute_.get()), "a drift check");
    HC_CHECK(star.header->step == seq.decode_steps);
    if (star.header->triggered == 0) return;
    // Its plan runs on the fetch stream; what the check wrote is complete.
    const ExpectedCheck expected{&seq, &star, seq.decode_steps, step_, star.check_id};
    DeviceFetch& fetch = worker_->fetch_now(expected);
    commit(seq, fetch, seq.settings().retrieve_before_attention ? step_ : step_ + 1);
}

void CudaBackend::collect_check(const ExpectedCheck& expected) {
    const StarState& star = *expected.star;
    const k::DriftHeader& header = *star.header;
    HC_CHECK(header.step == expected.step);
    ++statistics_.checks;
    statistics_.triggers += header.triggered;
    if (observer_ == nullptr) return;
    const DeviceSequence& seq = *expected.sequence;
    DriftRecord record;
    record.check_id = expected.check_id;
    record.op_id = star.check_op;
    record.step = step_;
    record.layer = star.layer;
    record.pivot = star.pivot;
    record.sequence = seq.id;
    record.base = seq.budgets->base;
    record.overlaps.assign(header.overlaps, header.overlaps + seq.settings().window);
    record.median = header.median;
    record.threshold = seq.settings().stable_threshold;
    record.triggered = header.triggered != 0;
    reports_.drift.push_back(std::move(record));
}

}  // namespace hc::cuda
