/// A file written piece by piece that appears under its name only when it is complete: the
/// streaming twin of engine/core/atomic_file.h.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace hc::formats {

/// Not movable: `temporary_` must be removed once.
class PartFile {
public:
    /// Creates a temporary file beside `path`, which must be a regular file where it exists. This
    /// and everything below throws Error(kIo) naming `path`; a file of that name stays as it was
    /// until commit().
    explicit PartFile(const std::filesystem::path& path);
    /// Removes the temporary file unless it was committed.
    ~PartFile();
    PartFile(const PartFile&) = delete;
    PartFile& operator=(const PartFile&) = delete;

    void write(std::string_view text);
    /// Flushes to disk and renames; nothing may be written after.
    void commit();

private:
    void flush();
    [[noreturn]] void fail(int error) const;

    const std::filesystem::path path_;
    const std::string temporary_;
    std::string buffer_;
    int fd_ = -1;
    bool committed_ = false;
};

}  // namespace hc::formats
