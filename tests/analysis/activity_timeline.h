/// CUDA activity drawn by hand, for tests. One process (1), threads 0 and 1.
#pragma once

#include <cstdint>
#include <string>

#include "profiler/analysis/activity.h"

namespace hc::test {

class ActivityTimeline {
public:
    analysis::Activity data;

    ActivityTimeline() {
        data.threads = {(std::int64_t{1} << 24) | 10, (std::int64_t{1} << 24) | 11};
        for (std::int64_t s = 0; s < 6; ++s) {
            // Streams 0 to 3 on device 0, 4 and 5 on device 1.
            data.streams.push_back({1, s < 4 ? 0 : 1, s, "", false});
        }
    }
    analysis::NameIndex name(const std::string& text) {
        for (std::size_t i = 0; i < data.names.size(); ++i) {
            if (data.names[i] == text) return static_cast<analysis::NameIndex>(i);
        }
        data.names.push_back(text);
        return static_cast<analysis::NameIndex>(data.names.size() - 1);
    }
    /// Returns its correlation id.
    std::int64_t call(std::int64_t start, std::int64_t end, const std::string& what = "launch",
                      std::uint16_t thread = 0) {
        data.calls.push_back({start, end, next_, name(what), thread, false});
        return next_++;
    }
    void kernel(std::int32_t stream, std::int64_t start, std::int64_t end,
                std::int64_t correlation = 0, const std::string& what = "kernel") {
        data.kernels.push_back({start, end, correlation, stream, name(what)});
    }
    /// Launched by a call of its own at `launched`.
    void launched_kernel(std::int64_t launched, std::int32_t stream, std::int64_t start,
                         std::int64_t end) {
        kernel(stream, start, end, call(launched, launched + 1));
    }
    void copy(std::int32_t stream, std::int64_t start, std::int64_t end,
              std::int64_t correlation = 0, std::int64_t bytes = 100, std::int16_t kind = 1) {
        data.copies.push_back({start, end, correlation, bytes, stream, kind, 1, 2});
    }
    void memset(std::int32_t stream, std::int64_t start, std::int64_t end) {
        data.memsets.push_back({start, end, 0, 64, stream});
    }
    void range(const std::string& what, std::int64_t start, std::int64_t end,
               std::uint16_t thread = 0) {
        data.ranges.push_back({start, end, name(what), thread});
    }

private:
    std::int64_t next_ = 1;
};

}  // namespace hc::test
