/// From a triggered check to rows in the staging ring, beside the computation. A thread watches
/// the headers that checks write into pinned memory and enqueues what a trigger needs on a stream
/// of low priority; the compute stream never waits for this thread unless a commit is due.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "engine/cuda/device_sequence.h"
#include "engine/cuda/options.h"
#include "engine/cuda/stream.h"

namespace hc::cuda {

/// Device scratch of checks (compute side) and of plans (fetch stream), sized for the largest
/// sequence that retrieves. One check and one plan at a time use it, in stream order.
struct DriftScratch {
    std::int64_t prompt = 0;
    std::int32_t window = 0;
    std::int32_t members = 0;
    std::int64_t largest_capacity = 0;
    DeviceBuffer memory;
    Bf16* queries = nullptr;  // [window, group, head_dim]
    float* scores = nullptr;  // [window or heads of a layer, prompt rounded up]
    std::int64_t score_stride = 0;
    std::uint32_t* candidates = nullptr;  // [window, words]
    void* score_workspace = nullptr;
    void* top_k_workspace = nullptr;
    // Of plans.
    void* plan_top_k_workspace = nullptr;
    void* plan_workspace = nullptr;
    float* plan_scores = nullptr;        // [members with synthetic drift, else 1; score_stride]
    std::uint32_t* best = nullptr;       // [words]
    kernels::cuda::Run* runs = nullptr;  // [members, run_stride]
    std::int64_t run_stride = 0;
    std::int32_t* num_runs = nullptr;   // [members]
    std::int32_t* zeros = nullptr;      // [members]
    std::int32_t* largest_k = nullptr;  // [1]
    // Of selection after a prompt.
    std::int32_t* kept = nullptr;      // [prompt]
    std::int32_t* num_kept = nullptr;  // [1]
};

/// A fetch from its trigger until its fate is reported.
struct DeviceFetch {
    DeviceSequence* sequence = nullptr;
    StarState* star = nullptr;
    std::int64_t checked_at = 0;  ///< decode step of the sequence whose check it serves
    std::int64_t due = 0;  ///< decode step of the sequence at whose start it commits
    kernels::cuda::StarFetch arguments{};
    std::vector<std::int32_t> rows;  ///< per member
    std::int64_t total_rows = 0;
    std::int64_t staging_offset = -1;  ///< in the ring, bytes; -1 once given back
    std::int64_t staging_bytes = 0;
    bool issued = false;  ///< everything is enqueued, `arrived` recorded
    bool superseded = false;
    bool dropped = false;  ///< it never got room
    bool committed = false;
    bool timed = false;  ///< its times have been read
    Event begun{true};
    Event arrived{true};
    Event before_wait{true};
    Event after_wait{true};
    Event done{true};  ///< the commit has ended
    FetchRecord record;
    const std::uint32_t* report = nullptr;  ///< [2, members, words] fetched, evicted; pinned
    std::int64_t holds_from = 0;
};

struct ExpectedCheck {
    DeviceSequence* sequence = nullptr;
    StarState* star = nullptr;
    std::int64_t step = 0;  ///< the sequence's decode step: header tickets are step + 1
    std::int64_t engine_step = 0;
    std::int64_t check_id = -1;
};

/// What a run's fetches came to.
struct FetchStatistics {
    std::int64_t checks = 0;
    std::int64_t triggers = 0;
    std::int64_t commits = 0;
    std::int64_t superseded = 0;
    std::int64_t rows = 0;
    std::int64_t runs = 0;
    std::int64_t bytes = 0;
    std::int64_t transfer_ns = 0;  ///< from the first byte asked for to the last there, summed
    std::int64_t exposed_ns = 0;   ///< the compute stream stood waiting for fetches
    std::int64_t commit_ns = 0;
};

/// Space for rows under way, given and taken back in order.
class StagingRing {
public:
    StagingRing(MemoryLedger& ledger, std::int64_t most_bytes);
    /// Not while anything is out.
    void grow(std::int64_t bytes) { memory_.grow(bytes); }
    [[nodiscard]] std::int64_t size_bytes() const { return memory_.size_bytes(); }
    /// An offset, or -1 when the oldest pieces still out leave no room.
    [[nodiscard]] std::int64_t take(std::int64_t bytes);
    /// The piece may be overwritten once `after` has happened (none: at once, in stream order).
    void give_back(std::int64_t offset, std::optional<Event> after);
    /// Events that whoever writes into the piece taken last must wait for.
    [[nodiscard]] std::vector<Event> take_dependencies();
    [[nodiscard]] std::byte* at(std::int64_t offset) const {
        return memory_.as<std::byte>() + offset;
    }

private:
    struct Piece {
        std::int64_t offset;
        std::int64_t bytes;
        bool out;
        std::optional<Event> after;
    };
    GrowableMemory memory_;
    std::deque<Piece> pieces_;  // oldest first
    std::vector<Event> dependencies_;
};

class FetchWorker {
public:
    /// Borrowed: stream, scratch.
    FetchWorker(MemoryLedger& ledger, MemoryLedger& host_ledger, const CudaOptions& options,
                cudaStream_t stream, DriftScratch& scratch, std::int64_t most_staging_bytes);
    /// Ends the thread; what it enqueued is waited for.
    ~FetchWorker();
    FetchWorker(const FetchWorker&) = delete;
    FetchWorker& operator=(const FetchWorker&) = delete;

    void grow_staging(std::int64_t bytes);
    [[nodiscard]] std::int64_t staging_bytes() const { return ring_.size_bytes(); }

    /// The step that is launched next runs these checks. Their triggers become fetches.
    void expect(std::vector<ExpectedCheck> checks);
    /// Every expected check has been seen and its fetch, if it triggered, is open; the step must
    /// have ended. Throws what the thread failed with.
    void wait_checks();
    /// Waits until the thread has nothing to do. A fetch that finds no room in the ring is dropped:
    /// nobody commits meanwhile.
    void wait_idle();
    /// Starts a fetch of a check that has ended, on the calling thread (commit lag 0).
    DeviceFetch& fetch_now(const ExpectedCheck& check);

    /// Open fetches of these sequences that are due at their present step, oldest first: they must
    /// be committed in that order, or one could wait for room that another holds.
    [[nodiscard]] std::vector<DeviceFetch*> due(std::span<DeviceSequence* const> stepping);
    /// Waits until everything of the fetch is enqueued. Throws Error(kRefused) when it never will
    /// be, because fetches that are committed later hold the ring.
    void wait_issued(DeviceFetch& fetch);
    /// The commit is enqueued on `stream`, fetch.done recorded: staging may be reused after it.
    void committed(DeviceFetch& fetch, cudaStream_t stream);
    /// Fetches whose fate is settled and whose events have happened; they leave the worker.
    [[nodiscard]] std::vector<std::unique_ptr<DeviceFetch>> take_settled(bool all);
    /// Forgets the open fetches of a sequence that goes away, after the stream is idle.
    void drop(const DeviceSequence& sequence);

private:
    void work();
    [[nodiscard]] bool watch(const ExpectedCheck& expected) const;
    void observe(const ExpectedCheck& expected);
    void issue(DeviceFetch& fetch);
    DeviceFetch& open(const ExpectedCheck& check);
    void enqueue_wanted(DeviceFetch& fetch);
    void enqueue_plan(DeviceFetch& fetch);
    void read_plan(DeviceFetch& fetch);
    [[nodiscard]] bool take_staging(DeviceFetch& fetch, bool may_wait);
    void plan(DeviceFetch& fetch);
    void enqueue_transfer(DeviceFetch& fetch);
    void gather_on_host(DeviceFetch& fetch);

    MemoryLedger& host_ledger_;
    CudaOptions options_;
    cudaStream_t stream_;
    DriftScratch& scratch_;

    std::mutex plan_mutex_;  // of the scratch that plans share; taken before mutex_
    std::mutex mutex_;       // of everything below but the thread
    std::condition_variable changed_;
    StagingRing ring_;
    std::deque<ExpectedCheck> expected_;
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};
    std::uint64_t frees_ = 0;                           // pieces of the ring given back so far
    std::uint64_t tried_at_ = kNever;                   // frees when the thread last found no room
    bool waiting_for_room_ = false;                     // the thread
    std::deque<DeviceFetch*> opened_;                   // triggered, nothing of them enqueued yet
    bool watching_ = false;                             // the thread, for a check
    bool issuing_ = false;                              // the thread, with a fetch
    bool draining_ = false;                             // no commit will free the ring
    std::deque<std::unique_ptr<DeviceFetch>> fetches_;  // oldest first
    std::exception_ptr failure_;
    std::atomic<bool> stop_{false};
    PinnedBuffer host_staging_;  // of gathers by the host (row 5, reference)
    std::thread thread_;
};

}  // namespace hc::cuda
