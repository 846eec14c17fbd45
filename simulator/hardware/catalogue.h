/// Machines as data: every number with unit, origin and source. Unknown stays unknown.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::sim {

enum class MachineKind : std::uint8_t { kCpu, kGpu };

struct MachineSpec {
    std::string id;  ///< what the user types: "epyc-9654-2c", "h100-sxm"
    std::string name;
    MachineKind kind = MachineKind::kGpu;
    std::vector<trace::Value> values;       ///< names are listed in docs/catalogue.md
    std::vector<std::string> device_names;  ///< what a driver calls it, where known

    /// The value of that name, of several the one with the best origin (measured, fitted,
    /// catalogue, assumed); nullptr: not known.
    [[nodiscard]] const trace::Value* find(std::string_view value_name) const;
    /// Throws Error(kRefused) naming machine and value when it is not known.
    [[nodiscard]] double require(std::string_view value_name) const;
};

/// A machine that names nothing but the link to the host tier: everything else stays the machine
/// of the recording.
[[nodiscard]] bool is_link(const MachineSpec& machine);

/// The catalogue compiled in from simulator/hardware/machines/*.json, ordered by id.
[[nodiscard]] const std::vector<MachineSpec>& catalogue();
/// The machine of the catalogue that a driver gives this name; nullptr: none, or not known.
[[nodiscard]] const MachineSpec* find_device(std::string_view device_name);
/// A machine by id, or from a JSON file when `id_or_file` names one. Throws Error(kUsage)
/// listing near ids, Error(kInput) for a broken file.
[[nodiscard]] MachineSpec find_machine(const std::string& id_or_file);
[[nodiscard]] MachineSpec read_machine(const std::filesystem::path& file);
[[nodiscard]] std::string to_json(const MachineSpec& machine);

}  // namespace hc::sim
