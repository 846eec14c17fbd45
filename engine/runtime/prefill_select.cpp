// After a layer's last chunk: what its compressed heads keep (algorithm.md §4), the copy in the
// host tier, and compaction.
#include <algorithm>
#include <cstring>

#include "engine/core/error.h"
#include "engine/runtime/cpu_backend.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {
namespace {

/// The pivot that each head follows, -1 for none: [head index].
std::vector<std::int32_t> leaders(const HeadProfile& profile) {
    std::vector<std::int32_t> leader(profile.size(), -1);
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
            for (const std::int32_t member : star.members) {
                leader[profile.index({layer, member})] = star.pivot;
            }
        }
    }
    return leader;
}

}  // namespace

void CpuBackend::begin_policy(Sequence& seq, std::int64_t prompt) {
    if (!seq.options.heterocache) {
        if (seq.capture) {
            report_heads(*seq.capture->profile,
                         policy::full_budgets(seq.capture->profile->num_layers,
                                              seq.capture->profile->num_kv_heads, prompt));
        }
        return;
    }
    const HeadProfile& profile = *seq.options.profile;
    const policy::Settings& settings = seq.options.settings;
    const policy::Budgets budgets = policy::compute_budgets(profile, prompt, settings);
    seq.policy.emplace(profile, budgets, settings);
    seq.slots.assign(profile.size(), {});
    seq.window.emplace(profile.size(), settings.window, group_floats());
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
            if (watches(star)) seq.window->watch(profile.index({layer, star.pivot}));
        }
    }
    // Each star has a fetch that lands and at most one per window on its way behind it.
    const std::size_t per_star =
        2 + static_cast<std::size_t>(settings.commit_lag / settings.window);
    seq.fetches.reserve(profile.size() * per_star);
    reports.fetches.reserve(profile.size() * per_star);
    reports.rows.reserve(profile.size());
    seq.tier.reset();
    std::vector<HeadId> hosted = policy::host_heads(profile, settings);
    if (!hosted.empty()) {
        seq.tier.emplace(std::move(hosted), prompt, kv_pool.geometry().row_bytes());
    }
    const auto score_rows = std::max<std::int64_t>(
        shape.num_kv_heads, static_cast<std::int64_t>(settings.window) * shape.num_kv_heads);
    const auto floats = static_cast<std::size_t>(score_rows * prompt);
    if (scores.size() < floats) scores.resize(floats);
    ensure_scratch((shape.group() + 1) * (prompt + settings.pool_width));
    report_heads(profile, budgets);
}

void CpuBackend::report_heads(const HeadProfile& profile, const policy::Budgets& budgets) {
    if (observer == nullptr) return;
    const std::vector<std::int32_t> leader = leaders(profile);
    reports.heads.clear();
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
            const std::size_t i = profile.index({layer, head});
            HeadRecord record;
            record.layer = layer;
            record.head = head;
            record.role = profile.roles[i];
            if (i < profile.stability.size()) record.stability = profile.stability[i];
            record.pivot = leader[i];
            record.ratio = profile.ratios[i];
            record.capacity = budgets.capacity[i];
            reports.heads.push_back(record);
        }
    }
}

void CpuBackend::select_layer(Sequence& seq, std::int32_t layer, const float* last_q) {
    const HeadProfile& profile = seq.policy->profile();
    const policy::Settings& settings = seq.policy->settings();
    const std::int64_t prompt = seq.policy->budgets().prompt;
    const auto scored = [&](std::int32_t head) {
        return profile.role({layer, head}) != HeadRole::kVolatile;
    };
    pool.parallel_for(shape.num_kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (auto head = static_cast<std::int32_t>(begin); head < end; ++head) {
            if (!scored(head)) continue;
            kernels::cpu::selection_score(seq.heads[head_index(layer, head)].view(), prompt,
                                          last_q + head * group_floats(), shape.group(),
                                          settings.pool_width, settings.half_precision_scores,
                                          scores.data() + head * prompt, scratch_of(worker));
        }
    });
    OpCost cost;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        if (!scored(head)) continue;
        const HeadId id{layer, head};
        const policy::ScoreRow row = policy::ScoreRow::dense(
            {scores.data() + head * prompt, static_cast<std::size_t>(prompt)});
        cost.rows += prompt;
        if (is_full(profile.role(id))) {
            seq.policy->set_reference(id, row);
            continue;
        }
        const Positions& kept = seq.policy->select_at_prefill(id, row);
        seq.slots[head_index(layer, head)] = kept;
        if (observer == nullptr) continue;
        RowsRecord record;
        record.step = current_step;
        record.sequence = seq.id;
        record.layer = layer;
        record.head = head;
        record.fetched = kept;
        reports.rows.push_back(std::move(record));
    }
    cost.bytes_read = cost.rows * kv_pool.geometry().row_bytes();
    cost.bytes_written = cost.rows * 4;
    cost.flops = 2 * cost.rows * group_floats();
    log.op(OpKind::kPrefillSelect, layer, cost);
}

void CpuBackend::offload_layer(Sequence& seq, std::int32_t layer) {
    if (!seq.tier) return;
    const std::int64_t prompt = seq.tier->prompt();
    const std::int64_t row_bytes = kv_pool.geometry().row_bytes();
    const auto bytes = static_cast<std::size_t>(row_bytes);
    std::int64_t rows = 0;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        rows += seq.tier->holds({layer, head}) ? prompt : 0;
    }
    if (rows == 0) return;
    pool.parallel_for(shape.num_kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (auto head = static_cast<std::int32_t>(begin); head < end; ++head) {
            if (!seq.tier->holds({layer, head})) continue;
            const cache::HeadKv& kv = seq.heads[head_index(layer, head)];
            std::byte* row = seq.tier->rows({layer, head});
            for (std::int64_t slot = 0; slot < prompt; ++slot, row += 2 * row_bytes) {
                std::memcpy(row, kv.key(slot), bytes);
                std::memcpy(row + row_bytes, kv.value(slot), bytes);
            }
        }
    });
    log.op(OpKind::kOffload, layer, {2 * rows * row_bytes, 2 * rows * row_bytes, 0, rows});
}

void CpuBackend::compact_layer(Sequence& seq, std::int32_t layer) {
    const HeadProfile& profile = seq.policy->profile();
    const std::int64_t row_bytes = kv_pool.geometry().row_bytes();
    const auto bytes = static_cast<std::size_t>(row_bytes);
    const auto compressed = [&](std::int32_t head) {
        return !is_full(profile.role({layer, head}));
    };
    pool.parallel_for(shape.num_kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (auto head = static_cast<std::int32_t>(begin); head < end; ++head) {
            if (!compressed(head)) continue;
            cache::HeadKv& kv = seq.heads[head_index(layer, head)];
            const Positions& kept = seq.slots[head_index(layer, head)];
            // Kept positions ascend, so a row never lands on one that is still to be moved.
            for (std::size_t i = 0; i < kept.size(); ++i) {
                const auto slot = static_cast<std::int64_t>(i);
                const auto position = static_cast<std::int64_t>(kept[i]);
                if (slot == position) continue;
                std::memcpy(kv.key(slot), kv.key(position), bytes);
                std::memcpy(kv.value(slot), kv.value(position), bytes);
            }
        }
    });
    std::int64_t rows = 0;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        if (!compressed(head)) continue;
        const auto kept = static_cast<std::int64_t>(seq.slots[head_index(layer, head)].size());
        seq.heads[head_index(layer, head)].shrink(kept);
        rows += kept;
    }
    if (rows == 0) return;
    log.op(OpKind::kPrefillSelect, layer, {2 * rows * row_bytes, 2 * rows * row_bytes, 0, rows});
}

}  // namespace hc::runtime
