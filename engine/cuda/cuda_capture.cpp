// Attention rows of a step's last query: for the drift trace, for calibration, and the oracle's
// attention. All of it waits for the device: watching costs time, and belongs to no operation.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "engine/cuda/cuda_backend.h"
#include "engine/policy/calibration.h"
#include "engine/policy/device_memory.h"
#include "engine/policy/selection.h"
#include "kernels/cuda/attention_probabilities.h"
#include "kernels/cuda/selection_score.h"
#include "kernels/cuda/top_k.h"

namespace hc::cuda {
namespace {

namespace k = kernels::cuda;

std::size_t rows_kept(double keep, std::int64_t prompt) {
    const double rows = std::ceil(keep * static_cast<double>(prompt));
    return std::min(static_cast<std::size_t>(rows), static_cast<std::size_t>(prompt));
}

/// The best positions of `values` with their values, best first.
void rank(std::span<const float> values, std::size_t count, AttentionRecord& record) {
    policy::rank_top(values, count, record.ranked);
    record.values.reserve(record.ranked.size());
    for (const Position p : record.ranked) record.values.push_back(values[p]);
}

}  // namespace

k::PagedKvCache CudaBackend::cache_of_row(const DecodeBatch& batch, std::int32_t layer,
                                          std::int64_t row) const {
    k::PagedKvCache cache = cache_of(batch, layer);
    cache.page_indptr += row * shape_.num_kv_heads;
    cache.lengths += row * shape_.num_kv_heads;
    cache.num_pairs = num_kv_heads();
    return cache;
}

void CudaBackend::capture_layer(DeviceSequence& seq, std::int32_t layer,
                                const k::PagedKvCache& cache, const Bf16* q, Pass pass) {
    const std::int64_t length = seq.heads[head_index(layer, 0)].length + cache.appended;
    std::vector<float> rows;
    if (seq.row_sink != nullptr) {
        if (pass == Pass::kDecode && layer == 0) seq.row_sink->begin_pass(length);
        rows = probabilities(cache, q, length);
        std::vector<float> halves = rows;
        // Calibration is defined on rows in half precision (algorithm.md §2).
        for (float& value : halves) value = policy::round_to_half(value);
        seq.row_sink->layer_rows(layer, halves);
    }
    // A further turn is no step of the drift trace.
    if (!seq.capture || observer_ == nullptr || pass == Pass::kTurn) return;
    const bool at_prompt = pass == Pass::kPrompt;
    capture_scores(seq, layer, q, at_prompt);
    const bool due = at_prompt || seq.decode_steps % seq.capture->every == 0;
    // Compressed heads of a HeteroCache sequence no longer have all keys.
    if (!due || seq.budgets) return;
    if (rows.empty()) rows = probabilities(cache, q, length);
    capture_probabilities(seq, layer, rows, length);
}

void CudaBackend::capture_scores(DeviceSequence& seq, std::int32_t layer, const Bf16* q,
                                 bool at_prompt) {
    const runtime::AttentionCapture& capture = *seq.capture;
    const std::int64_t prompt = at_prompt ? seq.heads[head_index(layer, 0)].length : seq.prompt;
    reserve_drift_scratch(seq, prompt);
    std::vector<float> row(static_cast<std::size_t>(prompt));
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        const HeadRole role = capture.profile->role({layer, head});
        if (role != HeadRole::kPivot && !(at_prompt && !is_full(role))) continue;
        k::SelectionScoreArguments score;
        score.queries = q + std::int64_t{head} * group() * shape_.head_dim;
        score.pages = pool_.pages();
        score.page_indices = list_of(seq, head_index(layer, head));
        score.page_size = static_cast<std::int32_t>(options_.page_size);
        score.prompt = static_cast<std::int32_t>(prompt);
        score.window = 1;
        score.group = group();
        score.head_dim = head_dim();
        score.pool_width = capture.settings.pool_width;
        score.scores = drift_scratch_.scores;
        score.score_stride = drift_scratch_.score_stride;
        score.workspace = drift_scratch_.score_workspace;
        launched(k::selection_score(score, compute_.get()), "selection_score");
        check(cudaMemcpyAsync(row.data(), drift_scratch_.scores, row.size() * sizeof(float),
                              cudaMemcpyDeviceToHost, compute_.get()),
              "reading scores");
        check(cudaStreamSynchronize(compute_.get()), "reading scores");
        AttentionRecord record;
        record.step = step_;
        record.sequence = seq.id;
        record.layer = layer;
        record.head = head;
        record.kind = AttentionRowKind::kScore;
        rank(row, rows_kept(capture.keep, prompt), record);
        reports_.attention.push_back(std::move(record));
    }
}

void CudaBackend::capture_probabilities(DeviceSequence& seq, std::int32_t layer,
                                        std::span<const float> rows, std::int64_t length) {
    const runtime::AttentionCapture& capture = *seq.capture;
    const std::int64_t prompt = seq.prompt > 0 ? seq.prompt : length;
    const std::int64_t g = group();
    std::vector<float> mean(static_cast<std::size_t>(length));
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        if (is_full(capture.profile->role({layer, head}))) continue;
        std::fill(mean.begin(), mean.end(), 0.0F);
        for (std::int64_t i = 0; i < g; ++i) {
            const float* row = rows.data() + (head * g + i) * length;
            for (std::int64_t p = 0; p < length; ++p) mean[static_cast<std::size_t>(p)] += row[p];
        }
        for (float& value : mean) value *= 1.0F / static_cast<float>(g);
        AttentionRecord record;
        record.step = step_;
        record.sequence = seq.id;
        record.layer = layer;
        record.head = head;
        record.kind = AttentionRowKind::kProb;
        rank({mean.data(), static_cast<std::size_t>(prompt)}, rows_kept(capture.keep, prompt),
             record);
        double mass = 0;
        for (std::int64_t p = 0; p < length; ++p) {
            const auto value = static_cast<double>(mean[static_cast<std::size_t>(p)]);
            (p < prompt ? mass : record.mass_generated) += value;
        }
        for (const float value : record.values) mass -= static_cast<double>(value);
        record.mass_rest = std::max(0.0, mass);
        reports_.attention.push_back(std::move(record));
    }
}

/// Softmax rows [num_qo_heads, length] of one layer, on the host.
std::vector<float> CudaBackend::probabilities(const k::PagedKvCache& cache, const Bf16* q,
                                              std::int64_t length) {
    const std::int64_t rows_bytes = 4 * shape_.num_qo_heads * length;
    const auto workspace = static_cast<std::int64_t>(
        k::attention_probabilities_workspace_bytes(cache.num_pairs, group()));
    const std::int64_t needed = policy::aligned_bytes(rows_bytes) + workspace;
    if (capture_memory_.size_bytes() < needed) {
        check(cudaStreamSynchronize(compute_.get()), "waiting for a step");
        capture_memory_ = DeviceBuffer();
        // Room to grow: a sequence gets longer by a token a step.
        capture_memory_ = DeviceBuffer(ledger_, "capture", needed + needed / 8);
    }
    auto* rows = capture_memory_.as<float>();
    auto* scratch = reinterpret_cast<float*>(capture_memory_.as<std::byte>() +
                                             policy::aligned_bytes(rows_bytes));
    launched(k::attention_probabilities(cache, q, group(), cache.appended, rows, length, scratch,
                                        compute_.get()),
             "attention_probabilities");
    std::vector<float> out(static_cast<std::size_t>(shape_.num_qo_heads * length));
    check(cudaMemcpyAsync(out.data(), rows, out.size() * sizeof(float), cudaMemcpyDeviceToHost,
                          compute_.get()),
          "reading attention");
    check(cudaStreamSynchronize(compute_.get()), "reading attention");
    return out;
}

void CudaBackend::begin_oracle(DeviceSequence& seq, std::int64_t prompt) {
    DeviceOracle& oracle = *seq.oracle;
    oracle.budgets = policy::compute_budgets(*oracle.profile, prompt, oracle.settings);
    report_heads(*oracle.profile, oracle.budgets);
}

void CudaBackend::oracle_attention(DeviceSequence& seq, std::int32_t layer,
                                   const k::PagedKvCache& cache, const Bf16* q, Bf16* out) {
    DeviceOracle& oracle = *seq.oracle;
    const std::int64_t length = seq.heads[head_index(layer, 0)].length + cache.appended;
    const auto prompt = static_cast<std::int32_t>(seq.prompt);
    const std::int64_t heads = shape_.num_kv_heads;
    const std::int64_t stride = (length + 3) / 4 * 4;
    const auto words = static_cast<std::int32_t>(k::bitmap_words(prompt));
    const auto aligned = [](std::int64_t bytes) { return policy::aligned_bytes(bytes); };
    const std::int64_t sizes[] = {
        aligned(4 * shape_.num_qo_heads * stride),
        aligned(4 * heads * stride),
        aligned(4 * heads * words),
        aligned(4 * heads),
        aligned(heads),
        aligned(static_cast<std::int64_t>(k::top_k_workspace_bytes(num_kv_heads(), prompt))),
        aligned(static_cast<std::int64_t>(
            k::attention_probabilities_workspace_bytes(cache.num_pairs, group())))};
    std::int64_t needed = 0;
    for (const std::int64_t size : sizes) needed += size;
    if (oracle.memory.size_bytes() < needed) {
        check(cudaStreamSynchronize(compute_.get()), "waiting for a step");
        oracle.memory = DeviceBuffer();
        oracle.memory = DeviceBuffer(ledger_, "capture", needed + needed / 8);
    }
    std::byte* at = oracle.memory.as<std::byte>();
    std::byte* part[std::size(sizes)];
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
        part[i] = at;
        at += sizes[i];
    }
    auto* rows = reinterpret_cast<float*>(part[0]);
    auto* sums = reinterpret_cast<float*>(part[1]);
    auto* bitmaps = reinterpret_cast<std::uint32_t*>(part[2]);
    auto* capacities = reinterpret_cast<std::int32_t*>(part[3]);
    auto* take = reinterpret_cast<std::uint8_t*>(part[4]);
    std::vector<std::int32_t> wanted;
    std::vector<std::uint8_t> flags;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        wanted.push_back(
            static_cast<std::int32_t>(oracle.budgets.capacity[head_index(layer, head)]));
        flags.push_back(is_full(oracle.profile->role({layer, head})) ? 0 : 1);
    }
    check(cudaMemcpyAsync(capacities, wanted.data(), wanted.size() * sizeof(std::int32_t),
                          cudaMemcpyHostToDevice, compute_.get()),
          "uploading capacities");
    check(cudaMemcpyAsync(take, flags.data(), flags.size(), cudaMemcpyHostToDevice, compute_.get()),
          "uploading capacities");
    launched(k::attention_probabilities(cache, q, group(), cache.appended, rows, stride,
                                        reinterpret_cast<float*>(part[6]), compute_.get()),
             "attention_probabilities");
    launched(
        k::group_sum(rows, stride, num_kv_heads(), group(), prompt, sums, stride, compute_.get()),
        "group_sum");
    k::TopKArguments top;
    top.scores = sums;
    top.score_stride = stride;
    top.k = capacities;
    top.num_rows = num_kv_heads();
    top.count = prompt;
    top.bitmaps = bitmaps;
    top.bitmap_stride = words;
    top.workspace = part[5];
    launched(k::top_k(top, compute_.get()), "top_k");
    launched(k::weighted_values(cache, cache.appended, rows, stride, group(), bitmaps, words,
                                prompt, take, out, compute_.get()),
             "weighted_values");
}

}  // namespace hc::cuda
