/// What an engine run tells its observer, as plain rows. They are the rows of the `hc_*` tables
/// (profiler/trace/schema.sql has a comment per column); times are now_ns() of engine/core,
/// ids count from 0 within a run, -1 means "none".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/head_profile.h"

namespace hc {

enum class Phase : std::uint8_t { kPrefill, kDecode };

/// The fixed list of engine operations (trace.md, hc_op.kind). Append only: traces hold names.
enum class OpKind : std::uint8_t {
    kEmbed,
    kNorm,
    kQkv,
    kRopeAppend,
    kAttention,
    kAttnOut,
    kMlp,
    kDriftScore,     ///< selection scores of a window's queries
    kDriftTopk,      ///< top-k, overlaps and the decision
    kFetch,          ///< a transfer host tier -> staging, on the fetch stream
    kCommit,         ///< staging -> resident pool, includes waiting for a late fetch
    kLmHead,
    kSample,
    kPrefillSelect,  ///< scores and top-k of the compressed heads after prefill
    kOffload,        ///< copy of satellites' prompt KV to the host tier
    kOther,          ///< work of a recorded program that it gave no name
    kCount
};

[[nodiscard]] constexpr std::string_view op_kind_name(OpKind kind) {
    constexpr std::string_view names[] = {
        "embed", "norm",       "qkv",        "rope_append", "attention", "attn_out", "mlp",
        "drift_score", "drift_topk", "fetch", "commit",      "lm_head",   "sample",
        "prefill_select", "offload", "other"};
    static_assert(std::size(names) == static_cast<std::size_t>(OpKind::kCount));
    return kind < OpKind::kCount ? names[static_cast<std::size_t>(kind)] : "unknown";
}

/// True for operations whose time is a transfer (trace.md, "transfer"); all others compute.
[[nodiscard]] constexpr bool is_transfer(OpKind kind) { return kind == OpKind::kFetch; }

/// Streams of the CPU backend.
inline constexpr std::int32_t kDecodeStream = 0;
inline constexpr std::int32_t kFetchStream = 1;

struct StepRecord {
    std::int64_t step = 0;  ///< 0 is the prefill, then one per decode step of the batch
    Phase phase = Phase::kDecode;
    std::int32_t batch = 1;
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
};

struct OpRecord {
    std::int64_t op_id = 0;  ///< ascending within a run over all streams
    std::int64_t step = 0;
    std::int32_t layer = -1;
    OpKind kind = OpKind::kEmbed;
    std::int32_t stream = kDecodeStream;
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t bytes_read = 0;
    std::int64_t bytes_written = 0;
    std::int64_t flops = 0;
    std::int64_t rows = 0;  ///< KV rows (token, head) touched by attention-like operations and
                            ///< transfers; tokens for the dense ones
};

enum class EdgeKind : std::uint8_t { kStream, kEvent, kGraph, kHost };

/// `to` could not start before `from` ended.
struct EdgeRecord {
    std::int64_t from_op = -1;
    std::int64_t to_op = -1;
    EdgeKind kind = EdgeKind::kHost;
};

struct TokenRecord {
    std::int64_t step = 0;
    std::int32_t sequence = 0;
    std::int32_t token_id = -1;     ///< the token that this step put out (or was forced to)
    std::int64_t context_length = 0;  ///< tokens of the sequence before it
    /// With teacher forcing against full attention.
    std::optional<double> kl_nats;
    std::optional<bool> top1_equal;
    std::optional<double> nll_nats;
};

/// One drift check of one star (algorithm.md §5), triggered or not.
struct DriftRecord {
    std::int64_t check_id = -1;
    std::int64_t op_id = -1;  ///< its kDriftTopk operation
    std::int64_t step = 0;
    std::int32_t layer = 0;
    std::int32_t pivot = 0;
    std::int32_t sequence = 0;
    std::int64_t base = 0;
    std::vector<double> overlaps;  ///< one per query of the window
    double median = 0;
    double threshold = 0;
    bool triggered = false;
};

enum class FetchWay : std::uint8_t { kGather, kCopy, kMemcpy };

/// One fetch: everything that one triggered check brought from the host tier.
struct FetchRecord {
    std::int64_t id = -1;
    std::int64_t check_id = -1;
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    FetchWay way = FetchWay::kMemcpy;
    std::int64_t rows_wanted = 0;   ///< over all members of the star
    std::int64_t rows_fetched = 0;  ///< of these, not resident
    std::int64_t runs = 0;          ///< contiguous pieces read from the host tier
    std::int64_t bytes = 0;
    std::int64_t queued_ns = 0;
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t due_step = 0;         ///< committed at the start of this step
    std::int64_t committed_step = -1;  ///< -1: never (superseded, or the run ended)
    std::int64_t exposed_ns = 0;       ///< the compute stream waited this long for it
    std::int64_t fetch_op = -1;        ///< its kFetch operation
    std::int64_t commit_op = -1;
    std::int64_t first_use_op = -1;    ///< the attention that first reads the rows
    bool superseded = false;
};

/// Residency changes of one head: at prefill (fetch_id -1: `fetched` is the kept set, nothing
/// evicted) or by a fetch's commit. Positions ascend.
struct RowsRecord {
    std::int64_t fetch_id = -1;
    std::int64_t step = 0;  ///< the step from whose start the change holds
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    std::int32_t head = 0;
    Positions fetched;
    Positions evicted;
};

enum class AttentionRowKind : std::uint8_t { kScore, kProb };

/// One row of the drift trace (trace.md). `ranked` holds the best prompt positions, best first,
/// so that any smaller top-k is a prefix; `values` belong to them.
struct AttentionRecord {
    std::int64_t step = 0;
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    std::int32_t head = 0;
    AttentionRowKind kind = AttentionRowKind::kScore;
    Positions ranked;
    std::vector<float> values;
    double mass_generated = 0;  ///< probability on generated tokens (kProb)
    double mass_rest = 0;       ///< probability on prompt positions beyond `ranked` (kProb)
};

struct MemoryRecord {
    std::int64_t step = 0;
    std::int64_t pool_used_bytes = 0;
    std::int64_t pool_reserved_bytes = 0;
    std::int64_t host_tier_bytes = 0;
    std::int64_t staging_bytes = 0;
    std::int64_t process_peak_bytes = 0;
};

/// Role and budget of one head in one run.
struct HeadRecord {
    std::int32_t layer = 0;
    std::int32_t head = 0;
    HeadRole role = HeadRole::kAnchor;
    double stability = -1;     ///< -1: not known
    std::int32_t pivot = -1;   ///< the pivot that this head follows
    double ratio = -1;
    std::int64_t capacity = 0;  ///< prompt tokens kept
};

}  // namespace hc
