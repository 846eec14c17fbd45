#include "engine/model/hf_model.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "engine/core/error.h"

namespace hc::model {
namespace {

std::string hash_folder(const std::filesystem::path& folder, const SafetensorsFolder& tensors) {
    const MappedFile config(folder / "config.json");
    std::vector<std::uint64_t> parts = {XXH3_64bits(config.bytes().data(), config.bytes().size())};
    for (const auto& file : tensors.files()) {
        parts.push_back(XXH3_64bits(file->header().data(), file->header().size()));
        parts.push_back(file->size_bytes());
    }
    return fmt::format("{:016x}", XXH3_64bits(parts.data(), parts.size() * sizeof(std::uint64_t)));
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::filesystem::path& folder,
                                          const HfConfig& config) {
    TokenizerData data = read_hf_tokenizer(folder, config);
    try {
        return std::make_unique<Tokenizer>(std::move(data));
    } catch (const Error& error) {  // the tokenizer does not know the file
        throw_input(fmt::format("'{}': {}", (folder / "tokenizer.json").string(), error.what()));
    }
}

/// The folder's own name, also of "." and "models/tiny/".
std::string name_of(const std::filesystem::path& folder) {
    const std::filesystem::path whole = std::filesystem::absolute(folder).lexically_normal();
    return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

Model load_hf_model(const std::filesystem::path& folder) {
    const HfConfig config = read_hf_config(folder);
    const SafetensorsFolder tensors(folder);
    Model model;
    model.path = folder.string();
    model.name = name_of(folder);
    model.hash = hash_folder(folder, tensors);
    model.shape = config.shape;
    model.weights = read_hf_weights(tensors, model.shape);
    model.tokenizer = make_tokenizer(folder, config);
    model.mappings = tensors.mappings();
    return model;
}

}  // namespace hc::model
