/// Makes one trace of several, for programs of many processes that each wrote their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/core/progress.h"

namespace hc::trace {

struct MergeResult {
    std::int64_t rows = 0;              ///< of CUDA activity
    std::vector<std::string> warnings;  ///< one line per input that was not closed cleanly or lost
                                        ///< records; they stand in hc_meta as well
};

/// Writes what all `inputs` hold to `output`, on one clock: zero is the start of the earliest
/// (hc_meta.epoch_ns; all inputs must name the same clock). Names, launches, streams and NVTX
/// domains get new ids; engine runs keep their order and get new numbers. lost_* are added up. The
/// rows and their order depend on the inputs alone, not on the order of `inputs`.
///
/// Throws Error(kInput) when an input is no trace or stands on another clock, Error(kRefused) for
/// no inputs or an output that is one of them, Error(kIo) when something cannot be read or
/// written, Error(kInterrupted). `output` then is as it was before.
MergeResult merge_traces(std::span<const std::filesystem::path> inputs,
                         const std::filesystem::path& output, const std::string& command_line,
                         Progress& progress);

}  // namespace hc::trace
