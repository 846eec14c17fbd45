/// JSON documents of a Hugging Face model folder, read as hostile input. For .cpp files of this
/// folder: it needs the JSON library, which users of the folder do not link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace hc::model {

using Json = nlohmann::json;

/// Parses `text`. Throws Error(kInput) naming `path` when it is no JSON, nests deeply or has a
/// key twice in one object: the library would keep one of them, and another reader the other.
[[nodiscard]] Json parse_json_document(std::string_view text, const std::string& path);

/// An object within a document. A key whose value is null counts as absent, as these files mean
/// it. Borrows the document, which must outlive it.
class JsonObject {
public:
    /// Throws Error(kInput) where `value` is no object. `place` leads to it in messages: empty for
    /// the document itself, else ending in a dot.
    JsonObject(const Json& value, std::string path, std::string place = {});

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const Json& json() const { return *value_; }
    /// nullptr where the key is absent or null.
    [[nodiscard]] const Json* find(std::string_view key) const;
    [[nodiscard]] const Json& need(std::string_view key) const;

    // Each returns nullopt where the key is absent and throws Error(kInput) naming file and key
    // where the value is of another type.
    [[nodiscard]] std::optional<std::int64_t> find_int(std::string_view key) const;
    [[nodiscard]] std::optional<double> find_number(std::string_view key) const;
    [[nodiscard]] std::optional<bool> find_bool(std::string_view key) const;
    [[nodiscard]] std::optional<std::string> find_string(std::string_view key) const;
    [[nodiscard]] std::optional<JsonObject> find_object(std::string_view key) const;

    // The same, and an error where the key is absent.
    [[nodiscard]] std::int64_t need_int(std::string_view key) const;
    [[nodiscard]] double need_number(std::string_view key) const;
    [[nodiscard]] std::string need_string(std::string_view key) const;
    [[nodiscard]] JsonObject need_object(std::string_view key) const;

    /// "'place.key'", fit for a one-line message.
    [[nodiscard]] std::string describe(std::string_view key) const;
    /// Throws Error(kInput) with the file's name before `what`.
    [[noreturn]] void fail(const std::string& what) const;

private:
    [[noreturn]] void fail_type(std::string_view key, const Json& value,
                                std::string_view expected) const;

    const Json* value_;
    std::string path_;
    std::string place_;
};

/// A document of a folder with its name.
struct JsonFile {
    std::string path;
    Json json;
    [[nodiscard]] JsonObject object() const { return {json, path}; }
};

/// Reads a file of at most `largest` bytes. Throws Error(kIo) when it cannot be opened,
/// Error(kInput) when it is larger or no JSON.
[[nodiscard]] JsonFile read_json_file(const std::filesystem::path& path, std::size_t largest);

/// The same; nullopt where there is no such file.
[[nodiscard]] std::optional<JsonFile> find_json_file(const std::filesystem::path& path,
                                                     std::size_t largest);

/// Far above any config.json, tokenizer_config.json or index.
inline constexpr std::size_t kLargestConfig = std::size_t{16} << 20;

/// A JSON value as it may stand in a message: a string's text, else its JSON.
[[nodiscard]] std::string shown(const Json& value);

}  // namespace hc::model
