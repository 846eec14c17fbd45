#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <new>
#include <unistd.h>

#include "cli/child_process.h"
#include "cli/command.h"
#include "cli/help_texts.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

// Written by the signal handler only, read by long work: the one flag that must be global.
std::atomic<bool> g_interrupted{false};

extern "C" void on_interrupt(int) {
    // A second Ctrl-C ends at once.
    if (g_interrupted.exchange(true)) ::_exit(static_cast<int>(ExitCode::kInterrupted));
}

std::string join_arguments(int argc, const char* const* argv) {
    std::string line;
    for (int i = 0; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (i > 0) line += ' ';
        const bool plain = !word.empty() && word.find_first_of(" \t\n'\"\\$") == std::string_view::npos;
        if (plain) {
            line += word;
        } else {
            line += '\'';
            for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
            line += '\'';
        }
    }
    return line;
}

std::string program_dir(const char* argv0) {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    return (error ? std::filesystem::path(argv0) : self).parent_path().string();
}

int fail(ExitCode code, const std::string& message) {
    // An empty message: another program has printed its own.
    if (!message.empty()) fmt::print(stderr, "hcprof: {}\n", message);
    return static_cast<int>(code);
}

/// Index of the "--" behind which `hcprof record` finds the program, argc where there is none.
/// What follows is not ours to parse: it may have options and a "--" of its own.
int program_mark(int argc, const char* const* argv) {
    int command = 1;
    while (command < argc && std::string_view(argv[command]).starts_with("--config")) {
        command += std::string_view(argv[command]) == "--config" ? 2 : 1;
    }
    if (command >= argc || std::string_view(argv[command]) != "record") return argc;
    for (int i = command + 1; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--") return i;
    }
    return argc;
}

int parse_and_run(int argc, const char* const* argv, const Context& context) {
    CLI::App app("hcprof profiles and simulates LLM decoding with a KV cache that is partly kept in "
                 "host memory.", "hcprof");
    app.set_version_flag("--version", std::string("hcprof ") + HC_VERSION);
    app.set_config("--config", "", "Read options from a TOML or INI file", false);
    app.require_subcommand(1);
    app.fallthrough(false);
    app.footer(std::string(help_text("footer")));
    app.failure_message([](const CLI::App*, const CLI::Error& e) { return std::string(e.what()); });
    setup_demo(app, context);
    setup_calibrate(app, context);
    setup_profile(app, context);
    setup_record(app, context);
    setup_report(app, context);
    setup_compare(app, context);
    setup_simulate(app, context);
    setup_sweep(app, context);
    setup_merge(app, context);
    setup_tune(app, context);
    setup_budget(app, context);
    setup_export(app, context);
    setup_import(app, context);
    setup_view(app, context);
    setup_hardware(app, context);
    setup_doctor(app, context);
    setup_completion(app, context);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);  // --help, --version
    } catch (const CLI::ParseError& e) {
        std::string message = e.what();
        while (!message.empty() && (message.back() == '\n' || message.back() == '.')) message.pop_back();
        for (char& c : message) c = c == '\n' ? ' ' : c;
        const auto chosen = app.get_subcommands();
        const std::string help = chosen.empty() ? "hcprof --help" : "hcprof " + chosen.front()->get_name() + " --help";
        return fail(ExitCode::kUsage, message + " (see " + help + ")");
    }
    return *context.exit_code;
}

}  // namespace

int run_program(int argc, const char* const* argv) {
    Context context;
    context.ignored_signals = ignored_signals();
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    // A closed pipe or a full disk arrives as an error of the call, not as a death.
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN);

    int exit_code = static_cast<int>(ExitCode::kOk);
    const int mark = program_mark(argc, argv);
    if (mark < argc) context.program.assign(argv + mark + 1, argv + argc);
    context.exit_code = &exit_code;
    context.command_line = join_arguments(argc, argv);
    context.program_dir = program_dir(argv[0]);
    context.interrupted = &g_interrupted;
    try {
        const int code = parse_and_run(mark, argv, context);
        if (std::fflush(stdout) != 0) return fail(ExitCode::kIo, "cannot write to standard output");
        return code;
    } catch (const Error& e) {
        return fail(e.code(), e.what());
    } catch (const std::bad_alloc&) {
        return fail(ExitCode::kRefused, "out of memory");
    } catch (const std::exception& e) {
        return fail(ExitCode::kBug, fmt::format("unexpected error: {} (please report it)", e.what()));
    }
}

}  // namespace hc::cli
