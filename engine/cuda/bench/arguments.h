/// The command line of engine_bench.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hc::cuda::bench {

struct Arguments {
    std::filesystem::path heads;
    std::optional<std::filesystem::path> out;
    std::vector<std::string> only;  ///< names of points, or what they begin with; empty: all
    int steps = 500;                ///< per run of a main point
    int repeats = 3;                ///< runs per point
    int cluster_top_k = -1;         ///< -1: the engine's default
    int spare_sms = -1;             ///< -1: the engine's default
    int gather_threads = 0;         ///< 0: the engine's default
    int gather_blocks = 0;          ///< 0: the engine's default
    int lag = 1;                    ///< commit lag of batches and of variants of the drift
    std::optional<std::filesystem::path> model_file;
    std::optional<std::filesystem::path> model_heads;
    std::optional<std::filesystem::path> text;
    bool help = false;
};

/// Throws Error(kUsage).
[[nodiscard]] Arguments parse_arguments(const std::vector<std::string>& words);

[[nodiscard]] const char* usage();

}  // namespace hc::cuda::bench
