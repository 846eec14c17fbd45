/// What one `hcprof record` shares with the libhcprof-inject.so in each process of the program:
/// a folder for their files, the variables that tell them, and the status files that they leave.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hc::cli {

/// What to collect; empty and nullopt leave the library's defaults (or the user's own variables).
struct CollectSettings {
    std::string kinds;
    std::string api;
    std::string capture_range;
    std::optional<double> duration_s;
};

/// One process, as its status file says (profiler/inject/environment.h).
struct ProcessStatus {
    pid_t pid = 0;
    std::string state;
    std::string reason;
    std::string executable;
    std::map<std::string, std::int64_t> rows;  ///< written so far, by kind
    std::map<std::string, std::int64_t> lost;  ///< by cause
};

/// A hidden folder beside the output, so that the finished file can be moved into place. Removed
/// with all that it holds unless keep() was called.
class RecordFolder {
public:
    /// Throws Error(kIo) naming `output` when none can be made there.
    explicit RecordFolder(const std::filesystem::path& output);
    ~RecordFolder();
    RecordFolder(const RecordFolder&) = delete;
    RecordFolder& operator=(const RecordFolder&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    void keep() { keep_ = true; }

    /// For the environment of the program.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> environment(
        const std::string& library, const CollectSettings& settings) const;

    /// By process id. A file that is no status file is left out.
    [[nodiscard]] std::vector<ProcessStatus> statuses() const;
    /// The traces of the processes, sorted; those that nothing was written to are left out.
    [[nodiscard]] std::vector<std::filesystem::path> traces() const;

private:
    std::filesystem::path path_;
    bool keep_ = false;
};

}  // namespace hc::cli
