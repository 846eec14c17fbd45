// Attention rows of a step's last query: for the drift trace (trace.md) and for calibration.
#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/policy/calibration.h"
#include "engine/policy/selection.h"
#include "engine/runtime/cpu_backend.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {
namespace {

std::size_t rows_kept(double keep, std::int64_t prompt) {
    const double rows = std::ceil(keep * static_cast<double>(prompt));
    return std::min(static_cast<std::size_t>(rows), static_cast<std::size_t>(prompt));
}

/// Mean over the query group of softmax rows [group, length], into mean [length].
void mean_over_group(const float* rows, std::int64_t group, std::int64_t length, float* mean) {
    std::copy(rows, rows + length, mean);
    for (std::int64_t g = 1; g < group; ++g) {
        for (std::int64_t i = 0; i < length; ++i) mean[i] += rows[g * length + i];
    }
    const auto scale = 1.0F / static_cast<float>(group);
    for (std::int64_t i = 0; i < length; ++i) mean[i] *= scale;
}

/// The best positions of `values` with their values, best first.
void rank(std::span<const float> values, std::size_t count, AttentionRecord& record) {
    policy::rank_top(values, count, record.ranked);
    record.values.reserve(record.ranked.size());
    for (const Position p : record.ranked) record.values.push_back(values[p]);
}

}  // namespace

void CpuBackend::ensure_scratch(std::int64_t floats) {
    for (auto& buffer : scratch) {
        if (buffer.size() < static_cast<std::size_t>(floats)) {
            buffer.resize(static_cast<std::size_t>(floats));
        }
    }
}

void CpuBackend::capture_layer(Sequence& seq, std::int32_t layer, const float* q, Pass pass) {
    const std::int64_t length = seq.heads[head_index(layer, 0)].length();
    const std::int64_t padding = seq.capture ? seq.capture->settings.pool_width : 0;
    ensure_scratch((2 * shape.group() + 1) * (length + padding) + group_floats());
    if (seq.row_sink != nullptr) sink_rows(seq, layer, q);
    // A further turn is no step of the drift trace.
    if (seq.capture && observer != nullptr && pass != Pass::kTurn) {
        const bool at_prompt = pass == Pass::kPrompt;
        capture_scores(seq, layer, q, at_prompt);
        const bool due = at_prompt || seq.decode_steps % seq.capture->every == 0;
        // Compressed heads of a HeteroCache sequence no longer have all keys.
        if (due && !seq.policy) capture_probabilities(seq, layer, q);
    }
    log.skip();  // the cost of watching belongs to no operation of the engine
}

void CpuBackend::capture_scores(Sequence& seq, std::int32_t layer, const float* q, bool at_prompt) {
    const AttentionCapture& capture = *seq.capture;
    const std::int64_t prompt = at_prompt ? seq.heads[head_index(layer, 0)].length() : seq.prompt;
    const auto floats = static_cast<std::size_t>(shape.num_kv_heads * prompt);
    if (scores.size() < floats) scores.resize(floats);
    const std::size_t first = reports.attention.size();
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        const HeadRole role = capture.profile->role({layer, head});
        if (role != HeadRole::kPivot && !(at_prompt && !is_full(role))) continue;
        AttentionRecord record;
        record.step = current_step;
        record.sequence = seq.id;
        record.layer = layer;
        record.head = head;
        record.kind = AttentionRowKind::kScore;
        reports.attention.push_back(std::move(record));
    }
    const auto count = static_cast<std::int64_t>(reports.attention.size() - first);
    pool.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (std::int64_t i = begin; i < end; ++i) {
            AttentionRecord& record = reports.attention[first + static_cast<std::size_t>(i)];
            float* row = scores.data() + i * prompt;
            kernels::cpu::selection_score(
                seq.heads[head_index(layer, record.head)].view(), prompt,
                q + record.head * group_floats(), shape.group(), capture.settings.pool_width,
                capture.settings.half_precision_scores, row, scratch_of(worker));
            rank({row, static_cast<std::size_t>(prompt)}, rows_kept(capture.keep, prompt), record);
        }
    });
}

void CpuBackend::capture_probabilities(Sequence& seq, std::int32_t layer, const float* q) {
    const AttentionCapture& capture = *seq.capture;
    const std::int64_t length = seq.heads[head_index(layer, 0)].length();
    const std::int64_t prompt = seq.prompt > 0 ? seq.prompt : length;
    const std::int64_t group = shape.group();
    const std::size_t first = reports.attention.size();
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        if (is_full(capture.profile->role({layer, head}))) continue;
        AttentionRecord record;
        record.step = current_step;
        record.sequence = seq.id;
        record.layer = layer;
        record.head = head;
        record.kind = AttentionRowKind::kProb;
        reports.attention.push_back(std::move(record));
    }
    const auto count = static_cast<std::int64_t>(reports.attention.size() - first);
    pool.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (std::int64_t i = begin; i < end; ++i) {
            AttentionRecord& record = reports.attention[first + static_cast<std::size_t>(i)];
            float* probabilities = scratch_of(worker);        // [group, length]
            float* mean = probabilities + group * length;     // [length]
            float* unused = mean + length;                    // [group, head_dim]
            float* kernel_scratch = unused + group_floats();  // [group, length]
            kernels::cpu::decode_attention(seq.heads[head_index(layer, record.head)].view(),
                                           q + record.head * group_floats(), group, unused,
                                           kernel_scratch, probabilities);
            mean_over_group(probabilities, group, length, mean);
            rank({mean, static_cast<std::size_t>(prompt)}, rows_kept(capture.keep, prompt), record);
            for (std::int64_t p = prompt; p < length; ++p) {
                record.mass_generated += static_cast<double>(mean[p]);
            }
            double mass = 0;
            for (std::int64_t p = 0; p < prompt; ++p) mass += static_cast<double>(mean[p]);
            for (const float value : record.values) mass -= static_cast<double>(value);
            record.mass_rest = std::max(0.0, mass);
        }
    });
}

void CpuBackend::sink_rows(Sequence& seq, std::int32_t layer, const float* q) {
    const std::int64_t length = seq.heads[head_index(layer, 0)].length();
    const std::int64_t group = shape.group();
    std::vector<float> rows(static_cast<std::size_t>(shape.num_qo_heads * length));
    pool.parallel_for(shape.num_kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (auto head = static_cast<std::int32_t>(begin); head < end; ++head) {
            float* unused = scratch_of(worker);
            float* out = rows.data() + head * group * length;
            kernels::cpu::decode_attention(seq.heads[head_index(layer, head)].view(),
                                           q + head * group_floats(), group, unused,
                                           unused + group_floats(), out);
            // Calibration is defined on rows in half precision (algorithm.md §2).
            for (std::int64_t i = 0; i < group * length; ++i) {
                out[i] = policy::round_to_half(out[i]);
            }
        }
    });
    seq.row_sink->layer_rows(layer, rows);
}

}  // namespace hc::runtime
