// Rotary scaling of a GGUF file -> divisors, or constants of ModelShape.
#include <fmt/format.h>
#include <cmath>

#include "engine/model/gguf_model.h"
#include "engine/model/gguf_tensors.h"

namespace hc::model {
namespace {

constexpr std::string_view kFactors = "rope_freqs.weight";

double positive(const GgufFile& file, const std::string& key, double otherwise) {
    const double value = file.find_number(key).value_or(otherwise);
    if (!(value > 0)) {
        file.fail(fmt::format("metadata '{}' is {}, expected a number above 0", key, value));
    }
    return value;
}

RopeScaling read_llama3(const GgufFile& file, const std::string& prefix) {
    RopeScaling scaling;
    scaling.factor = positive(file, prefix + "factor", 1.0);
    scaling.low_freq_factor = positive(file, prefix + "low_freq_factor", 1.0);
    scaling.high_freq_factor = positive(file, prefix + "high_freq_factor", 4.0);
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
        file.fail(
            fmt::format("metadata '{}high_freq_factor' is {}, expected more than the low "
                        "factor {}",
                        prefix, scaling.high_freq_factor, scaling.low_freq_factor));
    }
    const std::string context_key = prefix + "original_context_length";
    scaling.original_context = file.find_int(context_key).value_or(8192);
    if (scaling.original_context < 1) {
        file.fail(fmt::format("metadata '{}' is {}, expected at least 1", context_key,
                              scaling.original_context));
    }
    return scaling;
}

/// Converters that compute the divisors of Llama-3 scaling write them instead of its keys.
std::vector<float> read_factors(const GgufFile& file, std::int64_t size) {
    std::vector<float> factors = read_vector(file, kFactors, size);
    for (const float factor : factors) {
        if (!(factor > 0) || !std::isfinite(factor)) {
            file.fail(
                fmt::format("tensor '{}' holds {}, expected numbers above 0", kFactors, factor));
        }
    }
    return factors;
}

}  // namespace

std::vector<float> read_rope(const GgufFile& file, ModelShape& shape) {
    const std::string prefix = shape.architecture + ".rope.scaling.";
    const std::string_view type = file.find_string(prefix + "type").value_or("none");
    std::vector<float> factors;
    if (file.find_tensor(kFactors) != nullptr) {
        factors = read_factors(file, shape.head_dim / 2);
    } else if (type == "llama3") {
        shape.rope_scaling = read_llama3(file, prefix);
    }
    if (type == "linear") {
        const double factor = positive(file, prefix + "factor", 1.0);
        factors.resize(static_cast<std::size_t>(shape.head_dim / 2), 1.0F);
        for (float& value : factors) value *= static_cast<float>(factor);
    } else if (type != "none" && type != "llama3") {
        file.fail(fmt::format("metadata '{}type' is '{}', expected none, linear or llama3", prefix,
                              printable(type)));
    }
    return factors;
}

}  // namespace hc::model
