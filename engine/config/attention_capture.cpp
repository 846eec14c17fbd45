#include "engine/config/attention_capture.h"

#include <algorithm>
#include <span>

#include "engine/config/json_reader.h"
#include "engine/config/npy.h"
#include "engine/core/error.h"
#include "engine/core/mapped_file.h"

namespace hc::config {
namespace {

constexpr std::int64_t kMostHeads = 65536;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 32;  ///< positions are 32 bits wide

std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string text;
    for (const std::int64_t dimension : shape) {
        text += (text.empty() ? "" : ", ") + std::to_string(dimension);
    }
    return "[" + text + "]";
}

void check_array_shape(const CaptureConfig& config, const HalfArray& array,
                       const std::string& name) {
    const policy::CalibrationSettings& s = config.settings;
    const std::vector<std::int64_t> expected{s.num_layers,
                                             static_cast<std::int64_t>(config.kv_len.size()),
                                             s.batch, s.num_qo_heads, config.kv_len.back()};
    const std::vector<std::int64_t>& found = array.shape();
    const bool same = found.size() == expected.size() &&
                      std::equal(found.begin(), found.end() - 1, expected.begin()) &&
                      found.back() >= expected.back();
    if (!same) {
        throw_input(in_quotes(name) + " has shape " + shape_text(found) + ", expected " +
                    shape_text(expected) + " after config.json");
    }
}

void check_row(std::span<const float> row, const std::string& name, std::int32_t layer,
               std::size_t step) {
    // Softmax rows in half precision may exceed 1 by rounding only. False for NaN.
    const bool probabilities =
        std::all_of(row.begin(), row.end(), [](float p) { return p >= 0.0F && p <= 1.0F; });
    if (probabilities) return;
    throw_input(in_quotes(name) + ": a row of layer " + std::to_string(layer) + ", step " +
                std::to_string(step) + " holds a value that is no probability");
}

}  // namespace

CaptureConfig parse_capture_config(const std::string& text, const std::string& name) {
    const Json document = parse_json(text, name);
    const auto count = [&](const char* key, std::int64_t high) {
        return integer(member(document, key, name), 1, high, name, key);
    };
    const auto threshold = [&](const char* key) {
        return real(member(document, key, name), 0.0, 1.0, name, key);
    };
    CaptureConfig config;
    policy::CalibrationSettings& s = config.settings;
    s.num_layers = static_cast<std::int32_t>(count("num_layers", kMostHeads));
    s.num_qo_heads = static_cast<std::int32_t>(count("num_attention_heads", kMostHeads));
    s.num_kv_heads = static_cast<std::int32_t>(count("num_key_value_heads", kMostHeads));
    if (s.num_qo_heads % s.num_kv_heads != 0) {
        throw_input(in_quotes(name) + ": " + std::to_string(s.num_qo_heads) +
                    " query heads do not divide into " + std::to_string(s.num_kv_heads) +
                    " KV heads");
    }
    s.batch = static_cast<std::int32_t>(count("batch", kMostHeads));
    s.topk = count("topk", kMostTokens);
    s.max_length = count("max_length", kMostTokens);
    s.calibration_step = count("decode_step", kMostTokens);
    s.stable_threshold = threshold("stable_threshold");
    s.sim_threshold = threshold("sim_threshold");
    s.stability_floor = document.contains("stability_floor") ? threshold("stability_floor") : 0.0;
    s.ratio_cap = document.contains("ratio_cap")
                      ? real(document["ratio_cap"], 1.0, 1e6, name, "ratio_cap")
                      : 0.0;
    const Json& kv_len = member(document, "kv_len", name);
    if (!kv_len.is_array() || kv_len.empty()) {
        throw_input(in_quotes(name) + ": kv_len is not a list of key counts");
    }
    for (const Json& value : kv_len) {
        const std::int64_t least = config.kv_len.empty() ? 1 : config.kv_len.back() + 1;
        config.kv_len.push_back(integer(value, least, kMostTokens, name,
                                        "kv_len[" + std::to_string(config.kv_len.size()) + "]"));
    }
    return config;
}

policy::Calibration calibrate_from_capture(const std::filesystem::path& folder) {
    const std::filesystem::path config_path = folder / "config.json";
    const MappedFile text(config_path);
    const CaptureConfig config = parse_capture_config(
        std::string(reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size()),
        config_path.string());
    const std::string name = (folder / "attn.npy").string();
    const HalfArray array(name);
    check_array_shape(config, array, name);
    const policy::CalibrationSettings& s = config.settings;
    const auto num_rows =
        static_cast<std::size_t>(s.batch) * static_cast<std::size_t>(s.num_qo_heads);
    const auto width = static_cast<std::size_t>(array.shape().back());
    policy::Calibrator calibrator(s);
    std::vector<float> rows;
    for (std::size_t step = 0; step < config.kv_len.size(); ++step) {
        const auto kv_len = static_cast<std::size_t>(config.kv_len[step]);
        calibrator.begin_pass(config.kv_len[step]);
        rows.resize(num_rows * kv_len);
        for (std::int32_t layer = 0; layer < s.num_layers; ++layer) {
            const std::size_t pass = static_cast<std::size_t>(layer) * config.kv_len.size() + step;
            for (std::size_t row = 0; row < num_rows; ++row) {
                const std::span<float> out(rows.data() + row * kv_len, kv_len);
                array.read((pass * num_rows + row) * width, out);
                check_row(out, name, layer, step);
            }
            calibrator.add_layer(layer, rows);
        }
    }
    return calibrator.finish();
}

}  // namespace hc::config
