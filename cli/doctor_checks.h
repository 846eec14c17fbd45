/// What the checks of `hcprof doctor` share. A check looks and never fails: a part that is missing
/// is an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace hc::cli {

enum class State {
    kOk,
    kWarn,     ///< works, with a drawback that the advice names
    kMissing,  ///< should be here and is not
    kOff,      ///< is not here and need not be
};

struct Finding {
    State state = State::kOk;
    std::string found;
    std::string advice;  ///< empty when ok
};

/// A shared library that is loaded to see whether it can be.
struct Library {
    void* handle = nullptr;
    std::string path;  ///< the file that the loader chose
};
/// The first of `names` that loads. It stays loaded: such libraries have threads and handlers of
/// their own, and the program ends soon.
[[nodiscard]] std::optional<Library> find_library(std::span<const char* const> names);

[[nodiscard]] std::string bytes_text(std::int64_t bytes);
/// Of /proc/meminfo; nothing where the system does not tell.
[[nodiscard]] std::optional<std::int64_t> available_memory_bytes();

// The engine on a GPU (doctor_gpu.cpp).

[[nodiscard]] Finding check_backend_cuda();
/// `why_not`: of why_no_cuda(), empty where a GPU can be used.
[[nodiscard]] Finding check_gpu(const std::string& why_not);
[[nodiscard]] Finding check_cublaslt(bool gpu);
[[nodiscard]] Finding check_pinned_memory(bool gpu);

// hcprof record (doctor_record.cpp).

/// Whether libhcprof-inject.so is there and loads.
[[nodiscard]] Finding check_recording(const std::string& program_dir);
[[nodiscard]] Finding check_cupti(const std::string& program_dir);
[[nodiscard]] Finding check_nvtx(const std::string& program_dir);
/// Whether the variables that load a profiler into a program are somebody else's.
[[nodiscard]] Finding check_other_profilers();

}  // namespace hc::cli
