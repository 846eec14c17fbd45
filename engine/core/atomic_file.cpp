#include "engine/core/atomic_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>

#include "engine/core/error.h"

namespace hc {

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
    const std::string temporary = path.string() + ".part" + std::to_string(::getpid());
    const auto fail = [&](int error) {
        ::unlink(temporary.c_str());
        throw_io("cannot write '" + path.string() + "': " + std::strerror(error));
    };
    // Renaming would put a plain file in the place of a device or pipe.
    std::error_code status_error;
    const auto status = std::filesystem::status(path, status_error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
        throw_io("cannot write '" + path.string() + "': it is no regular file");
    }
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) fail(errno);
    while (!contents.empty()) {
        const ssize_t n = ::write(fd, contents.data(), contents.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            const int error = errno;
            ::close(fd);
            fail(error);
        }
        contents.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(fd) != 0 && errno != EINVAL && errno != EROFS) {
        const int error = errno;
        ::close(fd);
        fail(error);
    }
    ::close(fd);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(errno);
}

}  // namespace hc
