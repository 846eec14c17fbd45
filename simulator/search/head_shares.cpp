#include <algorithm>
#include <cmath>
#include <queue>

#include "engine/policy/budget.h"
#include "simulator/search/tune.h"

namespace hc::sim {
namespace {

constexpr int kStops = 64;               // capacities that curves are taken at
constexpr std::int64_t kLeastKept = 16;  // policy::compute_budgets refuses less
/// A head that drift refreshes is worth more than its prefill set says, so none is starved: no
/// share falls below this part of the mean.
constexpr double kLeastShare = 0.25;

struct Piece {
    double gain = 0;  // recall per position
    std::size_t head = 0;
    std::int64_t from = 0;
    std::int64_t to = 0;
};

struct LessGain {
    bool operator()(const Piece& a, const Piece& b) const {
        return a.gain != b.gain ? a.gain < b.gain : a.head > b.head;
    }
};

/// Pieces of the upper concave hull of a head's curve.
std::vector<Piece> hull_of(std::size_t head, const std::vector<std::int64_t>& x,
                           const std::vector<double>& y) {
    std::vector<std::size_t> hull;
    const auto slope = [&](std::size_t a, std::size_t b) {
        return (y[b] - y[a]) / static_cast<double>(x[b] - x[a]);
    };
    for (std::size_t i = 0; i < x.size(); ++i) {
        while (hull.size() >= 2 &&
               slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), i)) {
            hull.pop_back();
        }
        hull.push_back(i);
    }
    std::vector<Piece> pieces;
    for (std::size_t i = 1; i < hull.size(); ++i) {
        pieces.push_back({slope(hull[i - 1], hull[i]), head, x[hull[i - 1]], x[hull[i]]});
    }
    return pieces;
}

}  // namespace

std::shared_ptr<const HeadProfile> shares_by_curves(const Simulator& simulator,
                                                    const Scenario& scenario) {
    const HeadProfile* profile = simulator.heads();
    if (profile == nullptr || simulator.depth() == 0) return nullptr;
    policy::Settings settings = simulator.settings();
    if (scenario.ratio) settings.ratio = *scenario.ratio;
    const policy::Budgets budgets =
        policy::compute_budgets(*profile, simulator.prompt_tokens(), settings);
    const std::int64_t deepest = std::min(simulator.depth(), budgets.prompt);
    std::int64_t total = 0;
    std::int64_t heads = 0;
    for (std::size_t i = 0; i < profile->size(); ++i) {
        if (is_full(profile->roles[i])) continue;
        total += std::min(budgets.capacity[i], deepest);
        ++heads;
    }
    if (heads == 0) return nullptr;
    const std::int64_t mean = total / heads;
    const std::int64_t least = std::clamp<std::int64_t>(
        std::llround(kLeastShare * static_cast<double>(mean)), kLeastKept, deepest);
    if (least >= deepest || total <= least * heads) return nullptr;

    std::vector<std::int64_t> stops;
    for (int i = 0; i <= kStops; ++i) stops.push_back(least + (deepest - least) * i / kStops);
    stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
    const auto curves = simulator.recall_curves(stops);
    std::priority_queue<Piece, std::vector<Piece>, LessGain> queue;
    std::vector<std::vector<Piece>> pieces(profile->size());
    std::vector<std::size_t> next(profile->size(), 0);
    for (std::size_t i = 0; i < profile->size(); ++i) {
        if (is_full(profile->roles[i])) continue;
        if (curves[i].empty()) return nullptr;
        pieces[i] = hull_of(i, stops, curves[i]);
        if (!pieces[i].empty()) queue.push(pieces[i].front());
    }
    std::vector<std::int64_t> capacity(profile->size(), least);
    std::int64_t left = total - least * heads;
    while (left > 0 && !queue.empty()) {
        const Piece piece = queue.top();
        queue.pop();
        const std::int64_t take = std::min(left, piece.to - piece.from);
        capacity[piece.head] = piece.from + take;
        left -= take;
        if (++next[piece.head] < pieces[piece.head].size()) {
            queue.push(pieces[piece.head][next[piece.head]]);
        }
    }
    auto shares = std::make_shared<HeadProfile>(*profile);
    for (std::size_t i = 0; i < profile->size(); ++i) {
        if (is_full(profile->roles[i])) continue;
        shares->ratios[i] = static_cast<double>(capacity[i]) / static_cast<double>(mean);
    }
    return shares;
}

}  // namespace hc::sim
