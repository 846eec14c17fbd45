/// Writes runs as Chrome trace events (JSON), which ui.perfetto.dev and chrome://tracing open.
///
/// A run is a process (pid = run id), its streams are threads (tid = stream), its steps a thread
/// of their own. Times are microseconds with three decimals, so exact to the nanosecond.
///  - complete events: the steps and operations. Operations of a stream that overlap without one
///    containing the other cannot share a thread; the later one moves to a further row, a thread
///    with tid = stream + row * kRowTids.
///  - flow events "retrieval": check -> fetch -> commit -> first use. Each lies inside the slice
///    of its operation, and their times ascend where the operations' do. Their id is the fetch id,
///    for the n-th run of the file + n * 2^40, since viewers match ids over all processes.
///  - instant events "drift": the triggered checks.
///  - counters: bytes of pool and staging at the end of each step, overlap of the drift checks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/formats/part_file.h"
#include "profiler/trace/columns.h"

namespace hc::formats {

inline constexpr std::int64_t kRowTids = 1'000'000;
inline constexpr std::int64_t kStepsTid = kRowTids - 1;
/// Of each run's flow ids.
inline constexpr std::uint64_t kRunFlowIds = std::uint64_t{1} << 40;
/// With more pivots than this the overlap counter is their mean per step.
inline constexpr std::size_t kMaxPivotCounters = 64;

/// The same runs give the same bytes. Everything throws Error(kIo) naming the file; unless
/// finish() returned, nothing of it stays behind and an old file of that name is as it was.
class ChromeExport {
public:
    explicit ChromeExport(const std::filesystem::path& path);

    /// Appends one run; `label` names its process. `attention` of the data is not used. Throws
    /// Error(kInterrupted) when `progress` was cancelled.
    void add_run(const trace::RunData& data, const std::vector<trace::Stream>& streams,
                 std::string_view label, Progress& progress);
    void finish();

    [[nodiscard]] std::int64_t num_events() const { return num_events_; }

private:
    PartFile file_;
    std::int64_t num_events_ = 0;
    std::uint64_t num_runs_ = 0;
};

}  // namespace hc::formats
