/// Retrievals of any KV cache system, from the NVTX ranges of the convention (convention.h,
/// docs/nvtx.md) and the GPU work that was launched inside them.
///
/// Which kernel or copy belongs to which range is decided by correlation: a call of the range's own
/// thread between its push and its pop, and the GPU work of that call. Clocks of CPU and GPU are
/// compared nowhere; what needs the GPU's clock (when a transfer ran, what it hid behind) uses
/// records of the GPU alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/retrieval/domain_reader.h"
#include "profiler/trace/run_appender.h"

namespace hc::retrieval {

/// Runs made of a recording, one per process that used the domain.
struct ImportedRuns {
    std::vector<trace::AppendedRun> runs;
    /// What could not be used, and how often; in the words of docs/nvtx.md.
    std::map<std::string, std::int64_t> problems;

    [[nodiscard]] std::int64_t num_fetches() const;
    /// One line; empty when there was none.
    [[nodiscard]] std::string warning() const;
};

/// Deterministic, and never fails on what a program wrote: events that break the convention are
/// counted and left out.
///
/// Per process: `step` ranges become steps (a first one that is no prefill gets number 1; a program
/// that marks none gets one step over everything), work inside a range becomes operations of its
/// kind, one per uninterrupted stretch on a stream (pauses up to a microsecond), kernels of a step
/// outside any other range operations of kind `other`, and the events of one fetch id one fetch.
///
/// `exposed_ns` of a fetch is the part of its transfer during which the stream that needs it (that
/// of the commit's first work, else of the first use's) had nothing to run and no other stream of
/// the device computed. It is an upper bound: a host that was late looks the same.
[[nodiscard]] ImportedRuns retrieval_from_nvtx(const DomainActivity& activity);

/// Reads the domain of a finished trace and adds its runs to it; a trace without the domain, or
/// one that holds runs already, is left as it is. Throws as read_domain() and append_runs().
[[nodiscard]] ImportedRuns add_retrievals(const std::filesystem::path& path, Progress& progress);

}  // namespace hc::retrieval
