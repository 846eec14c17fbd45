/// Adds runs to a finished trace: what was learned about a recording after it was written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::trace {

/// An operation of the GPU together with the launches that it stands for.
struct AppendedOp {
    OpRecord op;
    std::int64_t correlation_first = -1;
    std::int64_t correlation_last = -1;
};

/// Times are those of the trace (zero at its start); ids follow engine/core/records.h.
struct AppendedRun {
    Run run;  ///< its id is given by append_runs()
    Machine machine;
    std::int32_t device = -1;
    std::vector<StepRecord> steps;
    std::vector<AppendedOp> ops;
    std::vector<DriftRecord> drift;
    std::vector<FetchRecord> fetches;
    /// What its streams turned out to do ("compute", "fetch"): replaces the role "other".
    std::map<std::int32_t, std::string> stream_roles;
};

/// All or nothing. Runs are numbered from 0; a trace that already holds runs is not touched, and
/// the result is false. Throws Error(kIo) naming the file.
bool append_runs(const std::filesystem::path& path, std::span<const AppendedRun> runs);

}  // namespace hc::trace
