#include "profiler/activity/collect_options.h"

#include <array>
#include <utility>

#include "engine/core/error.h"

namespace hc::activity {
namespace {

constexpr std::array<std::pair<std::string_view, Collect>, 9> kNames{{
    {"kernel", Collect::kKernel},
    {"memcpy", Collect::kMemcpy},
    {"memset", Collect::kMemset},
    {"sync", Collect::kSync},
    {"api", Collect::kApi},
    {"overhead", Collect::kOverhead},
    {"memory", Collect::kMemory},
    {"external", Collect::kExternal},
    {"nvtx", Collect::kNvtx},
}};

std::string quoted(std::string_view option, std::string_view found) {
    return std::string(option) + " has '" + std::string(found.substr(0, 60)) + "'";
}

}  // namespace

CollectSet default_collect() {
    CollectSet set;
    for (const auto& [name, kind] : kNames) {
        if (kind != Collect::kMemory && kind != Collect::kExternal) set.add(kind);
    }
    return set;
}

CollectSet parse_collect(std::string_view option, std::string_view list) {
    CollectSet set;
    for (std::size_t begin = 0; begin <= list.size();) {
        const std::size_t end = std::min(list.find(',', begin), list.size());
        const std::string_view word = list.substr(begin, end - begin);
        bool known = word == "all";
        for (const auto& [name, kind] : kNames) {
            if (word != name && word != "all") continue;
            set.add(kind);
            known = true;
        }
        if (!known) {
            throw_usage(quoted(option, word) + ", expected a list of kernel, memcpy, memset, sync, "
                                               "api, overhead, memory, external, nvtx, or all");
        }
        begin = end + 1;
    }
    return set;
}

std::string collect_names(CollectSet set) {
    std::string names;
    for (const auto& [name, kind] : kNames) {
        if (!set.has(kind)) continue;
        if (!names.empty()) names += ',';
        names += name;
    }
    return names;
}

ApiLevel parse_api_level(std::string_view option, std::string_view name) {
    for (const ApiLevel level : {ApiLevel::kNone, ApiLevel::kUseful, ApiLevel::kAll}) {
        if (name == api_level_name(level)) return level;
    }
    throw_usage(quoted(option, name) + ", expected all, useful or none");
}

std::string_view api_level_name(ApiLevel level) {
    switch (level) {
        case ApiLevel::kNone: return "none";
        case ApiLevel::kUseful: return "useful";
        case ApiLevel::kAll: return "all";
    }
    return "none";
}

}  // namespace hc::activity
