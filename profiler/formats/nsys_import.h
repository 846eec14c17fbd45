/// An Nsight Systems SQLite export (`nsys export --type sqlite`) made into a trace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/progress.h"

namespace hc::formats {

struct ImportResult {
    std::int64_t kernels = 0, memcpys = 0, memsets = 0, apis = 0, syncs = 0, nvtx = 0;
    /// Rows that end before they start, or hold NULL or a text where a number belongs; also in
    /// hc_meta as lost_import.
    std::int64_t skipped = 0;
    std::string schema_version;         ///< as the file says, "" when it does not
    std::vector<std::string> warnings;  ///< one line each: what was left out and why

    [[nodiscard]] std::int64_t total() const {
        return kernels + memcpys + memsets + apis + syncs + nvtx;
    }
};

/// Reads schemas from 3.16 on. Tables may be missing; columns that came later, and all that a
/// trace can do without, too. Takes kernels, copies, memsets, API calls, synchronisations, NVTX
/// events, names, processes and GPUs; other tables are left alone, as are columns that no
/// table of a trace has (JSON payloads of NVTX, green contexts, unified-memory details).
///
/// The upper bits of globalTid and globalPid, which tell machines apart, are dropped; so are the
/// file's own ids of strings and domains.
///
/// Throws Error(kInput) when `input` is no SQLite file, no such export, damaged, or names strings
/// that it does not hold; Error(kRefused) when `output` is `input`; Error(kIo);
/// Error(kInterrupted). `output` then is as it was before.
ImportResult import_nsys(const std::filesystem::path& input, const std::filesystem::path& output,
                         const std::string& command_line, Progress& progress);

}  // namespace hc::formats
