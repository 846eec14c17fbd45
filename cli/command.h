/// How a subcommand is made: a setup function adds its options to the app and a callback that
/// runs it. Each command has a file of its own.
#pragma once

#include <atomic>
#include <string>

namespace CLI {
class App;
}

namespace hc::cli {

/// What main() hands to every command.
struct Context {
    std::string command_line;                       ///< as typed, for traces
    std::string program_dir;                        ///< where hcprof and hcprof-view lie
    const std::atomic<bool>* interrupted = nullptr; ///< set by Ctrl-C
};

/// `context` is borrowed and must outlive `app`.
void setup_calibrate(CLI::App& app, const Context& context);
void setup_profile(CLI::App& app, const Context& context);
void setup_report(CLI::App& app, const Context& context);
void setup_compare(CLI::App& app, const Context& context);
void setup_simulate(CLI::App& app, const Context& context);
void setup_sweep(CLI::App& app, const Context& context);
void setup_merge(CLI::App& app, const Context& context);
void setup_tune(CLI::App& app, const Context& context);
void setup_budget(CLI::App& app, const Context& context);
void setup_export(CLI::App& app, const Context& context);
void setup_view(CLI::App& app, const Context& context);
void setup_demo(CLI::App& app, const Context& context);
void setup_hardware(CLI::App& app, const Context& context);
void setup_doctor(CLI::App& app, const Context& context);
void setup_completion(CLI::App& app, const Context& context);

/// Parses and runs; returns the exit code. Errors are printed as one line on stderr.
int run_program(int argc, const char* const* argv);

}  // namespace hc::cli
