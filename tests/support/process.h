/// Runs a program and catches what it prints.
#pragma once

#include <string>
#include <vector>

namespace hc::test {

struct ProcessResult {
    int exit_code = -1;  ///< 128 + signal when a signal ended it
    std::string out;
    std::string err;
    [[nodiscard]] int error_lines() const;
};

/// `environment` entries are NAME=VALUE and come on top of ours.
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& arguments,
                                        const std::vector<std::string>& environment = {});

/// A program of this build, by name ($HC_TEST_BIN names the folder).
[[nodiscard]] std::string built_program(const std::string& name);

}  // namespace hc::test
