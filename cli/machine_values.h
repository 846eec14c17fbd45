/// This machine, measured, in the simulator's and the trace's words.
#pragma once

#include "engine/core/progress.h"
#include "engine/probe/probe.h"
#include "simulator/hardware/catalogue.h"

namespace hc::cli {

[[nodiscard]] sim::MachineSpec measured_machine(probe::Effort effort, int threads, Progress& progress);

}  // namespace hc::cli
