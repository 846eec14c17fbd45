/// What one sequence owns: its KV, its policy, its window of queries, its fetches.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/cache/fetch_queue.h"
#include "engine/cache/host_tier.h"
#include "engine/cache/kv_pool.h"
#include "engine/core/records.h"
#include "engine/policy/heterocache.h"
#include "engine/runtime/engine.h"

namespace hc::runtime {

/// A fetch from its trigger until its fate is reported.
struct OpenFetch {
    cache::FetchQueue* queue = nullptr;
    cache::FetchTicket ticket = -1;  ///< -1 once released
    std::int32_t pivot = 0;
    std::vector<policy::HeadFetch> heads;
    std::int64_t due = 0;  ///< decode step of the sequence at whose start it commits
    std::int64_t check_op = -1;
    bool committed = false;
    bool op_logged = false;  ///< its kFetch operation was reported
    bool reported = false;   ///< finish() reported it, although it will still commit
    FetchRecord record;
};

/// The last W post-RoPE queries of every pivot's group.
class QueryWindow {
public:
    QueryWindow(std::size_t num_heads, std::int32_t window, std::int64_t group_floats)
        : window_(window), group_floats_(group_floats), offset_(num_heads, -1) {}

    void watch(std::size_t head_index) {
        offset_[head_index] = static_cast<std::int64_t>(queries_.size());
        queries_.resize(queries_.size() + static_cast<std::size_t>(window_ * group_floats_));
    }
    /// Queries [group, head_dim] of decode step `step` (from 1).
    [[nodiscard]] float* at(std::size_t head_index, std::int64_t step) {
        return queries_.data() + offset_[head_index] + (step - 1) % window_ * group_floats_;
    }

private:
    std::int64_t window_;
    std::int64_t group_floats_;
    std::vector<std::int64_t> offset_;  // [head index], -1: not watched
    std::vector<float> queries_;
};

/// State of use_oracle().
struct Oracle {
    const HeadProfile* profile = nullptr;
    policy::Settings settings;
    policy::Budgets budgets;  // once the prompt is known
};

struct Sequence {
    Sequence(SequenceId sequence_id, const SequenceOptions& sequence_options)
        : id(sequence_id), options(sequence_options) {}

    SequenceId id;
    SequenceOptions options;
    std::vector<cache::HeadKv> heads;  // [layer * num_kv_heads + head]
    std::int64_t prompt = 0;           // tokens of the first prompt
    std::int64_t length = 0;           // tokens processed
    std::int64_t decode_steps = 0;     // of this sequence; drives the policy's checks
    std::int64_t reserved_until = 0;   // length up to which no step allocates

    // With HeteroCache, from the first prompt on.
    std::optional<policy::HeteroCachePolicy> policy;
    std::optional<cache::HostTier> tier;
    std::optional<QueryWindow> window;
    std::vector<Positions> slots;  // [head index], compressed heads: the position in each slot
    std::vector<OpenFetch> fetches;

    std::optional<AttentionCapture> capture;
    AttentionRowSink* row_sink = nullptr;
    std::optional<Oracle> oracle;
};

/// Stars of a layer that have something to refresh.
[[nodiscard]] inline bool watches(const Star& star) {
    return !star.members.empty();
}

}  // namespace hc::runtime
