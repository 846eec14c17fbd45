/// How a subcommand is made: a setup function adds its options to the app and a callback that
/// runs it. Each command has a file of its own.
#pragma once

#include <atomic>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace hc::cli {

/// What main() hands to every command.
struct Context {
    std::string command_line;                       ///< as typed, for traces
    std::string program_dir;                        ///< where hcprof and hcprof-view lie
    const std::atomic<bool>* interrupted = nullptr; ///< set by Ctrl-C
    std::vector<std::string> program;               ///< record: what stands behind "--"
    std::vector<int> ignored_signals;               ///< by whoever started hcprof (nohup)
    int* exit_code = nullptr;                       ///< record: that of the program
};

/// `context` is borrowed and must outlive `app`.
void setup_calibrate(CLI::App& app, const Context& context);
void setup_profile(CLI::App& app, const Context& context);
void setup_record(CLI::App& app, const Context& context);
void setup_report(CLI::App& app, const Context& context);
void setup_compare(CLI::App& app, const Context& context);
void setup_simulate(CLI::App& app, const Context& context);
void setup_sweep(CLI::App& app, const Context& context);
void setup_merge(CLI::App& app, const Context& context);
void setup_tune(CLI::App& app, const Context& context);
void setup_budget(CLI::App& app, const Context& context);
void setup_export(CLI::App& app, const Context& context);
void setup_import(CLI::App& app, const Context& context);
void setup_view(CLI::App& app, const Context& context);
void setup_demo(CLI::App& app, const Context& context);
void setup_hardware(CLI::App& app, const Context& context);
void setup_doctor(CLI::App& app, const Context& context);
void setup_completion(CLI::App& app, const Context& context);

/// Parses and runs; returns the exit code. Errors are printed as one line on stderr.
int run_program(int argc, const char* const* argv);

}  // namespace hc::cli
