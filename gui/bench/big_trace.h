/// Writes a trace as large as one asks, through the writer that recordings use: a run with steps,
/// operations, checks and fetches, and CUDA activity around it on forty tracks.
#pragma once

#include <cstdint>
#include <filesystem>

namespace hc::gui::bench {

/// The same number gives the same events. About a third of them are kernels of one stream.
void write_big_trace(const std::filesystem::path& path, std::int64_t num_events);

}  // namespace hc::gui::bench
