/// From captured attention rows to a head profile (algorithm.md §2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/policy/settings.h"

namespace hc::policy {

struct CalibrationSettings {
    std::int32_t num_layers = 0;
    std::int32_t num_qo_heads = 0;
    std::int32_t num_kv_heads = 0;
    std::int32_t batch = 1;
    std::int64_t topk = 1024;
    std::int64_t max_length = 5000;
    /// The pass whose kv length equals this gives the similarities; without one, the last pass.
    std::int64_t calibration_step = 5000;
    double stable_threshold = 0.5;
    double sim_threshold = 0.5;
    double stability_floor = 0.05;  ///< row 13; 0 reproduces the reference
    double ratio_cap = 0.0;  ///< row 13: largest ratio, at least 1, what is cut off goes to the
                             ///< other heads so that the mean stays 1; 0: none
};

/// Ours: topk = round(0.2048 * prompt), 1024 at 5000 tokens.
[[nodiscard]] std::int64_t default_topk(std::int64_t prompt);

/// Intermediate values, for goldens, plots and the curious.
struct LayerCalibration {
    std::vector<double> stability;                     ///< [kv head]
    std::vector<std::vector<double>> overlap_history;  ///< [kv head][decode pass], batch mean
    std::vector<std::vector<double>> similarity;       ///< [kv head][kv head], 0 diagonal
    std::vector<std::vector<std::int32_t>> adjacency;  ///< [kv head], ascending
    std::vector<std::vector<Positions>> prefill_sets;  ///< [batch][kv head], ascending
};

struct Calibration {
    HeadProfile profile;
    std::vector<LayerCalibration> layers;
    std::int64_t spatial_step = 0;  ///< kv length of the pass that gave the similarities
};

/// Fed pass by pass; keeps sets, not rows. Order of calls: passes ascending; the first pass is
/// the prefill.
class Calibrator {
public:
    explicit Calibrator(const CalibrationSettings& settings);

    /// A forward pass over `kv_len` keys begins.
    void begin_pass(std::int64_t kv_len);
    /// The softmax rows of the last query of this pass in one layer:
    /// rows is [batch, query head, kv_len] in fp32, each value already rounded to fp16.
    void add_layer(std::int32_t layer, std::span<const float> rows);
    /// Throws Error(kInput) when a layer misses a pass or there is none. The profile's
    /// calibration_step is the kv length of the pass that gave the similarities.
    [[nodiscard]] Calibration finish() const;

private:
    [[nodiscard]] LayerCalibration calibrate_layer(std::size_t layer, std::size_t spatial) const;

    CalibrationSettings settings_;
    std::vector<std::int64_t> kv_len_;                       // [pass]
    std::vector<std::vector<std::vector<Positions>>> sets_;  // [pass][layer][batch*kv head]
};

/// Rounds to the nearest IEEE half and back, ties to even.
[[nodiscard]] float round_to_half(float value);

}  // namespace hc::policy
