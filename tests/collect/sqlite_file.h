/// A plain SQLite connection for tests that look at a trace from outside, or spoil it.
#pragma once

#include <sqlite3.h>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hc::test {

class SqliteFile {
public:
    explicit SqliteFile(const std::filesystem::path& path);
    ~SqliteFile();
    SqliteFile(const SqliteFile&) = delete;
    SqliteFile& operator=(const SqliteFile&) = delete;

    /// All rows as text, NULL as "NULL". Fails the test on an SQL error.
    std::vector<std::vector<std::string>> rows(const std::string& sql);
    /// First column of the first row, "" without rows.
    std::string one(const std::string& sql);

private:
    sqlite3* handle_ = nullptr;
};

}  // namespace hc::test
