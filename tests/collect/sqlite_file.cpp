#include "tests/collect/sqlite_file.h"

#include <gtest/gtest.h>

namespace hc::test {

SqliteFile::SqliteFile(const std::filesystem::path& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &handle_), SQLITE_OK);
}

SqliteFile::~SqliteFile() {
    sqlite3_close(handle_);
}

std::vector<std::vector<std::string>> SqliteFile::rows(const std::string& sql) {
    std::vector<std::vector<std::string>> result;
    const auto add = [](void* to, int count, char** values, char**) {
        std::vector<std::string> row;
        for (int i = 0; i < count; ++i) row.emplace_back(values[i] != nullptr ? values[i] : "NULL");
        static_cast<std::vector<std::vector<std::string>>*>(to)->push_back(std::move(row));
        return 0;
    };
    char* message = nullptr;
    const int code = sqlite3_exec(handle_, sql.c_str(), add, &result, &message);
    EXPECT_EQ(code, SQLITE_OK) << (message != nullptr ? message : "") << " in " << sql;
    sqlite3_free(message);
    return result;
}

std::string SqliteFile::one(const std::string& sql) {
    const auto found = rows(sql);
    return found.empty() ? "" : found[0][0];
}

}  // namespace hc::test
