/// The command line of engine_bench.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/cuda/options.h"

namespace hc::cuda::bench {

struct Arguments {
    std::filesystem::path heads;
    std::optional<std::filesystem::path> out;
    std::vector<std::string> only;  ///< names of points, or what they begin with; empty: all
    int steps = 500;                ///< per run of a main point
    int repeats = 3;                ///< runs per point
    CudaOptions tuning;             ///< its fields that CudaBackend::retune() takes
    /// Tried in turn on the main HeteroCache sequence, as "spare=0 blocks=8 threads=256 copy=512".
    std::vector<std::string> tries;
    int lag = 1;  ///< commit lag of batches and of variants of the drift
    std::optional<std::filesystem::path> model_file;
    std::optional<std::filesystem::path> model_heads;
    std::optional<std::filesystem::path> text;
    bool help = false;
};

/// Throws Error(kUsage).
[[nodiscard]] Arguments parse_arguments(const std::vector<std::string>& words);

/// `options` with the words of --tuning or of one --try. Throws Error(kUsage).
[[nodiscard]] CudaOptions tuned(CudaOptions options, const std::string& words);

[[nodiscard]] const char* usage();

}  // namespace hc::cuda::bench
