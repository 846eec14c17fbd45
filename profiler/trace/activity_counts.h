/// How much CUDA activity a trace holds, without reading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace hc::trace {

struct ActivityCounts {
    /// Rows by kind ("kernel", "memcpy", "memset", "api", "sync", "nvtx", "overhead", "memory",
    /// "external"), in this order; kinds without rows are left out.
    std::vector<std::pair<std::string, std::int64_t>> rows;
    /// Missing records by cause (hc_meta.lost_CAUSE), those above zero.
    std::vector<std::pair<std::string, std::int64_t>> lost;
    std::int64_t processes = 0;  ///< distinct process ids among streams and threads

    [[nodiscard]] std::int64_t of(std::string_view kind) const;
    [[nodiscard]] std::int64_t total() const;
};

/// Takes no longer for a large file than for a small one. `path` is a trace; throws Error(kIo) or
/// Error(kInput) naming it.
[[nodiscard]] ActivityCounts count_activity(const std::filesystem::path& path);

}  // namespace hc::trace
