// hcprof hardware: the catalogue of machines, and this machine measured.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/backend.h"
#include "cli/command.h"
#include "cli/format.h"
#include "cli/help_texts.h"
#include "cli/machine_values.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/core/atomic_file.h"
#include "simulator/hardware/catalogue.h"

namespace hc::cli {
namespace {

std::string kind_name(const sim::MachineSpec& machine) { return machine.kind == sim::MachineKind::kCpu ? "cpu" : "gpu"; }

std::string value_text(const trace::Value* value) {
    return value != nullptr ? fmt::format("{:g} {}", value->number, value->unit) : std::string("unknown");
}

void list(bool json) {
    nlohmann::ordered_json document = nlohmann::ordered_json::array();
    Table table({"id", "kind", "bandwidth", "name"}, {0, 1, 3});
    for (const sim::MachineSpec& machine : sim::catalogue()) {
        const bool is_link = machine.find("host_link_GBps") != nullptr && machine.find("read_bandwidth_GBps") == nullptr;
        const char* const memory = machine.kind == sim::MachineKind::kGpu ? "memory_bandwidth_GBps" : "read_bandwidth_GBps";
        table.add_row({machine.id, is_link ? "link" : kind_name(machine),
                       value_text(machine.find(is_link ? "host_link_GBps" : memory)), machine.name});
        document.push_back({{"id", machine.id}, {"kind", kind_name(machine)}, {"name", machine.name}, {"device_names", machine.device_names}});
    }
    if (json) {
        print_json(document);
    } else {
        fmt::print("{}", table.to_string(terminal_width(STDOUT_FILENO)));
    }
}

void show(const std::string& id, bool json) {
    const sim::MachineSpec machine = sim::find_machine(id);
    if (json) {
        fmt::print("{}\n", sim::to_json(machine));
        return;
    }
    fmt::print("{} ({}, {})\n", machine.name, machine.id, kind_name(machine));
    Table table({"value", "at", "number", "origin", "source"}, {0, 3, 4});
    for (const trace::Value& v : machine.values) {
        table.add_row({v.name, v.argument != 0 ? fmt::format("{:g}", v.argument) : "", fmt::format("{:g} {}", v.number, v.unit),
                       std::string(trace::value_origin_name(v.origin)), v.source});
    }
    fmt::print("{}", table.to_string(terminal_width(STDOUT_FILENO)));
}

void measure(const std::string& output, const std::string& what, int threads, const Context& context) {
    if (!output.empty()) check_writable(output);
    ProgressBar progress(context.interrupted);
    // What a run with --backend auto would be on.
    const bool gpu = what == "cuda" || (what == "auto" && choose_backend("auto") == runtime::Backend::kCuda);
    const sim::MachineSpec machine = gpu ? measured_gpu(probe::Effort::kThorough, progress)
                                         : measured_machine(probe::Effort::kThorough, threads, progress);
    const std::string text = sim::to_json(machine);
    if (output.empty()) {
        fmt::print("{}\n", text);
        return;
    }
    write_file_atomically(output, text + "\n");
    fmt::print("wrote {}\n", output);
}

}  // namespace

void setup_hardware(CLI::App& app, const Context& context) {
    CLI::App* command = app.add_subcommand("hardware", "List known machines, or measure this one");
    command->require_subcommand(1);
    command->footer(std::string(help_text("hardware")));

    const auto json = std::make_shared<bool>(false);
    CLI::App* list_command = command->add_subcommand("list", "The catalogue");
    list_command->add_flag("--json", *json, "Print as JSON");
    list_command->callback([json] { list(*json); });

    const auto id = std::make_shared<std::string>();
    CLI::App* show_command = command->add_subcommand("show", "Every number of a machine, with its source");
    show_command->add_option("machine", *id, "Id, or a file")->required();
    show_command->add_flag("--json", *json, "Print as JSON");
    show_command->callback([id, json] { show(*id, *json); });

    const auto output = std::make_shared<std::string>();
    const auto threads = std::make_shared<int>(0);
    const auto what = std::make_shared<std::string>("auto");
    CLI::App* measure_command = command->add_subcommand("measure", "Measure this machine into a file that simulate --on takes");
    measure_command->add_option("-o,--output", *output, "File to write (default: standard output)");
    measure_command->add_option("--backend", *what, "cpu: the processor; cuda: the GPU; auto: what a run would be on")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}))->capture_default_str();
    measure_command->add_option("--threads", *threads, "Threads to use (default: every core)")->check(CLI::Range(0, 1024));
    measure_command->callback([output, what, threads, &context] { measure(*output, *what, *threads, context); });
}

}  // namespace hc::cli
