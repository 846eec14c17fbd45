// hcprof record: any CUDA program, recorded without changing it.
//
// The program runs as it would without us: same standard streams, same process group, same
// signals, and its exit code is ours. In every process of it that reaches CUDA the driver loads
// libhcprof-inject.so, which writes a trace of that process; here they are put together at the end.
#include <dlfcn.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/child_process.h"
#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/injection_library.h"
#include "cli/record_result.h"
#include "cli/record_session.h"
#include "cli/terminal.h"
#include "engine/core/error.h"
#include "profiler/inject/environment.h"

namespace hc::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPoll{100};
/// From the request to end (SIGTERM) to the end by force.
constexpr std::chrono::seconds kGrace{10};
/// What a library may be late in ending its collection.
constexpr milliseconds kDurationSlack{500};

struct Options {
    std::string output;
    bool force = false;
    CollectSettings collect;
    double duration_s = 0;
    bool stop_program = false;
    std::string wait = "recorded";
    bool json = false;
};

/// Straight to the stream: standard error may be closed, which must not end a recording.
void say(const std::string& text) {
    std::fputs(("hcprof: " + text + "\n").c_str(), stderr);
}

/// Living processes of the program in that state. Their ids are looked for among our descendants:
/// in another process namespace a program's ids mean nothing here.
std::int64_t count_state(const std::vector<ProcessStatus>& processes, const ChildProcess& program,
                         std::string_view state) {
    std::set<pid_t> pids;
    for (const ProcessStatus& p : processes) {
        if (p.state == state) pids.insert(p.pid);
    }
    if (pids.empty()) return 0;
    const std::set<pid_t> alive = program.descendants();
    return std::count_if(pids.begin(), pids.end(), [&](pid_t p) { return alive.contains(p); });
}

/// Waits for the program and those of its processes that are still being recorded, and deals with
/// the signals meanwhile.
class Supervisor {
public:
    Supervisor(ChildProcess& program, const RecordFolder& folder, const Options& options)
        : program_(program), folder_(folder), options_(options) {}

    void run() {
        while (program_.running()) step();
        if (options_.wait == "program") return;
        bool told = false;
        while (!given_up_) {
            const std::int64_t left =
                count_state(folder_.statuses(), program_, inject::kStateRecording);
            if (left == 0) return;
            if (!std::exchange(told, true)) {
                say(
                    fmt::format("the program has ended; waiting for {} of its processes, which "
                                "{} still recorded (Ctrl+C: wait no longer)",
                                left, left == 1 ? "is" : "are"));
            }
            step();
        }
    }

    /// The program was asked to end because its time was up.
    [[nodiscard]] bool stopped() const { return stopped_at_.has_value(); }

private:
    void step() {
        const bool looking = options_.stop_program || interrupts_ > 0 || !program_.running();
        const ChildProcess::Happening happening =
            program_.wait(looking ? std::optional(kPoll) : std::nullopt);
        if (happening.event == ChildProcess::Event::kSignal) on_signal(happening);
        if (options_.stop_program && program_.running()) check_time();
    }

    void on_signal(const ChildProcess::Happening& happening) {
        const bool ends = happening.signal == SIGINT || happening.signal == SIGTERM;
        if (ends && !program_.running()) {
            given_up_ = true;
            return;
        }
        if (ends && ++interrupts_ >= 2) {
            say("interrupted again: ending the program at once");
            program_.kill_all();
            return;
        }
        if (!happening.delivered) program_.send(happening.signal);
        if (happening.signal == SIGINT && is_terminal(STDERR_FILENO)) {
            say("interrupted: the program decides when to end; Ctrl+C again ends it at once");
        }
    }

    /// --stop-program: SIGTERM when the collection is over, SIGKILL when that does not help.
    void check_time() {
        const auto now = steady_clock::now();
        if (stopped_at_) {
            if (now - *stopped_at_ > kGrace && !std::exchange(killed_, true)) {
                say(fmt::format("the program is still there {} s after SIGTERM: ending it by force",
                                kGrace.count()));
                program_.kill_all();
            }
            return;
        }
        const std::vector<ProcessStatus> processes = folder_.statuses();
        if (!began_at_ && !processes.empty()) began_at_ = now;
        // With a capture range only the library knows when its time began.
        const bool over =
            began_at_ && options_.collect.capture_range.empty() &&
            now - *began_at_ > std::chrono::duration<double>(options_.duration_s) + kDurationSlack;
        if (!over && count_state(processes, program_, inject::kStateFinished) == 0) return;
        stopped_at_ = now;
        program_.send(SIGTERM);
    }

    ChildProcess& program_;
    const RecordFolder& folder_;
    const Options& options_;
    int interrupts_ = 0;
    bool given_up_ = false;
    bool killed_ = false;
    std::optional<steady_clock::time_point> began_at_, stopped_at_;
};

/// Why no process of the program came to CUDA, as far as the machine tells.
std::string why_no_cuda_seen() {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible != nullptr && (*visible == '\0' || std::strcmp(visible, "-1") == 0)) {
        return fmt::format("CUDA_VISIBLE_DEVICES is '{}', which hides every GPU", visible);
    }
    void* driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver == nullptr) return "there is no libcuda.so.1 here: no NVIDIA driver is installed";
    ::dlclose(driver);
    std::error_code error;
    if (!std::filesystem::exists("/dev/nvidiactl", error)) {
        return "there is no GPU here (no /dev/nvidiactl)";
    }
    return "no process of it initialised CUDA (or it ran in a container or as another user, where "
           "hcprof's library cannot be read)";
}

/// Said here, once, rather than by the library in every process of a program that runs unrecorded.
void check_kinds(const std::string& kinds) {
    constexpr std::string_view kKnown[] = {"kernel",   "memcpy", "memset",   "sync", "api",
                                           "overhead", "memory", "external", "nvtx", "all"};
    for (std::size_t begin = 0; begin <= kinds.size();) {
        const std::size_t end = std::min(kinds.find(',', begin), kinds.size());
        const std::string_view kind = std::string_view(kinds).substr(begin, end - begin);
        if (std::find(std::begin(kKnown), std::end(kKnown), kind) == std::end(kKnown)) {
            throw_usage(fmt::format("--kinds has '{}', expected a list of {}", kind,
                                    fmt::join(kKnown, ", ")));
        }
        begin = end + 1;
    }
}

void check_options(const Options& options) {
    if (!options.collect.kinds.empty()) check_kinds(options.collect.kinds);
    if (options.stop_program && !options.collect.duration_s) {
        throw_usage("--stop-program needs --duration");
    }
    if (options.collect.duration_s &&
        !(std::isfinite(options.duration_s) && options.duration_s > 0)) {
        throw_usage(fmt::format("--duration is {}, expected seconds above 0", options.duration_s));
    }
}

int start_failed(const std::string& program, int error) {
    say(fmt::format("cannot start '{}': {}", program, std::strerror(error)));
    // As a shell says it: not found, or found and not to be run.
    return error == ENOENT || error == ENOTDIR ? 127 : 126;
}

void print_result(const RecordResult& result, const Options& options, int exit_code) {
    std::fputs(summary_text(result).c_str(), stderr);
    if (options.json) fmt::print("{}\n", summary_json(result, exit_code));
}

int record(const Options& options, const Context& context) {
    if (context.program.empty()) {
        throw_usage("no program to record, expected: hcprof record [OPTIONS] -- PROGRAM ARGS...");
    }
    check_options(options);
    const InjectionLibrary library = find_injection_library(context.program_dir);
    if (library.path.empty()) throw_unavailable(library.why_not + "; " + library.advice.front());
    const OutputName output = choose_output(options.output, context.program.front(), options.force);
    for (const std::string& foreign : foreign_injections()) {
        say(fmt::format("warning: {} names another profiler; replaced for this program", foreign));
    }

    RecordFolder folder(output.path);
    ChildProcess program;
    // A Ctrl+C before there was a program to take it.
    if (context.interrupted->load()) throw Error(ExitCode::kInterrupted, "interrupted");
    const int error =
        program.start({.arguments = context.program,
                       .environment = folder.environment(library.path, options.collect),
                       .ignored = context.ignored_signals});
    if (error != 0) return start_failed(context.program.front(), error);
    Supervisor supervisor(program, folder, options);
    supervisor.run();
    const bool ended_for_us = supervisor.stopped() && program.end_signal() == SIGTERM;
    const int code = ended_for_us ? 0 : program.exit_code();
    program.stop_forwarding();
    try {
        ProgressBar progress(context.interrupted);
        RecordResult result = collect_result(folder, output, context.command_line, progress);
        if (!result.file && result.nothing.empty()) result.nothing = why_no_cuda_seen();
        print_result(result, options, code);
        return code;
    } catch (const Error& failure) {
        // The program's own failure is the one that a script wants to know of.
        if (code == 0) throw;
        say(failure.what());
        return code;
    }
}

}  // namespace

void setup_record(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("record", "Record the CUDA activity of any program: record -- PROGRAM");
    command->add_option("-o,--output", options->output,
                        "Trace file (default: the program's name with .sqlite)");
    command->add_flag("--force", options->force, "Replace the file if there is one");
    CLI::Option* duration = command->add_option(
        "--duration", options->duration_s, "Collect for so many seconds only; the program runs on");
    command->add_flag("--stop-program", options->stop_program,
                      "End the program (SIGTERM) when the duration is over");
    command->add_option("--capture-range", options->collect.capture_range,
                        "Collect only inside this NVTX range: NAME or NAME@DOMAIN");
    command->add_option("--kinds", options->collect.kinds,
                        "What to collect: kernel,memcpy,memset,sync,api,overhead,memory,external,"
                        "nvtx or all");
    command
        ->add_option("--api", options->collect.api,
                     "API calls: useful (those that give the GPU work), all, none")
        ->check(CLI::IsMember({"useful", "all", "none"}));
    command
        ->add_option("--wait", options->wait,
                     "At the end wait for: recorded (processes still recorded), program")
        ->check(CLI::IsMember({"recorded", "program"}))
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print a summary as one line of JSON at the end");
    command->allow_extras();
    command->footer(std::string(help_text("record")));
    command->callback([command, options, duration, &context] {
        if (const std::vector<std::string> extra = command->remaining(); !extra.empty()) {
            throw_usage(
                extra.front().starts_with("-")
                    ? fmt::format("unknown option '{}' (see hcprof record --help)", extra.front())
                    : fmt::format("'--' must stand before the program: hcprof record "
                                  "[OPTIONS] -- {} ...",
                                  extra.front()));
        }
        if (duration->count() > 0) options->collect.duration_s = options->duration_s;
        *context.exit_code = record(*options, context);
    });
}

}  // namespace hc::cli
