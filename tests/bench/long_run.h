/// An invented recording of any length, for asking how the simulator's time grows.
#pragma once

#include <cstdint>

#include "profiler/trace/columns.h"

namespace hc::bench {

inline constexpr std::int32_t kLongRunHeads = 2;  // per layer: a pivot and its satellite

struct LongRun {
    trace::RunData data;
};

/// `steps` decode steps of `layers` layers over a prompt of 256 tokens, with checks, fetches and
/// scores (48 positions a row) in every layer.
[[nodiscard]] LongRun long_run(std::int64_t steps, std::int32_t layers);

}  // namespace hc::bench
