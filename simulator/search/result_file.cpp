#include "simulator/search/result_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const char* what) {
    throw Error(ExitCode::kIo,
                fmt::format("cannot {} {}: {}", what, file.string(), std::strerror(errno)));
}

}  // namespace

ResultFile::ResultFile(const std::filesystem::path& file) : file_(file) {
    descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail(file, "open");
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
        ::close(descriptor_);
        throw_refused(file.string() + " is being written by another process");
    }
    try {
        read();
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

ResultFile::~ResultFile() {
    ::close(descriptor_);
}

void ResultFile::read() {
    std::ifstream in(file_, std::ios::binary);
    if (!in) fail(file_, "read");
    std::ostringstream whole;
    whole << in.rdbuf();
    const std::string text = whole.str();
    std::size_t at = 0;
    std::size_t number = 0;
    while (at < text.size()) {
        const std::size_t end = text.find('\n', at);
        if (end == std::string::npos) break;
        Point point = parse_point(std::string_view(text).substr(at, end - at),
                                  fmt::format("{}, line {}", file_.string(), ++number));
        points_.insert_or_assign(point.key, std::move(point));
        at = end + 1;
    }
    if (at == text.size()) return;
    // A file without any whole line may be somebody's, not a stopped sweep's.
    if (number == 0 && text.find("{\"key\":\"") != 0) {
        throw_input(file_.string() + " is there and holds no results of a sweep");
    }
    if (::ftruncate(descriptor_, static_cast<off_t>(at)) != 0) fail(file_, "cut");
}

const Point* ResultFile::find(const std::string& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = points_.find(key);
    return found == points_.end() ? nullptr : &found->second;
}

std::size_t ResultFile::size() const {
    const std::lock_guard lock(mutex_);
    return points_.size();
}

void ResultFile::add(Point point) {
    const std::string line = line_of(point) + "\n";
    const std::lock_guard lock(mutex_);
    std::size_t written = 0;
    while (written < line.size()) {
        const ssize_t n = ::write(descriptor_, line.data() + written, line.size() - written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(file_, "write");
        written += static_cast<std::size_t>(n);
    }
    points_.insert_or_assign(point.key, std::move(point));
}

}  // namespace hc::sim
