/// Binds C++ values to an INSERT and runs it.
#pragma once

#include <fmt/format.h>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "profiler/trace/position_codec.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

using Number = std::optional<std::int64_t>;
using Real = std::optional<double>;

/// Ids and counts that are -1 for "none" are NULL in the file.
inline Number none_if_negative(std::int64_t value) {
    return value < 0 ? Number{} : Number{value};
}
inline Number none_if_negative(std::int32_t value) {
    return none_if_negative(std::int64_t{value});
}
inline Real none_if_negative(double value) {
    return value < 0 ? Real{} : Real{value};
}

template <typename T>
void bind_one(Statement& statement, int index, const T& value) {
    if constexpr (std::is_same_v<T, Blob>) {
        statement.bind_blob(index, value);
    } else if constexpr (std::is_floating_point_v<T>) {
        statement.bind(index, static_cast<double>(value));
    } else if constexpr (std::is_integral_v<T>) {
        statement.bind(index, static_cast<std::int64_t>(value));
    } else {
        statement.bind(index, std::string_view(value));
    }
}

template <typename T>
void bind_one(Statement& statement, int index, const std::optional<T>& value) {
    if (value) {
        bind_one(statement, index, *value);
    } else {
        statement.bind_null(index);
    }
}

template <typename... Values>
void insert(Statement& statement, const Values&... values) {
    int index = 0;
    (bind_one(statement, ++index, values), ...);
    statement.run();
}

inline Statement prepare_insert(Database& database, std::string_view table, int columns,
                                std::string_view verb = "INSERT") {
    std::string sql = fmt::format("{} INTO {} VALUES (?", verb, table);
    for (int i = 1; i < columns; ++i) sql += ",?";
    return database.prepare(sql + ")");
}

}  // namespace hc::trace
