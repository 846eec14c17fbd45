#include "engine/model/hf_json.h"

#include <fmt/format.h>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/config/json_reader.h"
#include "engine/core/error.h"
#include "engine/core/mapped_file.h"
#include "engine/model/byte_reader.h"
#include "engine/model/gguf_file.h"

namespace hc::model {

Json parse_json_document(std::string_view text, const std::string& path) {
    constexpr int kDeepest = 64;
    if (config::nests_deeper(text, kDeepest)) {
        throw_input(fmt::format("'{}': nests brackets more than {} deep", path, kDeepest));
    }
    std::vector<std::unordered_set<std::string>> open;  // keys of the objects around the place
    const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
        if (event == Json::parse_event_t::object_start) {
            open.emplace_back();
        } else if (event == Json::parse_event_t::object_end) {
            open.pop_back();
        } else if (event == Json::parse_event_t::key) {
            const auto& key = parsed.get_ref<const std::string&>();
            if (!open.back().insert(key).second) {
                throw_input(fmt::format("'{}': key '{}' stands twice", path, printable(key)));
            }
        }
        return true;
    };
    try {
        return Json::parse(text, watch);
    } catch (const nlohmann::json::parse_error& error) {
        // The library's own text quotes the file, which may be anything.
        throw_input(fmt::format("'{}': is not JSON from byte {} on", path, error.byte));
    } catch (const nlohmann::json::exception&) {
        throw_input(fmt::format("'{}': is JSON with a number out of range", path));
    }
}

std::string shown(const Json& value) {
    if (value.is_string()) return printable(value.get_ref<const std::string&>());
    return printable(value.dump(-1, ' ', true, Json::error_handler_t::replace));
}

JsonObject::JsonObject(const Json& value, std::string path, std::string place)
    : value_(&value), path_(std::move(path)), place_(std::move(place)) {
    if (value.is_object()) return;
    std::string where = place_;
    if (!where.empty()) where.pop_back();
    fail(fmt::format("{} is of type {}, expected an object",
                     where.empty() ? "the document" : "'" + printable(where) + "'",
                     value.type_name()));
}

const Json* JsonObject::find(std::string_view key) const {
    const auto found = value_->find(key);
    return found == value_->end() || found->is_null() ? nullptr : &*found;
}

const Json& JsonObject::need(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) fail(fmt::format("key {} is missing", describe(key)));
    return *value;
}

std::optional<std::int64_t> JsonObject::find_int(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_integer()) fail_type(key, *value, "an integer");
    if (value->is_number_unsigned() &&
        value->get<std::uint64_t>() >
            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        fail(fmt::format("key {} exceeds 63 bits", describe(key)));
    }
    return value->get<std::int64_t>();
}

std::optional<double> JsonObject::find_number(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) fail_type(key, *value, "a number");
    const auto number = value->get<double>();
    if (!std::isfinite(number)) fail(fmt::format("key {} is not finite", describe(key)));
    return number;
}

std::optional<bool> JsonObject::find_bool(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) fail_type(key, *value, "true or false");
    return value->get<bool>();
}

std::optional<std::string> JsonObject::find_string(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) fail_type(key, *value, "a string");
    return value->get<std::string>();
}

std::optional<JsonObject> JsonObject::find_object(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    return JsonObject(*value, path_, fmt::format("{}{}.", place_, key));
}

std::int64_t JsonObject::need_int(std::string_view key) const {
    (void)need(key);
    return *find_int(key);
}

double JsonObject::need_number(std::string_view key) const {
    (void)need(key);
    return *find_number(key);
}

std::string JsonObject::need_string(std::string_view key) const {
    (void)need(key);
    return *find_string(key);
}

JsonObject JsonObject::need_object(std::string_view key) const {
    (void)need(key);
    return *find_object(key);
}

std::string JsonObject::describe(std::string_view key) const {
    return fmt::format("'{}'", printable(fmt::format("{}{}", place_, key)));
}

void JsonObject::fail(const std::string& what) const {
    throw_input("'" + path_ + "': " + what);
}

void JsonObject::fail_type(std::string_view key, const Json& value,
                           std::string_view expected) const {
    fail(fmt::format("key {} is of type {}, expected {}", describe(key), value.type_name(),
                     expected));
}

JsonFile read_json_file(const std::filesystem::path& path, std::size_t largest) {
    const MappedFile file(path);
    const std::string name = path.string();
    if (file.bytes().size() > largest) {
        throw_input(fmt::format("'{}': has {} bytes, expected at most {}", name,
                                file.bytes().size(), largest));
    }
    return {name, parse_json_document(as_text(file.bytes()), name)};
}

std::optional<JsonFile> find_json_file(const std::filesystem::path& path, std::size_t largest) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return std::nullopt;
    return read_json_file(path, largest);
}

}  // namespace hc::model
