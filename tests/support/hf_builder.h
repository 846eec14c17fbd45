/// Writes Hugging Face folders, right ones and wrong ones, for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/dtype.h"
#include "tests/support/tiny_model.h"

namespace hc::test {

/// `text` as a JSON string with its quotes.
[[nodiscard]] std::string json_string(std::string_view text);

/// Collects tensors of one safetensors file. Nothing is checked: a test that wants a broken file
/// asks for one.
class SafetensorsBuilder {
public:
    struct Tensor {
        std::string name;
        std::string dtype;
        std::vector<std::int64_t> dims;  ///< outermost first
        std::string data;
        std::int64_t begin_shift = 0;  ///< added to the true offsets
        std::int64_t end_shift = 0;
    };
    std::int64_t length_shift = 0;  ///< added to the header's true length
    std::string metadata = R"({"format":"pt"})";

    void add_tensor(Tensor tensor) { tensors_.push_back(std::move(tensor)); }
    void add_tensor(std::string_view name, DType type, std::vector<std::int64_t> dims,
                    const std::vector<float>& values);
    /// To be spoiled by the test.
    [[nodiscard]] Tensor& tensor(std::string_view name);
    void remove_tensor(std::string_view name);
    [[nodiscard]] const std::vector<Tensor>& tensors() const { return tensors_; }

    [[nodiscard]] std::string build() const;
    /// A file around `header` as it is given.
    [[nodiscard]] static std::string with_header(std::string_view header, std::string_view data);

private:
    std::vector<Tensor> tensors_;
};

/// A folder before it is written: tensors in shards, other files by name, config.json by keys.
class HfBuilder {
public:
    std::vector<SafetensorsBuilder> shards{1};  ///< one: model.safetensors; several: with an index
    std::map<std::string, std::string> config;  ///< key -> JSON text
    std::map<std::string, std::string> files;   ///< all other files: name -> content

    /// The shard's tensor of that name.
    [[nodiscard]] SafetensorsBuilder::Tensor& tensor(std::string_view name);
    [[nodiscard]] std::string config_json() const;
    /// What an index of the shards says; `shard_name` names shard `i` of them.
    [[nodiscard]] std::string index_json() const;
    [[nodiscard]] std::string shard_name(std::size_t i) const;

    /// Writes everything below `folder`, made where absent, and returns it.
    std::filesystem::path write(const std::filesystem::path& folder) const;
};

struct TinyHfOptions {
    TinyModelOptions model;        ///< its dtype is left aside
    DType dtype = DType::kF32;     ///< of all tensors: F32, F16 or BF16
    std::size_t shards = 1;        ///< tensors are dealt out in turn
    bool merges_as_pairs = false;  ///< the newer spelling of tokenizer.json
};

/// The same model as tiny_model(options.model), F32, in the other format: the values of its
/// tensors, rounded to `dtype`, with the rows of q and k in the order that Hugging Face keeps.
[[nodiscard]] HfBuilder tiny_hf_model(const TinyHfOptions& options = {});

}  // namespace hc::test
