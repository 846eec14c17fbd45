#include "profiler/cupti/session.h"

#include <cupti.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/cupti/api_filter.h"
#include "profiler/cupti/record_fields.h"

namespace hc::cupti {
namespace {

using activity::ApiLevel;
using activity::Collect;
using std::chrono::milliseconds;

constexpr milliseconds kDecodeWait{50};

/// While it lives, threads that are made block all signals.
class BlockedSignals {
public:
    BlockedSignals() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    BlockedSignals(const BlockedSignals&) = delete;  // restores once
    BlockedSignals& operator=(const BlockedSignals&) = delete;

private:
    sigset_t before_{};
};

struct KindOf {
    Collect collect;
    int kind;
};
// What set_collecting() switches.
constexpr std::array<KindOf, 9> kSwitched{{
    {Collect::kKernel, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL},
    {Collect::kMemcpy, CUPTI_ACTIVITY_KIND_MEMCPY},
    {Collect::kMemcpy, CUPTI_ACTIVITY_KIND_MEMCPY2},
    {Collect::kMemset, CUPTI_ACTIVITY_KIND_MEMSET},
    {Collect::kSync, CUPTI_ACTIVITY_KIND_SYNCHRONIZATION},
    {Collect::kOverhead, CUPTI_ACTIVITY_KIND_OVERHEAD},
    {Collect::kMemory, CUPTI_ACTIVITY_KIND_MEMORY2},
    {Collect::kMemory, CUPTI_ACTIVITY_KIND_MEMORY_POOL},
    {Collect::kExternal, CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION},
}};

}  // namespace

Session::Session(CuptiApi& api, activity::ActivitySink& sink, SessionOptions options)
    : api_(api),
      sink_(sink),
      options_(std::move(options)),
      pid_(::getpid()),
      pool_(options_.collect.buffer_bytes, options_.collect.num_buffers, options_.collect.patience),
      nvtx_(options_.capture_range),
      decoder_(api_, sink_, audit_, pid_) {}

Session::~Session() {
    if (abandoned_) {
        // Threads that do not exist here cannot be joined, and their ids are no thread's.
        if (decode_thread_.joinable()) decode_thread_.detach();
        if (service_thread_.joinable()) service_thread_.detach();
        return;
    }
    if (started_ && !stopped_) stop();
}

void Session::check(int result, const char* call) {
    if (result == CUPTI_SUCCESS) return;
    std::string message = std::string(call) + ": " + api_.error_text(result);
    if (result == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ||
        result == CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES) {
        message += " (profiling is not permitted to this user)";
    }
    throw_unavailable("CUPTI cannot record: " + message);
}

void Session::start() {
    const std::lock_guard lock(control_mutex_);
    HC_CHECK(!started_);
    std::string holder;
    if (const int result = api_.subscribe(*this, holder); result != CUPTI_SUCCESS) {
        if (result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED) {
            throw_unavailable("CUPTI cannot record: another profiler is at work in this process" +
                              (holder.empty() ? std::string() : " (" + holder + ")"));
        }
        check(result, "cuptiSubscribe");
    }
    try {
        configure();
        read_clock();
        enable_always();
        if (!options_.collect.start_paused && !nvtx_.looks_for_range()) {
            check(set_kinds(true), "cuptiActivityEnable");
            collecting_ = true;
        }
        start_threads();
    } catch (...) {
        join_threads();
        set_kinds(false);
        api_.unsubscribe();
        api_.detach();
        throw;
    }
    started_ = true;
    const std::lock_guard switching(switch_mutex_);
    switchable_ = true;
}

void Session::configure() {
    check(api_.use_system_thread_ids(), "cuptiSetThreadIdType");
    // The pool's buffers come zeroed; otherwise CUPTI would do it on the application's threads.
    std::uint8_t zeroed = 1;
    api_.set_attribute(CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER, sizeof(zeroed), &zeroed);
    check(api_.register_buffer_callbacks(), "cuptiActivityRegisterCallbacks");
    for (const auto cbid : {CUPTI_CBID_STATE_FATAL_ERROR, CUPTI_CBID_STATE_WARNING}) {
        check(api_.enable_callback(true, CUPTI_CB_DOMAIN_STATE, cbid), "cuptiEnableCallback");
    }
}

/// What is on from start to stop, whether collecting or not.
void Session::enable_always() {
    for (const int kind : {CUPTI_ACTIVITY_KIND_DEVICE, CUPTI_ACTIVITY_KIND_CONTEXT,
                           CUPTI_ACTIVITY_KIND_STREAM, CUPTI_ACTIVITY_KIND_PCIE}) {
        // None of them is worth failing for.
        if (!options_.collect.has_contexts ||
            api_.enable_activity_and_dump(kind) != CUPTI_SUCCESS) {
            api_.enable_activity(kind);
        }
    }
    api_.enable_activity(CUPTI_ACTIVITY_KIND_NAME);
    if (wants(Collect::kNvtx) || nvtx_.looks_for_range()) {
        check(api_.enable_activity(CUPTI_ACTIVITY_KIND_MARKER), "cuptiActivityEnable(marker)");
        check(api_.enable_activity(CUPTI_ACTIVITY_KIND_MARKER_DATA),
              "cuptiActivityEnable(marker data)");
        check(nvtx_.enable(api_), "cuptiEnableCallback(nvtx)");
    }
    // The audit needs to know which launches are captured and so give no kernel.
    const bool audits = wants(Collect::kApi) && options_.collect.api != ApiLevel::kNone;
    if (audits || options_.collect.graph_nodes) {
        check(api_.enable_callback(true, CUPTI_CB_DOMAIN_RESOURCE,
                                   CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED),
              "cuptiEnableCallback(graph node)");
    }
    if (options_.collect.graph_nodes) {
        check(api_.enable_callback(true, CUPTI_CB_DOMAIN_RESOURCE,
                                   CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED),
              "cuptiEnableCallback(graph node)");
    }
}

/// The first failure is returned; the others are tried all the same.
int Session::set_kinds(bool enable) {
    int first = CUPTI_SUCCESS;
    const auto note = [&](int result) {
        if (first == CUPTI_SUCCESS) first = result;
    };
    for (const KindOf& entry : kSwitched) {
        if (!wants(entry.collect)) continue;
        note(enable ? api_.enable_activity(entry.kind) : api_.disable_activity(entry.kind));
    }
    if (wants(Collect::kApi)) note(set_api_records(api_, options_.collect.api, enable));
    return first;
}

void Session::start_threads() {
    const BlockedSignals blocked;
    decode_thread_ = std::thread([this] { decode_loop(); });
    ::pthread_setname_np(decode_thread_.native_handle(), "hcprof-decode");
    service_thread_ = std::thread([this] { service_loop(); });
    ::pthread_setname_np(service_thread_.native_handle(), "hcprof-service");
}

void Session::set_collecting(bool collecting) {
    if (abandoned_ || cupti_dead_) return;
    const std::lock_guard lock(switch_mutex_);
    if (!switchable_ || collecting_ == collecting) return;
    if (const int result = set_kinds(collecting); result != CUPTI_SUCCESS) {
        fail(std::string("cannot switch collection ") + (collecting ? "on: " : "off: ") +
             api_.error_text(result));
    }
    collecting_ = collecting;
}

// ---------------------------------------------------------------------------------------------
// The decode thread

void Session::decode_loop() {
    std::int64_t last_settle = now_ns();
    const std::int64_t period_ns = options_.collect.flush_period.count() * 1'000'000;
    while (!decode_ending_) {
        decode_some(kDecodeWait);
        if (now_ns() - last_settle < period_ns) continue;
        decoder_.settle(batch_);
        hand_over();
        name_categories();
        last_settle = now_ns();
    }
}

/// One buffer, if there is one.
void Session::decode_some(milliseconds wait) {
    const auto filled = pool_.take(wait);
    if (!filled) return;
    activity::ClockConverter clock = clock_.converter();
    try {
        decoder_.decode(reinterpret_cast<std::uint8_t*>(filled->data), filled->valid_bytes, clock,
                        batch_);
    } catch (const std::exception& error) {
        // The sink's: the rest of the buffer is lost, how much of it nobody counted.
        sink_failed_ = true;
        audit_.unwritten(1);
        fail(error.what());
    }
    // Before the buffer goes back: a sink that is slow has to slow CUPTI down.
    hand_over();
    pool_.recycle(filled->data);
}

void Session::name_categories() {
    if (sink_failed_) return;
    try {
        for (const NvtxWatch::Category& category : nvtx_.take_categories()) {
            sink_.name_nvtx_category(pid_, sink_.nvtx_domain(pid_, category.domain),
                                     clamped(category.id), category.name);
        }
    } catch (const std::exception& error) {
        sink_failed_ = true;
        fail(error.what());
    }
}

void Session::hand_over() {
    if (batch_.empty()) return;
    if (sink_failed_) {
        audit_.unwritten(batch_.size());
    } else {
        try {
            sink_.add_activity(batch_);
            const std::lock_guard lock(state_mutex_);
            rows_.add(batch_);
        } catch (const std::exception& error) {
            sink_failed_ = true;
            audit_.unwritten(batch_.size());
            fail(error.what());
        }
    }
    batch_.clear();
}

// ---------------------------------------------------------------------------------------------
// The service thread

void Session::service_loop() {
    std::unique_lock lock(state_mutex_);
    while (!ending_) {
        wake_.wait_for(lock, options_.collect.flush_period,
                       [this] { return ending_ || flush_requests_ > flushes_done_; });
        if (ending_) return;
        const std::uint64_t request = flush_requests_;
        lock.unlock();
        // The clock first, so that records that come now lie between two readings.
        read_clock();
        if (!cupti_dead_) api_.flush(false);
        count_dropped();
        lock.lock();
        flushes_done_ = request;
        wake_.notify_all();
    }
}

void Session::read_clock() {
    if (cupti_dead_) return;
    const auto pair = activity::read_pair([this]() -> std::optional<std::int64_t> {
        std::uint64_t time = 0;
        if (api_.timestamp(time) != CUPTI_SUCCESS) return std::nullopt;
        return static_cast<std::int64_t>(time);
    });
    if (pair) clock_.add(*pair);
}

void Session::count_dropped() {
    std::size_t dropped = 0;
    if (!cupti_dead_ && api_.dropped_records(dropped) == CUPTI_SUCCESS) audit_.dropped(dropped);
}

void Session::flush() {
    {
        std::unique_lock lock(state_mutex_);
        if (ending_) return;
        const std::uint64_t request = ++flush_requests_;
        wake_.notify_all();
        wake_.wait(lock, [&] { return flushes_done_ >= request || ending_; });
    }
    const std::uint64_t completed = pool_.counts().completed;
    while (pool_.counts().recycled < completed) std::this_thread::sleep_for(milliseconds(1));
}

// ---------------------------------------------------------------------------------------------
// The end

SessionReport Session::stop() {
    const std::lock_guard lock(control_mutex_);
    if (abandoned_ || !started_ || stopped_) return report_;
    stopped_ = true;
    {
        // Not longer than this: a callback that waits here is one that detach() waits for.
        const std::lock_guard switching(switch_mutex_);
        switchable_ = false;
        if (collecting_ && !cupti_dead_) set_kinds(false);
        collecting_ = false;
    }
    if (!cupti_dead_) {
        for (const int kind :
             {CUPTI_ACTIVITY_KIND_MARKER_DATA, CUPTI_ACTIVITY_KIND_MARKER, CUPTI_ACTIVITY_KIND_NAME,
              CUPTI_ACTIVITY_KIND_PCIE, CUPTI_ACTIVITY_KIND_STREAM, CUPTI_ACTIVITY_KIND_CONTEXT,
              CUPTI_ACTIVITY_KIND_DEVICE}) {
            api_.disable_activity(kind);
        }
        read_clock();
        // Whole buffers first; then also those with records that never completed.
        api_.flush(false);
        api_.flush(true);
        count_dropped();
    }
    join_threads();
    if (!cupti_dead_) {
        count_dropped();
        api_.unsubscribe();
    }
    api_.detach();
    // What was still there, and what came since; this thread is the decoder's now.
    while (pool_.counts().filled > 0) decode_some(milliseconds(0));
    decoder_.finish(batch_);
    hand_over();
    name_categories();
    report_ = progress();
    report_.lost = audit_.lost();
    try {
        if (!sink_failed_) write_meta(report_);
    } catch (const std::exception& error) {
        fail(error.what());
        report_.failure = failure();
    }
    return report_;
}

void Session::join_threads() {
    {
        const std::lock_guard lock(state_mutex_);
        ending_ = true;
        wake_.notify_all();
    }
    if (service_thread_.joinable()) service_thread_.join();
    decode_ending_ = true;
    pool_.close();  // nobody waits for a buffer any more, the decoder least of all
    if (decode_thread_.joinable()) decode_thread_.join();
}

SessionReport Session::progress() const {
    SessionReport report;
    {
        const std::lock_guard lock(state_mutex_);
        report.rows = rows_;
        report.failure = failure_;
    }
    report.lost = audit_.counted();
    report.buffers = pool_.counts();
    report.clock_error_ns = clock_.error_ns();
    return report;
}

std::string Session::failure() const {
    const std::lock_guard lock(state_mutex_);
    return failure_;
}

/// After the threads have ended.
void Session::write_meta(const SessionReport& report) {
    std::uint32_t version = 0;
    api_.version(version);
    const auto number = [this](const std::string& key, auto value) {
        sink_.add_meta(key, std::to_string(value));
    };
    number("cupti_version", version);
    sink_.add_meta("cupti_library", api_.path());
    sink_.add_meta("cupti_kinds", activity::collect_names(options_.collect.kinds));
    sink_.add_meta("cupti_api", std::string(activity::api_level_name(options_.collect.api)));
    number("clock_error_ns", report.clock_error_ns);
    if (clock_.steps() > 0) number("clock_steps", clock_.steps());
    number("cupti_buffers_peak", report.buffers.peak_in_use);
    if (report.buffers.waits > 0) {
        number("cupti_buffer_waits", report.buffers.waits);
        number("cupti_buffer_wait_ns", report.buffers.waited_ns);
    }
    // Threads of the program may hold on to the buffer that they were given last.
    if (report.buffers.with_cupti > 0) number("cupti_buffers_kept", report.buffers.with_cupti);
    if (report.buffers.refused > 0) number("cupti_buffers_refused", report.buffers.refused);
    for (const auto& [sign, count] : decoder_.signs()) number("cupti_overhead_" + sign, count);
    if (decoder_.ignored() > 0) number("cupti_records_ignored", decoder_.ignored());
    if (const auto& markers = decoder_.markers(); markers.orphan_ends() > 0) {
        number("nvtx_ends_without_start", markers.orphan_ends());
    }
    if (!report.failure.empty()) sink_.add_meta("recording_failure", report.failure);
    for (const auto& [cause, count] : report.lost) number("lost_" + cause, count);
}

// ---------------------------------------------------------------------------------------------
// The engine's hooks, and fork

void Session::push_external(std::uint64_t id) {
    check(api_.push_external_id(kExternalKind, id), "cuptiActivityPushExternalCorrelationId");
}

void Session::pop_external() {
    std::uint64_t last = 0;
    check(api_.pop_external_id(kExternalKind, last), "cuptiActivityPopExternalCorrelationId");
}

std::uint64_t Session::graph_node_id(void* node) {
    std::uint64_t id = 0;
    check(api_.graph_node_id(node, id), "cuptiGetGraphNodeId");
    return id;
}

void Session::abandon_after_fork() noexcept {
    abandoned_ = true;
}

}  // namespace hc::cupti
