/// An open trace behind Trace, and how failures on it become errors that name the file.
#pragma once

#include <fmt/format.h>
#include <sqlite3.h>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"
#include "profiler/trace/activity_reader.h"
#include "profiler/trace/position_codec.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

/// True for failures that lie in the system, not in the file's contents.
inline bool is_system_failure(int code) {
    switch (code) {
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_FULL:
        case SQLITE_AUTH:
            return true;
        default:
            return false;
    }
}

[[noreturn]] inline void throw_damaged(const std::filesystem::path& path, std::string_view why) {
    throw_input(fmt::format("trace '{}' is damaged: {}", path.string(), why));
}

/// Runs `body`; what SQLite or a decoder throws becomes an Error that names the file.
template <typename Body>
auto guarded(const std::filesystem::path& path, Body&& body) {
    try {
        return body();
    } catch (const SqliteFailure& failure) {
        if (failure.code() == SQLITE_NOTADB) {
            throw_input(
                fmt::format("'{}' is not an SQLite file, expected an hcprof trace", path.string()));
        }
        if (is_system_failure(failure.code())) {
            throw_io(fmt::format("cannot read trace '{}': {}", path.string(), failure.what()));
        }
        throw_damaged(path, failure.what());
    } catch (const BadData& bad) {
        throw_damaged(path, bad.what());
    }
}

struct Opened {
    Database database;
    bool immutable = false;
};

/// Read-only, also where no lock and no shared-memory file can be made.
Opened open_database(const std::string& file);
/// Tells one file from another that took its name.
struct FileIdentity {
    std::uint64_t device = 0, inode = 0;
    bool operator==(const FileIdentity&) const = default;
};
[[nodiscard]] FileIdentity file_identity(const std::string& file);

struct Trace::Impl {
    std::filesystem::path path;  // as the user named it
    std::filesystem::path file;  // absolute
    Opened opened;
    std::map<std::string, std::string> meta;
    std::vector<Run> runs;
    std::vector<Stream> streams;
    std::string warning;
    FileIdentity identity;  // of `file` when it was opened
    bool has_activity = false;
    std::mutex mutex;                            // one reading transaction of `opened` at a time
    std::mutex names_mutex;                      // guards the filling of the two below
    std::unique_ptr<const ActivityTexts> texts;  // made on first use, then constant

    /// What rows of activity refer to.
    const ActivityTexts& activity_texts();
    /// Another connection to the same file. Throws BadData when another file took its place.
    [[nodiscard]] Database open_again() const;
};

}  // namespace hc::trace
