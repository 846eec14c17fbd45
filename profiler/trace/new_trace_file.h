/// A trace written under a temporary name that takes its own when it is complete.
#pragma once

#include <filesystem>

namespace hc::trace {

/// Not movable: the temporary file must be removed once.
class NewTraceFile {
public:
    /// Throws Error(kIo) when `path` is something other than a regular file, which renaming would
    /// replace.
    explicit NewTraceFile(const std::filesystem::path& path);
    /// Removes the temporary file and what SQLite left beside it, unless it was committed.
    ~NewTraceFile();
    NewTraceFile(const NewTraceFile&) = delete;
    NewTraceFile& operator=(const NewTraceFile&) = delete;

    /// Beside `path`; write here.
    [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }
    /// Replaces `path`, and removes a write-ahead log of the old file. Throws Error(kIo).
    void commit();

private:
    const std::filesystem::path path_, temporary_;
    bool committed_ = false;
};

}  // namespace hc::trace
