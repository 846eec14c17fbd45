/// The status file of a recorded process; environment.h has its format.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace hc::inject {

struct Status {
    long pid = 0;
    std::string state, reason, output, executable, cupti;
    std::vector<std::pair<std::string, std::uint64_t>> rows;
    std::map<std::string, std::uint64_t> lost;
};

[[nodiscard]] std::string status_json(const Status& status);

/// Replaces the file as a whole. False when that is not possible: the trace matters more.
bool write_status(const std::string& path, const Status& status);

}  // namespace hc::inject
