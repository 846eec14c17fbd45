/// How things fail here: three kinds, after docs/hacking.md ("Errors").
///
///  - our own bug: HC_CHECK prints the values and aborts, in release builds too;
///  - the operation cannot go on: throw hc::Error, caught once in cli/main.cpp and at the
///    viewer's job boundary;
///  - an expected outcome: std::optional.
#pragma once

#include <stdexcept>
#include <string>

namespace hc {

/// Exit codes of every hcprof program; documented in `hcprof --help`.
enum class ExitCode : int {
    kOk = 0,
    kBug = 1,          ///< an unexpected exception: please report
    kUsage = 2,        ///< unknown option, missing argument, value out of range
    kInput = 3,        ///< a file is broken, of the wrong kind or of another model
    kIo = 4,           ///< a file or folder cannot be read or written, disk full
    kRefused = 5,      ///< the request is understood and cannot be met (ratio too small, no data)
    kUnavailable = 6,  ///< something is not on this machine (GPU, viewer, model)
    kInterrupted = 130,
};

/// An operation that cannot go on. The message is one line, begins in lower case, names the
/// file or option, what was found and what was expected, and ends without a period.
class Error : public std::runtime_error {
public:
    Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

[[noreturn]] inline void throw_usage(const std::string& message) {
    throw Error(ExitCode::kUsage, message);
}
[[noreturn]] inline void throw_input(const std::string& message) {
    throw Error(ExitCode::kInput, message);
}
[[noreturn]] inline void throw_io(const std::string& message) {
    throw Error(ExitCode::kIo, message);
}
[[noreturn]] inline void throw_refused(const std::string& message) {
    throw Error(ExitCode::kRefused, message);
}
[[noreturn]] inline void throw_unavailable(const std::string& message) {
    throw Error(ExitCode::kUnavailable, message);
}

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace detail

}  // namespace hc

/// A property that only our own bug can break. One property per check.
#define HC_CHECK(condition)                                              \
    do {                                                                 \
        if (!(condition)) [[unlikely]]                                   \
            ::hc::detail::check_failed(#condition, __FILE__, __LINE__);  \
    } while (false)
