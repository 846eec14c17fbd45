#include "tests/device_profiler/recording.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace hc::test {
namespace fs = std::filesystem;

std::string injection_library() {
    // Beside the programs when packed, in lib/ of a build.
    const fs::path program = built_program("profiler_victim");
    const fs::path beside = program.parent_path() / "libhcprof-inject.so";
    return fs::exists(beside) ? beside.string()
                              : fs::weakly_canonical(program.parent_path() / ".." / "lib" /
                                                     "libhcprof-inject.so")
                                    .string();
}

Recording::Recording(Way way, std::vector<std::string> arguments,
                     std::vector<std::string> environment, std::vector<std::string> options) {
    const std::string trace = (folder_.path() / "trace.sqlite").string();
    std::vector<std::string> command{built_program("profiler_victim")};
    if (way == Way::kInProcess) {
        command.insert(command.end(), {"--record", trace});
        command.insert(command.end(), options.begin(), options.end());
    } else {
        const std::string library = injection_library();
        environment.push_back("CUDA_INJECTION64_PATH=" + library);
        environment.push_back("NVTX_INJECTION64_PATH=" + library);
        environment.push_back("HCPROF_OUTPUT=" + (folder_.path() / "trace-%p.sqlite").string());
        environment.push_back("HCPROF_STATUS=" + (folder_.path() / "status-%p.json").string());
    }
    command.insert(command.end(), arguments.begin(), arguments.end());
    process_ = run_process(command, environment);
    std::string found;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("trace") || entry.path().extension() != ".sqlite") continue;
        EXPECT_TRUE(found.empty()) << "more than one trace";
        found = entry.path().string();
    }
    if (found.empty()) return;
    EXPECT_EQ(SQLITE_OK, sqlite3_open(found.c_str(), &database_));
}

Recording::~Recording() {
    sqlite3_close(database_);
}

std::string Recording::text(const std::string& sql) const {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
        ADD_FAILURE() << sqlite3_errmsg(database_) << " in " << sql;
        return "-1";
    }
    std::string result = "-1";
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const auto* value = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
        result = value != nullptr ? value : "";
    } else {
        ADD_FAILURE() << "no row for " << sql;
    }
    sqlite3_finalize(statement);
    return result;
}

std::int64_t Recording::number(const std::string& sql) const {
    const std::string value = text(sql);
    return value.empty() ? 0 : std::stoll(value);
}

std::string Recording::meta(const std::string& key) const {
    return text("SELECT ifnull(max(value), '') FROM hc_meta WHERE key = '" + key + "'");
}

std::int64_t Recording::lost() const {
    return number("SELECT ifnull(sum(value), 0) FROM hc_meta WHERE key LIKE 'lost\\_%' ESCAPE '\\'");
}

std::string Recording::status() const {
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
        if (!entry.path().filename().string().starts_with("status")) continue;
        std::ifstream file(entry.path());
        return {std::istreambuf_iterator<char>(file), {}};
    }
    return {};
}

}  // namespace hc::test
