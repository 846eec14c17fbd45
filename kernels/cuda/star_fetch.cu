#include "kernels/cuda/star_fetch.h"

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/top_k.h"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kScanThreads = 1024;
constexpr int kGatherThreads = 1024;          // at most
constexpr int kInFlight = 4;                  // 16-byte loads of a lane
constexpr int kMaxBlocks = 1056;              // eight for each of Hopper's multiprocessors
constexpr int kPiece = kInFlight * kThreads;  // units of a block that copies
constexpr std::int32_t kCopied = ~kPositionMask;

int words_of(std::int32_t prompt) {
    return static_cast<int>(bitmap_words(prompt));
}

unsigned blocks_for(std::int64_t items, std::int64_t of_a_block) {
    return static_cast<unsigned>((items + of_a_block - 1) / of_a_block);
}

/// Sum of `own` over the threads before this one; `total` over all kScanThreads.
__device__ int scan_block(int own, int& total) {
    __shared__ int sums[kScanThreads / 32];
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int warp = static_cast<int>(threadIdx.x / 32);
    int inclusive = own;
    for (int offset = 1; offset < 32; offset *= 2) {
        const int other = __shfl_up_sync(~0U, inclusive, offset);
        if (lane >= offset) inclusive += other;
    }
    __syncthreads();  // the sums of the call before have been read
    if (lane == 31) sums[warp] = inclusive;
    __syncthreads();
    int before = inclusive - own;
    total = 0;
    for (int i = 0; i < kScanThreads / 32; ++i) {
        if (i < warp) before += sums[i];
        total += sums[i];
    }
    return before;
}

/// The lowest `count` of the bits that are set.
__device__ std::uint32_t lowest_bits(std::uint32_t bits, int count) {
    if (count >= __popc(bits)) return bits;
    std::uint32_t kept = 0;
    for (int i = 0; i < count; ++i) {
        kept |= bits & (0U - bits);
        bits &= bits - 1;
    }
    return kept;
}

/// Row 1, reference: wanted = the first cap of `best`. A block a member.
__global__ void __launch_bounds__(kScanThreads)
    prefix_kernel(const __grid_constant__ StarFetch fetch, const std::uint32_t* best, int words) {
    const int member = static_cast<int>(blockIdx.x);
    std::uint32_t* wanted = fetch.wanted + static_cast<std::int64_t>(member) * words;
    int left = fetch.members[member].cap;
    for (int first = 0; first < words; first += kScanThreads) {
        const int i = first + static_cast<int>(threadIdx.x);
        const std::uint32_t bits = i < words ? best[i] : 0;
        int total = 0;
        const int before = scan_block(__popc(bits), total);
        if (i < words) wanted[i] = lowest_bits(bits, left - before);
        left -= total;
    }
}

__global__ void __launch_bounds__(kThreads)
    difference_kernel(const __grid_constant__ StarFetch fetch, bool missing_only, int words) {
    const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    if (i >= words) return;
    const std::int64_t at = static_cast<std::int64_t>(blockIdx.y) * words + i;
    const std::uint32_t wanted = fetch.wanted[at];
    const std::uint32_t resident = fetch.members[blockIdx.y].resident[i];
    fetch.fetched[at] = missing_only ? wanted & ~resident : wanted;
    if (fetch.evicted != nullptr) fetch.evicted[at] = resident & ~wanted;
}

/// A bit for every slot that may be overwritten; a thread a slot.
__global__ void __launch_bounds__(kThreads)
    free_slots_kernel(const __grid_constant__ StarFetch fetch, bool missing_only, int words,
                      std::uint32_t* free_slots, int slot_words) {
    const StarMember& member = fetch.members[blockIdx.y];
    const int slot = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    bool is_free = slot < member.cap;
    if (is_free && missing_only) {
        const int position = member.slot_positions[slot];
        const std::uint32_t word =
            fetch.wanted[static_cast<std::int64_t>(blockIdx.y) * words + position / 32];
        is_free = (word >> (position % 32) & 1U) == 0;
    }
    const std::uint32_t bits = __ballot_sync(~0U, is_free);
    if (threadIdx.x % 32 == 0 && slot / 32 < slot_words) {
        free_slots[static_cast<std::int64_t>(blockIdx.y) * slot_words + slot / 32] = bits;
    }
}

/// Lists the large runs and marks their rows as copied. A block a member.
__global__ void __launch_bounds__(kScanThreads)
    large_runs_kernel(const __grid_constant__ StarFetch fetch,
                      const __grid_constant__ StarPlanOptions options, std::int32_t* num_large) {
    const int member = static_cast<int>(blockIdx.x);
    const int lane = static_cast<int>(threadIdx.x % 32);
    const Run* runs = fetch.runs + member * fetch.run_stride;
    std::int32_t* positions = fetch.positions + member * fetch.row_stride;
    Run* listed =
        options.host_large_runs + static_cast<std::int64_t>(member) * options.max_large_runs;
    const int count = fetch.num_runs[member];
    int found = 0;  // the same for all threads
    for (int first = 0; first < count && found < options.max_large_runs; first += kScanThreads) {
        const int i = first + static_cast<int>(threadIdx.x);
        Run run{0, 0, 0};
        if (i < count) run = runs[i];
        const bool is_large = run.length >= options.large_run_rows;  // which is at least 1
        int total = 0;
        const int rank = found + scan_block(is_large ? 1 : 0, total);
        const bool is_taken = is_large && rank < options.max_large_runs;
        if (is_taken) listed[rank] = run;
        for (unsigned left = __ballot_sync(~0U, is_taken); left != 0; left &= left - 1) {
            const int owner = __ffs(static_cast<int>(left)) - 1;
            const int begin = __shfl_sync(~0U, run.first, owner);
            const int length = __shfl_sync(~0U, run.length, owner);
            for (int row = lane; row < length; row += 32) positions[begin + row] |= kCopied;
        }
        found += total;
    }
    __threadfence_system();  // the list must not arrive after publish_kernel's ticket
    if (threadIdx.x == 0) num_large[member] = min(found, options.max_large_runs);
}

/// One warp; a lane a member.
__global__ void publish_kernel(const std::int32_t* num_rows, const std::int32_t* num_runs,
                               const std::int32_t* num_large, int members, StarPlanHeader* header,
                               std::uint64_t ticket) {
    const int lane = static_cast<int>(threadIdx.x);
    volatile StarPlanHeader* host = header;
    host->num_rows[lane] = lane < members ? num_rows[lane] : 0;
    host->num_runs[lane] = lane < members ? num_runs[lane] : 0;
    host->num_large_runs[lane] = lane < members && num_large != nullptr ? num_large[lane] : 0;
    __threadfence_system();
    __syncwarp();
    if (lane == 0) host->ticket = ticket;
}

/// The rows of all members back to back, cut into pieces of at most `piece_units` 16-byte units
/// that do not cross members: ends[j] = pieces of members 0 .. j.
__device__ void count_pieces(const StarFetch& fetch, int row_units, int piece_units, int* ends) {
    if (threadIdx.x < 32) {
        const int lane = static_cast<int>(threadIdx.x);
        int pieces = 0;
        if (lane < fetch.num_members) {
            const std::int64_t units = static_cast<std::int64_t>(fetch.num_rows[lane]) * row_units;
            pieces = static_cast<int>((units + piece_units - 1) / piece_units);
        }
        for (int offset = 1; offset < 32; offset *= 2) {
            const int other = __shfl_up_sync(~0U, pieces, offset);
            if (lane >= offset) pieces += other;
        }
        ends[lane] = pieces;
    }
    __syncthreads();
}
static_assert(kMaxStarMembers == 32, "a lane a member");

/// A warp's next piece of the fetch, this lane's view of it.
struct GatherPiece {
    int member;
    std::int64_t first;  // unit of the member's staging that the piece begins with
    std::int64_t units;  // of the member
    std::int64_t row;    // of that unit
    int offset;          // this lane's first unit within the row
};

__device__ GatherPiece locate(const StarFetch& fetch, const int* ends, int row_units, int piece,
                              int member) {
    while (piece >= ends[member]) ++member;
    GatherPiece p;
    p.member = member;
    p.units = static_cast<std::int64_t>(fetch.num_rows[member]) * row_units;
    p.first =
        static_cast<std::int64_t>(piece - (member > 0 ? ends[member - 1] : 0)) * 32 * kInFlight;
    p.row = p.first / row_units;
    p.offset = static_cast<int>(p.first - p.row * row_units + threadIdx.x % 32);
    return p;
}

/// Prompt positions of this lane's units; negative where there is nothing to bring.
__device__ void load_positions(const StarFetch& fetch, const GatherPiece& p, int row_units,
                               std::int32_t (&positions)[kInFlight]) {
    const std::int32_t* list = fetch.positions + p.member * fetch.row_stride + p.row;
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
        const bool in = p.first + threadIdx.x % 32 + i * 32 < p.units;
        positions[i] = in ? list[(p.offset + i * 32) / row_units] : -1;
    }
}

/// A multiprocessor's loads return in order, so positions asked for when they are needed would wait
/// for all rows that are on their way over the link: they are asked for a piece ahead.
__global__ void __launch_bounds__(kGatherThreads)
    gather_kernel(const __grid_constant__ StarFetch fetch) {
    __shared__ int ends[kMaxStarMembers];
    const int row_units = fetch.head_dim / 4;
    count_pieces(fetch, row_units, 32 * kInFlight, ends);
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int block_warps = static_cast<int>(blockDim.x / 32);
    const int warps = static_cast<int>(gridDim.x) * block_warps;
    const int total = ends[fetch.num_members - 1];
    int piece = static_cast<int>(blockIdx.x) * block_warps + static_cast<int>(threadIdx.x / 32);
    if (piece >= total) return;
    GatherPiece now = locate(fetch, ends, row_units, piece, 0);
    std::int32_t positions[kInFlight];
    load_positions(fetch, now, row_units, positions);
    for (;;) {
        const auto* source = reinterpret_cast<const uint4*>(fetch.members[now.member].host_rows);
        uint4 values[kInFlight];
        bool brought[kInFlight];
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            brought[i] = positions[i] >= 0;
            const std::int64_t position = positions[i];
            if (brought[i]) {
                values[i] =
                    __ldcs(source + position * row_units + (now.offset + i * 32) % row_units);
            }
        }
        auto* staging =
            reinterpret_cast<uint4*>(fetch.members[now.member].staging) + now.first + lane;
        piece += warps;
        const bool more = piece < total;
        if (more) {
            now = locate(fetch, ends, row_units, piece, now.member);
            load_positions(fetch, now, row_units, positions);
        }
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
            if (brought[i]) staging[i * 32] = values[i];
        }
        if (!more) return;
    }
}

/// Index of a token among all keys and values of the pool; half: 0 key, 1 value.
__device__ std::int64_t token_of(const std::int32_t* page_indices, int page_size, int slot,
                                 int half) {
    const int page = slot / page_size;
    return (static_cast<std::int64_t>(page_indices[page]) * 2 + half) * page_size +
           (slot - page * page_size);
}

/// Copies 16-byte units first .. first + kPiece - 1, as far as there are `units`, by the whole
/// block. A unit is named by half = row * 2 + (0 key, 1 value) and its place within the key or
/// value.
template <typename Source, typename Target>
__device__ void copy_piece(std::int64_t first, std::int64_t units, int half_units,
                           const Source& source, const Target& target) {
    const auto first_half = static_cast<int>(first / half_units);
    const int offset =
        static_cast<int>(first - static_cast<std::int64_t>(first_half) * half_units) +
        static_cast<int>(threadIdx.x);
    uint4 values[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
        const int at = offset + i * kThreads;
        if (first + threadIdx.x + i * kThreads < units) {
            values[i] = __ldcs(source(first_half + at / half_units, at % half_units));
        }
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
        const int at = offset + i * kThreads;
        if (first + threadIdx.x + i * kThreads < units) {
            *target(first_half + at / half_units, at % half_units) = values[i];
        }
    }
}

__device__ void commit_piece(const StarFetch& fetch, int member, std::int64_t first) {
    const int half_units = fetch.head_dim / 8;
    const std::int64_t units = static_cast<std::int64_t>(fetch.num_rows[member]) * half_units * 2;
    const StarMember& m = fetch.members[member];
    const std::int32_t* slots = fetch.slots + member * fetch.row_stride;
    const std::int32_t* positions = fetch.positions + member * fetch.row_stride;
    copy_piece(
        first, units, half_units,
        [&](int half, int within) {
            return reinterpret_cast<const uint4*>(m.staging) +
                   static_cast<std::int64_t>(half) * half_units + within;
        },
        [&](int half, int within) {
            const int slot = slots[half / 2];
            if (half % 2 == 0 && within == 0) {
                m.slot_positions[slot] = positions[half / 2] & kPositionMask;
            }
            return reinterpret_cast<uint4*>(fetch.pages) +
                   token_of(m.page_indices, fetch.page_size, slot, half % 2) * half_units + within;
        });
}

__global__ void __launch_bounds__(kThreads)
    commit_kernel(const __grid_constant__ StarFetch fetch, int words) {
    __shared__ int ends[kMaxStarMembers];
    count_pieces(fetch, fetch.head_dim / 4, kPiece, ends);
    const int total = ends[fetch.num_members - 1];
    int member = 0;
    for (int piece = static_cast<int>(blockIdx.x); piece < total;
         piece += static_cast<int>(gridDim.x)) {
        while (piece >= ends[member]) ++member;
        const int before = member > 0 ? ends[member - 1] : 0;
        commit_piece(fetch, member, static_cast<std::int64_t>(piece - before) * kPiece);
    }
    const std::int64_t count = static_cast<std::int64_t>(fetch.num_members) * words;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
         i += static_cast<std::int64_t>(gridDim.x) * kThreads) {
        const auto owner = static_cast<int>(i / words);
        fetch.members[owner].resident[i - static_cast<std::int64_t>(owner) * words] =
            fetch.wanted[i];
    }
}

__global__ void __launch_bounds__(kThreads) kept_kernel(const KeptRowsArguments a) {
    auto* pages = reinterpret_cast<uint4*>(a.pages);
    const int half_units = a.head_dim / 8;
    const std::int64_t units = static_cast<std::int64_t>(*a.num_kept) * half_units * 2;
    const auto unit_of = [&](const std::int32_t* indices, int slot, int half, int within) {
        return pages + token_of(indices, a.page_size, slot, half % 2) * half_units + within;
    };
    for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kPiece; first < units;
         first += static_cast<std::int64_t>(gridDim.x) * kPiece) {
        copy_piece(
            first, units, half_units,
            [&](int half, int within) {
                const int position = a.kept[half / 2];
                if (half % 2 == 0 && within == 0) a.slot_positions[half / 2] = position;
                return unit_of(a.source_indices, position, half, within);
            },
            [&](int half, int within) {
                return unit_of(a.target_indices, half / 2, half, within);
            });
    }
}

__global__ void __launch_bounds__(kThreads) offload_kernel(const OffloadRowsArguments a) {
    const auto* pages = reinterpret_cast<const uint4*>(a.pages);
    auto* rows = reinterpret_cast<uint4*>(a.rows);
    const int half_units = a.head_dim / 8;
    const std::int64_t units = static_cast<std::int64_t>(a.num_rows) * half_units * 2;
    for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kPiece; first < units;
         first += static_cast<std::int64_t>(gridDim.x) * kPiece) {
        copy_piece(
            first, units, half_units,
            [&](int half, int within) {
                const int slot = a.first + half / 2;
                return pages + token_of(a.page_indices, a.page_size, slot, half % 2) * half_units +
                       within;
            },
            [&](int half, int within) {
                return rows + static_cast<std::int64_t>(half) * half_units + within;
            });
    }
}

__global__ void __launch_bounds__(kThreads)
    force_kernel(const float* scores, int prompt, int sink, int recent_first, float* out) {
    // 2^65; each later position one step of the float higher, and far below infinity.
    constexpr std::uint32_t kAboveAllScores = 0x60000000;
    const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    if (i >= prompt) return;
    float value = scores[i];
    if (i >= recent_first) {
        value = __uint_as_float(kAboveAllScores + static_cast<std::uint32_t>(i - recent_first));
    }
    if (i < sink) value = __uint_as_float(0x7f800000);  // equal ones: the first are chosen first
    out[i] = value;
}

bool is_valid(const StarFetch& fetch) {
    if (fetch.num_members < 0 || fetch.num_members > kMaxStarMembers || fetch.prompt < 0 ||
        fetch.prompt > (1 << 30) || fetch.head_dim <= 0 || fetch.head_dim % 8 != 0 ||
        fetch.page_size < 1) {
        return false;
    }
    return std::all_of(fetch.members, fetch.members + fetch.num_members, [&](const StarMember& m) {
        return m.cap >= 0 && m.cap <= fetch.prompt && m.cap <= fetch.row_stride;
    });
}

/// Where plan_star keeps what nobody else needs.
struct PlanWorkspace {
    std::uint32_t* free_slots;  // [members, slot_words]
    std::int32_t* num_slots;    // [members]
    std::int32_t* num_large;    // [members]
};

cudaError_t compact_lists(const StarFetch& fetch, int words, const PlanWorkspace& w, int slot_words,
                          cudaStream_t stream) {
    CompactionArguments rows;
    rows.bitmaps = fetch.fetched;
    rows.num_rows = fetch.num_members;
    rows.words = words;
    rows.positions = fetch.positions;
    rows.position_stride = fetch.row_stride;
    rows.num_positions = fetch.num_rows;
    rows.runs = fetch.runs;
    rows.run_stride = fetch.run_stride;
    rows.num_runs = fetch.num_runs;
    const cudaError_t error = bitmap_compact(rows, stream);
    if (error != cudaSuccess) return error;
    CompactionArguments slots;
    slots.bitmaps = w.free_slots;
    slots.num_rows = fetch.num_members;
    slots.words = slot_words;
    slots.positions = fetch.slots;
    slots.position_stride = fetch.row_stride;
    slots.num_positions = w.num_slots;
    return bitmap_compact(slots, stream);
}

unsigned copy_blocks(std::int64_t rows, std::int32_t head_dim) {
    const std::int64_t blocks = blocks_for(rows * (head_dim / 4), kPiece);
    return static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, kMaxBlocks));
}

}  // namespace

std::size_t star_plan_workspace_bytes(std::int32_t num_members, std::int64_t row_stride) {
    const auto members = static_cast<std::size_t>(std::max(num_members, 0));
    const auto words =
        static_cast<std::size_t>(bitmap_words(std::max<std::int64_t>(row_stride, 0)));
    return members * (words + 2) * sizeof(std::uint32_t);
}

cudaError_t plan_star(const StarFetch& fetch, const StarPlanOptions& options, cudaStream_t stream) {
    const bool has_large = options.large_run_rows > 0 && options.max_large_runs > 0;
    if (!is_valid(fetch) || fetch.row_stride > (1 << 30) || options.workspace == nullptr ||
        (has_large && options.host_large_runs == nullptr)) {
        return cudaErrorInvalidValue;
    }
    const auto members = static_cast<unsigned>(fetch.num_members);
    const int words = words_of(fetch.prompt);
    const auto slot_words = static_cast<int>(bitmap_words(fetch.row_stride));
    PlanWorkspace w{};
    w.free_slots = static_cast<std::uint32_t*>(options.workspace);
    w.num_slots = reinterpret_cast<std::int32_t*>(
        w.free_slots + static_cast<std::int64_t>(fetch.num_members) * slot_words);
    w.num_large = w.num_slots + fetch.num_members;
    if (members > 0) {
        if (options.best != nullptr) {
            run_beside_others(prefix_kernel);
            prefix_kernel<<<members, kScanThreads, 0, stream>>>(fetch, options.best, words);
        }
        if (words > 0) {
            run_beside_others(difference_kernel);
            difference_kernel<<<dim3(blocks_for(words, kThreads), members), kThreads, 0, stream>>>(
                fetch, options.missing_only, words);
        }
        if (slot_words > 0) {
            run_beside_others(free_slots_kernel);
            free_slots_kernel<<<dim3(blocks_for(fetch.row_stride, kThreads), members), kThreads, 0,
                                stream>>>(fetch, options.missing_only, words, w.free_slots,
                                          slot_words);
        }
        const cudaError_t error = compact_lists(fetch, words, w, slot_words, stream);
        if (error != cudaSuccess) return error;
        if (has_large) {
            run_beside_others(large_runs_kernel);
            large_runs_kernel<<<members, kScanThreads, 0, stream>>>(fetch, options, w.num_large);
        }
    }
    if (options.host_header != nullptr) {
        run_beside_others(publish_kernel);
        publish_kernel<<<1, 32, 0, stream>>>(fetch.num_rows, fetch.num_runs,
                                             has_large ? w.num_large : nullptr, fetch.num_members,
                                             options.host_header, options.ticket);
    }
    return cudaGetLastError();
}

cudaError_t gather_star(const StarFetch& fetch, std::int32_t num_blocks, cudaStream_t stream,
                        std::int32_t threads) {
    if (!is_valid(fetch) || num_blocks < 1 || num_blocks > kMaxGatherBlocks || threads < 32 ||
        threads > kGatherThreads || threads % 32 != 0) {
        return cudaErrorInvalidValue;
    }
    if (fetch.num_members == 0) return cudaSuccess;
    run_beside_others(gather_kernel);
    gather_kernel<<<static_cast<unsigned>(num_blocks), static_cast<unsigned>(threads), 0, stream>>>(
        fetch);
    return cudaGetLastError();
}

cudaError_t star_commit(const StarFetch& fetch, cudaStream_t stream) {
    if (!is_valid(fetch)) return cudaErrorInvalidValue;
    if (fetch.num_members == 0) return cudaSuccess;
    std::int64_t rows = 0;
    for (int j = 0; j < fetch.num_members; ++j) rows += fetch.members[j].cap;
    run_beside_others(commit_kernel);
    commit_kernel<<<copy_blocks(rows, fetch.head_dim), kThreads, 0, stream>>>(
        fetch, words_of(fetch.prompt));
    return cudaGetLastError();
}

cudaError_t force_scores(const float* scores, std::int32_t prompt, std::int32_t sink,
                         std::int32_t recent, float* out, cudaStream_t stream) {
    if (prompt < 0 || prompt > (1 << 28) || sink < 0 || recent < 0) return cudaErrorInvalidValue;
    if (prompt == 0) return cudaSuccess;
    run_beside_others(force_kernel);
    force_kernel<<<blocks_for(prompt, kThreads), kThreads, 0, stream>>>(
        scores, prompt, sink, prompt - std::min(recent, prompt), out);
    return cudaGetLastError();
}

cudaError_t gather_kept(const KeptRowsArguments& a, cudaStream_t stream) {
    if (a.head_dim <= 0 || a.head_dim % 8 != 0 || a.page_size < 1 || a.max_kept < 0) {
        return cudaErrorInvalidValue;
    }
    if (a.max_kept == 0) return cudaSuccess;
    run_beside_others(kept_kernel);
    kept_kernel<<<copy_blocks(a.max_kept, a.head_dim), kThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

cudaError_t offload_rows(const OffloadRowsArguments& a, cudaStream_t stream) {
    if (a.head_dim <= 0 || a.head_dim % 8 != 0 || a.page_size < 1 || a.first < 0 ||
        a.num_rows < 0) {
        return cudaErrorInvalidValue;
    }
    if (a.num_rows == 0) return cudaSuccess;
    run_beside_others(offload_kernel);
    offload_kernel<<<copy_blocks(a.num_rows, a.head_dim), kThreads, 0, stream>>>(a);
    return cudaGetLastError();
}

}  // namespace hc::kernels::cuda
