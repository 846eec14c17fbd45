#include "profiler/formats/part_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "engine/core/error.h"

namespace hc::formats {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

}  // namespace

PartFile::PartFile(const std::filesystem::path& path)
    : path_(path), temporary_(path.string() + ".part" + std::to_string(::getpid())) {
    // Renaming would put a plain file in the place of a device or pipe.
    std::error_code error;
    const auto status = std::filesystem::status(path_, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
        throw_io("cannot write '" + path_.string() + "': it is no regular file");
    }
    buffer_.reserve(kBufferBytes);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) fail(errno);
}

PartFile::~PartFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!committed_) ::unlink(temporary_.c_str());
}

void PartFile::write(std::string_view text) {
    if (buffer_.size() + text.size() > kBufferBytes) flush();
    buffer_ += text;
}

void PartFile::commit() {
    flush();
    // EINVAL, EROFS: a place that cannot sync, which is no loss of ours.
    if (::fsync(fd_) != 0 && errno != EINVAL && errno != EROFS) fail(errno);
    const int closed = ::close(fd_);
    fd_ = -1;
    if (closed != 0 && errno != EINTR) fail(errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
    committed_ = true;
}

void PartFile::flush() {
    std::string_view left = buffer_;
    while (!left.empty()) {
        const ssize_t n = ::write(fd_, left.data(), left.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            fail(errno);
        }
        left.remove_prefix(static_cast<std::size_t>(n));
    }
    buffer_.clear();
}

void PartFile::fail(int error) const {
    throw_io("cannot write '" + path_.string() + "': " + std::strerror(error));
}

}  // namespace hc::formats
