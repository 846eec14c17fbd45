/// The one clock of a recording: monotonic nanoseconds. A trace stores them relative to its
/// session start.
#pragma once

#include <chrono>
#include <cstdint>

namespace hc {

[[nodiscard]] inline std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace hc
