/// Calibration from captured attention rows instead of a model and a text.
///
/// A capture is a folder of two files:
///  - attn.npy: float16, little endian, C order, [layer, step, batch, query head, key]: the
///    softmax row of the last query of that forward pass; keys at or past kv_len[step] are
///    ignored. Step 0 is the prefill.
///  - config.json: num_layers, num_attention_heads, num_key_value_heads, batch, kv_len (one per
///    step, ascending), topk, max_length, decode_step (the calibration pass), stable_threshold,
///    sim_threshold; optionally stability_floor and ratio_cap (row 13), both 0 unless given, so
///    that a capture calibrates as the authors' scripts would; other keys are ignored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/policy/calibration.h"

namespace hc::config {

struct CaptureConfig {
    policy::CalibrationSettings settings;
    std::vector<std::int64_t> kv_len;  ///< [step], ascending
};

/// Throws Error(kInput) naming `name` and the key that is missing, of a wrong type or out of range.
[[nodiscard]] CaptureConfig parse_capture_config(const std::string& text, const std::string& name);

/// Throws Error(kIo) when a file cannot be read, Error(kInput) naming the file when the array is
/// broken, does not have the shape that config.json says, or holds a value that is no
/// probability.
[[nodiscard]] policy::Calibration calibrate_from_capture(const std::filesystem::path& folder);

}  // namespace hc::config
