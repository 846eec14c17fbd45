#include "engine/policy/calibration.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "engine/policy/selection.h"
#include "engine/policy/water_fill.h"

namespace hc::policy {
namespace {

constexpr std::int32_t kPoolWidth = 5;
constexpr double kWeightEpsilon = 1e-6;
constexpr double kTopkShare = 0.2048;  // 1024 of 5000

/// The sets of one layer in one pass: [batch * num_kv_heads + head].
using LayerSets = std::vector<Positions>;

double mean_overlap(const LayerSets& a, std::size_t head_a, const LayerSets& b, std::size_t head_b,
                    std::size_t num_heads) {
    const std::size_t batch = a.size() / num_heads;
    double sum = 0.0;
    for (std::size_t i = 0; i < batch; ++i) {
        sum += overlap(a[i * num_heads + head_a], b[i * num_heads + head_b]);
    }
    return sum / static_cast<double>(batch);
}

/// Greedy stars (algorithm.md §2): the head with most free neighbours becomes a centre.
std::vector<Star> find_stars(const std::vector<std::vector<std::int32_t>>& adjacency) {
    std::vector<bool> free(adjacency.size(), true);
    const auto free_neighbours = [&](std::size_t head) {
        std::vector<std::int32_t> found;
        for (const std::int32_t other : adjacency[head]) {
            if (free[static_cast<std::size_t>(other)]) found.push_back(other);
        }
        return found;
    };
    std::vector<Star> stars;
    while (true) {
        Star best;
        for (std::size_t head = 0; head < adjacency.size(); ++head) {
            if (!free[head]) continue;
            std::vector<std::int32_t> members = free_neighbours(head);
            if (members.size() <= best.members.size()) continue;
            best.pivot = static_cast<std::int32_t>(head);
            best.members = std::move(members);
        }
        if (best.members.empty()) return stars;
        free[static_cast<std::size_t>(best.pivot)] = false;
        for (const std::int32_t member : best.members) {
            free[static_cast<std::size_t>(member)] = false;
        }
        stars.push_back(std::move(best));
    }
}

void assign_roles(HeadProfile& profile, std::int32_t layer, const std::vector<double>& stability) {
    for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
        const bool drifts = stability[static_cast<std::size_t>(head)] < profile.stable_threshold;
        profile.roles[profile.index({layer, head})] =
            drifts ? HeadRole::kVolatile : HeadRole::kAnchor;
    }
    for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
        profile.roles[profile.index({layer, star.pivot})] = HeadRole::kPivot;
        for (const std::int32_t member : star.members) {
            profile.roles[profile.index({layer, member})] = HeadRole::kSatellite;
        }
    }
}

/// Shares of the budget: unstable heads get more, the mean over compressed heads is 1.
void assign_ratios(HeadProfile& profile, const CalibrationSettings& settings) {
    std::vector<double> weights;
    double sum = 0.0;
    for (std::size_t i = 0; i < profile.size(); ++i) {
        if (is_full(profile.roles[i])) continue;
        const double stability = std::max(profile.stability[i], settings.stability_floor);
        weights.push_back(1.0 / (stability + kWeightEpsilon));
        sum += weights.back();
    }
    if (weights.empty()) return;
    const auto count = static_cast<double>(weights.size());
    double level = 0.0;  // of the capped shares, when there is a cap
    if (settings.ratio_cap > 0.0) level = water_level(weights, settings.ratio_cap, count);
    std::size_t next = 0;
    for (std::size_t i = 0; i < profile.size(); ++i) {
        if (is_full(profile.roles[i])) continue;
        const double weight = weights[next++];
        profile.ratios[i] = settings.ratio_cap > 0.0 ? std::min(settings.ratio_cap, level * weight)
                                                     : weight / sum * count;
    }
}

void check_settings(const CalibrationSettings& s) {
    HC_CHECK(s.num_layers >= 1);
    HC_CHECK(s.num_kv_heads >= 1);
    HC_CHECK(s.num_qo_heads >= s.num_kv_heads);
    HC_CHECK(s.num_qo_heads % s.num_kv_heads == 0);
    HC_CHECK(s.batch >= 1);
    HC_CHECK(s.topk >= 1);
    HC_CHECK(s.max_length >= 1);
    HC_CHECK(s.stability_floor >= 0.0);
    HC_CHECK(s.ratio_cap == 0.0 || s.ratio_cap >= 1.0);  // a mean of 1 must be reachable
}

}  // namespace

std::int64_t default_topk(std::int64_t prompt) {
    return std::max<std::int64_t>(1, std::llround(kTopkShare * static_cast<double>(prompt)));
}

float round_to_half(float value) {
    return through_half(value);
}

Calibrator::Calibrator(const CalibrationSettings& settings) : settings_(settings) {
    check_settings(settings_);
}

void Calibrator::begin_pass(std::int64_t kv_len) {
    HC_CHECK(kv_len >= 1);
    HC_CHECK(kv_len_.empty() || kv_len > kv_len_.back());
    kv_len_.push_back(kv_len);
    sets_.emplace_back(static_cast<std::size_t>(settings_.num_layers));
}

void Calibrator::add_layer(std::int32_t layer, std::span<const float> rows) {
    HC_CHECK(!kv_len_.empty());
    HC_CHECK(layer >= 0);
    HC_CHECK(layer < settings_.num_layers);
    const auto kv_len = static_cast<std::size_t>(kv_len_.back());
    const auto batch = static_cast<std::size_t>(settings_.batch);
    const auto num_qo_heads = static_cast<std::size_t>(settings_.num_qo_heads);
    const auto num_kv_heads = static_cast<std::size_t>(settings_.num_kv_heads);
    HC_CHECK(rows.size() == batch * num_qo_heads * kv_len);
    const std::size_t group = num_qo_heads / num_kv_heads;
    const std::size_t length = std::min(kv_len, static_cast<std::size_t>(settings_.max_length));
    std::vector<float> mean(length);
    std::vector<float> pooled;
    LayerSets& sets = sets_.back()[static_cast<std::size_t>(layer)];
    sets.assign(batch * num_kv_heads, {});
    for (std::size_t i = 0; i < sets.size(); ++i) {
        // Query heads of a KV head lie together, sequence by sequence.
        const float* first = rows.data() + i * group * kv_len;
        for (std::size_t k = 0; k < length; ++k) {
            float sum = 0.0F;
            for (std::size_t g = 0; g < group; ++g) sum += first[g * kv_len + k];
            mean[k] = group == 1 ? sum : round_to_half(sum / static_cast<float>(group));
        }
        mean_filter(mean, kPoolWidth, pooled);
        top_k(pooled, static_cast<std::size_t>(settings_.topk), sets[i]);
        sets[i].shrink_to_fit();  // kept until finish()
    }
}

Calibration Calibrator::finish() const {
    const auto num_heads = static_cast<std::size_t>(settings_.num_kv_heads);
    if (kv_len_.empty())
        throw_input("calibration saw no forward pass, expected at least a prefill");
    for (std::size_t pass = 0; pass < sets_.size(); ++pass) {
        for (std::size_t layer = 0; layer < sets_[pass].size(); ++layer) {
            if (!sets_[pass][layer].empty()) continue;
            throw_input("calibration pass " + std::to_string(pass) + " (" +
                        std::to_string(kv_len_[pass]) + " keys) has no attention rows of layer " +
                        std::to_string(layer));
        }
    }
    const auto at_step = std::find(kv_len_.begin(), kv_len_.end(), settings_.calibration_step);
    const std::size_t spatial = at_step != kv_len_.end()
                                    ? static_cast<std::size_t>(at_step - kv_len_.begin())
                                    : kv_len_.size() - 1;
    Calibration result;
    result.spatial_step = kv_len_[spatial];
    HeadProfile& profile = result.profile;
    profile.num_layers = settings_.num_layers;
    profile.num_kv_heads = settings_.num_kv_heads;
    profile.stable_threshold = settings_.stable_threshold;
    profile.sim_threshold = settings_.sim_threshold;
    profile.topk = settings_.topk;
    profile.calibration_step = result.spatial_step;
    const std::size_t size = static_cast<std::size_t>(settings_.num_layers) * num_heads;
    profile.roles.assign(size, HeadRole::kAnchor);
    profile.ratios.assign(size, -1.0);
    for (std::int32_t layer = 0; layer < settings_.num_layers; ++layer) {
        result.layers.push_back(calibrate_layer(static_cast<std::size_t>(layer), spatial));
        const LayerCalibration& found = result.layers.back();
        profile.stability.insert(profile.stability.end(), found.stability.begin(),
                                 found.stability.end());
        profile.stars.push_back(find_stars(found.adjacency));
        assign_roles(profile, layer, found.stability);
    }
    assign_ratios(profile, settings_);
    return result;
}

LayerCalibration Calibrator::calibrate_layer(std::size_t layer, std::size_t spatial) const {
    const auto num_heads = static_cast<std::size_t>(settings_.num_kv_heads);
    const LayerSets& prefill = sets_.front()[layer];
    const LayerSets& similar = sets_[spatial][layer];
    LayerCalibration out;
    out.overlap_history.resize(num_heads);
    out.similarity.assign(num_heads, std::vector<double>(num_heads, 0.0));
    out.adjacency.resize(num_heads);
    for (std::size_t head = 0; head < num_heads; ++head) {
        for (std::size_t pass = 1; pass < sets_.size(); ++pass) {
            out.overlap_history[head].push_back(
                mean_overlap(prefill, head, sets_[pass][layer], head, num_heads));
        }
        out.stability.push_back(median(out.overlap_history[head]));
        for (std::size_t other = 0; other < num_heads; ++other) {
            if (other == head) continue;
            const double alike = mean_overlap(similar, head, similar, other, num_heads);
            out.similarity[head][other] = alike;
            if (alike >= settings_.sim_threshold) {
                out.adjacency[head].push_back(static_cast<std::int32_t>(other));
            }
        }
    }
    for (std::size_t first = 0; first < prefill.size(); first += num_heads) {
        const auto begin = prefill.begin() + static_cast<std::ptrdiff_t>(first);
        out.prefill_sets.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(num_heads));
    }
    return out;
}

}  // namespace hc::policy
