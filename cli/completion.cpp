// hcprof completion bash: a completion script made from the program's own options.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "cli/command.h"

namespace hc::cli {
namespace {

std::string long_options(const CLI::App& app) {
    std::string out;
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) out += (out.empty() ? "--" : " --") + name;
    }
    return out;
}

std::string bash_script(const CLI::App& app) {
    std::string names;
    std::string cases;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        names += (names.empty() ? "" : " ") + command->get_name();
        cases += fmt::format("        {}) words='{}' ;;\n", command->get_name(), long_options(*command));
    }
    return fmt::format(
        "_hcprof() {{\n"
        "    local current=${{COMP_WORDS[COMP_CWORD]}} words='{}'\n"
        "    case ${{COMP_WORDS[1]}} in\n{}"
        "    esac\n"
        "    [ \"$COMP_CWORD\" -gt 1 ] || words='{} --help --version --config'\n"
        "    case $current in -*) ;; *) [ \"$COMP_CWORD\" -gt 1 ] && {{ COMPREPLY=($(compgen -f -- \"$current\")); return; }} ;; esac\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
        "}}\n"
        "complete -o filenames -F _hcprof hcprof\n",
        names, cases, names);
}

}  // namespace

void setup_completion(CLI::App& app, const Context&) {
    CLI::App* command = app.add_subcommand("completion", "Print a shell completion script");
    const auto shell = std::make_shared<std::string>();
    command->add_option("shell", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
    command->callback([&app, shell] { fmt::print("{}", bash_script(app)); });
}

}  // namespace hc::cli
