/// The weights of a folder: model.safetensors, or the shards that
/// model.safetensors.index.json lists.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/mapped_file.h"
#include "engine/model/safetensors_file.h"

namespace hc::model {

class SafetensorsFolder {
public:
    /// Maps every file. A single model.safetensors comes before an index, as in the library that
    /// these folders are made for. Throws Error(kInput), in one line that names the file, where
    /// there is neither, a shard is absent or its name leads out of the folder, and where index
    /// and shards differ in which tensors there are.
    explicit SafetensorsFolder(const std::filesystem::path& folder);

    struct Entry {
        const SafeTensor* tensor = nullptr;
        const SafetensorsFile* file = nullptr;  ///< for messages
    };
    [[nodiscard]] const std::map<std::string, Entry, std::less<>>& tensors() const {
        return tensors_;
    }
    /// nullptr where there is none of that name.
    [[nodiscard]] const Entry* find(std::string_view name) const;
    /// In the order of their names.
    [[nodiscard]] const std::vector<std::unique_ptr<const SafetensorsFile>>& files() const {
        return files_;
    }
    /// Shared: views into the tensors borrow from these.
    [[nodiscard]] const std::vector<std::shared_ptr<const MappedFile>>& mappings() const {
        return mappings_;
    }
    /// Throws Error(kInput) with the name of the only file, else of the index, before `what`.
    [[noreturn]] void fail(const std::string& what) const;

private:
    const SafetensorsFile& open(const std::filesystem::path& path);
    void open_shards(const std::filesystem::path& folder);

    std::string path_;
    std::vector<std::shared_ptr<const MappedFile>> mappings_;
    std::vector<std::unique_ptr<const SafetensorsFile>> files_;  ///< tensors_ borrows from them
    std::map<std::string, Entry, std::less<>> tensors_;
};

}  // namespace hc::model
