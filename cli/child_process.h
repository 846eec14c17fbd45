/// A program that hcprof starts and waits for, with the signals that both get.
///
/// The program stays in our process group: the terminal's Ctrl+C, Ctrl+Z and fg/bg reach both as
/// they would reach the program alone. A signal that somebody sends to hcprof alone (kill, a batch
/// system) is for the program and is handed to the caller, who sends it on.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hc::cli {

/// The signals that this process was told to ignore by whoever started it (nohup, a
/// shell's background job). Asked before we set dispositions of our own.
[[nodiscard]] std::vector<int> ignored_signals();

struct ChildCommand {
    std::vector<std::string> arguments;  ///< the first is looked up in PATH
    std::vector<std::pair<std::string, std::string>> environment;  ///< set on top of ours
    std::vector<int> ignored;  ///< of ignored_signals(): the program ignores these, as it would
                               ///< have without us
};

/// One at a time per process: it blocks the signals it waits for in the calling thread, makes the
/// process the reaper of its orphaned descendants, and undoes both when it dies.
class ChildProcess {
public:
    ChildProcess();
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    /// 0, or the errno with which the program could not be started. Standard streams, working
    /// folder, limits and process group are ours.
    [[nodiscard]] int start(const ChildCommand& command);

    enum class Event { kProgramEnded, kOtherEnded, kSignal, kTimeout };
    struct Happening {
        Event event = Event::kTimeout;
        int signal = 0;          ///< kSignal
        bool delivered = false;  ///< kSignal: the terminal gave it to the program as well
    };
    /// Waits for the next thing to happen; without a timeout, for as long as it takes.
    [[nodiscard]] Happening wait(std::optional<std::chrono::milliseconds> timeout);

    /// To the program alone; nothing once it has ended.
    void send(int signal);
    /// From here on Ctrl+C and SIGTERM reach hcprof's own handlers again (those that came before
    /// were for the program); the other signals stay blocked.
    void stop_forwarding();
    /// SIGKILL to the program and every descendant, also to those that it orphaned.
    void kill_all();

    /// Every living process below us, the orphaned ones included.
    [[nodiscard]] std::set<pid_t> descendants() const;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool running() const { return running_; }
    /// Once it has ended: its exit code, 128 + signal when one ended it.
    [[nodiscard]] int exit_code() const;
    /// The signal that ended it, else 0.
    [[nodiscard]] int end_signal() const;

private:
    /// Collects what has died; true when the program is among it.
    bool reap(bool& others);

    pid_t pid_ = -1;
    bool running_ = false;
    int status_ = 0;
    bool ended_untold_ = false;  ///< reaped, and not yet reported by wait()
    bool other_untold_ = false;
    sigset_t waited_{};    ///< what wait() looks for
    sigset_t old_mask_{};  ///< of the calling thread before us
    bool was_reaper_ = false;
};

/// A process of that id exists and is no zombie.
[[nodiscard]] bool process_alive(pid_t pid);

}  // namespace hc::cli
