/// Points appended to a file one by one, so that a stopped sweep goes on where it was.
#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <unordered_map>

#include "simulator/search/point.h"

namespace hc::sim {

class ResultFile {
public:
    /// Opens or makes it, and reads the points in it; what a kill left unended is cut off. Throws
    /// Error(kIo), Error(kInput) for a file that is something else, and Error(kRefused) while
    /// another process writes it.
    explicit ResultFile(const std::filesystem::path& file);
    ~ResultFile();
    ResultFile(const ResultFile&) = delete;
    ResultFile& operator=(const ResultFile&) = delete;

    /// nullptr: not answered yet. The pointer holds until the file is closed.
    [[nodiscard]] const Point* find(const std::string& key) const;
    [[nodiscard]] std::size_t size() const;
    /// Appends one whole line at once. May be called from several threads.
    void add(Point point);

private:
    void read();

    std::filesystem::path file_;
    int descriptor_ = -1;
    mutable std::mutex mutex_;  // of points_ and of writing
    std::unordered_map<std::string, Point> points_;
};

}  // namespace hc::sim
