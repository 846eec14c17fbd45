/// A recording of CUDA activity: CUPTI switched on, its buffers decoded on a thread of ours, rows
/// handed to a sink.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "profiler/activity/activity_sink.h"
#include "profiler/activity/buffer_pool.h"
#include "profiler/activity/clock_fit.h"
#include "profiler/activity/collect_options.h"
#include "profiler/activity/loss_audit.h"
#include "profiler/cupti/cupti_api.h"
#include "profiler/cupti/decoder.h"
#include "profiler/cupti/graph_nodes.h"
#include "profiler/cupti/nvtx_watch.h"

namespace hc::cupti {

struct SessionOptions {
    activity::CollectOptions collect;
    /// Collect only while an NVTX range NAME or NAME@DOMAIN is open; empty: always. NVTX itself
    /// is recorded throughout, so that the ranges around are whole.
    std::string capture_range;
};

/// What a session did, for the one who asked for it.
struct SessionReport {
    RowCounts rows;
    /// Records that are missing, by cause; the same as hc_meta's lost_CAUSE.
    std::map<std::string, std::uint64_t> lost;
    activity::BufferPool::Counts buffers;
    std::int64_t clock_error_ns = 0;
    /// Not empty: from then on nothing more was recorded, and why.
    std::string failure;
};

/// One at a time in a process. Threads: CUPTI calls in from the application's threads and its own;
/// the decode thread decodes and writes; the service thread flushes, reads the clock and counts.
/// Ours block all signals, which stay with the program's threads.
///
/// In a process that calls fork() the child has no session: see abandon_after_fork().
class Session final : private CuptiClient {
public:
    /// Borrows `api` and `sink`.
    Session(CuptiApi& api, activity::ActivitySink& sink, SessionOptions options);
    /// Stops without a report if stop() was not called.
    ~Session() override;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// To be called before the program makes its first CUDA context. Throws Error(kUnavailable)
    /// with CUPTI's reason; CUPTI is then as it was before.
    void start();

    /// Collection on or off (but for NVTX and names); records of work under way when it goes off
    /// still come. Any thread, also from within CUPTI's callbacks.
    void set_collecting(bool collecting);
    [[nodiscard]] bool is_collecting() const { return collecting_; }

    /// Ends collection, brings everything in, and writes what belongs to hc_meta. The program
    /// should have waited for its GPU work; work that is still under way is lost and counted.
    /// A second call returns the same report.
    SessionReport stop();

    /// So far. Any thread.
    [[nodiscard]] SessionReport progress() const;
    /// Why nothing is recorded any more; empty while all is well.
    [[nodiscard]] std::string failure() const;

    /// Waits until what CUPTI has completed so far has reached the sink.
    void flush();

    // What the engine uses to tie activity to its operations.

    /// API records (and through their correlation ids, kernels) of the calling thread carry this
    /// id until it is popped: rows of hc_external, kind kExternalKind. Needs Collect::kExternal and
    /// kApi.
    void push_external(std::uint64_t id);
    void pop_external();
    /// See GraphNodes; needs CollectOptions::graph_nodes.
    [[nodiscard]] const GraphNodes& graph_nodes() const { return graph_nodes_; }
    /// CUPTI's id of a cudaGraphNode_t.
    [[nodiscard]] std::uint64_t graph_node_id(void* node);
    /// 3: CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0.
    static constexpr int kExternalKind = 3;

    /// In a child made by fork(): nothing of this works there, and nothing must be touched.
    void abandon_after_fork() noexcept;

private:
    std::uint8_t* request_buffer(std::size_t* size) noexcept override;
    void complete_buffer(std::uint8_t* buffer, std::size_t valid_bytes) noexcept override;
    void on_callback(int domain, std::uint32_t cbid, const void* data) noexcept override;

    void configure();
    void enable_always();
    int set_kinds(bool enable);
    void start_threads();
    void join_threads();
    void decode_loop();
    void decode_some(std::chrono::milliseconds wait);
    void hand_over();
    void name_categories();
    void service_loop();
    void read_clock();
    void count_dropped();
    void on_graph_node(std::uint32_t cbid, const void* data);
    void on_state(std::uint32_t cbid, const void* data);
    void fail(const std::string& reason);
    void write_meta(const SessionReport& report);
    void check(int result, const char* call);
    [[nodiscard]] bool wants(activity::Collect kind) const {
        return options_.collect.kinds.has(kind);
    }

    CuptiApi& api_;
    activity::ActivitySink& sink_;
    const SessionOptions options_;
    const std::int64_t pid_;
    activity::BufferPool pool_;
    activity::ClockFit clock_;
    activity::LossAudit audit_;
    GraphNodes graph_nodes_;
    NvtxWatch nvtx_;
    Decoder decoder_;             // the decode thread's
    trace::ActivityBatch batch_;  // the decode thread's
    bool sink_failed_ = false;    // the decode thread's

    std::mutex control_mutex_;  // guards start and stop
    std::mutex switch_mutex_;   // guards the next and switching kinds; taken within callbacks
    bool switchable_ = false;
    bool started_ = false;
    bool stopped_ = false;
    SessionReport report_;  // of stop()
    std::atomic<bool> collecting_{false};
    std::atomic<bool> abandoned_{false};
    std::atomic<bool> cupti_dead_{false};  // it finalised itself: no more calls

    mutable std::mutex state_mutex_;  // guards the next three
    std::condition_variable wake_;    // the service thread, and those who wait in flush()
    RowCounts rows_;
    std::string failure_;
    bool ending_ = false;               // the service thread should return
    std::uint64_t flush_requests_ = 0;  // guarded by state_mutex_, as the next
    std::uint64_t flushes_done_ = 0;
    std::atomic<bool> decode_ending_{false};

    std::thread decode_thread_;
    std::thread service_thread_;
};

}  // namespace hc::cupti
