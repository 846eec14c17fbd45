/// Reads values out of parsed JSON with errors that name the file and the place. For .cpp files
/// of this folder: it needs the JSON library, which users of the folder do not link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace hc::config {

using Json = nlohmann::ordered_json;  // keeps the order of keys: of stars, it matters

[[nodiscard]] inline std::string in_quotes(const std::string& name) {
    return "'" + name + "'";
}

/// Whether brackets outside strings nest deeper than `limit`: the library destroys nested values
/// by recursion, so that a hostile file could exhaust the stack.
[[nodiscard]] inline bool nests_deeper(std::string_view text, int limit) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limit) return true;
        } else if (c == ']' || c == '}') {
            --depth;
        }
    }
    return false;
}

/// Throws Error(kInput) when `text` is no JSON or nests deeper than anything we write.
[[nodiscard]] inline Json parse_json(std::string_view text, const std::string& name) {
    constexpr int kDeepest = 64;
    if (nests_deeper(text, kDeepest)) {
        throw_input(in_quotes(name) + " nests brackets more than " + std::to_string(kDeepest) +
                    " deep");
    }
    try {
        return Json::parse(text);
    } catch (const nlohmann::json::exception& e) {
        std::string why = e.what();
        for (char& c : why) {
            if (static_cast<unsigned char>(c) < 0x20) c = ' ';
        }
        throw_input(in_quotes(name) + " is not JSON: " + why);
    }
}

[[nodiscard]] inline const Json& member(const Json& object, const char* key,
                                        const std::string& name) {
    if (!object.is_object()) throw_input(in_quotes(name) + " is not a JSON object");
    const auto found = object.find(key);
    if (found == object.end()) throw_input(in_quotes(name) + " has no key '" + key + "'");
    return *found;
}

/// An integer of [low, high]; a JSON real is refused.
[[nodiscard]] inline std::int64_t integer(const Json& value, std::int64_t low, std::int64_t high,
                                          const std::string& name, const std::string& place) {
    const auto expected = [&] {
        return "expected an integer from " + std::to_string(low) + " to " + std::to_string(high);
    };
    if (!value.is_number_integer()) {
        throw_input(in_quotes(name) + ": " + place + " is a " + value.type_name() +
                    (value.is_number() ? " with a fraction" : "") + ", " + expected());
    }
    const bool huge = value.is_number_unsigned() &&
                      value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
    const std::int64_t number = huge ? INT64_MAX : value.get<std::int64_t>();
    if (huge || number < low || number > high) {
        throw_input(in_quotes(name) + ": " + place + " is " + value.dump() + ", " + expected());
    }
    return number;
}

[[nodiscard]] inline double real(const Json& value, double low, double high,
                                 const std::string& name, const std::string& place) {
    if (!value.is_number()) {
        throw_input(in_quotes(name) + ": " + place + " is a " + value.type_name() +
                    ", expected a number");
    }
    const auto number = value.get<double>();
    if (!(number >= low && number <= high)) {
        throw_input(in_quotes(name) + ": " + place + " is " + value.dump() + ", expected " +
                    Json(low).dump() + " to " + Json(high).dump());
    }
    return number;
}

[[nodiscard]] inline bool boolean(const Json& value, const std::string& name,
                                  const std::string& place) {
    if (!value.is_boolean()) {
        throw_input(in_quotes(name) + ": " + place + " is a " + value.type_name() +
                    ", expected true or false");
    }
    return value.get<bool>();
}

[[nodiscard]] inline std::string string(const Json& value, const std::string& name,
                                        const std::string& place) {
    if (!value.is_string()) {
        throw_input(in_quotes(name) + ": " + place + " is a " + value.type_name() +
                    ", expected a string");
    }
    return value.get<std::string>();
}

/// Text that is always valid UTF-8, whatever strings went in.
[[nodiscard]] inline std::string dump(const Json& value, int indent = -1) {
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hc::config
