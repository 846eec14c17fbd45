#include "profiler/analysis/activity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace hc::analysis {
namespace {

/// Rows arrive nearly in order, most often quite so.
template <typename Row>
void sort_by_start(std::vector<Row>& rows) {
    const auto earlier = [](const Row& a, const Row& b) { return a.start_ns < b.start_ns; };
    if (!std::is_sorted(rows.begin(), rows.end(), earlier)) {
        std::stable_sort(rows.begin(), rows.end(), earlier);
    }
}

}  // namespace

void Activity::sort() {
    sort_by_start(kernels);
    sort_by_start(copies);
    sort_by_start(memsets);
    sort_by_start(calls);
    sort_by_start(syncs);
    sort_by_start(ranges);
}

std::vector<std::int32_t> Activity::devices() const {
    std::vector<char> used(streams.size());
    for (const Kernel& k : kernels) used[static_cast<std::size_t>(k.stream)] = 1;
    for (const Copy& c : copies) used[static_cast<std::size_t>(c.stream)] = 1;
    for (const Memset& m : memsets) used[static_cast<std::size_t>(m.stream)] = 1;
    std::set<std::int32_t> devices;
    for (std::size_t s = 0; s < streams.size(); ++s) {
        if (used[s] != 0) devices.insert(streams[s].device);
    }
    return {devices.begin(), devices.end()};
}

std::string copy_kind_name(std::int32_t kind) {
    constexpr std::array<std::string_view, 14> kNames = {
        "unknown",
        "Host-to-Device",
        "Device-to-Host",
        "Host-to-Array",
        "Array-to-Host",
        "Array-to-Array",
        "Array-to-Device",
        "Device-to-Array",
        "Device-to-Device",
        "Host-to-Host",
        "Peer-to-Peer",
        "Unified Host-to-Device",
        "Unified Device-to-Host",
        "Unified Device-to-Device",
    };
    if (kind >= 0 && static_cast<std::size_t>(kind) < kNames.size()) {
        return std::string(kNames[static_cast<std::size_t>(kind)]);
    }
    return fmt::format("kind {}", kind);
}

}  // namespace hc::analysis
