// hcprof view: starts the viewer, a program of its own, so that this one needs no Qt.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/viewer_process.h"
#include "engine/core/error.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

struct Options {
    std::string trace;
    std::string snapshot;
    std::string size;
    std::string theme;
    std::string go_to;
    std::string run;
};

}  // namespace

void setup_view(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("view", "Open a trace in the viewer, or draw it into a picture");
    command->add_option("trace", options->trace, "Trace file (.sqlite)")->required();
    command->add_option("--snapshot", options->snapshot, "Write a picture (.png) and leave; needs no display");
    command->add_option("--size", options->size, "Window size as WIDTHxHEIGHT");
    command->add_option("--theme", options->theme, "dark or light")->check(CLI::IsMember({"dark", "light"}));
    command->add_option("--goto", options->go_to, "Step to show");
    command->add_option("--run", options->run, "Run to show");
    command->footer(std::string(help_text("view")));
    command->callback([options, &context] {
        static_cast<void>(trace::Trace(options->trace));  // its errors read the same everywhere
        std::vector<std::string> arguments{options->trace};
        const auto add = [&](const char* name, const std::string& value) {
            if (value.empty()) return;
            arguments.emplace_back(name);
            arguments.push_back(value);
        };
        add("--snapshot", options->snapshot);
        add("--size", options->size);
        add("--theme", options->theme);
        add("--goto", options->go_to);
        add("--run", options->run);
        const int code = run_viewer(context.program_dir, arguments);
        if (code != 0) throw Error(static_cast<ExitCode>(code), "");  // the viewer has said why
    });
}

}  // namespace hc::cli
