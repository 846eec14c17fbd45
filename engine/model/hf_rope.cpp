#include "engine/model/hf_rope.h"

#include <fmt/format.h>

#include "engine/model/gguf_file.h"

namespace hc::model {
namespace {

// What the configurations of both architectures default to.
constexpr double kDefaultTheta = 10000.0;

double positive(const JsonObject& object, std::string_view key, double value) {
    if (!(value > 0)) {
        object.fail(
            fmt::format("key {} is {}, expected a number above 0", object.describe(key), value));
    }
    return value;
}

double need_positive(const JsonObject& object, std::string_view key) {
    return positive(object, key, object.need_number(key));
}

RopeScaling read_llama3(const JsonObject& object) {
    RopeScaling scaling;
    scaling.factor = need_positive(object, "factor");
    scaling.low_freq_factor = need_positive(object, "low_freq_factor");
    scaling.high_freq_factor = need_positive(object, "high_freq_factor");
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
        object.fail(fmt::format("key {} is {}, expected more than the low factor {}",
                                object.describe("high_freq_factor"), scaling.high_freq_factor,
                                scaling.low_freq_factor));
    }
    constexpr std::string_view kContext = "original_max_position_embeddings";
    scaling.original_context = object.need_int(kContext);
    constexpr std::int64_t kLongest = std::int64_t{1} << 30;
    if (scaling.original_context < 1 || scaling.original_context > kLongest) {
        object.fail(fmt::format("key {} is {}, expected 1 to {}", object.describe(kContext),
                                scaling.original_context, kLongest));
    }
    return scaling;
}

RopeScaling read_scaling(const JsonObject& object) {
    // Older files call the key `type`.
    std::optional<std::string> type = object.find_string("rope_type");
    if (!type) type = object.find_string("type");
    if (!type) object.fail(fmt::format("key {} is missing", object.describe("rope_type")));
    const double part = object.find_number("partial_rotary_factor").value_or(1.0);
    if (part != 1.0) {
        object.fail(fmt::format("key {} is {}, expected 1",
                                object.describe("partial_rotary_factor"), part));
    }
    if (*type == "default") return {};
    if (*type == "llama3") return read_llama3(object);
    object.fail(fmt::format("key {} is '{}', expected default or llama3",
                            object.describe("rope_type"), printable(*type)));
}

}  // namespace

void read_hf_rope(const JsonObject& config, ModelShape& shape) {
    const auto scaling = config.find_object("rope_scaling");
    const auto parameters = config.find_object("rope_parameters");
    std::optional<double> theta = config.find_number("rope_theta");
    if (scaling) shape.rope_scaling = read_scaling(*scaling);
    if (parameters) {
        const RopeScaling stated = read_scaling(*parameters);
        if (scaling && stated != shape.rope_scaling) {
            config.fail("keys 'rope_scaling' and 'rope_parameters' contradict each other");
        }
        shape.rope_scaling = stated;
        const auto inner = parameters->find_number("rope_theta");
        if (inner && theta && *inner != *theta) {
            config.fail(fmt::format("key 'rope_theta' is {}, 'rope_parameters.rope_theta' is {}",
                                    *theta, *inner));
        }
        if (inner) theta = inner;
    }
    shape.rope_theta = positive(config, "rope_theta", theta.value_or(kDefaultTheta));
}

}  // namespace hc::model
