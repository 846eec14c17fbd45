/// The injection library's options, read from the environment (environment.h).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "profiler/cupti/session.h"

namespace hc::inject {

struct Options {
    std::string output;   ///< absolute, for this process
    std::string status;   ///< absolute; empty: none
    std::string command;  ///< for hc_meta
    std::string cupti;    ///< libcupti to use; empty: find it
    cupti::SessionOptions session;
    std::optional<std::chrono::milliseconds> duration;
};

/// The value of a variable, "" where it is not set.
using Environment = std::function<std::string(const char* name)>;

/// Throws Error(kUsage) that names the variable.
[[nodiscard]] Options read_options(const Environment& get, long pid);

/// %p and %% filled in; without %p, ".PID" goes before the extension. Relative to the working
/// folder of now.
[[nodiscard]] std::string expand_path(const std::string& pattern, long pid);

}  // namespace hc::inject
