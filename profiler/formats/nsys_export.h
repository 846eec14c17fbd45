/// A trace as an Nsight Systems SQLite export: the same tables and columns, as real tables, for
/// tools and scripts that read nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "engine/core/progress.h"
#include "profiler/trace/reader.h"

namespace hc::formats {

/// CREATE TABLE of every table of the export (schema 3.28), as compiled in.
[[nodiscard]] std::string_view nsys_tables_sql();

/// Writes every table of the export to `output`, which appears when it is complete. Like the
/// export it has no indexes. Returns the number of rows of CUDA activity and NVTX events.
/// Throws Error(kIo) when something cannot be read or written, Error(kInput) for rows that the
/// export's columns cannot hold, Error(kInterrupted).
std::int64_t export_nsys(const trace::Trace& trace, const std::filesystem::path& output,
                         Progress& progress);

}  // namespace hc::formats
