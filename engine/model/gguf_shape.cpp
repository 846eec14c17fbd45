// Metadata of a GGUF file -> ModelShape.
#include <fmt/format.h>
#include <array>

#include "engine/model/gguf_model.h"

namespace hc::model {
namespace {

// Far above any model, and small enough that products of three of them fit 64 bits.
constexpr std::int64_t kLargestExtent = std::int64_t{1} << 20;

class ShapeReader {
public:
    explicit ShapeReader(const GgufFile& file)
        : file_(file), architecture_(file.need_string("general.architecture")) {
        if (architecture_ != "llama" && architecture_ != "qwen2") {
            file.fail(fmt::format("holds a model of architecture '{}', expected llama or qwen2",
                                  printable(architecture_)));
        }
    }

    [[nodiscard]] const std::string& architecture() const { return architecture_; }
    [[nodiscard]] std::string key(std::string_view name) const {
        return fmt::format("{}.{}", architecture_, name);
    }

    [[nodiscard]] std::int64_t extent(std::string_view name,
                                      std::int64_t largest = kLargestExtent) const {
        return checked(name, file_.need_int(key(name)), largest);
    }
    [[nodiscard]] std::int64_t extent_or(std::string_view name, std::int64_t otherwise) const {
        return checked(name, file_.find_int(key(name)).value_or(otherwise), kLargestExtent);
    }
    [[nodiscard]] double positive(std::string_view name, double value) const {
        if (!(value > 0)) {
            file_.fail(
                fmt::format("metadata '{}' is {}, expected a number above 0", key(name), value));
        }
        return value;
    }

private:
    [[nodiscard]] std::int64_t checked(std::string_view name, std::int64_t value,
                                       std::int64_t largest) const {
        if (value < 1 || value > largest) {
            file_.fail(
                fmt::format("metadata '{}' is {}, expected 1 to {}", key(name), value, largest));
        }
        return value;
    }

    const GgufFile& file_;
    std::string architecture_;
};

void check_heads(const GgufFile& file, const ShapeReader& reader, const ModelShape& shape) {
    if (shape.num_qo_heads % shape.num_kv_heads != 0) {
        file.fail(fmt::format("{} query heads are no multiple of {} KV heads", shape.num_qo_heads,
                              shape.num_kv_heads));
    }
    if (shape.head_dim % 2 != 0) {
        file.fail(fmt::format("the head dimension is {}, expected an even number", shape.head_dim));
    }
    // Heads whose values are of another width, or of which only a part is rotated, exist in
    // other models; the engine has one head_dim.
    for (const std::string_view name : {"attention.value_length", "rope.dimension_count"}) {
        const std::int64_t found = reader.extent_or(name, shape.head_dim);
        if (found != shape.head_dim) {
            file.fail(fmt::format("metadata '{}' is {}, expected the head dimension {}",
                                  reader.key(name), found, shape.head_dim));
        }
    }
    if (file.find_int(reader.key("expert_count")).value_or(0) != 0) {
        file.fail("holds a mixture of experts, which is not supported");
    }
}

}  // namespace

ModelShape read_shape(const GgufFile& file) {
    const ShapeReader reader(file);
    constexpr std::int64_t kMostLayers = 1024;
    constexpr std::int64_t kMostHeads = 1024;
    constexpr std::int64_t kLongestContext = std::int64_t{1} << 30;
    ModelShape shape;
    shape.architecture = reader.architecture();
    shape.num_layers = reader.extent("block_count", kMostLayers);
    shape.hidden = reader.extent("embedding_length");
    shape.mlp = reader.extent("feed_forward_length");
    shape.context = reader.extent("context_length", kLongestContext);
    shape.num_qo_heads = reader.extent("attention.head_count", kMostHeads);
    shape.num_kv_heads = reader.extent_or("attention.head_count_kv", shape.num_qo_heads);
    const bool named = file.has(reader.key("attention.key_length"));
    if (!named && shape.hidden % shape.num_qo_heads != 0) {
        file.fail(
            fmt::format("the hidden size {} is no multiple of {} heads, and no head "
                        "dimension is stated",
                        shape.hidden, shape.num_qo_heads));
    }
    shape.head_dim = reader.extent_or("attention.key_length", shape.hidden / shape.num_qo_heads);
    check_heads(file, reader, shape);
    constexpr std::string_view kEps = "attention.layer_norm_rms_epsilon";
    shape.rms_eps = reader.positive(kEps, file.need_number(reader.key(kEps)));
    shape.rope_theta = reader.positive(
        "rope.freq_base", file.find_number(reader.key("rope.freq_base")).value_or(10000.0));
    return shape;
}

}  // namespace hc::model
