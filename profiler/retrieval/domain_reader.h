/// The NVTX events of one domain, with the CUDA calls and the GPU work of their processes: what is
/// needed to tell which kernel was launched from inside which range.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/trace/activity.h"
#include "profiler/trace/reader.h"

namespace hc::retrieval {

struct DomainEvent {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = -1;  ///< -1: a mark, or a range that never ended
    std::int64_t thread = 0;   ///< trace::global_thread_id()
    bool nested = false;       ///< push/pop: nests with the others of its thread
    bool mark = false;
    std::string text;
    std::optional<std::int64_t> payload = {};  ///< integer payloads only
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
    std::int64_t correlation_id = 0;  ///< unique within its process
    std::int64_t pid = 0;
    std::int64_t bytes = 0;  ///< copies and memsets
    trace::StreamKey stream = -1;
    std::int32_t device = -1;
    bool kernel = false;
};

struct DomainActivity {
    std::vector<DomainEvent> events;  ///< by process, thread and start; enclosing ranges first
    std::vector<CallRow> calls;       ///< of threads with events, by thread and start
    std::vector<GpuWork> work;        ///< of processes with events, by start
    std::vector<trace::Gpu> gpus;
};

/// Nothing when no process has a domain of that name. Throws what reading a trace throws.
[[nodiscard]] DomainActivity read_domain(const trace::Trace& trace, std::string_view domain,
                                         Progress& progress);

}  // namespace hc::retrieval
