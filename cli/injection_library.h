/// Where libhcprof-inject.so lies, which the CUDA driver loads into a program that is recorded.
#pragma once

#include <string>
#include <vector>

namespace hc::cli {

struct InjectionLibrary {
    std::string path;                 ///< absolute; empty when there is none
    std::string why_not;              ///< then: one line
    std::vector<std::string> advice;  ///< and what to do about it
};

/// $HCPROF_INJECT alone where it is set, else beside the program, in ../lib and in a build tree.
[[nodiscard]] InjectionLibrary find_injection_library(const std::string& program_dir);

/// The variables that load a profiler into a CUDA program, as far as the environment sets them to
/// something that is not our library: "CUDA_INJECTION64_PATH=/opt/other.so".
[[nodiscard]] std::vector<std::string> foreign_injections();

}  // namespace hc::cli
