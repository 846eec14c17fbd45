#include "profiler/inject/status_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace hc::inject {
namespace {

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            result += '\\';
            result += letter;
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(letter));
            result += escaped;
        } else {
            result += letter;
        }
    }
    return result + '"';
}

template <typename Pairs>
std::string object_of(const Pairs& pairs) {
    std::string result = "{";
    for (const auto& [name, count] : pairs) {
        if (result.size() > 1) result += ", ";
        result += quoted(name) + ": " + std::to_string(count);
    }
    return result + '}';
}

bool write_all(int fd, const std::string& text) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
        if (count <= 0) return false;
        done += static_cast<std::size_t>(count);
    }
    return true;
}

}  // namespace

std::string status_json(const Status& status) {
    return "{\"pid\": " + std::to_string(status.pid) + ", \"state\": " + quoted(status.state) +
           ", \"reason\": " + quoted(status.reason) + ", \"output\": " + quoted(status.output) +
           ", \"executable\": " + quoted(status.executable) +
           ", \"cupti\": " + quoted(status.cupti) + ", \"rows\": " + object_of(status.rows) +
           ", \"lost\": " + object_of(status.lost) + "}\n";
}

bool write_status(const std::string& path, const Status& status) {
    const std::string part = path + ".part" + std::to_string(status.pid);
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    const bool written = write_all(fd, status_json(status));
    ::close(fd);
    if (written && ::rename(part.c_str(), path.c_str()) == 0) return true;
    ::unlink(part.c_str());
    return false;
}

}  // namespace hc::inject
