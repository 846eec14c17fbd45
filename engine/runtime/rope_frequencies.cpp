#include "engine/runtime/rope_frequencies.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace hc::runtime {
namespace {

/// Llama-3 scaling (rope_type "llama3" of published config.json files): wavelengths longer than
/// original/low are stretched by `factor`, shorter than original/high are left alone, and
/// between them the two are blended.
double llama3_scaled(double frequency, const RopeScaling& scaling) {
    const auto original = static_cast<double>(scaling.original_context);
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
    if (wavelength < original / scaling.high_freq_factor) return frequency;
    const double blend = (original / wavelength - scaling.low_freq_factor) /
                         (scaling.high_freq_factor - scaling.low_freq_factor);
    return (1.0 - blend) * frequency / scaling.factor + blend * frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const ModelShape& shape, std::span<const float> factors) {
    const auto half = static_cast<std::size_t>(shape.head_dim / 2);
    if (!factors.empty() && factors.size() != half) {
        throw_input(fmt::format("the model has {} RoPE factors, expected {} (half its head size)",
                                factors.size(), half));
    }
    std::vector<float> inv_freq(half);
    for (std::size_t i = 0; i < half; ++i) {
        const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim);
        double frequency = 1.0 / std::pow(shape.rope_theta, exponent);
        if (!factors.empty()) {
            frequency /= static_cast<double>(factors[i]);
        } else if (shape.rope_scaling.factor != 1.0) {
            frequency = llama3_scaled(frequency, shape.rope_scaling);
        }
        inv_freq[i] = static_cast<float>(frequency);
    }
    return inv_freq;
}

void rope_angles(std::span<const float> inv_freq, std::int64_t first, std::int64_t count,
                 float* cos_table, float* sin_table) {
    for (std::int64_t position = first; position < first + count; ++position) {
        for (const float frequency : inv_freq) {
            const double angle = static_cast<double>(position) * static_cast<double>(frequency);
            *cos_table++ = static_cast<float>(std::cos(angle));
            *sin_table++ = static_cast<float>(std::sin(angle));
        }
    }
}

}  // namespace hc::runtime
