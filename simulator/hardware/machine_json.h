/// Machines as JSON text: read with suspicion, written so that reading gives the same back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "simulator/hardware/catalogue.h"

namespace hc::sim {

/// A file of one machine ("hcprof-machine"). Throws Error(kInput) naming `name` and the place.
[[nodiscard]] MachineSpec parse_machine(std::string_view text, const std::string& name);
/// A file of several ("hcprof-machines"), with distinct ids.
[[nodiscard]] std::vector<MachineSpec> parse_machines(std::string_view text,
                                                      const std::string& name);

/// A value name that predictions or the catalogue know, with its unit (docs/catalogue.md).
struct ValueName {
    std::string_view name;
    std::string_view unit;
    std::string_view meaning;
};
[[nodiscard]] const std::vector<ValueName>& value_names();

}  // namespace hc::sim
