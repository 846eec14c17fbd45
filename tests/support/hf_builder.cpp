#include "tests/support/hf_builder.h"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "engine/core/error.h"
#include "engine/core/half.h"

namespace hc::test {
namespace {

namespace fs = std::filesystem;

std::string join(const std::vector<std::string>& parts) {
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
    return text;
}

std::string encode_values(DType type, const std::vector<float>& values) {
    std::string data;
    for (const float value : values) {
        if (type == DType::kF32) data += GgufBuilder::bytes_of(value);
        if (type == DType::kF16) data += GgufBuilder::bytes_of(float_to_half(value));
        if (type == DType::kBF16) data += GgufBuilder::bytes_of(float_to_bfloat16(value));
    }
    return data;
}

void write_file(const fs::path& path, std::string_view content) {
    std::ofstream out(path, std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    HC_CHECK(out.good());
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string json = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            json += {'\\', c};
        } else if (c == '\n') {
            json += "\\n";
        } else {
            HC_CHECK(static_cast<unsigned char>(c) >= 0x20);
            json += c;
        }
    }
    return json + '"';
}

void SafetensorsBuilder::add_tensor(std::string_view name, DType type,
                                    std::vector<std::int64_t> dims,
                                    const std::vector<float>& values) {
    add_tensor({std::string(name), std::string(dtype_name(type)), std::move(dims),
                encode_values(type, values)});
}

SafetensorsBuilder::Tensor& SafetensorsBuilder::tensor(std::string_view name) {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [name](const Tensor& t) { return t.name == name; });
    HC_CHECK(found != tensors_.end());
    return *found;
}

void SafetensorsBuilder::remove_tensor(std::string_view name) {
    std::erase_if(tensors_, [name](const Tensor& t) { return t.name == name; });
}

std::string SafetensorsBuilder::build() const {
    std::vector<std::string> entries;
    if (!metadata.empty()) entries.push_back("\"__metadata__\":" + metadata);
    std::string data;
    for (const Tensor& tensor : tensors_) {
        std::vector<std::string> dims;
        for (const std::int64_t extent : tensor.dims) dims.push_back(std::to_string(extent));
        const auto begin = static_cast<std::int64_t>(data.size());
        data += tensor.data;
        const auto end = static_cast<std::int64_t>(data.size());
        entries.push_back(json_string(tensor.name) + ":{\"dtype\":" + json_string(tensor.dtype) +
                          ",\"shape\":[" + join(dims) + "],\"data_offsets\":[" +
                          std::to_string(begin + tensor.begin_shift) + "," +
                          std::to_string(end + tensor.end_shift) + "]}");
    }
    std::string header = "{" + join(entries) + "}";
    while (header.size() % 8 != 0) header += ' ';
    std::string file = with_header(header, data);
    const auto length =
        static_cast<std::uint64_t>(static_cast<std::int64_t>(header.size()) + length_shift);
    std::memcpy(file.data(), &length, sizeof length);
    return file;
}

std::string SafetensorsBuilder::with_header(std::string_view header, std::string_view data) {
    return GgufBuilder::bytes_of(std::uint64_t{header.size()}) + std::string(header) +
           std::string(data);
}

SafetensorsBuilder::Tensor& HfBuilder::tensor(std::string_view name) {
    for (SafetensorsBuilder& shard : shards) {
        for (const SafetensorsBuilder::Tensor& tensor : shard.tensors()) {
            if (tensor.name == name) return shard.tensor(name);
        }
    }
    HC_CHECK(!"a tensor of the folder");
    return shards[0].tensor(name);
}

std::string HfBuilder::config_json() const {
    std::vector<std::string> entries;
    for (const auto& [key, value] : config) entries.push_back(json_string(key) + ":" + value);
    return "{" + join(entries) + "}";
}

std::string HfBuilder::shard_name(std::size_t i) const {
    if (shards.size() == 1) return "model.safetensors";
    return "model-" + std::to_string(i + 1) + "-of-" + std::to_string(shards.size()) +
           ".safetensors";
}

std::string HfBuilder::index_json() const {
    std::vector<std::string> entries;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        for (const SafetensorsBuilder::Tensor& tensor : shards[i].tensors()) {
            entries.push_back(json_string(tensor.name) + ":" + json_string(shard_name(i)));
        }
    }
    return "{\"metadata\":{},\"weight_map\":{" + join(entries) + "}}";
}

fs::path HfBuilder::write(const fs::path& folder) const {
    fs::create_directories(folder);
    for (std::size_t i = 0; i < shards.size(); ++i) {
        write_file(folder / shard_name(i), shards[i].build());
    }
    if (shards.size() > 1) write_file(folder / "model.safetensors.index.json", index_json());
    write_file(folder / "config.json", config_json());
    for (const auto& [name, content] : files) write_file(folder / name, content);
    return folder;
}

}  // namespace hc::test
