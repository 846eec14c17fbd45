/// The recording of one process that our library was injected into.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "profiler/activity/activity_sink.h"
#include "profiler/cupti/cupti_api.h"
#include "profiler/cupti/session.h"
#include "profiler/inject/options.h"
#include "profiler/inject/status_file.h"
#include "profiler/trace/writer.h"

namespace hc::inject {

/// Nothing here throws and nothing disturbs the program: what goes wrong is said in one line on
/// stderr and in the status file, and then nothing is recorded.
class Injection {
public:
    Injection() = default;
    Injection(const Injection&) = delete;
    Injection& operator=(const Injection&) = delete;

    /// Begins to record, unless that was tried before. Called by whoever comes first, CUDA or NVTX.
    void start() noexcept;
    /// NVTX of one library of the process. True when its calls will be recorded.
    bool attach_nvtx(void* get_export_table) noexcept;
    /// Ends the recording and closes the trace. A second call does nothing.
    void finish() noexcept;
    /// In a child made by fork(): leaves the parent's file alone, for good.
    void abandon_after_fork() noexcept;

private:
    void start_recording();
    void give_up(const std::string& reason) noexcept;
    void watch();
    void report(const char* state, const std::string& reason,
                const cupti::SessionReport& progress) noexcept;
    void end_recording() noexcept;

    // Recursive: starting CUPTI can initialise CUDA, which loads its injections, which is us.
    std::recursive_mutex mutex_;
    bool tried_ = false;
    bool is_recording_ = false;
    long pid_ = 0;
    std::atomic<bool> forked_{false};

    Options options_;
    Status status_;
    std::unique_ptr<cupti::CuptiApi> api_;
    std::unique_ptr<trace::Writer> writer_;
    std::unique_ptr<activity::WriterSink> sink_;
    std::unique_ptr<cupti::Session> session_;

    std::mutex watch_mutex_;  // guards ending_
    std::condition_variable watch_wake_;
    bool ending_ = false;
    std::thread watch_thread_;  // writes the status file, ends the recording in time
};

}  // namespace hc::inject
