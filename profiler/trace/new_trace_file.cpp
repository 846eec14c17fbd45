#include "profiler/trace/new_trace_file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <string>

#include "engine/core/error.h"

namespace hc::trace {

NewTraceFile::NewTraceFile(const std::filesystem::path& path)
    : path_(path), temporary_(fmt::format("{}.new{}", path.string(), ::getpid())) {
    std::error_code error;
    const auto status = std::filesystem::status(path_, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
        throw_io(fmt::format("cannot write '{}': it is no regular file", path.string()));
    }
}

NewTraceFile::~NewTraceFile() {
    if (committed_) return;
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
        ::unlink((temporary_.string() + suffix).c_str());
    }
}

void NewTraceFile::commit() {
    // A log of the old file beside the new one would be replayed into it.
    for (const char* suffix : {"-wal", "-shm", "-journal"}) {
        ::unlink((path_.string() + suffix).c_str());
    }
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
        throw_io(fmt::format("cannot write '{}': {}", path_.string(), std::strerror(errno)));
    }
    committed_ = true;
}

}  // namespace hc::trace
