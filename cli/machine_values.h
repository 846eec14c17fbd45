/// This machine, measured, in the simulator's and the trace's words.
#pragma once

#include "engine/core/progress.h"
#include "engine/probe/probe.h"
#include "simulator/hardware/catalogue.h"

namespace hc::cli {

/// The processor.
[[nodiscard]] sim::MachineSpec measured_machine(probe::Effort effort, int threads, Progress& progress);
/// The GPU. Throws Error(kUnavailable) where there is none, or no CUDA in this build.
[[nodiscard]] sim::MachineSpec measured_gpu(probe::Effort effort, Progress& progress);

}  // namespace hc::cli
