/// The events of one process in the convention's words, and the GPU work of each.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "profiler/retrieval/convention.h"
#include "profiler/retrieval/domain_reader.h"

namespace hc::retrieval {

using Problems = std::map<std::string, std::int64_t>;
/// Indexes into the work of a process, by start.
using WorkList = std::vector<std::size_t>;

struct Range {
    Message message;
    std::int64_t start_ns = 0;
    std::int64_t end_ns = -1;  ///< -1: a mark, or never ended
    std::int64_t thread = 0;
    bool nested = false;
    WorkList work;  ///< launched inside it and inside no inner range of the domain
};

struct ProcessRanges {
    std::int64_t pid = 0;
    std::vector<Range> ranges;  ///< by start, thread
    std::vector<GpuWork> work;  ///< all of the process, by start
};

/// Splits by process, ascending. Texts that break the convention are counted in `problems`.
[[nodiscard]] std::vector<ProcessRanges> ranges_by_process(const DomainActivity& activity,
                                                           Problems& problems);

}  // namespace hc::retrieval
