#include "engine/core/atomic_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "engine/core/error.h"

namespace hc {

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
    const std::string temporary = path.string() + ".part" + std::to_string(::getpid());
    const auto fail = [&](int error) {
        ::unlink(temporary.c_str());
        throw_io("cannot write '" + path.string() + "': " + std::strerror(error));
    };
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
