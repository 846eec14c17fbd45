/// A run that never happened, with everything the viewer shows: steps of realistic length, checks
/// that trigger, fetches that wait, overlap and commit one step later.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/core/records.h"
#include "gui/models/run_view.h"
#include "profiler/trace/activity_columns.h"
#include "profiler/trace/columns.h"

namespace hc::test {

struct SyntheticShape {
    int layers = 30;
    int heads = 3;
    int decode_steps = 128;
    int window = 5;
    std::int64_t prompt = 2304;
    std::int64_t step_ns = 22'000'000;
};

struct SyntheticRun {
    trace::Run run;
    trace::Machine machine;
    std::vector<HeadRecord> heads;
    std::vector<StepRecord> steps;
    std::vector<std::vector<OpRecord>> ops;  ///< per step
    std::vector<TokenRecord> tokens;
    std::vector<DriftRecord> drift;
    std::vector<FetchRecord> fetches;
    std::vector<trace::RecallRecord> recall;
    std::vector<MemoryRecord> memory;
    std::vector<RowsRecord> rows;
};

/// The same shape gives the same run.
[[nodiscard]] SyntheticRun make_synthetic_run(const SyntheticShape& shape);
[[nodiscard]] trace::RunData to_run_data(const SyntheticRun& run);
[[nodiscard]] gui::RunView to_run_view(const SyntheticRun& run);
void write_trace(const SyntheticRun& run, const std::filesystem::path& path);

/// CUDA activity as it stands in memory: launches and copies on two streams and what started
/// them, `steps` times ten kernels and one copy. Correlation ids count from 1.
struct SyntheticActivity {
    trace::Kernels kernels;
    trace::Memcpys copies;
    trace::Apis calls;
    trace::NvtxRanges ranges;
    trace::Strings strings;
    trace::Launches launches;
    std::vector<trace::Stream> streams;
};
[[nodiscard]] SyntheticActivity make_activity(int steps);
[[nodiscard]] gui::RunView to_run_view(const SyntheticActivity& activity);
/// The same through the writer, beside a run.
void write_activity_trace(const SyntheticRun& run, int steps, const std::filesystem::path& path);

}  // namespace hc::test
