/// What calibration found about every KV head: its role, its share of the budget, and which
/// pivot watches for it (algorithm.md §2).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace hc {

/// A token's place in its sequence; prompt tokens are 0..P-1.
using Position = std::uint32_t;
using Positions = std::vector<Position>;

/// Values are those of the authors' head files. 0 there means "not calibrated" and is refused
/// on reading (algorithm.md row 26).
enum class HeadRole : std::uint8_t {
    kAnchor = 1,     ///< compressed, never refreshed
    kVolatile = 2,   ///< full
    kPivot = 3,      ///< full; watches attention drift for the satellites of its star
    kSatellite = 4,  ///< compressed; refreshed from the host tier when its pivot drifts
};

[[nodiscard]] constexpr std::string_view role_name(HeadRole role) {
    switch (role) {
        case HeadRole::kAnchor: return "anchor";
        case HeadRole::kVolatile: return "volatile";
        case HeadRole::kPivot: return "pivot";
        case HeadRole::kSatellite: return "satellite";
    }
    return "unknown";
}

/// Full heads keep every prompt token on the device.
[[nodiscard]] constexpr bool is_full(HeadRole role) {
    return role == HeadRole::kVolatile || role == HeadRole::kPivot;
}

struct HeadId {
    std::int32_t layer = 0;
    std::int32_t head = 0;  ///< KV head within the layer
    [[nodiscard]] auto operator<=>(const HeadId&) const = default;
};

/// A pivot and the satellites that it watches for, ascending.
struct Star {
    std::int32_t pivot = 0;
    std::vector<std::int32_t> members;
    [[nodiscard]] bool operator==(const Star&) const = default;
};

struct HeadProfile {
    std::int32_t num_layers = 0;
    std::int32_t num_kv_heads = 0;
    std::vector<HeadRole> roles;     ///< [layer * num_kv_heads + head]
    std::vector<double> ratios;      ///< same index; share of the mean budget, -1 for full heads
    std::vector<double> stability;   ///< same index; empty when the file does not hold it
    std::vector<std::vector<Star>> stars;  ///< [layer], in the order in which they were found
    double stable_threshold = 0.5;   ///< the calibration's; also the default at run time
    double sim_threshold = 0.5;
    std::int64_t topk = 0;           ///< positions per set in the calibration
    std::int64_t calibration_step = 0;

    [[nodiscard]] std::size_t index(HeadId id) const {
        return static_cast<std::size_t>(id.layer) * static_cast<std::size_t>(num_kv_heads) +
               static_cast<std::size_t>(id.head);
    }
    [[nodiscard]] HeadRole role(HeadId id) const { return roles[index(id)]; }
    [[nodiscard]] std::size_t size() const { return roles.size(); }
    [[nodiscard]] std::int64_t count(HeadRole role) const {
        std::int64_t n = 0;
        for (const HeadRole r : roles) n += r == role ? 1 : 0;
        return n;
    }
    /// F of algorithm.md §1.
    [[nodiscard]] std::int64_t num_full() const {
        return count(HeadRole::kVolatile) + count(HeadRole::kPivot);
    }
};

}  // namespace hc
