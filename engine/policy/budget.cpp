#include "engine/policy/budget.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>

#include "engine/core/error.h"
#include "engine/policy/water_fill.h"

namespace hc::policy {
namespace {

constexpr std::int64_t kShortPrompt = 256;  ///< row 22: below it everything is kept
constexpr std::int64_t kLeastCapacity = 16;
constexpr double kWholeWithin = 1e-6;  ///< r N P this close to an integer means that integer
constexpr double kRatioStep = 1e-6;    ///< of minimum_ratio
constexpr std::int64_t kRatioSteps = 1'000'000;

/// What the formulas of algorithm.md §3 need of a profile and a prompt.
struct Problem {
    const HeadProfile& profile;
    const Settings& settings;
    std::int64_t prompt = 0;
    double heads = 0;                       ///< N
    double full = 0;                        ///< F
    std::vector<std::size_t> compressed{};  ///< head indices
    std::vector<double> ratios{};           ///< of these

    Problem(const HeadProfile& p, std::int64_t prompt_tokens, const Settings& s)
        : profile(p), settings(s), prompt(prompt_tokens) {
        HC_CHECK(prompt >= 0);
        HC_CHECK(profile.ratios.size() == profile.size());
        heads = static_cast<double>(profile.size());
        full = static_cast<double>(profile.num_full());
        for (std::size_t i = 0; i < profile.size(); ++i) {
            if (is_full(profile.roles[i])) continue;
            compressed.push_back(i);
            ratios.push_back(profile.ratios[i]);
            HC_CHECK(ratios.back() > 0.0);
        }
    }

    [[nodiscard]] bool fixed() const { return settings.mode == Mode::kFixed; }
    [[nodiscard]] bool keeps_everything() const { return fixed() && prompt < kShortPrompt; }
    [[nodiscard]] double allowance(double ratio) const {
        return (ratio * heads - full) * static_cast<double>(prompt);
    }
    [[nodiscard]] std::int64_t base(double ratio) const {
        const double mean = allowance(ratio) / static_cast<double>(compressed.size());
        return std::clamp<std::int64_t>(static_cast<std::int64_t>(mean), 0, prompt);
    }
    /// Tokens of all compressed heads under water filling.
    [[nodiscard]] std::int64_t whole_allowance(double ratio) const {
        const double exact = allowance(ratio);
        const double nearest = std::round(exact);
        const double whole =
            std::abs(exact - nearest) <= kWholeWithin ? nearest : std::floor(exact);
        return std::clamp<std::int64_t>(static_cast<std::int64_t>(whole), 0,
                                        prompt * static_cast<std::int64_t>(compressed.size()));
    }
};

/// Capacities of the compressed heads that add up to `total` (row 12).
std::vector<std::int64_t> water_filled(const Problem& problem, std::int64_t total) {
    const auto limit = static_cast<double>(problem.prompt);
    const double level = water_level(problem.ratios, limit, static_cast<double>(total));
    std::vector<std::int64_t> capacity;
    std::int64_t left = total;
    for (const double ratio : problem.ratios) {
        // The small term undoes rounding below a share that is a whole number of tokens; over
        // all heads it is far less than one token, so the total is never exceeded.
        const double share = std::min(limit, std::floor(level * ratio + 1e-9));
        capacity.push_back(static_cast<std::int64_t>(share));
        left -= capacity.back();
    }
    HC_CHECK(left >= 0);
    while (left > 0) {
        const std::int64_t before = left;
        for (std::int64_t& tokens : capacity) {
            if (left == 0) break;
            if (tokens == problem.prompt) continue;
            ++tokens;
            --left;
        }
        HC_CHECK(left < before);
    }
    return capacity;
}

/// cap_h = clamp(trunc(base * ratio), 0, P); what is clamped is lost.
std::vector<std::int64_t> scaled(const Problem& problem, std::int64_t base) {
    std::vector<std::int64_t> capacity;
    for (const double ratio : problem.ratios) {
        const double tokens = static_cast<double>(base) * ratio;
        capacity.push_back(
            static_cast<std::int64_t>(std::min(tokens, static_cast<double>(problem.prompt))));
    }
    return capacity;
}

std::vector<std::int64_t> capacities(const Problem& problem, double ratio) {
    return problem.settings.water_fill ? water_filled(problem, problem.whole_allowance(ratio))
                                       : scaled(problem, problem.base(ratio));
}

bool all_large_enough(const Problem& problem, const std::vector<std::int64_t>& capacity) {
    const std::int64_t least = std::min(problem.prompt, kLeastCapacity);
    return std::all_of(capacity.begin(), capacity.end(),
                       [least](std::int64_t tokens) { return tokens >= least; });
}

bool feasible(const Problem& problem, double ratio) {
    if (problem.keeps_everything()) return true;
    if (problem.compressed.empty()) return ratio >= 1.0;
    if (!problem.fixed()) return std::trunc(ratio * problem.heads) > problem.full;
    if (!(ratio * problem.heads > problem.full)) return false;
    return all_large_enough(problem, capacities(problem, ratio));
}

/// The total from which on every total fills all heads to the least capacity.
std::int64_t least_total(const Problem& problem) {
    const auto limit = static_cast<double>(problem.prompt);
    const double weakest = *std::min_element(problem.ratios.begin(), problem.ratios.end());
    const double least = static_cast<double>(std::min(problem.prompt, kLeastCapacity));
    // The level at which the weakest head's share alone, before left-over tokens, is enough.
    double total = 0.0;
    for (const double ratio : problem.ratios) total += std::min(limit, ratio * least / weakest);
    const std::int64_t all = problem.prompt * static_cast<std::int64_t>(problem.ratios.size());
    std::int64_t enough = std::min(all, static_cast<std::int64_t>(std::ceil(total)) + 1);
    while (enough > 0 && all_large_enough(problem, water_filled(problem, enough - 1))) --enough;
    return enough;
}

double ratio_at(std::int64_t step) {
    return static_cast<double>(step) / static_cast<double>(kRatioSteps);
}

/// The first step of [1, kRatioSteps] from which on `holds` is true; it is monotone.
template <typename Predicate>
std::int64_t first_step(Predicate holds) {
    std::int64_t low = 0;
    std::int64_t high = kRatioSteps;
    while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (holds(ratio_at(middle)) ? high : low) = middle;
    }
    return high;
}

std::string text_of(double ratio) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6f", ratio);
    return text;
}

std::int64_t pages(std::int64_t tokens, std::int64_t page) {
    return (tokens + page - 1) / page;
}

}  // namespace

std::int64_t Budgets::total() const {
    return std::accumulate(capacity.begin(), capacity.end(), std::int64_t{0});
}

Budgets full_budgets(std::int32_t num_layers, std::int32_t num_kv_heads, std::int64_t prompt) {
    Budgets budgets;
    budgets.prompt = prompt;
    budgets.base = prompt;
    budgets.capacity.assign(
        static_cast<std::size_t>(num_layers) * static_cast<std::size_t>(num_kv_heads), prompt);
    return budgets;
}

double minimum_ratio(const HeadProfile& profile, std::int64_t prompt, const Settings& settings) {
    const Problem problem(profile, prompt, settings);
    if (!feasible(problem, 1.0)) {
        throw_refused("no ratio is feasible for " + std::to_string(prompt) +
                      " prompt tokens: a head's share of the budget is below " +
                      std::to_string(kLeastCapacity) + " tokens even at ratio 1");
    }
    if (problem.keeps_everything()) return kRatioStep;
    if (problem.compressed.empty()) return 1.0;
    if (problem.fixed() && settings.water_fill) {
        const std::int64_t least = least_total(problem);
        return ratio_at(first_step([&](double ratio) {
            return ratio * problem.heads > problem.full && problem.whole_allowance(ratio) >= least;
        }));
    }
    return ratio_at(first_step([&](double ratio) { return feasible(problem, ratio); }));
}

Budgets compute_budgets(const HeadProfile& profile, std::int64_t prompt, const Settings& settings) {
    validate(settings);
    const Problem problem(profile, prompt, settings);
    if (!feasible(problem, settings.ratio)) {
        const double minimum = minimum_ratio(profile, prompt, settings);
        throw_refused("ratio " + text_of(settings.ratio) + " is too small for these heads and " +
                      std::to_string(prompt) + " prompt tokens (" +
                      std::to_string(profile.num_full()) + " of " + std::to_string(profile.size()) +
                      " heads keep everything), expected at least " + text_of(minimum));
    }
    Budgets budgets = full_budgets(profile.num_layers, profile.num_kv_heads, prompt);
    if (problem.keeps_everything() || problem.compressed.empty()) return budgets;
    budgets.base = problem.base(settings.ratio);
    const std::vector<std::int64_t> capacity = capacities(problem, settings.ratio);
    for (std::size_t i = 0; i < capacity.size(); ++i) {
        budgets.capacity[problem.compressed[i]] = capacity[i];
    }
    return budgets;
}

std::vector<HeadId> host_heads(const HeadProfile& profile, const Settings& settings) {
    std::vector<HeadId> heads;
    if (!settings.retrieval) return heads;
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        bool any = false;
        for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
            any |= profile.role({layer, head}) == HeadRole::kSatellite;
        }
        for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
            const bool satellite = profile.role({layer, head}) == HeadRole::kSatellite;
            if (settings.host_satellites_only ? satellite : any) heads.push_back({layer, head});
        }
    }
    return heads;
}

CapacityRange compressed_capacities(const HeadProfile& profile, const Budgets& budgets) {
    std::vector<std::int64_t> tokens;
    for (std::size_t i = 0; i < profile.size(); ++i) {
        if (!is_full(profile.roles[i])) tokens.push_back(budgets.capacity[i]);
    }
    if (tokens.empty()) return {};
    std::sort(tokens.begin(), tokens.end());
    const std::size_t middle = tokens.size() / 2;
    const std::int64_t median =
        tokens.size() % 2 == 1 ? tokens[middle] : (tokens[middle - 1] + tokens[middle]) / 2;
    return {tokens.front(), median, tokens.back()};
}

MemoryForecast forecast_memory(const HeadProfile& profile, const Budgets& budgets,
                               const ModelShape& shape, std::int64_t generated, std::int64_t batch,
                               std::int64_t page_tokens, std::int64_t element_bytes,
                               const Settings& settings) {
    HC_CHECK(budgets.capacity.size() == profile.size());
    HC_CHECK(page_tokens >= 1);
    const std::int64_t token_bytes = 2 * shape.head_dim * element_bytes * batch;  // K and V
    std::int64_t pool_pages = 0;
    std::int64_t satellite_tokens = 0;
    for (std::size_t i = 0; i < profile.size(); ++i) {
        pool_pages += pages(budgets.capacity[i] + generated, page_tokens);
        if (profile.roles[i] == HeadRole::kSatellite) satellite_tokens += budgets.capacity[i];
    }
    const auto num_heads = static_cast<std::int64_t>(profile.size());
    const auto num_host = static_cast<std::int64_t>(host_heads(profile, settings).size());
    MemoryForecast forecast;
    forecast.pool_bytes = token_bytes * pool_pages * page_tokens;
    forecast.pool_token_bytes = token_bytes * budgets.total();
    forecast.host_bytes = token_bytes * budgets.prompt * num_host;
    forecast.full_pool_bytes =
        token_bytes * pages(budgets.prompt + generated, page_tokens) * page_tokens * num_heads;
    forecast.full_refresh_bytes = token_bytes * satellite_tokens;
    return forecast;
}

}  // namespace hc::policy
