#include "simulator/hardware/catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "engine/core/error.h"
#include "simulator/hardware/machine_json.h"

namespace hc::sim {

/// Defined by the file that the build makes of machines/*.json: pairs of file name and text.
const std::vector<std::pair<std::string_view, std::string_view>>& embedded_machine_files();

namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{4} << 20;

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[b.size()];
}

/// The ids closest to what was typed; one that holds it counts as close.
std::vector<std::string> near_ids(const std::string& typed) {
    std::vector<std::pair<std::size_t, std::string>> ranked;
    for (const MachineSpec& machine : catalogue()) {
        const bool holds = !typed.empty() && machine.id.find(typed) != std::string::npos;
        ranked.emplace_back(holds ? 0 : edit_distance(typed, machine.id), machine.id);
    }
    std::sort(ranked.begin(), ranked.end());
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < std::min<std::size_t>(5, ranked.size()); ++i) {
        ids.push_back(ranked[i].second);
    }
    return ids;
}

int trust(trace::ValueOrigin origin) {
    switch (origin) {
        case trace::ValueOrigin::kMeasured:
            return 3;
        case trace::ValueOrigin::kFitted:
            return 2;
        case trace::ValueOrigin::kCatalogue:
            return 1;
        case trace::ValueOrigin::kAssumed:
            return 0;
    }
    return 0;
}

std::vector<MachineSpec> read_embedded() {
    std::vector<MachineSpec> machines;
    for (const auto& [name, text] : embedded_machine_files()) {
        for (MachineSpec& machine : parse_machines(text, std::string(name))) {
            machines.push_back(std::move(machine));
        }
    }
    std::sort(machines.begin(), machines.end(),
              [](const MachineSpec& a, const MachineSpec& b) { return a.id < b.id; });
    return machines;
}

}  // namespace

const trace::Value* MachineSpec::find(std::string_view value_name) const {
    const trace::Value* best = nullptr;
    for (const trace::Value& value : values) {
        if (value.name != value_name) continue;
        if (best == nullptr || trust(value.origin) > trust(best->origin)) best = &value;
    }
    return best;
}

double MachineSpec::require(std::string_view value_name) const {
    const trace::Value* value = find(value_name);
    if (value == nullptr || !(value->number > 0)) {
        throw_refused(fmt::format("machine '{}' has no known {}: predicting for it takes one", id,
                                  value_name));
    }
    return value->number;
}

bool is_link(const MachineSpec& machine) {
    return machine.kind == MachineKind::kCpu && machine.find("host_link_GBps") != nullptr &&
           machine.find("read_bandwidth_GBps") == nullptr;
}

const std::vector<MachineSpec>& catalogue() {
    static const std::vector<MachineSpec> machines = read_embedded();
    return machines;
}

const MachineSpec* find_device(std::string_view device_name) {
    for (const MachineSpec& machine : catalogue()) {
        const auto& names = machine.device_names;
        if (std::find(names.begin(), names.end(), device_name) != names.end()) return &machine;
    }
    return nullptr;
}

MachineSpec find_machine(const std::string& id_or_file) {
    for (const MachineSpec& machine : catalogue()) {
        if (machine.id == id_or_file) return machine;
    }
    std::error_code error;
    const std::filesystem::path path(id_or_file);
    if (!id_or_file.empty() && std::filesystem::exists(path, error)) return read_machine(path);
    throw_usage(
        fmt::format("unknown machine '{:.80}': no file of that name, and the nearest in the "
                    "catalogue are {}",
                    id_or_file, fmt::join(near_ids(id_or_file.substr(0, 80)), ", ")));
}

MachineSpec read_machine(const std::filesystem::path& file) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error)) {
        throw_io(fmt::format("{}: no readable file", file.string()));
    }
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    if (error) throw_io(fmt::format("{}: {}", file.string(), error.message()));
    if (size > kMaxFileBytes) {
        throw_input(fmt::format("{}: a machine file of {} bytes, expected at most {}",
                                file.string(), size, kMaxFileBytes));
    }
    std::ifstream stream(file, std::ios::binary);
    std::string text(static_cast<std::size_t>(size), '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!stream) throw_io(fmt::format("{}: cannot be read", file.string()));
    return parse_machine(text, file.string());
}

}  // namespace hc::sim
