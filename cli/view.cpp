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
    std::string compare;
    std::string panel;
    std::string search;
};

}  // namespace

void setup_view(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("view", "Open a trace in the viewer, or draw it into a picture");
    command->add_option("trace", options->trace, "Trace file (.sqlite)")->required();
    command->add_option("--snapshot", options->snapshot, "Write a picture (.png: the window, .svg: the timeline) and leave; needs no display");
    command->add_option("--size", options->size, "Window size as WIDTHxHEIGHT");
    command->add_option("--theme", options->theme, "dark or light")->check(CLI::IsMember({"dark", "light"}));
    command->add_option("--goto", options->go_to, "Step (40) or time (12.5ms, 3s) to show");
    command->add_option("--compare", options->compare, "Another trace, laid under the first step by step");
    command->add_option("--panel", options->panel, "Panel to bring to the front")
        ->check(CLI::IsMember({"heads", "details", "drift", "replay", "what-if", "tables"}));
    command->add_option("--search", options->search, "What to search for, as in the search field");
    command->add_option("--run", options->run, "Run to show");
    command->footer(std::string(help_text("view")));
    command->callback([options, &context] {
        static_cast<void>(trace::Trace(options->trace));  // its errors read the same everywhere
        if (!options->compare.empty()) static_cast<void>(trace::Trace(options->compare));
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
        add("--compare", options->compare);
        add("--panel", options->panel);
        add("--search", options->search);
        const int code = run_viewer(context.program_dir, arguments);
        if (code != 0) throw Error(static_cast<ExitCode>(code), "");  // the viewer has said why
    });
}

}  // namespace hc::cli
