#include "engine/model/safetensors_folder.h"

#include <fmt/format.h>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/model/gguf_file.h"
#include "engine/model/hf_json.h"

namespace hc::model {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// The index is someone else's text: a shard's name must not lead out of the folder.
bool is_shard_name(std::string_view name) {
    constexpr std::string_view kSuffix = ".safetensors";
    constexpr std::size_t kLongest = 255;
    if (name.size() <= kSuffix.size() || name.size() > kLongest || !name.ends_with(kSuffix)) {
        return false;
    }
    if (name.front() == '.') return false;
    for (const char c : name) {
        if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return false;
    }
    return true;
}

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const fs::path& folder) {
    if (is_there(folder / kSingle)) {
        path_ = (folder / kSingle).string();
        const SafetensorsFile& file = open(folder / kSingle);
        for (const auto& [name, tensor] : file.tensors()) {
            tensors_.emplace(name, Entry{&tensor, &file});
        }
    } else if (is_there(folder / kIndex)) {
        path_ = (folder / kIndex).string();
        open_shards(folder);
    } else {
        throw_input(fmt::format("'{}': holds no weights, expected {} or {}", folder.string(),
                                kSingle, kIndex));
    }
}

const SafetensorsFile& SafetensorsFolder::open(const fs::path& path) {
    mappings_.push_back(std::make_shared<const MappedFile>(path));
    files_.push_back(
        std::make_unique<const SafetensorsFile>(mappings_.back()->bytes(), path.string()));
    return *files_.back();
}

void SafetensorsFolder::open_shards(const fs::path& folder) {
    const JsonFile index = read_json_file(folder / kIndex, kLargestConfig);
    const JsonObject map = index.object().need_object("weight_map");
    std::set<std::string> shards;
    for (const auto& [tensor, value] : map.json().items()) {
        const std::string shard = map.need_string(tensor);
        if (!is_shard_name(shard)) {
            fail(fmt::format("tensor '{}' lies in '{}', expected a .safetensors file of the folder",
                             printable(tensor), printable(shard)));
        }
        shards.insert(shard);
    }
    for (const std::string& shard : shards) {
        if (!is_there(folder / shard)) {
            fail(fmt::format("names shard '{}', which is not in the folder", printable(shard)));
        }
        const SafetensorsFile& file = open(folder / shard);
        for (const auto& [name, tensor] : file.tensors()) {
            // Also what refuses a tensor that lies in two shards: the index gives it to one.
            if (map.find_string(name) != shard) {
                file.fail(fmt::format("holds tensor '{}', which the index does not expect there",
                                      printable(name)));
            }
            tensors_.emplace(name, Entry{&tensor, &file});
        }
    }
    for (const auto& [tensor, value] : map.json().items()) {
        if (!tensors_.contains(tensor)) {
            fail(fmt::format("gives tensor '{}' to shard '{}', which does not hold it",
                             printable(tensor), shown(value)));
        }
    }
}

const SafetensorsFolder::Entry* SafetensorsFolder::find(std::string_view name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
}

void SafetensorsFolder::fail(const std::string& what) const {
    throw_input("'" + path_ + "': " + what);
}

}  // namespace hc::model
