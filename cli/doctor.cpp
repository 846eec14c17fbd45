// hcprof doctor: what works on this machine, what does not, and what to do about it.
//
// A check looks and never fails: a part that is missing is an answer. Nothing is allocated on a
// GPU and no model is loaded, so that the answer comes at once on a machine in any state.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/backend.h"
#include "cli/command.h"
#include "cli/doctor_checks.h"
#include "cli/format.h"
#include "cli/help_texts.h"
#include "cli/terminal.h"
#include "cli/viewer_process.h"
#include "engine/core/error.h"
#include "engine/model/model.h"
#include "engine/probe/probe.h"

namespace hc::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;


/// Below these a recording of the default model (some 100 MB) is likely to fail.
constexpr std::int64_t kLowMemoryBytes = std::int64_t{1} << 30;
constexpr std::uintmax_t kLowDiskBytes = std::uintmax_t{1} << 30;

const char* state_name(State state) {
    switch (state) {
        case State::kOk:
            return "ok";
        case State::kWarn:
            return "warn";
        case State::kMissing:
            return "missing";
        case State::kOff:
            return "off";
    }
    return "warn";
}


/// What a container may use in all; nothing where there is no limit ("max" is no number).
std::optional<std::int64_t> container_limit_bytes() {
    for (const char* path :
         {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        std::ifstream file(path);
        std::int64_t limit = 0;
        if (file >> limit) return limit;
    }
    return std::nullopt;
}


Finding check_cpu() {
    const probe::MachineFacts facts = probe::machine_facts();
    return {State::kOk,
            fmt::format("{}, {} core{} for this process, kernels for {}", facts.name, facts.cores,
                        facts.cores == 1 ? "" : "s", facts.instruction_sets),
            ""};
}

Finding check_memory() {
    const std::int64_t total = probe::machine_facts().memory_bytes;
    const std::optional<std::int64_t> available = available_memory_bytes();
    std::string found =
        fmt::format("{} in all, {} available", bytes_text(total),
                    available ? bytes_text(*available) : std::string("unknown how much"));
    const std::optional<std::int64_t> limit = container_limit_bytes();
    if (limit && *limit < total) {
        found += fmt::format(", limited to {} here (container)", bytes_text(*limit));
    }
    if (std::min(available.value_or(total), limit.value_or(total)) < kLowMemoryBytes) {
        return {State::kWarn, found,
                "end other programs, or record with a short prompt: the weights and the host tier "
                "must fit"};
    }
    return {State::kOk, found, ""};
}

/// Looks at names and the first bytes only: loading takes long and says what is wrong itself.
Finding check_model() {
    std::string path;
    try {
        path = model::find_model(std::nullopt).string();
    } catch (const Error& e) {
        // "no model at 'x', named by HCPROF_MODEL; run ./run.sh fetch-model, or ..."
        const std::string message = e.what();
        const std::size_t cut = message.rfind("; ");
        if (cut == std::string::npos) return {State::kMissing, message, "name one with --model"};
        return {State::kMissing, message.substr(0, cut), message.substr(cut + 2)};
    }
    constexpr const char* kRemedy =
        "name a GGUF file or a Hugging Face folder in HCPROF_MODEL, or run ./run.sh fetch-model";
    std::error_code error;
    if (fs::is_directory(path, error)) {
        if (fs::exists(fs::path(path) / "config.json", error)) return {State::kOk, path, ""};
        return {State::kWarn, fmt::format("'{}' holds no config.json", path), kRemedy};
    }
    if (!fs::exists(path, error)) return {State::kOk, path + " (no weights)", ""};  // shape:NAME
    // A pipe would make us wait for its writer.
    if (!fs::is_regular_file(path, error)) {
        return {State::kWarn, fmt::format("'{}' is no file", path), kRemedy};
    }
    std::array<char, 4> magic{};
    std::ifstream file(path, std::ios::binary);
    if (!file) return {State::kWarn, fmt::format("'{}' cannot be read", path), kRemedy};
    file.read(magic.data(), magic.size());
    if (std::string_view(magic.data(), magic.size()) != "GGUF") {
        return {State::kWarn, fmt::format("'{}' is no GGUF file", path), kRemedy};
    }
    const std::uintmax_t size = fs::file_size(path, error);
    return {State::kOk,
            error ? path : fmt::format("{} ({})", path, format_bytes(static_cast<double>(size))),
            ""};
}


Finding check_disk() {
    std::error_code error;
    const fs::path folder = fs::current_path(error);
    if (error) return {State::kWarn, "the current folder: " + error.message(), "go to another"};
    const fs::space_info space = fs::space(folder, error);
    if (error) {
        return {State::kWarn, fmt::format("'{}': {}", folder.string(), error.message()),
                "write traces to another folder with -o"};
    }
    const std::string found = fmt::format(
        "{} free in {}", format_bytes(static_cast<double>(space.available)), folder.string());
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
        return {State::kWarn, found + ", not writable", "write traces to another folder with -o"};
    }
    if (space.available < kLowDiskBytes) {
        return {State::kWarn, found, "make room, or write traces to another folder with -o"};
    }
    return {State::kOk, found, ""};
}

Finding check_viewer(const Context& context) {
    const std::string path = context.program_dir + "/hcprof-view";
    if (viewer_built(context.program_dir)) return {State::kOk, path, ""};
    return {State::kMissing, fmt::format("no '{}'", path),
            "install qt6-base-dev and build again; reports and simulation work without"};
}

Finding check_display() {
    if (!display_available()) {
        return {State::kOff, "neither DISPLAY nor WAYLAND_DISPLAY is set",
                "draw into a picture instead: hcprof view TRACE --snapshot PICTURE.png"};
    }
    std::string found;
    for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY"}) {
        const char* value = std::getenv(name);
        if (value == nullptr || *value == '\0') continue;
        found += fmt::format("{}{}={}", found.empty() ? "" : ", ", name, value);
    }
    return {State::kOk, found, ""};
}

Finding check_terminal() {
    const int width = terminal_width(STDOUT_FILENO);
    if (is_terminal(STDOUT_FILENO)) return {State::kOk, fmt::format("{} columns", width), ""};
    return {State::kOff,
            fmt::format("standard output is {}, tables take up to {} columns",
                        ::isatty(STDOUT_FILENO) == 1 ? "a dumb terminal" : "no terminal", width),
            "set COLUMNS for another width"};
}

struct NamedFinding {
    const char* name;
    Finding finding;
};

std::vector<NamedFinding> run_checks(const Context& context) {
    std::vector<NamedFinding> out;
    // Something that no check foresaw must not hide what the others found.
    const auto add = [&](const char* name, const auto& check) {
        Finding finding;
        try {
            finding = check();
        } catch (const std::exception& e) {
            finding = {State::kWarn, e.what(), "this check did not finish: please report it"};
        }
        out.push_back({name, std::move(finding)});
    };
    std::string why_not_cuda = "backend cuda: the GPU was not reached";
    add("cpu", check_cpu);
    add("memory", check_memory);
    add("model", check_model);
    add("backend cuda", check_backend_cuda);
    add("gpu", [&] {
        why_not_cuda = why_no_cuda();
        return check_gpu(why_not_cuda);
    });
    const bool gpu = why_not_cuda.empty();
    add("cublaslt", [&] { return check_cublaslt(gpu); });
    add("recording", [&] { return check_recording(context.program_dir); });
    add("cupti", [&] { return check_cupti(context.program_dir); });
    add("nvtx", [&] { return check_nvtx(context.program_dir); });
    add("other profilers", check_other_profilers);
    add("pinned memory", [&] { return check_pinned_memory(gpu); });
    add("disk", check_disk);
    add("viewer", [&] { return check_viewer(context); });
    add("display", check_display);
    add("terminal", check_terminal);
    return out;
}

/// Paths and variables come from outside: a control character in one must not reach the terminal.
std::string one_line(std::string text) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    }
    return text;
}

void print_text(const std::vector<NamedFinding>& findings) {
    std::size_t name_width = 0;
    for (const NamedFinding& f : findings)
        name_width = std::max(name_width, std::string_view(f.name).size());
    constexpr std::size_t kStateWidth = std::string_view("missing").size();
    const std::string indent(kStateWidth + name_width + 4, ' ');
    for (const auto& [name, finding] : findings) {
        fmt::print("{:<{}}  {:<{}}  {}\n", state_name(finding.state), kStateWidth, name, name_width,
                   one_line(finding.found));
        if (!finding.advice.empty()) fmt::print("{}-> {}\n", indent, one_line(finding.advice));
    }
}

void print_as_json(const std::vector<NamedFinding>& findings) {
    Json document;
    document["version"] = HC_VERSION;
    document["checks"] = Json::array();
    for (const auto& [name, finding] : findings) {
        document["checks"].push_back({{"name", name},
                                      {"state", state_name(finding.state)},
                                      {"found", finding.found},
                                      {"advice", finding.advice}});
    }
    // A path need not be UTF-8.
    fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::string bytes_text(std::int64_t bytes) {
    return format_bytes(static_cast<double>(bytes));
}

std::optional<std::int64_t> available_memory_bytes() {
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);) {
        std::int64_t kib = 0;
        if (std::sscanf(line.c_str(), "MemAvailable: %ld", &kib) == 1) return kib * 1024;
    }
    return std::nullopt;
}

void setup_doctor(CLI::App& app, const Context& context) {
    CLI::App* command = app.add_subcommand(
        "doctor", "Say what works on this machine, and what to do about the rest");
    const auto json = std::make_shared<bool>(false);
    command->add_flag("--json", *json, "Print as JSON");
    command->footer(std::string(help_text("doctor")));
    command->callback([json, &context] {
        const std::vector<NamedFinding> findings = run_checks(context);
        if (*json) {
            print_as_json(findings);
        } else {
            print_text(findings);
        }
    });
}

}  // namespace hc::cli
