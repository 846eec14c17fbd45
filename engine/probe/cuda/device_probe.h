/// What the GPU at hand reaches: the same measurements as engine/probe, for a device.
#pragma once

#include <vector>

#include "engine/core/progress.h"
#include "engine/probe/probe.h"

namespace hc::probe::cuda {

/// Medians of repeated runs, by events, in at most two minutes (quick: a few seconds). Names and
/// units are those of docs/catalogue.md. Takes up to 6 GiB of device and 1 GiB of pinned memory,
/// less where less is free. Throws Error(kUnavailable) without a usable GPU, Error(kInterrupted)
/// when `progress` is cancelled, Error(kRefused) when even little memory is not to be had.
[[nodiscard]] std::vector<Measurement> measure_device(int device, Effort effort,
                                                      Progress& progress);

}  // namespace hc::probe::cuda
