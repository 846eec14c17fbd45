#include "profiler/analysis/welch.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"

namespace hc::analysis {
namespace {

/// The continued fraction of the incomplete beta function, by Lentz's method (NIST DLMF 8.17.22);
/// converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
    constexpr double kTiny = 1e-300;
    constexpr double kExact = 1e-15;
    const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
    double c = 1;
    double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
    double h = d;
    for (int m = 1; m <= 10000; ++m) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        h *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        h *= d * c;
        if (std::abs(d * c - 1) < kExact) break;
    }
    return h;
}

/// Regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                  a * std::log(x) + b * std::log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

struct Moments {
    double mean = 0;
    double variance_of_mean = 0;  // s^2 / n
};

Moments moments_of(std::span<const double> values) {
    for (const double v : values) HC_CHECK(!std::isnan(v));
    const auto n = static_cast<double>(values.size());
    Moments m;
    m.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    double squares = 0;
    for (const double v : values) squares += (v - m.mean) * (v - m.mean);
    m.variance_of_mean = squares / (n - 1) / n;
    return m;
}

}  // namespace

double student_two_sided(double t, double degrees_of_freedom) {
    if (std::isinf(t)) return 0;
    return incomplete_beta(degrees_of_freedom / 2, 0.5,
                           degrees_of_freedom / (degrees_of_freedom + t * t));
}

double student_quantile(double p, double degrees_of_freedom) {
    double low = 0;
    double high = 1;
    while (student_two_sided(high, degrees_of_freedom) > p && high < 1e300) high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-12 * high; ++i) {  // the function falls all along
        const double middle = low + (high - low) / 2;
        (student_two_sided(middle, degrees_of_freedom) > p ? low : high) = middle;
    }
    return low + (high - low) / 2;
}

std::optional<WelchResult> welch_test(std::span<const double> a, std::span<const double> b) {
    if (std::min(a.size(), b.size()) < kRecordingsMin) return std::nullopt;
    const Moments of_a = moments_of(a);
    const Moments of_b = moments_of(b);
    WelchResult r;
    r.difference = of_b.mean - of_a.mean;
    const double variance = of_a.variance_of_mean + of_b.variance_of_mean;
    if (!(variance > 0)) {
        r.low = r.high = r.difference;
        r.degrees_of_freedom = static_cast<double>(a.size() + b.size() - 2);
        r.p = r.difference == 0 ? 1 : 0;
        return r;
    }
    const auto part = [](const Moments& m, std::size_t n) {
        return m.variance_of_mean * m.variance_of_mean / static_cast<double>(n - 1);
    };
    r.degrees_of_freedom = variance * variance / (part(of_a, a.size()) + part(of_b, b.size()));
    const double error = std::sqrt(variance);
    r.p = student_two_sided(r.difference / error, r.degrees_of_freedom);
    const double half = student_quantile(kSignificance, r.degrees_of_freedom) * error;
    r.low = r.difference - half;
    r.high = r.difference + half;
    return r;
}

std::vector<double> holm_adjusted(std::span<const double> p) {
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t x, std::size_t y) { return p[x] < p[y]; });
    std::vector<double> adjusted(p.size());
    double largest = 0;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
        const auto left = static_cast<double>(order.size() - rank);
        largest = std::max(largest, std::min(1.0, left * p[order[rank]]));
        adjusted[order[rank]] = largest;
    }
    return adjusted;
}

}  // namespace hc::analysis
