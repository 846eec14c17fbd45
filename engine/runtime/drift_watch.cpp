// Pivots watch the drift of attention over the prompt (algorithm.md §5).
#include <algorithm>

#include "engine/core/error.h"
#include "engine/runtime/cpu_backend.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {
namespace {

const std::vector<Star>& stars_of(const Sequence& seq, std::int32_t layer) {
    return seq.policy->profile().stars[static_cast<std::size_t>(layer)];
}

}  // namespace

void CpuBackend::remember_queries(Sequence& seq, std::int32_t layer, const float* q) {
    if (!seq.policy || !seq.policy->settings().retrieval) return;
    for (const Star& star : stars_of(seq, layer)) {
        if (!watches(star)) continue;
        const float* group = q + star.pivot * group_floats();
        std::copy(group, group + group_floats(),
                  seq.window->at(head_index(layer, star.pivot), seq.decode_steps));
    }
}

void CpuBackend::watch_layer(Sequence& seq, std::int32_t layer, bool before) {
    if (!seq.policy || !seq.policy->settings().retrieval) return;
    const policy::Settings& settings = seq.policy->settings();
    // Row 4 makes a difference only where the same step's attention could see the rows.
    const bool wants_before = settings.retrieve_before_attention && settings.commit_lag == 0;
    if (before != wants_before || !seq.policy->checks_at(layer, seq.decode_steps)) return;
    const std::vector<Star>& stars = stars_of(seq, layer);
    if (std::none_of(stars.begin(), stars.end(), watches)) return;
    HC_CHECK(seq.decode_steps >= settings.window);
    score_windows(seq, layer);
    std::size_t nth = 0;
    for (const Star& star : stars) {
        if (watches(star)) check_star(seq, layer, star, nth++);
    }
}

/// Fills scores [watched star, window, prompt], oldest query first.
void CpuBackend::score_windows(Sequence& seq, std::int32_t layer) {
    const policy::Settings& settings = seq.policy->settings();
    const std::int64_t prompt = seq.prompt;
    const std::int64_t window = settings.window;
    const std::vector<Star>& stars = stars_of(seq, layer);
    std::int64_t row = 0;
    std::int64_t tasks = window * std::count_if(stars.begin(), stars.end(), watches);
    // Stars without members are skipped, so task t belongs to the (t / window)-th that has some.
    const auto nth_pivot = [&](std::int64_t nth) {
        for (const Star& star : stars) {
            if (watches(star) && nth-- == 0) return star.pivot;
        }
        HC_CHECK(!"a star was counted and is not there");
    };
    pool.parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (std::int64_t task = begin; task < end; ++task) {
            const std::int32_t pivot = nth_pivot(task / window);
            const std::size_t head = head_index(layer, pivot);
            const std::int64_t of_step = seq.decode_steps - window + 1 + task % window;
            kernels::cpu::selection_score(seq.heads[head].view(), prompt,
                                          seq.window->at(head, of_step), shape.group(),
                                          settings.pool_width, settings.half_precision_scores,
                                          scores.data() + task * prompt, scratch_of(worker));
        }
    });
    row = tasks * prompt;
    log.op(OpKind::kDriftScore, layer,
           {row * kv_pool.geometry().row_bytes(), row * 4, 2 * row * group_floats(), row});
}

void CpuBackend::check_star(Sequence& seq, std::int32_t layer, const Star& star,
                              std::size_t nth) {
    const auto prompt = static_cast<std::size_t>(seq.prompt);
    const auto window = static_cast<std::size_t>(seq.policy->settings().window);
    std::vector<policy::ScoreRow> rows;
    rows.reserve(window);
    for (std::size_t w = 0; w < window; ++w) {
        rows.push_back(
            policy::ScoreRow::dense({scores.data() + (nth * window + w) * prompt, prompt}));
    }
    const HeadId pivot{layer, star.pivot};
    policy::CheckResult result = seq.policy->check(pivot, rows);
    const auto scored = static_cast<std::int64_t>(window * prompt);
    const std::int64_t op = log.op(OpKind::kDriftTopk, layer, {scored * 4, 0, 0, scored});
    const std::int64_t check_id = next_check++;
    if (observer != nullptr) {
        DriftRecord record;
        record.check_id = check_id;
        record.op_id = op;
        record.step = current_step;
        record.layer = layer;
        record.pivot = star.pivot;
        record.sequence = seq.id;
        record.base = seq.policy->budgets().base;
        record.overlaps = std::move(result.overlaps);
        record.median = result.median;
        record.threshold = result.threshold;
        record.triggered = result.triggered;
        reports.drift.push_back(std::move(record));
    }
    if (result.triggered) start_fetch(seq, pivot, check_id, op, std::move(result.fetches));
}

}  // namespace hc::runtime
