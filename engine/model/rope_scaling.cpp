#include "engine/model/rope_scaling.h"

#include <cmath>
#include <numbers>

namespace hc::model {

// Formula after the reference code of Llama 3.1 (function apply_scaling of its model.py).
std::vector<float> llama3_rope_factors(const RopeScaling& scaling, double rope_theta,
                                       std::int64_t head_dim) {
    const auto original = static_cast<double>(scaling.original_context);
    std::vector<float> factors;
    for (std::int64_t i = 0; i < head_dim / 2; ++i) {
        const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
        const double wavelength = 2 * std::numbers::pi * std::pow(rope_theta, exponent);
        double factor = 1;
        if (wavelength > original / scaling.low_freq_factor) {
            factor = scaling.factor;
        } else if (wavelength >= original / scaling.high_freq_factor) {
            const double blend = (original / wavelength - scaling.low_freq_factor) /
                                 (scaling.high_freq_factor - scaling.low_freq_factor);
            factor = 1 / ((1 - blend) / scaling.factor + blend);
        }
        factors.push_back(static_cast<float>(factor));
    }
    return factors;
}

}  // namespace hc::model
