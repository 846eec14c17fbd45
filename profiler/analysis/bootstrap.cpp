#include "profiler/analysis/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

namespace hc::analysis {
namespace {

constexpr std::uint64_t kSeed = 20240229;

/// Random numbers that are the same with every standard library: the standard fixes its engines,
/// not its distributions.
class Random {
public:
    /// In (0, 1), both ends excluded.
    double uniform() {
        return (static_cast<double>(engine_() >> 11U) + 0.5) * (1.0 / 9007199254740992.0);
    }

    double normal() {  // Box and Muller
        const double radius = std::sqrt(-2 * std::log(uniform()));
        return radius * std::cos(2 * std::numbers::pi * uniform());
    }

    /// `shape` is at least 1. Marsaglia and Tsang, "A simple method for generating gamma
    /// variables", ACM TOMS 26 (2000).
    double gamma(double shape) {
        const double d = shape - 1.0 / 3;
        const double c = 1 / std::sqrt(9 * d);
        for (;;) {
            const double x = normal();
            const double root = 1 + c * x;
            if (root <= 0) continue;
            const double v = root * root * root;
            if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
        }
    }

private:
    std::mt19937_64 engine_{kSeed};
};

/// Medians of resamples, without drawing the resamples. n draws with replacement are
/// sorted[floor(n U)] for n uniform U, and that function never falls, so the k-th smallest draw
/// is sorted[floor(n U_(k))]; U_(k), the k-th smallest of n uniforms, is Beta(k, n + 1 - k). This
/// is the same distribution at a cost that does not grow with n.
class ResampledMedian {
public:
    explicit ResampledMedian(std::span<const double> sorted) : sorted_(sorted) {}

    [[nodiscard]] double draw(Random& random) const {
        const std::size_t n = sorted_.size();
        const std::size_t k = (n + 1) / 2;
        const double below = random.gamma(static_cast<double>(k));
        const double above = random.gamma(static_cast<double>(n + 1 - k));
        const double lower = below / (below + above);
        if (n % 2 == 1) return at(lower);
        // The next one is the smallest of n - k uniforms on (lower, 1).
        const double rest = std::pow(random.uniform(), 1 / static_cast<double>(n - k));
        return (at(lower) + at(1 - (1 - lower) * rest)) / 2;
    }

private:
    [[nodiscard]] double at(double u) const {
        const std::size_t n = sorted_.size();
        return sorted_[std::min(static_cast<std::size_t>(u * static_cast<double>(n)), n - 1)];
    }

    std::span<const double> sorted_;
};

}  // namespace

Bounds bootstrap_interval(std::span<const double> a, std::span<const double> b) {
    Random random;
    const ResampledMedian of_a(a);
    const ResampledMedian of_b(b);
    std::vector<double> differences(kResamples);
    for (double& difference : differences) {
        const double median_a = of_a.draw(random);
        difference = of_b.draw(random) - median_a;
    }
    std::sort(differences.begin(), differences.end());
    constexpr std::size_t kTail = kResamples / 40;  // 2.5 % on either side
    return {differences[kTail], differences[kResamples - 1 - kTail]};
}

}  // namespace hc::analysis
