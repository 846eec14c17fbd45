/// Runs the victim under either way of recording and asks the trace that came of it.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc::test {

/// How the profiler gets into the process.
enum class Way : std::uint8_t { kInProcess, kInjected };

/// One recorded run of profiler_victim.
class Recording {
public:
    /// `arguments`: scenario and count. `environment`: further NAME=VALUE for the injection.
    Recording(Way way, std::vector<std::string> arguments,
              std::vector<std::string> environment = {}, std::vector<std::string> options = {});
    ~Recording();
    Recording(const Recording&) = delete;  // owns the connection
    Recording& operator=(const Recording&) = delete;

    [[nodiscard]] const ProcessResult& process() const { return process_; }
    [[nodiscard]] bool has_trace() const { return database_ != nullptr; }
    /// First column of the first row; -1 and a failed test when the query gives none.
    [[nodiscard]] std::int64_t number(const std::string& sql) const;
    [[nodiscard]] std::string text(const std::string& sql) const;
    /// hc_meta, "" when absent.
    [[nodiscard]] std::string meta(const std::string& key) const;
    /// Sum of lost_*.
    [[nodiscard]] std::int64_t lost() const;
    [[nodiscard]] std::string status() const;

private:
    TemporaryFolder folder_;
    ProcessResult process_;
    sqlite3* database_ = nullptr;
};

[[nodiscard]] std::string injection_library();

}  // namespace hc::test
