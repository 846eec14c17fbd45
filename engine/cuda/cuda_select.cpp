// After a layer's last chunk: what its compressed heads keep (algorithm.md §4), the copy in the
// host tier, compaction; and prompts that are not computed at all.
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/cuda/cuda_backend.h"
#include "engine/policy/device_memory.h"
#include "kernels/cuda/random_fill.h"
#include "kernels/cuda/selection_score.h"
#include "kernels/cuda/synthetic_drift.h"
#include "kernels/cuda/top_k.h"

namespace hc::cuda {
namespace {

namespace k = kernels::cuda;

constexpr std::int32_t kMostMembers = k::kMaxStarMembers;

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

/// Hands out aligned parts of one allocation.
class Parts {
public:
    explicit Parts(const DeviceBuffer& memory)
        : base_(memory.as<std::byte>()), size_(memory.size_bytes()) {}
    template <typename T>
    T* take(std::int64_t count) {
        auto* part = reinterpret_cast<T*>(base_ + used_);
        used_ += policy::aligned_bytes(count * static_cast<std::int64_t>(sizeof(T)));
        HC_CHECK(used_ <= size_);
        return part;
    }

private:
    std::byte* base_;
    std::int64_t size_;
    std::int64_t used_ = 0;
};

Positions positions_of(std::span<const std::uint32_t> bitmap) {
    Positions out;
    for (std::size_t word = 0; word < bitmap.size(); ++word) {
        for (std::uint32_t left = bitmap[word]; left != 0; left &= left - 1) {
            out.push_back(static_cast<Position>(32 * word) +
                          static_cast<Position>(std::countr_zero(left)));
        }
    }
    return out;
}

}  // namespace

void CudaBackend::begin_policy(DeviceSequence& seq, std::int64_t prompt) {
    if (!seq.options.heterocache) {
        if (seq.capture) {
            report_heads(*seq.capture->profile,
                         policy::full_budgets(seq.capture->profile->num_layers,
                                              seq.capture->profile->num_kv_heads, prompt));
        }
        if (cuda_.copy_cache_each_token && cache_copy_.empty()) reserve_cache_copy(seq, prompt);
        return;
    }
    const HeadProfile& profile = *seq.options.profile;
    const policy::Settings& settings = seq.settings();
    seq.budgets = policy::compute_budgets(profile, prompt, settings);
    report_heads(profile, *seq.budgets);
    seq.stars_of_layer.assign(static_cast<std::size_t>(shape_.num_layers), {});
    seq.references.assign(profile.size(), nullptr);
    seq.residents.assign(profile.size(), nullptr);
    seq.slots.assign(profile.size(), nullptr);
    seq.tier_offset.assign(profile.size(), -1);
    const std::int64_t row = 2 * shape_.head_dim;  // elements: a key and a value
    std::int64_t offset = 0;
    for (const HeadId head : policy::host_heads(profile, settings)) {
        seq.tier_offset[profile.index(head)] = offset;
        offset += prompt * row;
    }
    if (offset > 0) seq.tier = PinnedBuffer(host_ledger_, "host tier", 2 * offset);
    if (!settings.retrieval) {
        reserve_drift_scratch(seq, prompt);
        return;
    }
    seq.drift_memory = DeviceBuffer(ledger_, "drift sets",
                                    policy::drift_memory_bytes(profile, *seq.budgets, settings));
    make_stars(seq, prompt);
    reserve_drift_scratch(seq, prompt);
    if (seq.stars.empty()) return;
    const std::int64_t staging =
        cuda_.staging_bytes > 0
            ? std::max(cuda_.staging_bytes,
                       policy::largest_star_rows(profile, *seq.budgets) * 2 * row)
            : policy::default_staging_bytes(profile, *seq.budgets, shape_, settings, 1);
    if (worker_ == nullptr) {
        worker_ = std::make_unique<FetchWorker>(ledger_, host_ledger_, cuda_, fetch_.get(),
                                                drift_scratch_, info_.memory_bytes);
    }
    std::int64_t retrieving = 0;
    for (const auto& other : sequences_)
        retrieving += other != nullptr && other->retrieves() ? 1 : 0;
    worker_->grow_staging(
        cuda_.staging_bytes > 0
            ? staging
            : std::max(staging, policy::default_staging_bytes(profile, *seq.budgets, shape_,
                                                              settings, retrieving)));
}

void CudaBackend::make_stars(DeviceSequence& seq, std::int64_t prompt) {
    const HeadProfile& profile = *seq.options.profile;
    const policy::Settings& settings = seq.settings();
    const std::int64_t words = k::bitmap_words(prompt);
    Parts parts(seq.drift_memory);
    seq.base_k = parts.take<std::int32_t>(settings.window);
    const std::vector<std::int32_t> base(static_cast<std::size_t>(settings.window),
                                         static_cast<std::int32_t>(seq.budgets->base));
    check(cudaMemcpy(seq.base_k, base.data(), base.size() * sizeof(std::int32_t),
                     cudaMemcpyHostToDevice),
          "uploading capacities");
    std::size_t watched = 0;
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
            if (profile.role({layer, head}) != HeadRole::kPivot) continue;
            seq.references[profile.index({layer, head})] = parts.take<std::uint32_t>(words);
        }
        for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
            watched += !star.members.empty() ? 1 : 0;
        }
    }
    const auto header_bytes = static_cast<std::int64_t>(sizeof(k::DriftHeader));
    const auto plan_bytes = static_cast<std::int64_t>(sizeof(k::StarPlanHeader));
    const auto runs_bytes =
        static_cast<std::int64_t>(sizeof(k::Run)) * kMostMembers * kMaxLargeRuns;
    // An observer is told which rows came and went: two reports in turn per star.
    const std::int64_t report_bytes = observer_ != nullptr ? 4 * 4 * kMostMembers * words : 0;
    const std::int64_t each =
        policy::aligned_bytes(header_bytes) + policy::aligned_bytes(plan_bytes) +
        policy::aligned_bytes(runs_bytes) + policy::aligned_bytes(report_bytes);
    seq.headers =
        PinnedBuffer(host_ledger_, "headers",
                     std::max<std::int64_t>(each * static_cast<std::int64_t>(watched), 16));
    std::memset(seq.headers.as<void>(), 0, static_cast<std::size_t>(seq.headers.size_bytes()));
    std::int64_t header = 0;
    const auto pinned = [&](auto*& host, auto*& device, std::int64_t bytes) {
        host = reinterpret_cast<std::remove_reference_t<decltype(host)>>(
            seq.headers.as<std::byte>() + header);
        device = reinterpret_cast<std::remove_reference_t<decltype(device)>>(
            seq.headers.device<std::byte>() + header);
        header += policy::aligned_bytes(bytes);
    };
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        const std::vector<Star>& stars = profile.stars[static_cast<std::size_t>(layer)];
        std::vector<std::int32_t> ascending;  // row 2: sets lie in ascending order of pivots
        for (const Star& star : stars) ascending.push_back(star.pivot);
        std::sort(ascending.begin(), ascending.end());
        for (std::size_t i = 0; i < stars.size(); ++i) {
            if (stars[i].members.empty()) continue;
            StarState state;
            state.number = static_cast<std::int32_t>(seq.stars.size());
            state.layer = layer;
            state.pivot = stars[i].pivot;
            const std::int32_t set =
                settings.reference_sets_by_file_order ? ascending[i] : stars[i].pivot;
            state.reference = seq.references[profile.index({layer, set})];
            pinned(state.header, state.header_device, header_bytes);
            pinned(state.plan, state.plan_device, plan_bytes);
            pinned(state.large_runs, state.large_runs_device, runs_bytes);
            if (report_bytes > 0) {
                std::uint32_t* on_device = nullptr;
                pinned(state.reports, on_device, report_bytes);
            }
            state.last_scores = parts.take<float>(prompt);
            fill_star(seq, stars[i], state, parts, prompt);
            seq.stars_of_layer[static_cast<std::size_t>(layer)].push_back(seq.stars.size());
            seq.stars.push_back(std::move(state));
        }
    }
}

template <typename Source>
void CudaBackend::fill_star(DeviceSequence& seq, const Star& star, StarState& state, Source& parts,
                            std::int64_t prompt) {
    const HeadProfile& profile = *seq.options.profile;
    const auto count = static_cast<std::int64_t>(star.members.size());
    if (count > kMostMembers) {
        throw_refused(fmt::format("a star has {} members: backend cuda takes at most {}", count,
                                  kMostMembers));
    }
    const std::int64_t words = k::bitmap_words(prompt);
    std::vector<std::int32_t> capacities;
    std::int64_t largest = 0;
    for (const std::int32_t member : star.members) {
        capacities.push_back(
            static_cast<std::int32_t>(seq.budgets->capacity[profile.index({state.layer, member})]));
        largest = std::max<std::int64_t>(largest, capacities.back());
    }
    k::StarFetch& fetch = state.fetch;
    fetch.num_members = static_cast<std::int32_t>(count);
    fetch.prompt = static_cast<std::int32_t>(prompt);
    fetch.page_size = static_cast<std::int32_t>(options_.page_size);
    fetch.head_dim = head_dim();
    fetch.pages = pool_.pages();
    fetch.row_stride = (largest + 3) / 4 * 4;
    fetch.wanted = parts.template take<std::uint32_t>(count * words);
    fetch.fetched = parts.template take<std::uint32_t>(count * words);
    fetch.evicted = parts.template take<std::uint32_t>(count * words);
    fetch.positions = parts.template take<std::int32_t>(count * fetch.row_stride);
    fetch.slots = parts.template take<std::int32_t>(count * fetch.row_stride);
    fetch.num_rows = parts.template take<std::int32_t>(count);
    state.capacities = parts.template take<std::int32_t>(count);
    check(cudaMemcpy(state.capacities, capacities.data(), capacities.size() * sizeof(std::int32_t),
                     cudaMemcpyHostToDevice),
          "uploading capacities");
    for (std::size_t m = 0; m < star.members.size(); ++m) {
        const std::size_t index = profile.index({state.layer, star.members[m]});
        k::StarMember& member = fetch.members[m];
        member.cap = capacities[m];
        member.resident = parts.template take<std::uint32_t>(words);
        member.slot_positions = parts.template take<std::int32_t>(capacities[m]);
        const std::int64_t offset = seq.tier_offset[index];
        HC_CHECK(offset >= 0);
        member.host_rows = seq.tier.device<Bf16>() + offset;
        state.tier_rows.push_back(offset);
        state.members.push_back(star.members[m]);
        seq.residents[index] = member.resident;
        seq.slots[index] = member.slot_positions;
    }
}

/// Scratch of checks, plans and selection, for the largest prompt so far. Graphs hold addresses,
/// so growing drops them.
void CudaBackend::reserve_drift_scratch(const DeviceSequence& seq, std::int64_t prompt) {
    DriftScratch& s = drift_scratch_;
    std::int32_t members = 1;
    std::int64_t largest = 1;
    for (const StarState& star : seq.stars) {
        members = std::max(members, star.fetch.num_members);
        largest = std::max(largest, star.fetch.row_stride);
    }
    const std::int32_t window = seq.retrieves() ? seq.settings().window : 1;
    if (!s.memory.empty() && s.prompt >= prompt && s.window >= window && s.members >= members &&
        s.largest_capacity >= largest) {
        return;
    }
    if (worker_ != nullptr) worker_->wait_idle();
    check(cudaStreamSynchronize(compute_.get()), "waiting for a step");
    check(cudaStreamSynchronize(fetch_.get()), "waiting for fetches");
    for (const auto& batch : batches_) batch->graphs.clear();
    s.prompt = std::max(s.prompt, prompt);
    s.window = std::max(s.window, window);
    s.members = std::max(s.members, members);
    s.largest_capacity = std::max(s.largest_capacity, largest);
    s.score_stride = (s.prompt + 3) / 4 * 4;
    s.run_stride = std::min(s.largest_capacity, (s.prompt + 1) / 2) + 1;
    const auto p = static_cast<std::int32_t>(s.prompt);
    const std::int64_t words = k::bitmap_words(s.prompt);
    const std::int64_t score_rows = std::max<std::int64_t>(s.window, shape_.num_kv_heads);
    const auto bytes = [](std::size_t n) { return static_cast<std::int64_t>(n); };
    const auto place = [&](std::byte* base) {
        std::int64_t at = 0;
        const auto take = [&](std::int64_t size) {
            std::byte* part = base == nullptr ? nullptr : base + at;
            at += policy::aligned_bytes(size);
            return part;
        };
        s.queries = reinterpret_cast<Bf16*>(take(2 * s.window * group() * shape_.head_dim));
        s.scores = reinterpret_cast<float*>(take(4 * score_rows * s.score_stride));
        s.candidates = reinterpret_cast<std::uint32_t*>(take(4 * score_rows * words));
        s.score_workspace = take(bytes(k::selection_score_workspace_bytes(s.window, group(), p)));
        s.top_k_workspace = take(bytes(k::top_k_workspace_bytes(s.window, p)));
        s.plan_top_k_workspace = take(bytes(k::top_k_workspace_bytes(s.members, p)));
        s.plan_workspace = take(bytes(k::star_plan_workspace_bytes(s.members, s.largest_capacity)));
        s.plan_scores =
            reinterpret_cast<float*>(take(4 * (cuda_.drift ? s.members : 1) * s.score_stride));
        s.best = reinterpret_cast<std::uint32_t*>(take(4 * words));
        s.runs = reinterpret_cast<k::Run*>(
            take(static_cast<std::int64_t>(sizeof(k::Run)) * s.members * s.run_stride));
        s.num_runs = reinterpret_cast<std::int32_t*>(take(4 * s.members));
        s.zeros = reinterpret_cast<std::int32_t*>(take(4 * s.members));
        s.largest_k = reinterpret_cast<std::int32_t*>(take(4));
        s.kept = reinterpret_cast<std::int32_t*>(take(4 * s.prompt));
        s.num_kept = reinterpret_cast<std::int32_t*>(take(4));
        return at;
    };
    const std::int64_t size = place(nullptr);
    s.memory = DeviceBuffer();
    s.memory = DeviceBuffer(ledger_, "drift scratch", size);
    place(s.memory.as<std::byte>());
    check(cudaMemset(s.zeros, 0, static_cast<std::size_t>(4 * s.members)), "clearing scratch");
}

void CudaBackend::report_heads(const HeadProfile& profile, const policy::Budgets& budgets) {
    if (observer_ == nullptr) return;
    const std::vector<std::int32_t> leader = leaders(profile);
    reports_.heads.clear();
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
            reports_.heads.push_back(record);
        }
    }
}

void CudaBackend::select_layer(DeviceSequence& seq, std::int32_t layer, const Bf16* last_q) {
    const HeadProfile& profile = *seq.options.profile;
    const policy::Settings& settings = seq.settings();
    const auto prompt = static_cast<std::int32_t>(seq.budgets->prompt);
    OpCost cost;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        const HeadRole role = profile.role({layer, head});
        const std::size_t index = head_index(layer, head);
        const bool reference = role == HeadRole::kPivot && seq.references[index] != nullptr;
        if (is_full(role) && !reference) continue;
        k::SelectionScoreArguments score;
        score.queries = last_q + std::int64_t{head} * group() * shape_.head_dim;
        score.pages = pool_.pages();
        score.page_indices = list_of(seq, index);
        score.page_size = static_cast<std::int32_t>(options_.page_size);
        score.prompt = prompt;
        score.window = 1;
        score.group = group();
        score.head_dim = head_dim();
        score.pool_width = settings.pool_width;
        score.scores = drift_scratch_.scores;
        score.score_stride = drift_scratch_.score_stride;
        score.workspace = drift_scratch_.score_workspace;
        launched(k::selection_score(score, compute_.get()), "selection_score");
        cost.rows += prompt;
        if (reference) {
            k::TopKArguments top;
            top.scores = drift_scratch_.scores;
            top.score_stride = drift_scratch_.score_stride;
            top.k = seq.base_k;
            top.num_rows = 1;
            top.count = prompt;
            top.bitmaps = seq.references[index];
            top.bitmap_stride = k::bitmap_words(prompt);
            top.workspace = drift_scratch_.top_k_workspace;
            launched(k::top_k(top, compute_.get()), "top_k");
            continue;
        }
        if (settings.sink > 0 || settings.recent > 0) {
            launched(k::force_scores(drift_scratch_.scores, prompt, settings.sink, settings.recent,
                                     drift_scratch_.scores, compute_.get()),
                     "force_scores");
        }
        keep_head(seq, index, drift_scratch_.scores);
    }
    cost.bytes_read = cost.rows * kv_row_bytes();
    cost.bytes_written = cost.rows * 4;
    cost.flops = 2 * cost.rows * group() * shape_.head_dim;
    timer_.op(OpKind::kPrefillSelect, layer, cost, compute_.get());
    OpCost moved;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        const std::size_t index = head_index(layer, head);
        if (seq.tier_offset[index] < 0) continue;
        offload_head(seq, index);
        moved.rows += prompt;
    }
    moved.bytes_read = moved.bytes_written = 2 * moved.rows * kv_row_bytes();
    if (moved.rows > 0) timer_.op(OpKind::kOffload, layer, moved, compute_.get());
    // Only now: the tier needs what compaction drops.
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        if (is_full(profile.role({layer, head}))) continue;
        compact_head(seq, head_index(layer, head));
    }
    // Pages given back may be taken by the next layer at once: everything is in stream order.
    upload_lists(seq, layer, 1);
    upload_lengths(seq, layer);
    timer_.skip(compute_.get());
}

/// The best `capacity` positions of a score row become the head's kept set.
void CudaBackend::keep_head(DeviceSequence& seq, std::size_t head, const float* score_row) {
    const auto prompt = static_cast<std::int32_t>(seq.budgets->prompt);
    const auto capacity = static_cast<std::int32_t>(seq.budgets->capacity[head]);
    check(cudaMemcpyAsync(drift_scratch_.largest_k, &capacity, sizeof capacity,
                          cudaMemcpyHostToDevice, compute_.get()),
          "uploading a capacity");
    std::uint32_t* bitmap = kept_bitmap(seq, head);
    k::TopKArguments top;
    top.scores = score_row;
    top.score_stride = drift_scratch_.score_stride;
    top.k = drift_scratch_.largest_k;
    top.num_rows = 1;
    top.count = prompt;
    top.bitmaps = bitmap;
    top.bitmap_stride = k::bitmap_words(prompt);
    top.workspace = drift_scratch_.top_k_workspace;
    launched(k::top_k(top, compute_.get()), "top_k");
    if (observer_ == nullptr) return;
    std::vector<std::uint32_t> words(static_cast<std::size_t>(k::bitmap_words(prompt)));
    check(cudaMemcpyAsync(words.data(), bitmap, words.size() * sizeof(std::uint32_t),
                          cudaMemcpyDeviceToHost, compute_.get()),
          "reading a kept set");
    check(cudaStreamSynchronize(compute_.get()), "reading a kept set");
    RowsRecord record;
    record.step = step_;
    record.sequence = seq.id;
    record.layer = static_cast<std::int32_t>(head) / num_kv_heads();
    record.head = static_cast<std::int32_t>(head) % num_kv_heads();
    record.fetched = positions_of(words);
    reports_.rows.push_back(std::move(record));
}

/// Where a head's kept set is: with its star, or, of a head that is never refreshed, in scratch
/// until it is compacted.
std::uint32_t* CudaBackend::kept_bitmap(const DeviceSequence& seq, std::size_t head) const {
    if (seq.residents[head] != nullptr) return seq.residents[head];
    const auto within = static_cast<std::int64_t>(head % static_cast<std::size_t>(num_kv_heads()));
    return drift_scratch_.candidates + within * k::bitmap_words(seq.budgets->prompt);
}

void CudaBackend::offload_head(DeviceSequence& seq, std::size_t head) {
    const std::int64_t prompt = seq.budgets->prompt;
    // In pieces that the logits' workspace holds: nothing uses it now.
    const std::int64_t row_bytes = 4 * shape_.head_dim;
    const auto room = static_cast<std::int64_t>(k::selection_score_workspace_bytes(
        drift_scratch_.window, group(), static_cast<std::int32_t>(drift_scratch_.prompt)));
    const std::int64_t piece = std::max<std::int64_t>(1, room / row_bytes);
    for (std::int64_t first = 0; first < prompt; first += piece) {
        const std::int64_t rows = std::min(piece, prompt - first);
        k::OffloadRowsArguments a;
        a.pages = pool_.pages();
        a.page_indices = list_of(seq, head);
        a.page_size = static_cast<std::int32_t>(options_.page_size);
        a.head_dim = head_dim();
        a.first = static_cast<std::int32_t>(first);
        a.num_rows = static_cast<std::int32_t>(rows);
        a.rows = static_cast<Bf16*>(drift_scratch_.score_workspace);
        launched(k::offload_rows(a, compute_.get()), "offload_rows");
        check(cudaMemcpyAsync(
                  seq.tier.as<std::byte>() + 2 * seq.tier_offset[head] + first * row_bytes,
                  drift_scratch_.score_workspace, static_cast<std::size_t>(rows * row_bytes),
                  cudaMemcpyDeviceToHost, compute_.get()),
              "copying to the host tier");
    }
}

void CudaBackend::compact_head(DeviceSequence& seq, std::size_t head) {
    const std::int64_t prompt = seq.budgets->prompt;
    const std::int64_t capacity = seq.budgets->capacity[head];
    HeadPages& kv = seq.heads[head];
    const std::int64_t page = options_.page_size;
    if (capacity == prompt && seq.slots[head] == nullptr) return;  // keeps everything as it is
    std::vector<std::int32_t> old;
    old.swap(kv.pages);
    // The full list stays on the device until the copy has been enqueued: the new one goes to a
    // list of its own first.
    const std::int64_t pages = (capacity + page - 1) / page;
    const std::int64_t fresh = table_.take(pages);
    for (std::int64_t i = 0; i < pages; ++i) {
        kv.pages.push_back(pool_.take());
        table_.set(fresh + i, kv.pages.back());
    }
    table_.upload(fresh, pages, compute_.get());
    k::CompactionArguments compaction;
    compaction.bitmaps = kept_bitmap(seq, head);
    compaction.num_rows = 1;
    compaction.words = static_cast<std::int32_t>(k::bitmap_words(prompt));
    compaction.positions = drift_scratch_.kept;
    compaction.position_stride = prompt;
    compaction.num_positions = drift_scratch_.num_kept;
    launched(k::bitmap_compact(compaction, compute_.get()), "bitmap_compact");
    k::KeptRowsArguments kept;
    kept.pages = pool_.pages();
    kept.source_indices = list_of(seq, head);
    kept.target_indices = table_.device() + fresh;
    kept.page_size = static_cast<std::int32_t>(page);
    kept.head_dim = head_dim();
    kept.kept = drift_scratch_.kept;
    kept.num_kept = drift_scratch_.num_kept;
    kept.max_kept = static_cast<std::int32_t>(capacity);
    kept.slot_positions = seq.slots[head] != nullptr ? seq.slots[head] : drift_scratch_.kept;
    launched(k::gather_kept(kept, compute_.get()), "gather_kept");
    for (std::int64_t i = 0; i < pages; ++i) {
        table_.set(seq.table_first + static_cast<std::int64_t>(head) * seq.list_stride + i,
                   kv.pages[static_cast<std::size_t>(i)]);
    }
    table_.give_back(fresh, pages);
    for (const std::int32_t p : old) pool_.give_back(p);
    kv.length = capacity;
}

void CudaBackend::prefill_synthetic(SequenceId id, std::int64_t tokens) {
    DeviceSequence& seq = sequence(id);
    if (seq.length > 0) throw_usage("a synthetic prompt must be a sequence's first");
    if (tokens < 1 || tokens > shape_.context) {
        throw_refused(fmt::format("a synthetic prompt of {} tokens: the context of {} is {}",
                                  tokens, model_.name, shape_.context));
    }
    refuse_what_does_not_fit(seq, tokens);
    begin_step();
    begin_policy(seq, tokens);
    ensure_lists(seq, tokens + seq.options.reserve_generated);
    std::int64_t pages = 0;
    for (std::size_t head = 0; head < seq.heads.size(); ++head) {
        const std::int64_t kept = seq.budgets ? seq.budgets->capacity[head] : tokens;
        pages +=
            (kept + seq.options.reserve_generated + options_.page_size - 1) / options_.page_size;
    }
    pool_.reserve(pages);
    for (std::size_t head = 0; head < seq.heads.size(); ++head) {
        const std::int64_t kept = seq.budgets ? seq.budgets->capacity[head] : tokens;
        extend(seq, head, kept + seq.options.reserve_generated);
        seq.heads[head].length = kept;
    }
    upload_lists(seq, 0, num_layers());
    const std::int64_t page_elements = 2 * options_.page_size * shape_.head_dim;
    for (std::size_t head = 0; head < seq.heads.size(); ++head) {
        launched(
            k::random_fill_pages(
                pool_.pages(), list_of(seq, head),
                static_cast<std::int64_t>(seq.heads[head].pages.size()), page_elements,
                cuda_.seed + head * 7919 + static_cast<std::uint64_t>(id) * 104729, compute_.get()),
            "random_fill_pages");
    }
    for (const StarState& star : seq.stars) fill_synthetic_star(seq, star);
    if (!seq.tier.empty()) {
        // Content does not matter, but that it is there does: rows of the device's random pages.
        const std::int64_t piece =
            std::min<std::int64_t>(seq.tier.size_bytes(), pool_.reserved_bytes() / 2);
        for (std::int64_t at = 0; at < seq.tier.size_bytes(); at += piece) {
            check(cudaMemcpyAsync(
                      seq.tier.as<std::byte>() + at, pool_.pages(),
                      static_cast<std::size_t>(std::min(piece, seq.tier.size_bytes() - at)),
                      cudaMemcpyDeviceToHost, compute_.get()),
                  "filling the host tier");
        }
    }
    check(cudaStreamSynchronize(compute_.get()), "a synthetic prompt");
    seq.length = tokens;
    seq.prompt = tokens;
    ++seq.table_version;
    end_step(Phase::kPrefill, 1);
}

void CudaBackend::fill_synthetic_star(DeviceSequence& seq, const StarState& star) {
    k::SyntheticDriftArguments random;
    random.prompt = star.fetch.prompt;
    random.num_members = star.fetch.num_members;
    for (std::int32_t m = 0; m < star.fetch.num_members; ++m) {
        random.caps[m] = star.fetch.members[m].cap;
        random.residents[m] = star.fetch.members[m].resident;
    }
    random.seed =
        (cuda_.drift ? cuda_.drift->seed : cuda_.seed) + static_cast<std::uint64_t>(seq.id);
    random.star = star.number;
    random.mean_run = cuda_.drift ? cuda_.drift->run : 1;
    random.scores = drift_scratch_.plan_scores;
    random.score_stride = drift_scratch_.score_stride;
    random.step_counter = &star.header_device->step;
    const std::int32_t members = cuda_.drift ? star.fetch.num_members : 1;
    for (std::int32_t first = 0; first < star.fetch.num_members; first += members) {
        if (!cuda_.drift) {  // scratch holds one row
            random.num_members = 1;
            random.caps[0] = star.fetch.members[first].cap;
            random.residents[0] = star.fetch.members[first].resident;
        }
        launched(k::synthetic_resident(random, compute_.get()), "synthetic_resident");
        k::TopKArguments top;
        top.scores = drift_scratch_.plan_scores;
        top.score_stride = drift_scratch_.score_stride;
        top.k = star.capacities + first;
        top.num_rows = members;
        top.count = star.fetch.prompt;
        top.bitmaps = star.fetch.wanted;
        top.bitmap_stride = k::bitmap_words(star.fetch.prompt);
        top.workspace = drift_scratch_.plan_top_k_workspace;
        launched(k::top_k(top, compute_.get()), "top_k");
        k::CompactionArguments compaction;
        compaction.bitmaps = star.fetch.wanted;
        compaction.num_rows = members;
        compaction.words = static_cast<std::int32_t>(top.bitmap_stride);
        compaction.positions = star.fetch.positions;
        compaction.position_stride = star.fetch.row_stride;
        compaction.num_positions = star.fetch.num_rows;
        launched(k::bitmap_compact(compaction, compute_.get()), "bitmap_compact");
        for (std::int32_t m = 0; m < members; ++m) {
            const k::StarMember& member = star.fetch.members[first + m];
            check(cudaMemcpyAsync(member.resident, star.fetch.wanted + m * top.bitmap_stride,
                                  static_cast<std::size_t>(4 * top.bitmap_stride),
                                  cudaMemcpyDeviceToDevice, compute_.get()),
                  "a first set");
            check(cudaMemcpyAsync(
                      member.slot_positions, star.fetch.positions + m * star.fetch.row_stride,
                      static_cast<std::size_t>(4) * static_cast<std::size_t>(member.cap),
                      cudaMemcpyDeviceToDevice, compute_.get()),
                  "a first set");
        }
    }
    // Its pivot's reference set: any of the right size.
    check(cudaMemsetAsync(star.reference, 0,
                          static_cast<std::size_t>(4 * k::bitmap_words(star.fetch.prompt)),
                          compute_.get()),
          "a first set");
}

void CudaBackend::reserve_cache_copy(const DeviceSequence& seq, std::int64_t prompt) {
    const std::int64_t pages =
        (prompt + seq.options.reserve_generated + options_.page_size - 1) / options_.page_size + 1;
    std::int64_t live = 0;
    for (const auto& other : sequences_) live += other != nullptr ? 1 : 0;
    cache_copy_ =
        DeviceBuffer(ledger_, "cache copy",
                     live * shape_.num_kv_heads * pages * 4 * options_.page_size * shape_.head_dim);
}

}  // namespace hc::cuda
