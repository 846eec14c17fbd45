/// --drift: told drift of shapes without weights, by numbers or by a recorded run.
#pragma once

#include <string>

#include "engine/runtime/synthetic_drift.h"

namespace hc::cli {

/// "synthetic:rate=0.15,new=0.5,run=5,seed=1", or "trace:FILE" and "trace:FILE,run=N": triggers,
/// shares of new rows and run lengths of a recorded HeteroCache run (without run=N the first that
/// has drift checks). Throws Error(kUsage) for other words, and as the trace reader does.
[[nodiscard]] runtime::SyntheticDrift read_drift(const std::string& text);

}  // namespace hc::cli
