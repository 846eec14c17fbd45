#include "engine/config/settings_json.h"

#include <utility>

#include "engine/config/head_file.h"
#include "engine/config/json_reader.h"
#include "engine/core/error.h"

namespace hc::config {
namespace {

constexpr std::int64_t kMostTokens = std::int64_t{1} << 40;
constexpr std::int64_t kMostWide = std::int64_t{1}
                                   << 24;  ///< of a matrix side: sizes stay in 64 bits

/// The one list of the fields of Settings; `mode` stands apart, as it chooses the defaults.
template <typename AnySettings, typename Visit>
void for_each_field(AnySettings& s, Visit visit) {
    visit("ratio", s.ratio);
    visit("window", s.window);
    visit("stable_threshold", s.stable_threshold);
    visit("commit_lag", s.commit_lag);
    visit("retrieval", s.retrieval);
    visit("satellites_cut_by_position", s.satellites_cut_by_position);
    visit("reference_sets_by_file_order", s.reference_sets_by_file_order);
    visit("retrieve_before_attention", s.retrieve_before_attention);
    visit("asynchronous", s.asynchronous);
    visit("stagger_checks", s.stagger_checks);
    visit("half_precision_scores", s.half_precision_scores);
    visit("sink", s.sink);
    visit("recent", s.recent);
    visit("water_fill", s.water_fill);
    visit("fetch_missing_only", s.fetch_missing_only);
    visit("host_satellites_only", s.host_satellites_only);
    visit("chance_corrected", s.chance_corrected);
    visit("pool_width", s.pool_width);
}

/// Reads one object: keys that nobody asked for are refused at the end.
class ObjectReader {
public:
    ObjectReader(const Json& object, std::string name) : object_(object), name_(std::move(name)) {
        if (!object.is_object()) throw_input(in_quotes(name_) + " is not a JSON object");
    }

    [[nodiscard]] const Json* find(const std::string& key) {
        const auto found = object_.find(key);
        if (found == object_.end()) return nullptr;
        ++known_;
        names_ += " " + key;
        return &*found;
    }
    void read(const std::string& key, bool& value) {
        if (const Json* found = find(key)) value = boolean(*found, name_, key);
    }
    void read(const std::string& key, double& value) {
        if (const Json* found = find(key)) value = real(*found, -1e300, 1e300, name_, key);
    }
    void read(const std::string& key, std::int32_t& value) {
        if (const Json* found = find(key)) {
            value = static_cast<std::int32_t>(integer(*found, INT32_MIN, INT32_MAX, name_, key));
        }
    }
    void read(const std::string& key, std::int64_t& value, std::int64_t low, std::int64_t high) {
        if (const Json* found = find(key)) value = integer(*found, low, high, name_, key);
    }
    void read(const std::string& key, std::string& value) {
        if (const Json* found = find(key)) value = string(*found, name_, key);
    }
    void refuse_others() const {
        if (known_ == object_.size()) return;
        for (const auto& [key, value] : object_.items()) {
            if ((names_ + " ").find(" " + key + " ") != std::string::npos) continue;
            throw_input(in_quotes(name_) + " has the unknown key " + dump(Json(key)));
        }
    }

private:
    const Json& object_;
    std::string name_;
    std::size_t known_ = 0;
    std::string names_;
};

Json settings_json(const policy::Settings& settings) {
    Json j;
    j["mode"] = policy::mode_name(settings.mode);
    for_each_field(settings, [&](const char* key, const auto& value) { j[key] = value; });
    return j;
}

policy::Settings read_settings(const Json& object, const std::string& name) {
    ObjectReader reader(object, name);
    policy::Mode mode = policy::Mode::kFixed;
    std::string mode_text{policy::mode_name(mode)};
    reader.read("mode", mode_text);
    if (mode_text == policy::mode_name(policy::Mode::kReference)) {
        mode = policy::Mode::kReference;
    } else if (mode_text != policy::mode_name(policy::Mode::kFixed)) {
        throw_input(in_quotes(name) + ": mode is " + dump(Json(mode_text)) +
                    ", expected \"reference\" or \"fixed\"");
    }
    policy::Settings settings = policy::settings_for(mode);
    for_each_field(settings, [&](const char* key, auto& value) { reader.read(key, value); });
    reader.refuse_others();
    try {
        policy::validate(settings);
    } catch (const Error& e) {
        throw_input(in_quotes(name) + ": " + e.what());
    }
    return settings;
}

void check_shape(const ModelShape& shape, const std::string& name) {
    if (shape.num_qo_heads % shape.num_kv_heads != 0) {
        throw_input(in_quotes(name) + ": " + std::to_string(shape.num_qo_heads) +
                    " query heads do not divide into " + std::to_string(shape.num_kv_heads) +
                    " KV heads");
    }
}

}  // namespace

std::string to_json(const policy::Settings& settings) {
    return dump(settings_json(settings));
}

policy::Settings settings_from_json(const std::string& text, const std::string& name) {
    return read_settings(parse_json(text, name), name);
}

std::string to_json(const ModelShape& shape) {
    Json j;
    j["architecture"] = shape.architecture;
    j["num_layers"] = shape.num_layers;
    j["hidden"] = shape.hidden;
    j["num_qo_heads"] = shape.num_qo_heads;
    j["num_kv_heads"] = shape.num_kv_heads;
    j["head_dim"] = shape.head_dim;
    j["mlp"] = shape.mlp;
    j["vocab"] = shape.vocab;
    j["context"] = shape.context;
    j["rms_eps"] = shape.rms_eps;
    j["rope_theta"] = shape.rope_theta;
    j["rope_scaling"]["factor"] = shape.rope_scaling.factor;
    j["rope_scaling"]["low_freq_factor"] = shape.rope_scaling.low_freq_factor;
    j["rope_scaling"]["high_freq_factor"] = shape.rope_scaling.high_freq_factor;
    j["rope_scaling"]["original_context"] = shape.rope_scaling.original_context;
    j["qkv_bias"] = shape.qkv_bias;
    j["tied_embeddings"] = shape.tied_embeddings;
    return dump(j);
}

ModelShape shape_from_json(const std::string& text, const std::string& name) {
    const Json document = parse_json(text, name);
    ObjectReader reader(document, name);
    ModelShape shape;
    reader.read("architecture", shape.architecture);
    static_cast<void>(member(document, "num_layers", name));
    static_cast<void>(member(document, "num_qo_heads", name));
    static_cast<void>(member(document, "num_kv_heads", name));
    static_cast<void>(member(document, "head_dim", name));
    constexpr std::int64_t kMost = 65536;
    reader.read("num_layers", shape.num_layers, 1, kMost);
    reader.read("num_qo_heads", shape.num_qo_heads, 1, kMost);
    reader.read("num_kv_heads", shape.num_kv_heads, 1, kMost);
    reader.read("head_dim", shape.head_dim, 1, kMost);
    reader.read("hidden", shape.hidden, 0, kMostWide);
    reader.read("mlp", shape.mlp, 0, kMostWide);
    reader.read("vocab", shape.vocab, 0, kMostWide);
    reader.read("context", shape.context, 0, kMostTokens);
    reader.read("rms_eps", shape.rms_eps);
    reader.read("rope_theta", shape.rope_theta);
    if (const Json* found = reader.find("rope_scaling")) {
        ObjectReader scaling(*found, name + " rope_scaling");
        scaling.read("factor", shape.rope_scaling.factor);
        scaling.read("low_freq_factor", shape.rope_scaling.low_freq_factor);
        scaling.read("high_freq_factor", shape.rope_scaling.high_freq_factor);
        scaling.read("original_context", shape.rope_scaling.original_context, 0, kMostTokens);
        scaling.refuse_others();
    }
    reader.read("qkv_bias", shape.qkv_bias);
    reader.read("tied_embeddings", shape.tied_embeddings);
    reader.refuse_others();
    check_shape(shape, name);
    return shape;
}

std::string profile_to_json(const HeadProfile& profile) {
    return head_file_json(profile, "");
}

HeadProfile profile_from_json(const std::string& text, const std::string& name) {
    return parse_head_file(text, name);
}

std::string to_json(const RunParameters& parameters) {
    Json j;
    j["settings"] = settings_json(parameters.settings);
    if (parameters.profile) j["profile"] = Json::parse(profile_to_json(*parameters.profile));
    j["precision"] = parameters.precision;
    j["threads"] = parameters.threads;
    j["page_size"] = parameters.page_size;
    j["element_bytes"] = parameters.element_bytes;
    if (parameters.drift_keep) j["drift_keep"] = *parameters.drift_keep;
    if (parameters.drift_every) j["drift_every"] = *parameters.drift_every;
    j["oracle"] = parameters.oracle;
    if (!parameters.synthetic.empty()) j["synthetic"] = parameters.synthetic;
    return dump(j);
}

RunParameters run_parameters_from_json(const std::string& text, const std::string& name) {
    // Runs of other systems, made of their NVTX ranges.
    if (text.empty()) {
        throw_refused(name + " are not known: the run is not one of this engine's, which a replay "
                             "needs (record one with 'hcprof profile')");
    }
    const Json document = parse_json(text, name);
    ObjectReader reader(document, name);
    RunParameters parameters;
    if (const Json* found = reader.find("settings")) {
        parameters.settings = read_settings(*found, name + " settings");
    }
    if (const Json* found = reader.find("profile")) {
        parameters.profile = profile_from_json(dump(*found), name + " profile");
    }
    reader.read("precision", parameters.precision);
    reader.read("threads", parameters.threads);
    reader.read("page_size", parameters.page_size, 1, kMostWide);
    reader.read("element_bytes", parameters.element_bytes, 1, 64);
    if (const Json* found = reader.find("drift_keep")) {
        parameters.drift_keep = real(*found, 0.0, 1.0, name, "drift_keep");
    }
    if (const Json* found = reader.find("drift_every")) {
        parameters.drift_every =
            static_cast<std::int32_t>(integer(*found, 1, INT32_MAX, name, "drift_every"));
    }
    reader.read("oracle", parameters.oracle);
    reader.read("synthetic", parameters.synthetic);
    reader.refuse_others();
    return parameters;
}

}  // namespace hc::config
