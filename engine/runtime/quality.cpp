// How far two rows of logits are apart.
#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/runtime/generate.h"

namespace hc::runtime {
namespace {

/// log of the sum of exponentials, in double and without overflow.
double log_sum_exp(std::span<const float> logits) {
    const auto largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
    return largest + std::log(sum);
}

}  // namespace

double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits) {
    HC_CHECK(!p_logits.empty());
    HC_CHECK(p_logits.size() == q_logits.size());
    const double p_norm = log_sum_exp(p_logits);
    const double q_norm = log_sum_exp(q_logits);
    double kl = 0;
    for (std::size_t i = 0; i < p_logits.size(); ++i) {
        const double log_p = static_cast<double>(p_logits[i]) - p_norm;
        const double log_q = static_cast<double>(q_logits[i]) - q_norm;
        kl += std::exp(log_p) * (log_p - log_q);
    }
    return std::max(0.0, kl);  // rounding may leave a hair below
}

double negative_log_likelihood(std::span<const float> logits, TokenId token) {
    HC_CHECK(token >= 0 && static_cast<std::size_t>(token) < logits.size());
    return log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

}  // namespace hc::runtime
