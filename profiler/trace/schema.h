/// What identifies a trace, and the schema's two parts. schema.sql is the source.
#pragma once

#include <cstdint>
#include <string_view>

namespace hc::trace {

inline constexpr std::int32_t kApplicationId = 0x68637074;  // "hcpt", as in schema.sql
inline constexpr std::int32_t kVersionMajor = 2;
inline constexpr std::int32_t kVersionMinor = 1;
inline constexpr std::int32_t kUserVersion = kVersionMajor * 1000 + kVersionMinor;

/// Tables and views: run when a file is created.
[[nodiscard]] std::string_view tables_sql();
/// Indexes: run when a file is closed, or opened after its writer died.
[[nodiscard]] std::string_view indexes_sql();
[[nodiscard]] std::string_view hcprof_version();

}  // namespace hc::trace
