/// What one sequence owns on the device: its pages, its stars, its host tier.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/core/records.h"
#include "engine/cuda/device_memory.h"
#include "engine/policy/budget.h"
#include "engine/runtime/engine.h"
#include "kernels/cuda/drift.h"
#include "kernels/cuda/star_fetch.h"
#include "kernels/cuda/types.h"

namespace hc::cuda {

struct DecodeBatch;

using kernels::cuda::Bf16;

/// The pages of one head and how many tokens they hold. The host's figures are the truth; what
/// the device has is uploaded from them or advances in step with them.
struct HeadPages {
    std::vector<std::int32_t> pages;
    std::int64_t length = 0;
};

/// A pivot with members, and everything that its checks and its one open fetch need. Device
/// pointers into DeviceSequence::drift_memory.
struct StarState {
    std::int32_t number = 0;  ///< within the sequence, ascending by layer
    std::int32_t layer = 0;
    std::int32_t pivot = 0;
    std::uint32_t* reference = nullptr;  ///< [words] set that checks compare with (row 2)
    float* last_scores = nullptr;        ///< [prompt] of the latest check's last query
    std::int32_t* capacities = nullptr;  ///< [members]
    /// Lists of the latest trigger; members' residency. Staging is set once counts are known.
    kernels::cuda::StarFetch fetch{};
    std::vector<std::int32_t> members;    ///< heads, in star order
    std::vector<std::int64_t> tier_rows;  ///< first row of each member in the tier, in elements
    kernels::cuda::DriftHeader* header = nullptr;  ///< pinned, as the host sees it
    kernels::cuda::DriftHeader* header_device = nullptr;
    kernels::cuda::StarPlanHeader* plan = nullptr;  ///< pinned, as the host sees it
    kernels::cuda::StarPlanHeader* plan_device = nullptr;
    kernels::cuda::Run* large_runs = nullptr;  ///< pinned [members, kMaxLargeRuns]
    kernels::cuda::Run* large_runs_device = nullptr;
    std::uint64_t plan_ticket = 0;  ///< of the latest plan
    std::uint32_t* reports =
        nullptr;                 ///< pinned [2 in turn, 2, members, words]; null: nobody reads
    std::int64_t check_op = -1;  ///< operation of the check under way
    std::int64_t check_id = -1;
};

/// Runs of one member that copies may bring; further ones are left to the gather.
inline constexpr std::int32_t kMaxLargeRuns = 256;

/// State of use_oracle().
struct DeviceOracle {
    const HeadProfile* profile = nullptr;
    policy::Settings settings;
    policy::Budgets budgets;  // once the prompt is known
    DeviceBuffer memory;      // take flags, capacities, bitmaps, rows
};

struct DeviceSequence {
    DeviceSequence(runtime::SequenceId sequence_id, const runtime::SequenceOptions& wanted)
        : id(sequence_id), options(wanted) {}

    runtime::SequenceId id;
    runtime::SequenceOptions options;
    std::vector<HeadPages> heads;   // [layer * num_kv_heads + head]
    std::int64_t prompt = 0;        // tokens of the first prompt
    std::int64_t length = 0;        // tokens processed
    std::int64_t decode_steps = 0;  // of this sequence; drives the checks

    // Page lists: head i's begins at entry table_first + i * list_stride of the table.
    std::int64_t table_first = -1;
    std::int64_t list_stride = 0;
    std::int64_t table_version = 0;  // grows when lists or lengths changed other than by a step
    const DecodeBatch* last_batch = nullptr;  // in whose ring its queries are
    DeviceBuffer views;  // int32 [layers * heads] indptr, then lengths; for prefill

    // With HeteroCache, from the first prompt on.
    std::optional<policy::Budgets> budgets;
    PinnedBuffer tier;                      // rows [2, head_dim] of the hosted heads
    std::vector<std::int64_t> tier_offset;  // [head index] first element in the tier, -1: none
    DeviceBuffer drift_memory;
    PinnedBuffer headers;
    std::vector<std::uint32_t*> references;  // [head index] of pivots, device bitmaps
    std::vector<std::uint32_t*> residents;   // [head index] of satellites, device bitmaps
    std::vector<std::int32_t*> slots;        // [head index] slot_positions of satellites
    std::int32_t* base_k = nullptr;          // [window] device, all base
    std::vector<StarState> stars;            // ascending by layer, file order within
    std::vector<std::vector<std::size_t>> stars_of_layer;  // [layer] indices into stars

    /// Committed fetches whose rows no attention was seen to read yet; where operations are timed.
    struct UnusedFetch {
        std::int32_t layer = 0;
        std::int64_t id = -1;
        std::int64_t first_use_op = -1;
    };
    std::vector<UnusedFetch> unused_fetches;

    std::optional<runtime::AttentionCapture> capture;
    runtime::AttentionRowSink* row_sink = nullptr;
    std::optional<DeviceOracle> oracle;

    [[nodiscard]] bool retrieves() const { return budgets.has_value() && !stars.empty(); }
    [[nodiscard]] const policy::Settings& settings() const { return options.settings; }
};

/// Rows for the observer, gathered during a step and handed over after it.
struct Reports {
    std::vector<HeadRecord> heads;
    std::vector<DriftRecord> drift;
    std::vector<FetchRecord> fetches;
    std::vector<RowsRecord> rows;
    std::vector<AttentionRecord> attention;
    void clear() {
        heads.clear();
        drift.clear();
        fetches.clear();
        rows.clear();
        attention.clear();
    }
};

}  // namespace hc::cuda
