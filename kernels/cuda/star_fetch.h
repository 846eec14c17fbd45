/// The refresh of one star: what each member fetches, the way from the host tier to the staging
/// buffer, and the commit into the pages (algorithm.md §5). Twins: policy::HeteroCachePolicy's
/// check and commit.
///
/// A row is one token's key and value side by side: bf16 [2, head_dim].
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/bitmap.h"
#include "kernels/cuda/row_gather.h"
#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

constexpr std::int32_t kMaxStarMembers = 32;

/// Bit 31 of a fetched position: a copy of its run brings the row, the gather skips it.
constexpr std::int32_t kPositionMask = 0x7fffffff;

/// One satellite. Device pointers, borrowed; 16-byte aligned where they hold rows.
struct StarMember {
    std::int32_t cap = 0;                        ///< prompt tokens kept, in slots 0 .. cap - 1
    std::uint32_t* resident = nullptr;           ///< [bitmap_words(prompt)], cap bits set
    std::int32_t* slot_positions = nullptr;      ///< [cap] which resident position each slot holds
    const std::int32_t* page_indices = nullptr;  ///< the head's list, for slots up to cap - 1
    const Bf16* host_rows = nullptr;  ///< device address of mapped pinned memory, [prompt] rows
    Bf16* staging = nullptr;          ///< room for the fetched rows, at most cap
};

/// One refresh of a star. plan_star fills the lists, gather_star and star_commit read them; they
/// belong to this refresh from its plan to its commit. Device pointers, borrowed.
struct StarFetch {
    StarMember members[kMaxStarMembers];
    std::int32_t num_members = 0;
    std::int32_t prompt = 0;
    std::int32_t page_size = 16;
    std::int32_t head_dim = 0;  ///< a multiple of 8
    Bf16* pages = nullptr;      ///< as PagedKvCache::pages

    /// [num_members, bitmap_words(prompt)] what each member is to hold after the commit: from
    /// top_k with k = cap, or written by plan_star (StarPlanOptions::best)
    std::uint32_t* wanted = nullptr;
    std::uint32_t* fetched = nullptr;   ///< the same shape: the rows to bring
    std::uint32_t* evicted = nullptr;   ///< the same shape: resident minus wanted; null: not wanted
    std::int32_t* positions = nullptr;  ///< [num_members, row_stride] fetched, ascending; bit 31
    std::int32_t* slots = nullptr;      ///< [num_members, row_stride] where row i goes
    std::int32_t* num_rows = nullptr;   ///< [num_members]
    std::int64_t row_stride = 0;        ///< at least every cap
    Run* runs = nullptr;                ///< [num_members, run_stride] of the fetched positions
    std::int32_t* num_runs = nullptr;   ///< [num_members]
    std::int64_t run_stride = 0;        ///< at least min(largest cap, (prompt + 1) / 2)
};

/// What the host learns of a plan. `ticket` is written last. Must begin cleared.
struct StarPlanHeader {
    std::int32_t num_rows[kMaxStarMembers];
    std::int32_t num_runs[kMaxStarMembers];
    std::int32_t num_large_runs[kMaxStarMembers];  ///< listed in host_large_runs
    std::uint64_t ticket;
};

struct StarPlanOptions {
    bool missing_only = true;  ///< row 15; else all of `wanted` is fetched, into slots 0 .. cap - 1
    /// [bitmap_words(prompt)] the best positions, as many as the largest cap: wanted of a member
    /// becomes the first cap of them (row 1, reference). Null: wanted is given.
    const std::uint32_t* best = nullptr;
    /// Runs of at least so many rows are left to copies of the host's: they are listed, in
    /// ascending order, and the gather skips them. 0: none.
    std::int32_t large_run_rows = 0;
    std::int32_t max_large_runs = 0;  ///< of a member; further ones stay with the gather
    /// out, mapped pinned host memory (device address) [num_members, max_large_runs]: prompt rows
    /// start .. start + length - 1 belong at row `first` of the member's staging buffer
    Run* host_large_runs = nullptr;
    StarPlanHeader* host_header = nullptr;  ///< out, likewise; null: nothing is told
    std::uint64_t ticket = 0;
    void* workspace = nullptr;  ///< star_plan_workspace_bytes(), 16-byte aligned, not cleared
};

[[nodiscard]] std::size_t star_plan_workspace_bytes(std::int32_t num_members,
                                                    std::int64_t row_stride);

/// Lists what to fetch and where it goes: with missing_only row i goes to the i-th lowest slot
/// that holds an evicted position. Changes neither residency nor slots. No host sync.
[[nodiscard]] cudaError_t plan_star(const StarFetch& fetch, const StarPlanOptions& options,
                                    cudaStream_t stream);

/// Brings the listed rows of all members that no copy brings into the staging buffers, by
/// num_blocks (1 .. kMaxGatherBlocks) blocks of `threads`. Neighbouring rows are read by one warp
/// as one piece of up to 2 KiB, as gather_rows does; counts are read on the device.
[[nodiscard]] cudaError_t gather_star(const StarFetch& fetch, std::int32_t num_blocks,
                                      cudaStream_t stream, std::int32_t threads = 1024);

/// Moves the staging rows of all members to their slots, and makes `wanted` resident. Moves
/// 8 * head_dim bytes a row.
[[nodiscard]] cudaError_t star_commit(const StarFetch& fetch, cudaStream_t stream);

/// out [prompt] = scores, with the first `sink` and the last `recent` positions lifted above all
/// others: the sinks first, then the last token, the one before it, ... So top_k of any k then
/// chooses what policy::select_kept does (row 10). Scores must be below 2^64; prompt at most
/// 2^28. `out` may be `scores`.
[[nodiscard]] cudaError_t force_scores(const float* scores, std::int32_t prompt, std::int32_t sink,
                                       std::int32_t recent, float* out, cudaStream_t stream);

/// After prefill: the kept tokens of one head, from its full list of pages to a new one.
struct KeptRowsArguments {
    Bf16* pages = nullptr;                         ///< as PagedKvCache::pages
    const std::int32_t* source_indices = nullptr;  ///< the full list; shares no page with target
    const std::int32_t* target_indices = nullptr;
    std::int32_t page_size = 16;
    std::int32_t head_dim = 0;               ///< a multiple of 8
    const std::int32_t* kept = nullptr;      ///< [*num_kept] prompt positions, ascending
    const std::int32_t* num_kept = nullptr;  ///< device
    std::int32_t max_kept = 0;               ///< sizes the grid; more are done all the same
    std::int32_t* slot_positions = nullptr;  ///< out [*num_kept]: a copy of kept
};

/// Slot i of the target holds kept[i]. Moves 8 * head_dim bytes a row.
[[nodiscard]] cudaError_t gather_kept(const KeptRowsArguments& arguments, cudaStream_t stream);

/// Slots first .. first + num_rows - 1 of a head's list as dense rows [num_rows, 2, head_dim], the
/// layout of the host tier.
struct OffloadRowsArguments {
    const Bf16* pages = nullptr;  ///< as PagedKvCache::pages
    const std::int32_t* page_indices = nullptr;
    std::int32_t page_size = 16;
    std::int32_t head_dim = 0;  ///< a multiple of 8
    std::int32_t first = 0;
    std::int32_t num_rows = 0;
    Bf16* rows = nullptr;  ///< out, device memory, 16-byte aligned
};

/// Moves 8 * head_dim bytes a row.
[[nodiscard]] cudaError_t offload_rows(const OffloadRowsArguments& arguments, cudaStream_t stream);

}  // namespace hc::kernels::cuda
