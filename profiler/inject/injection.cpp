#include "profiler/inject/injection.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/core/error.h"
#include "profiler/cupti/loaded_cupti.h"
#include "profiler/inject/environment.h"

namespace hc::inject {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kStatusPeriod{1000};

std::string executable() {
    std::error_code error;
    const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? std::string() : path.string();
}

std::string command_line() {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    while (text.ends_with('\0')) text.pop_back();
    for (char& letter : text) {
        if (letter == '\0') letter = ' ';
    }
    return text;
}

/// A process that replaces itself (exec) keeps its id: its second trace gets a name of its own.
std::string unused(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::path candidate = path;
    for (int number = 2; fs::exists(candidate, error) && number < 1000; ++number) {
        candidate = path;
        const std::string extension = candidate.extension().string();
        candidate.replace_extension("." + std::to_string(number) + extension);
    }
    return candidate.string();
}

std::vector<std::pair<std::string, std::uint64_t>> named_rows(const cupti::RowCounts& rows) {
    return {{"kernel", rows.kernel}, {"memcpy", rows.memcpy},     {"memset", rows.memset},
            {"api", rows.api},       {"sync", rows.sync},         {"nvtx", rows.nvtx},
            {"memory", rows.memory}, {"overhead", rows.overhead}, {"external", rows.external}};
}

}  // namespace

void Injection::start() noexcept {
    const std::lock_guard lock(mutex_);
    if (tried_) {
        if (forked_ && status_.state != kStateFailed) {
            // Only now: most children never come here, and for them there is nothing to tell.
            pid_ = ::getpid();
            status_ = {};
            give_up("it was forked after recording had begun in its parent");
        }
        return;
    }
    tried_ = true;
    pid_ = ::getpid();
    try {
        start_recording();
    } catch (const std::exception& error) {
        give_up(error.what());
    }
}

void Injection::start_recording() {
    status_.pid = pid_;
    status_.executable = executable();
    options_ = read_options(
        [](const char* name) {
            const char* value = std::getenv(name);
            return std::string(value != nullptr ? value : "");
        },
        pid_);
    options_.output = unused(options_.output);
    if (!options_.status.empty()) options_.status = unused(options_.status);
    api_ = cupti::load_cupti(options_.cupti);
    std::uint32_t version = 0;
    api_->version(version);
    status_.cupti = std::to_string(version) + " " + api_->path();

    // Signals are the program's: none of our threads takes one.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        trace::WriterOptions writer_options;
        writer_options.command_line = options_.command.empty() ? command_line() : options_.command;
        writer_ = std::make_unique<trace::Writer>(options_.output, writer_options);
        writer_->add_process(pid_, std::filesystem::path(status_.executable).filename().string());
        status_.output = options_.output;
        sink_ = std::make_unique<activity::WriterSink>(*writer_);
        session_ = std::make_unique<cupti::Session>(*api_, *sink_, options_.session);
        session_->start();
        is_recording_ = true;
        watch_thread_ = std::thread([this] { watch(); });
    } catch (...) {
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Injection::give_up(const std::string& reason) noexcept {
    is_recording_ = false;
    std::fprintf(stderr, "hcprof: process %ld is not recorded: %s\n", pid_, reason.c_str());
    session_.reset();
    sink_.reset();
    if (writer_ && !forked_) {
        // An empty trace would look as if there had been nothing to record.
        writer_.reset();
        std::error_code error;
        std::filesystem::remove(options_.output, error);
        status_.output.clear();
    }
    report(kStateFailed, reason, {});
}

bool Injection::attach_nvtx(void* get_export_table) noexcept {
    const std::lock_guard lock(mutex_);
    if (!is_recording_ || forked_) return false;
    return api_->initialize_nvtx(get_export_table) == 0;
}

void Injection::report(const char* state, const std::string& reason,
                       const cupti::SessionReport& progress) noexcept {
    status_.pid = pid_;
    status_.state = state;
    if (options_.status.empty()) return;
    try {
        status_.reason = reason;
        status_.rows = named_rows(progress.rows);
        status_.lost = progress.lost;
        write_status(options_.status, status_);
    } catch (const std::exception&) {
        // Out of memory: the trace is what matters.
    }
}

void Injection::watch() {
    std::optional<steady_clock::time_point> deadline;
    bool has_failed = false;
    std::unique_lock lock(watch_mutex_);
    while (!ending_) {
        lock.unlock();
        const cupti::SessionReport progress = session_->progress();
        if (!progress.failure.empty() && !has_failed) {
            has_failed = true;
            std::fprintf(stderr, "hcprof: recording of process %ld has ended: %s\n", pid_,
                         progress.failure.c_str());
        }
        report(has_failed ? kStateFailed : kStateRecording, progress.failure, progress);
        if (options_.duration && !deadline && session_->is_collecting()) {
            deadline = steady_clock::now() + *options_.duration;
        }
        lock.lock();
        // A capture range begins at any time: look often enough for the duration to mean something.
        const milliseconds period =
            options_.duration && !deadline ? milliseconds(10) : kStatusPeriod;
        auto until = steady_clock::now() + period;
        if (deadline) until = std::min(until, *deadline);
        watch_wake_.wait_until(lock, until, [this] { return ending_; });
        if (ending_) return;
        if (deadline && steady_clock::now() >= *deadline) {
            lock.unlock();
            end_recording();
            return;
        }
    }
}

/// By the watch thread when the duration is over, else by finish().
void Injection::end_recording() noexcept {
    try {
        cupti::SessionReport result = session_->stop();
        try {
            writer_->finish();
        } catch (const Error& error) {
            if (result.failure.empty()) result.failure = error.what();
        }
        report(result.failure.empty() ? kStateFinished : kStateFailed, result.failure, result);
    } catch (const std::exception& error) {
        report(kStateFailed, error.what(), {});
    }
}

void Injection::finish() noexcept {
    if (forked_) return;
    const std::lock_guard lock(mutex_);
    if (!is_recording_) return;
    is_recording_ = false;
    {
        const std::lock_guard watching(watch_mutex_);
        ending_ = true;
        watch_wake_.notify_all();
    }
    if (watch_thread_.joinable()) watch_thread_.join();
    if (status_.state != kStateFinished) end_recording();
}

void Injection::abandon_after_fork() noexcept {
    forked_ = true;
    is_recording_ = false;
    if (session_) session_->abandon_after_fork();
    cupti::forget_client_after_fork();
}

}  // namespace hc::inject
