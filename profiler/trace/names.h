/// The words that a trace holds for each enumeration, both ways.
#pragma once

#include <optional>
#include <string_view>

#include "engine/core/records.h"
#include "profiler/trace/columns.h"

namespace hc::trace {

[[nodiscard]] std::string_view phase_name(Phase phase);
[[nodiscard]] std::string_view edge_kind_name(EdgeKind kind);
[[nodiscard]] std::string_view fetch_way_name(FetchWay way);
[[nodiscard]] std::string_view attention_row_kind_name(AttentionRowKind kind);

/// nullopt for a word that this version does not know.
template <typename Enum>
[[nodiscard]] std::optional<Enum> parse_name(std::string_view name);

template <>
[[nodiscard]] std::optional<Phase> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<EdgeKind> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<FetchWay> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<AttentionRowKind> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<HeadRole> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<OpKind> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<Origin> parse_name(std::string_view name);
template <>
[[nodiscard]] std::optional<ValueOrigin> parse_name(std::string_view name);

}  // namespace hc::trace
