/// A run filled with random but well-formed records, to be written and read back.
#pragma once

#include <cstdint>
#include <filesystem>

#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"

namespace hc::test {

/// Times are as an engine would give them, from `epoch_ns` on. Rows stand in the order in which
/// a reader returns them.
[[nodiscard]] trace::RunData random_run(std::uint64_t seed, std::int64_t epoch_ns,
                                        std::int64_t steps = 20);

/// Sends everything to the writer in the order of an engine; returns the run's id.
trace::RunId write_run(trace::Writer& writer, const trace::RunData& data);

/// Writes a finished trace of one random run.
void write_small_trace(const std::filesystem::path& path, std::int64_t steps = 20);

}  // namespace hc::test
