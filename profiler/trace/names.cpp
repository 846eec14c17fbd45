#include "profiler/trace/names.h"

#include <iterator>

namespace hc::trace {
namespace {

constexpr std::string_view kPhases[] = {"prefill", "decode"};
constexpr std::string_view kEdgeKinds[] = {"stream", "event", "graph", "host"};
constexpr std::string_view kFetchWays[] = {"gather", "copy", "memcpy"};
constexpr std::string_view kAttentionRowKinds[] = {"score", "prob"};
constexpr std::string_view kOrigins[] = {"recorded", "simulated"};
constexpr std::string_view kValueOrigins[] = {"measured", "fitted", "catalogue", "assumed"};

template <typename Enum, std::size_t n>
std::string_view name_of(const std::string_view (&names)[n], Enum value) {
    const auto index = static_cast<std::size_t>(value);
    return index < n ? names[index] : std::string_view("unknown");
}

template <typename Enum, std::size_t n>
std::optional<Enum> find_name(const std::string_view (&names)[n], std::string_view name) {
    for (std::size_t i = 0; i < n; ++i) {
        if (names[i] == name) return static_cast<Enum>(i);
    }
    return std::nullopt;
}

}  // namespace

std::string_view phase_name(Phase phase) {
    return name_of(kPhases, phase);
}
std::string_view edge_kind_name(EdgeKind kind) {
    return name_of(kEdgeKinds, kind);
}
std::string_view fetch_way_name(FetchWay way) {
    return name_of(kFetchWays, way);
}
std::string_view attention_row_kind_name(AttentionRowKind kind) {
    return name_of(kAttentionRowKinds, kind);
}
std::string_view origin_name(Origin origin) {
    return name_of(kOrigins, origin);
}
std::string_view value_origin_name(ValueOrigin origin) {
    return name_of(kValueOrigins, origin);
}

template <>
std::optional<Phase> parse_name(std::string_view name) {
    return find_name<Phase>(kPhases, name);
}
template <>
std::optional<EdgeKind> parse_name(std::string_view name) {
    return find_name<EdgeKind>(kEdgeKinds, name);
}
template <>
std::optional<FetchWay> parse_name(std::string_view name) {
    return find_name<FetchWay>(kFetchWays, name);
}
template <>
std::optional<AttentionRowKind> parse_name(std::string_view name) {
    return find_name<AttentionRowKind>(kAttentionRowKinds, name);
}
template <>
std::optional<Origin> parse_name(std::string_view name) {
    return find_name<Origin>(kOrigins, name);
}
template <>
std::optional<ValueOrigin> parse_name(std::string_view name) {
    return find_name<ValueOrigin>(kValueOrigins, name);
}
template <>
std::optional<HeadRole> parse_name(std::string_view name) {
    for (const HeadRole role :
         {HeadRole::kAnchor, HeadRole::kVolatile, HeadRole::kPivot, HeadRole::kSatellite}) {
        if (role_name(role) == name) return role;
    }
    return std::nullopt;
}
template <>
std::optional<OpKind> parse_name(std::string_view name) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(OpKind::kCount); ++i) {
        const auto kind = static_cast<OpKind>(i);
        if (op_kind_name(kind) == name) return kind;
    }
    return std::nullopt;
}

}  // namespace hc::trace
