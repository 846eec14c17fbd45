#include "engine/cuda/fetch_worker.h"

#include <algorithm>
#include <cstring>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "kernels/cuda/synthetic_drift.h"
#include "kernels/cuda/top_k.h"

namespace hc::cuda {
namespace {

namespace k = kernels::cuda;

// Seldom: a question goes through the driver's locks, and a profiler records every one.
constexpr std::int64_t kAskStreamNs = 1'000'000;

bool has_ticket(std::uint64_t& where, std::uint64_t ticket) {
    return std::atomic_ref<std::uint64_t>(where).load(std::memory_order_acquire) == ticket;
}

std::uint64_t ticket_of(const ExpectedCheck& expected) {
    return static_cast<std::uint64_t>(expected.step) + 1;
}

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

std::int64_t words_of(const k::StarFetch& fetch) {
    return k::bitmap_words(fetch.prompt);
}

}  // namespace

FetchWorker::FetchWorker(MemoryLedger& ledger, MemoryLedger& host_ledger,
                         const CudaOptions& options, cudaStream_t stream, DriftScratch& scratch,
                         std::int64_t most_staging_bytes)
    : host_ledger_(host_ledger),
      options_(options),
      stream_(stream),
      scratch_(scratch),
      ring_(ledger, most_staging_bytes),
      thread_([this] { work(); }) {}

FetchWorker::~FetchWorker() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
    static_cast<void>(cudaStreamSynchronize(stream_));
}

void FetchWorker::grow_staging(std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    ring_.grow(bytes);
}

void FetchWorker::expect(std::vector<ExpectedCheck> checks) {
    if (checks.empty()) return;
    {
        const std::lock_guard lock(mutex_);
        for (ExpectedCheck& check : checks) expected_.push_back(check);
    }
    changed_.notify_all();
}

/// The calling thread sees to what the worker has not looked at yet: the worker may be waiting for
/// room in the ring, which only a later commit makes.
void FetchWorker::wait_checks() {
    std::unique_lock lock(mutex_);
    // The one that it is watching comes first, so that fetches open in the order of their checks.
    changed_.wait(lock, [&] { return !watching_ || failure_ != nullptr; });
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    while (!expected_.empty()) {
        const ExpectedCheck next = expected_.front();
        expected_.pop_front();
        HC_CHECK(has_ticket(next.star->header->ticket, ticket_of(next)));  // its step has ended
        observe(next);
    }
    lock.unlock();
    changed_.notify_all();
}

void FetchWorker::wait_idle() {
    std::unique_lock lock(mutex_);
    draining_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] {
        const bool idle = expected_.empty() && opened_.empty() && !watching_ && !issuing_;
        return idle || failure_ != nullptr;
    });
    draining_ = false;
    if (failure_ != nullptr) std::rethrow_exception(failure_);
}

void FetchWorker::work() {
    try {
        check(cudaSetDevice(options_.device), "cudaSetDevice");
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [&] { return stop_ || !expected_.empty() || !opened_.empty(); });
            if (stop_) return;
            if (!opened_.empty()) {
                DeviceFetch& fetch = *opened_.front();
                opened_.pop_front();
                issuing_ = true;
                lock.unlock();
                issue(fetch);
                lock.lock();
                issuing_ = false;
            } else {
                const ExpectedCheck next = expected_.front();
                expected_.pop_front();
                watching_ = true;
                lock.unlock();
                const bool seen = watch(next);
                lock.lock();
                watching_ = false;
                if (seen) observe(next);
            }
            changed_.notify_all();
        }
    } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
        watching_ = false;
        issuing_ = false;
        changed_.notify_all();
    }
}

/// Polls until the check has been made. False: we end first.
bool FetchWorker::watch(const ExpectedCheck& expected) const {
    while (!has_ticket(expected.star->header->ticket, ticket_of(expected))) {
        if (stop_) return false;
        relax();
    }
    return true;
}

/// With the lock: a check that triggered becomes an open fetch.
void FetchWorker::observe(const ExpectedCheck& expected) {
    if (expected.star->header->triggered != 0) opened_.push_back(&open(expected));
}

/// Enqueues everything of a fetch but its commit.
void FetchWorker::issue(DeviceFetch& fetch) {
    plan(fetch);
    if (!take_staging(fetch, true)) return;
    enqueue_transfer(fetch);
    const std::lock_guard lock(mutex_);
    fetch.issued = true;
}

/// What is fetched and where it goes. Plans share their scratch and their stream, so one at a time.
void FetchWorker::plan(DeviceFetch& fetch) {
    const std::lock_guard lock(plan_mutex_);
    enqueue_wanted(fetch);
    enqueue_plan(fetch);
    read_plan(fetch);
}

DeviceFetch& FetchWorker::fetch_now(const ExpectedCheck& check_expected) {
    DeviceFetch& fetch = [&]() -> DeviceFetch& {
        const std::lock_guard lock(mutex_);
        return open(check_expected);
    }();
    plan(fetch);
    if (!take_staging(fetch, false)) {
        throw_refused(
            "staging is full of fetches of other sequences: one of commit lag 0 cannot wait for "
            "their commits");
    }
    if (check_expected.sequence->settings().asynchronous) {
        enqueue_transfer(fetch);
    } else {
        gather_on_host(fetch);
    }
    fetch.issued = true;
    return fetch;
}

/// With the lock. A newer trigger of the same star supersedes a fetch that is not committed yet.
DeviceFetch& FetchWorker::open(const ExpectedCheck& check_expected) {
    auto fetch = std::make_unique<DeviceFetch>();
    const policy::Settings& settings = check_expected.sequence->settings();
    fetch->sequence = check_expected.sequence;
    fetch->star = check_expected.star;
    fetch->checked_at = check_expected.step;
    fetch->due = check_expected.step + settings.commit_lag;
    fetch->arguments = check_expected.star->fetch;
    FetchRecord& record = fetch->record;
    record.check_id = check_expected.check_id;
    record.sequence = check_expected.sequence->id;
    record.layer = check_expected.star->layer;
    record.due_step = check_expected.engine_step + settings.commit_lag;
    record.queued_ns = now_ns();
    for (const auto& older : fetches_) {
        if (older->star != fetch->star || older->committed || older->superseded) continue;
        older->superseded = true;
        if (older->staging_offset >= 0) {
            ring_.give_back(older->staging_offset, std::nullopt);
            ++frees_;
        }
        older->staging_offset = -1;
    }
    fetches_.push_back(std::move(fetch));
    return *fetches_.back();
}

/// The sets that members are to hold: top-k of the window's last query.
void FetchWorker::enqueue_wanted(DeviceFetch& fetch) {
    StarState& star = *fetch.star;
    const policy::Settings& settings = fetch.sequence->settings();
    const std::int32_t prompt = star.fetch.prompt;
    const std::int64_t words = words_of(star.fetch);
    k::TopKArguments top;
    top.count = prompt;
    top.score_stride = scratch_.score_stride;
    top.workspace = scratch_.plan_top_k_workspace;
    top.bitmap_stride = words;
    top.may_use_clusters = options_.cluster_top_k;
    if (options_.drift) {
        k::SyntheticDriftArguments synthetic;
        synthetic.star = star.number;
        synthetic.num_members = star.fetch.num_members;
        for (std::int32_t m = 0; m < star.fetch.num_members; ++m) {
            synthetic.residents[m] = star.fetch.members[m].resident;
            synthetic.caps[m] = star.fetch.members[m].cap;
        }
        synthetic.prompt = prompt;
        synthetic.new_share = options_.drift->new_rows;
        synthetic.mean_run = options_.drift->run;
        if (!options_.drift->told.empty()) {
            const runtime::ToldCheck& told = runtime::told_check(*options_.drift, star.number,
                                                                 fetch.checked_at, settings.window);
            synthetic.new_share = told.new_rows;
            synthetic.mean_run = told.run;
        }
        synthetic.seed = options_.drift->seed + static_cast<std::uint64_t>(fetch.sequence->id);
        // The check's own step: the engine's counter may be further on by now.
        synthetic.step_counter = &star.header_device->step;
        synthetic.scores = scratch_.plan_scores;
        synthetic.score_stride = scratch_.score_stride;
        check(k::synthetic_scores(synthetic, stream_), "synthetic_scores");
        top.scores = scratch_.plan_scores;
        top.k = star.capacities;
        top.num_rows = star.fetch.num_members;
        top.bitmaps = star.fetch.wanted;
        check(k::top_k(top, stream_), "top_k");
        return;
    }
    top.scores = star.last_scores;
    if (settings.sink > 0 || settings.recent > 0) {
        check(k::force_scores(star.last_scores, prompt, settings.sink, settings.recent,
                              scratch_.plan_scores, stream_),
              "force_scores");
        top.scores = scratch_.plan_scores;
    }
    if (settings.satellites_cut_by_position) {
        std::int32_t largest = 0;
        for (std::int32_t m = 0; m < star.fetch.num_members; ++m) {
            largest = std::max(largest, star.fetch.members[m].cap);
        }
        check(cudaMemcpyAsync(scratch_.largest_k, &largest, sizeof largest, cudaMemcpyHostToDevice,
                              stream_),
              "uploading a capacity");
        top.k = scratch_.largest_k;
        top.num_rows = 1;
        top.bitmaps = scratch_.best;
    } else {
        top.k = star.capacities;
        top.num_rows = star.fetch.num_members;
        top.source_rows = scratch_.zeros;
        top.bitmaps = star.fetch.wanted;
    }
    check(k::top_k(top, stream_), "top_k");
}

void FetchWorker::enqueue_plan(DeviceFetch& fetch) {
    StarState& star = *fetch.star;
    const policy::Settings& settings = fetch.sequence->settings();
    fetch.arguments.runs = scratch_.runs;
    fetch.arguments.num_runs = scratch_.num_runs;
    fetch.arguments.run_stride = scratch_.run_stride;
    k::StarPlanOptions plan;
    plan.missing_only = settings.fetch_missing_only;
    if (settings.satellites_cut_by_position && !options_.drift) plan.best = scratch_.best;
    if (settings.asynchronous) {
        plan.large_run_rows = options_.copy_engine_rows;
        plan.max_large_runs = kMaxLargeRuns;
        plan.host_large_runs = star.large_runs_device;
    }
    plan.host_header = star.plan_device;
    plan.ticket = ++star.plan_ticket;
    plan.workspace = scratch_.plan_workspace;
    check(k::plan_star(fetch.arguments, plan, stream_), "plan_star");
    if (star.reports == nullptr) return;
    const auto words = static_cast<std::size_t>(fetch.arguments.num_members * words_of(star.fetch));
    // Two in turn: the latest commit's report may not have been read yet.
    std::uint32_t* report = star.reports + (star.plan_ticket % 2) * 2 * words;
    const std::size_t bytes = words * sizeof(std::uint32_t);
    check(cudaMemcpyAsync(report, fetch.arguments.fetched, bytes, cudaMemcpyDeviceToHost, stream_),
          "reading fetched sets");
    check(cudaMemcpyAsync(report + words, fetch.arguments.evicted, bytes, cudaMemcpyDeviceToHost,
                          stream_),
          "reading evicted sets");
    fetch.report = report;
}

void FetchWorker::read_plan(DeviceFetch& fetch) {
    StarState& star = *fetch.star;
    std::int64_t ask_again_ns = now_ns() + kAskStreamNs;
    while (!has_ticket(star.plan->ticket, star.plan_ticket)) {
        relax();
        if (now_ns() < ask_again_ns) continue;
        // A failed kernel would leave us here for ever.
        const cudaError_t status = cudaStreamQuery(stream_);
        if (status != cudaSuccess && status != cudaErrorNotReady) check(status, "plan of a fetch");
        ask_again_ns = now_ns() + kAskStreamNs;
    }
    FetchRecord& record = fetch.record;
    fetch.rows.clear();
    for (std::int32_t m = 0; m < fetch.arguments.num_members; ++m) {
        fetch.rows.push_back(star.plan->num_rows[m]);
        fetch.total_rows += star.plan->num_rows[m];
        record.runs += star.plan->num_runs[m];
        record.rows_wanted += fetch.arguments.members[m].cap;
    }
    record.rows_fetched = fetch.total_rows;
    record.bytes = fetch.total_rows * 4 * fetch.arguments.head_dim;
}

/// With `may_wait`, waits for commits to free the ring where it is full. False: there is no room
/// and will be none, or we end.
bool FetchWorker::take_staging(DeviceFetch& fetch, bool may_wait) {
    fetch.staging_bytes = std::max<std::int64_t>(fetch.record.bytes, 16);
    std::unique_lock lock(mutex_);
    if (may_wait) waiting_for_room_ = true;
    changed_.wait(lock, [&] {
        if (stop_ || fetch.superseded) return true;
        if (may_wait && tried_at_ != frees_) {
            tried_at_ = frees_;
            changed_.notify_all();  // somebody may wait for what is not to be had
        }
        fetch.staging_offset = ring_.take(fetch.staging_bytes);
        return fetch.staging_offset >= 0 || draining_ || !may_wait;
    });
    if (may_wait) {
        waiting_for_room_ = false;
        tried_at_ = kNever;
    }
    if (stop_ || fetch.staging_offset < 0) {
        fetch.dropped = true;
        return false;
    }
    // The stream remembers what it waits for; the events may go.
    for (const Event& event : ring_.take_dependencies()) {
        check(cudaStreamWaitEvent(stream_, event.get(), 0), "waiting for a commit");
    }
    std::byte* at = ring_.at(fetch.staging_offset);
    for (std::int32_t m = 0; m < fetch.arguments.num_members; ++m) {
        fetch.arguments.members[m].staging = reinterpret_cast<Bf16*>(at);
        at += std::int64_t{fetch.rows[static_cast<std::size_t>(m)]} * 4 * fetch.arguments.head_dim;
    }
    return true;
}

void FetchWorker::enqueue_transfer(DeviceFetch& fetch) {
    const StarState& star = *fetch.star;
    fetch.begun.record(stream_);
    const std::int64_t row_bytes = std::int64_t{4} * fetch.arguments.head_dim;
    bool all_copied = true;
    bool any_copied = false;
    for (std::int32_t m = 0; m < fetch.arguments.num_members; ++m) {
        std::int64_t copied = 0;
        for (std::int32_t i = 0; i < star.plan->num_large_runs[m]; ++i) {
            const k::Run& run = star.large_runs[m * kMaxLargeRuns + i];
            check(cudaMemcpyAsync(reinterpret_cast<std::byte*>(fetch.arguments.members[m].staging) +
                                      run.first * row_bytes,
                                  fetch.sequence->tier.as<std::byte>() +
                                      2 * star.tier_rows[static_cast<std::size_t>(m)] +
                                      run.start * row_bytes,
                                  static_cast<std::size_t>(run.length * row_bytes),
                                  cudaMemcpyHostToDevice, stream_),
                  "copying a run");
            copied += run.length;
            any_copied = true;
        }
        all_copied = all_copied && copied == fetch.rows[static_cast<std::size_t>(m)];
    }
    if (!all_copied) {
        check(k::gather_star(fetch.arguments, options_.gather_blocks, stream_,
                             options_.gather_threads),
              "gather_star");
    }
    fetch.record.way = any_copied && all_copied ? FetchWay::kCopy : FetchWay::kGather;
    fetch.arrived.record(stream_);
}

/// The published way (row 5): rows collected by this thread, then one copy.
void FetchWorker::gather_on_host(DeviceFetch& fetch) {
    fetch.begun.record(stream_);
    fetch.record.way = FetchWay::kMemcpy;
    const std::int64_t row_bytes = std::int64_t{4} * fetch.arguments.head_dim;
    if (host_staging_.size_bytes() < fetch.record.bytes) {
        host_staging_ = PinnedBuffer(host_ledger_, "host gather", fetch.record.bytes);
    }
    std::vector<std::int32_t> positions;
    std::byte* at = host_staging_.as<std::byte>();
    for (std::int32_t m = 0; m < fetch.arguments.num_members; ++m) {
        const auto rows = static_cast<std::size_t>(fetch.rows[static_cast<std::size_t>(m)]);
        positions.resize(rows);
        check(cudaMemcpyAsync(positions.data(),
                              fetch.arguments.positions + m * fetch.arguments.row_stride,
                              rows * sizeof(std::int32_t), cudaMemcpyDeviceToHost, stream_),
              "reading positions");
        check(cudaStreamSynchronize(stream_), "reading positions");
        const std::byte* source = fetch.sequence->tier.as<std::byte>() +
                                  2 * fetch.star->tier_rows[static_cast<std::size_t>(m)];
        for (const std::int32_t position : positions) {
            std::memcpy(at, source + (position & k::kPositionMask) * row_bytes,
                        static_cast<std::size_t>(row_bytes));
            at += row_bytes;
        }
    }
    if (fetch.record.bytes > 0) {
        check(cudaMemcpyAsync(ring_.at(fetch.staging_offset), host_staging_.as<void>(),
                              static_cast<std::size_t>(fetch.record.bytes), cudaMemcpyHostToDevice,
                              stream_),
              "copying gathered rows");
    }
    fetch.arrived.record(stream_);
    check(cudaStreamSynchronize(stream_), "copying gathered rows");
}

std::vector<DeviceFetch*> FetchWorker::due(std::span<DeviceSequence* const> stepping) {
    std::vector<DeviceFetch*> out;
    const std::lock_guard lock(mutex_);
    for (const auto& fetch : fetches_) {
        const bool open = !fetch->committed && !fetch->superseded && !fetch->dropped;
        const bool steps =
            std::find(stepping.begin(), stepping.end(), fetch->sequence) != stepping.end();
        if (open && steps && fetch->due <= fetch->sequence->decode_steps) {
            out.push_back(fetch.get());
        }
    }
    return out;
}

void FetchWorker::wait_issued(DeviceFetch& fetch) {
    std::unique_lock lock(mutex_);
    // Whoever waits here would be the one to commit: a ring that is full now stays full.
    const auto stuck = [&] { return waiting_for_room_ && tried_at_ == frees_; };
    changed_.wait(lock,
                  [&] { return fetch.issued || fetch.dropped || failure_ != nullptr || stuck(); });
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    if (fetch.issued || fetch.dropped) return;
    throw Error(ExitCode::kRefused,
                "staging of " + std::to_string(ring_.size_bytes()) +
                    " bytes is full of fetches that are committed later than one that waits for "
                    "it: sequences of different commit lags need more");
}

void FetchWorker::committed(DeviceFetch& fetch, cudaStream_t stream) {
    Event released;
    released.record(stream);
    {
        const std::lock_guard lock(mutex_);
        fetch.committed = true;
        ring_.give_back(fetch.staging_offset, std::move(released));
        ++frees_;
        fetch.staging_offset = -1;
    }
    changed_.notify_all();
}

std::vector<std::unique_ptr<DeviceFetch>> FetchWorker::take_settled(bool all) {
    std::vector<std::unique_ptr<DeviceFetch>> out;
    const std::lock_guard lock(mutex_);
    for (auto it = fetches_.begin(); it != fetches_.end();) {
        DeviceFetch& fetch = **it;
        const bool landed = fetch.committed && fetch.done.done();
        const bool ended = fetch.superseded && fetch.issued && fetch.arrived.done();
        if (landed || ended || fetch.dropped || (all && fetch.issued)) {
            out.push_back(std::move(*it));
            it = fetches_.erase(it);
        } else {
            ++it;
        }
    }
    return out;
}

void FetchWorker::drop(const DeviceSequence& sequence) {
    const std::lock_guard lock(mutex_);
    for (const auto& fetch : fetches_) {
        if (fetch->sequence == &sequence && fetch->staging_offset >= 0) {
            ring_.give_back(fetch->staging_offset, std::nullopt);
            ++frees_;
        }
    }
    std::erase_if(fetches_, [&](const auto& fetch) { return fetch->sequence == &sequence; });
}

}  // namespace hc::cuda
