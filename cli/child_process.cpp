#include "cli/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>

namespace hc::cli {
namespace {

/// Those that would end us and that are meant for the program. SIGTSTP and its kin keep their
/// effect: stopping the group stops both.
constexpr std::array kForwarded{SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
/// Those for which hcprof sets a disposition of its own, which must not reach the program.
constexpr std::array kOurs{SIGINT,  SIGTERM, SIGQUIT, SIGHUP, SIGUSR1,
                           SIGUSR2, SIGPIPE, SIGXFSZ, SIGCHLD};

struct ProcessState {
    char state = '?';
    pid_t parent = -1;
};

/// Of /proc/PID/stat; the program's name in it can hold anything, so the last ')' is looked for.
std::optional<ProcessState> process_state(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(file, line, '\0') && line.empty()) return std::nullopt;
    const std::size_t close = line.rfind(')');
    if (close == std::string::npos || close + 4 >= line.size()) return std::nullopt;
    ProcessState out;
    out.state = line[close + 2];
    const char* at = line.data() + close + 4;
    const auto [next, error] = std::from_chars(at, line.data() + line.size(), out.parent);
    static_cast<void>(next);
    if (error != std::errc()) return std::nullopt;
    return out;
}

/// Every living process below `ancestor`.
std::set<pid_t> descendants_of(pid_t ancestor) {
    std::multimap<pid_t, pid_t> children;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const std::string name = entry.path().filename().string();
        pid_t pid = 0;
        const auto [next, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (wrong != std::errc() || next != name.data() + name.size()) continue;
        const std::optional<ProcessState> state = process_state(pid);
        if (state && state->state != 'Z') children.emplace(state->parent, pid);
    }
    std::set<pid_t> out;
    std::vector<pid_t> open{ancestor};
    while (!open.empty()) {
        const pid_t parent = open.back();
        open.pop_back();
        for (auto [at, end] = children.equal_range(parent); at != end; ++at) {
            // Read while it changes, /proc may show a loop.
            if (out.insert(at->second).second) open.push_back(at->second);
        }
    }
    return out;
}

std::vector<std::string> joined_environment(const ChildCommand& command) {
    std::vector<std::string> out;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::string_view name = text.substr(0, text.find('='));
        const bool replaced = std::any_of(command.environment.begin(), command.environment.end(),
                                          [&](const auto& e) { return e.first == name; });
        if (!replaced) out.emplace_back(text);
    }
    for (const auto& [name, value] : command.environment) out.push_back(name + "=" + value);
    return out;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

}  // namespace

std::vector<int> ignored_signals() {
    std::vector<int> out;
    for (const int signal : kOurs) {
        struct sigaction action {};
        if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) {
            out.push_back(signal);
        }
    }
    return out;
}

bool process_alive(pid_t pid) {
    const std::optional<ProcessState> state = process_state(pid);
    return state && state->state != 'Z' && state->state != 'X';
}

ChildProcess::ChildProcess() {
    ::sigemptyset(&waited_);
    for (const int signal : kForwarded) ::sigaddset(&waited_, signal);
    ::sigaddset(&waited_, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &waited_, &old_mask_);
    // Ignored, it would let children vanish without their status.
    ::signal(SIGCHLD, SIG_DFL);
    int reaper = 0;
    ::prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    was_reaper_ = reaper != 0;
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

ChildProcess::~ChildProcess() {
    ::prctl(PR_SET_CHILD_SUBREAPER, was_reaper_ ? 1 : 0);
    ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

int ChildProcess::start(const ChildCommand& command) {
    const std::vector<std::string> environment = joined_environment(command);
    std::vector<char*> argv = pointers(command.arguments);
    std::vector<char*> envp = pointers(environment);
    // Closed by a successful exec, so the parent reads the reason of a failed one, or nothing.
    std::array<int, 2> reason{};
    if (::pipe2(reason.data(), O_CLOEXEC) != 0) return errno;
    const pid_t child = ::fork();
    if (child < 0) {
        const int error = errno;
        ::close(reason[0]);
        ::close(reason[1]);
        return error;
    }
    if (child == 0) {
        for (const int signal : kOurs) {
            const bool ignored = std::find(command.ignored.begin(), command.ignored.end(),
                                           signal) != command.ignored.end();
            ::signal(signal, ignored ? SIG_IGN : SIG_DFL);
        }
        ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
        ::execvpe(argv[0], argv.data(), envp.data());
        const int error = errno;
        static_cast<void>(!::write(reason[1], &error, sizeof(error)));
        ::_exit(127);
    }
    ::close(reason[1]);
    int error = 0;
    ssize_t got = 0;
    do {
        got = ::read(reason[0], &error, sizeof(error));
    } while (got < 0 && errno == EINTR);
    ::close(reason[0]);
    if (got == static_cast<ssize_t>(sizeof(error))) {
        int status = 0;
        while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        return error;
    }
    pid_ = child;
    running_ = true;
    return 0;
}

bool ChildProcess::reap(bool& others) {
    bool program = false;
    while (true) {
        int status = 0;
        const pid_t dead = ::waitpid(-1, &status, WNOHANG);
        if (dead < 0 && errno == EINTR) continue;
        if (dead <= 0) return program;
        if (dead == pid_ && running_) {
            running_ = false;
            status_ = status;
            program = true;
        } else {
            others = true;
        }
    }
}

ChildProcess::Happening ChildProcess::wait(std::optional<std::chrono::milliseconds> timeout) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end = Clock::now() + timeout.value_or(std::chrono::milliseconds(0));
    while (true) {
        // One SIGCHLD can stand for several deaths, and for one before we waited.
        if (reap(other_untold_)) ended_untold_ = true;
        if (std::exchange(ended_untold_, false)) return {.event = Event::kProgramEnded};
        if (std::exchange(other_untold_, false)) return {.event = Event::kOtherEnded};
        siginfo_t info{};
        int signal = 0;
        if (timeout) {
            const auto left = std::max(Clock::duration::zero(), end - Clock::now());
            const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
            const timespec limit{ns / 1'000'000'000, ns % 1'000'000'000};
            signal = ::sigtimedwait(&waited_, &info, &limit);
            if (signal < 0 && errno == EAGAIN) return {};
        } else {
            signal = ::sigwaitinfo(&waited_, &info);
        }
        if (signal <= 0 || signal == SIGCHLD) continue;
        // The terminal signals the whole foreground group; a program that left ours got nothing.
        const bool group = running_ && ::getpgid(pid_) == ::getpgrp();
        return {.event = Event::kSignal,
                .signal = signal,
                .delivered = info.si_code == SI_KERNEL && group};
    }
}

void ChildProcess::send(int signal) {
    if (running_) ::kill(pid_, signal);
}

void ChildProcess::stop_forwarding() {
    sigset_t interrupts;
    ::sigemptyset(&interrupts);
    ::sigaddset(&interrupts, SIGINT);
    ::sigaddset(&interrupts, SIGTERM);
    // The Ctrl+C that ended the program may still be waiting for us.
    const timespec at_once{};
    while (::sigtimedwait(&interrupts, nullptr, &at_once) > 0) {
    }
    ::pthread_sigmask(SIG_UNBLOCK, &interrupts, nullptr);
}

void ChildProcess::kill_all() {
    // Between two looks a process may start another; a few rounds meet those too.
    for (int round = 0; round < 5; ++round) {
        const std::set<pid_t> all = descendants_of(::getpid());
        if (all.empty()) return;
        for (const pid_t pid : all) ::kill(pid, SIGKILL);
        const timespec moment{0, 10'000'000};
        ::nanosleep(&moment, nullptr);
        bool others = false;
        if (reap(others)) ended_untold_ = true;
    }
}

std::set<pid_t> ChildProcess::descendants() const {
    return descendants_of(::getpid());
}

int ChildProcess::exit_code() const {
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

int ChildProcess::end_signal() const {
    return WIFSIGNALED(status_) ? WTERMSIG(status_) : 0;
}

}  // namespace hc::cli
