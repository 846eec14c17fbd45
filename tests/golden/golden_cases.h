/// The case folders of the golden data and what their JSON files hold.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/paths.h"

namespace hc::test {

using Json = nlohmann::ordered_json;

inline Json read_json(const std::filesystem::path& path) {
    std::ifstream file(path);
    return Json::parse(file);
}

/// Folders whose config.json has `config_key`, in name order.
inline std::vector<std::filesystem::path> golden_cases(const std::filesystem::path& golden,
                                                       const char* config_key) {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(golden)) {
        const std::filesystem::path config = entry.path() / "config.json";
        if (!std::filesystem::exists(config) ||
            !std::filesystem::exists(entry.path() / "expected.json")) {
            continue;
        }
        if (read_json(config).contains(config_key)) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace hc::test
