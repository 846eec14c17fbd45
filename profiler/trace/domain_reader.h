/// The NVTX events of one domain, with the CUDA calls and the GPU work of their processes: what is
/// needed to tell which kernel was launched from inside which range.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/progress.h"

namespace hc::trace {

struct DomainEvent {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = -1;     ///< -1: a mark, or a range that never ended
    std::int64_t thread = 0;      ///< (process id << 24) | thread id
    bool nested = false;          ///< push/pop: nests with the others of its thread
    bool mark = false;
    std::string text;
    std::optional<std::int64_t> payload;  ///< integer payloads only
};

struct CallRow {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t thread = 0;
    std::int64_t correlation_id = 0;
};

/// A kernel, copy or memset.
struct GpuWork {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t correlation_id = 0;
    std::int64_t pid = 0;
    std::int64_t bytes = 0;        ///< copies and memsets
    std::int32_t stream = -1;      ///< hc_stream.key
    std::int32_t device = -1;
    bool kernel = false;
    std::int32_t copy_kind = -1;   ///< copies: ENUM_CUDA_MEMCPY_OPER
};

struct DomainActivity {
    std::vector<DomainEvent> events;  ///< by process, thread and start; enclosing ranges first
    std::vector<CallRow> calls;       ///< of threads with events, by thread and start
    std::vector<GpuWork> work;        ///< of processes with events, by start
    std::vector<std::int32_t> devices;  ///< of `work`, ascending
    std::vector<std::string> device_names;  ///< beside `devices`, "" where unknown
};

/// Nothing when no process has a domain of that name, or the trace is older than domain names.
/// Throws Error(kInput) for rows that no writer of ours leaves, Error(kInterrupted) when
/// `progress` was cancelled.
[[nodiscard]] DomainActivity read_domain(const std::filesystem::path& path,
                                         std::string_view domain, Progress& progress);

}  // namespace hc::trace
