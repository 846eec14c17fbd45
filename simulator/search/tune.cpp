#include "simulator/search/tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <numeric>
#include <random>
#include <thread>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr std::size_t kBlock = 32;  // neighbouring points that one thread takes: they share work
constexpr double kShareMost = 20;   // of the mean; beyond it the rest would starve

/// Improves a candidate by moving shares of the budget between heads, and spends what recall that
/// wins on a smaller ratio where that serves the goal.
class HeadSearch {
public:
    HeadSearch(const Simulator& simulator, const Identity& identity, const TuneOptions& options,
               ResultFile& results, Progress& progress)
        : simulator_(simulator),
          identity_(identity),
          options_(options),
          results_(results),
          progress_(progress),
          random_(options.seed) {}

    Candidate improve(Candidate best) {
        left_ = options_.head_trials;
        progress_.begin("shares among heads", left_);
        by_curves(best);
        double step = 0.25;
        while (left_ > 0) {
            if (progress_.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
            const bool better = left_ % 4 == 0 ? try_ratio(best) : try_move(best, step);
            step = std::clamp(better ? step * 1.3 : step * 0.97, 0.02, 0.5);
        }
        progress_.end();
        return best;
    }

private:
    /// nullopt: refused, or no trials left.
    std::optional<Figures> ask(const Scenario& scenario) {
        if (left_ <= 0) return std::nullopt;
        --left_;
        progress_.update(options_.head_trials - left_);
        const std::string key = key_of(identity_, scenario);
        if (const Point* known = results_.find(key)) return known->figures;
        Point point = answer(simulator_, identity_, scenario);
        const std::optional<Figures> figures = point.figures;
        results_.add(std::move(point));
        return figures;
    }

    bool take_if_better(Candidate& best, const Scenario& scenario) {
        const std::optional<Figures> figures = ask(scenario);
        if (!figures || !options_.goal.better(*figures, best.figures)) return false;
        best = {scenario, *figures};
        return true;
    }

    /// The shares that the heads' curves ask for, and half of the way there, at this ratio and at
    /// smaller ones.
    void by_curves(Candidate& best) {
        const double ratio = best.scenario.ratio.value_or(simulator_.settings().ratio);
        for (const double smaller : {1.0, 0.98, 0.96, 0.93, 0.9, 0.86, 0.82, 0.77}) {
            Scenario scenario = best.scenario;
            scenario.ratio = ratio * smaller;
            const auto shares = shares_of(scenario);
            if (shares == nullptr) continue;
            scenario.heads = shares;
            (void)take_if_better(best, scenario);
            auto half = std::make_shared<HeadProfile>(*shares);
            for (std::size_t i = 0; i < half->size(); ++i) {
                if (is_full(half->roles[i])) continue;
                half->ratios[i] = (half->ratios[i] + simulator_.heads()->ratios[i]) / 2;
            }
            scenario.heads = half;
            (void)take_if_better(best, scenario);
        }
    }

    std::shared_ptr<const HeadProfile> shares_of(const Scenario& scenario) const {
        try {
            return shares_by_curves(simulator_, scenario);
        } catch (const Error& error) {
            if (error.code() != ExitCode::kRefused) throw;
            return nullptr;  // a ratio that is not feasible
        }
    }

    /// Some of one head's share goes to another.
    bool try_move(Candidate& best, double step) {
        const HeadProfile& now = best.scenario.heads ? *best.scenario.heads : *simulator_.heads();
        std::vector<std::size_t> heads;
        for (std::size_t i = 0; i < now.size(); ++i) {
            if (!is_full(now.roles[i])) heads.push_back(i);
        }
        if (heads.size() < 2) {
            left_ = 0;
            return false;
        }
        const std::size_t from = heads[random_() % heads.size()];
        const std::size_t to = heads[random_() % heads.size()];
        const double moved = step * now.ratios[from];
        if (from == to || now.ratios[to] + moved > kShareMost) {
            --left_;  // a trial too, so that the search always ends
            return false;
        }
        auto changed = std::make_shared<HeadProfile>(now);
        changed->ratios[from] -= moved;
        changed->ratios[to] += moved;
        Scenario scenario = best.scenario;
        scenario.heads = changed;
        return take_if_better(best, scenario);
    }

    bool try_ratio(Candidate& best) {
        Scenario scenario = best.scenario;
        const double ratio = scenario.ratio.value_or(simulator_.settings().ratio);
        // Up as well: a candidate that misses a limit on recall needs more.
        const double change = 0.002 * static_cast<double>(1 + random_() % 8);
        scenario.ratio = std::min(1.0, ratio * (random_() % 3 == 0 ? 1 + change : 1 - change));
        return take_if_better(best, scenario);
    }

    const Simulator& simulator_;
    const Identity& identity_;
    const TuneOptions& options_;
    ResultFile& results_;
    Progress& progress_;
    std::mt19937_64 random_;
    std::int64_t left_ = 0;
};

}  // namespace

void answer_all(const Simulator& simulator, const Identity& identity,
                const std::vector<Scenario>& scenarios, int threads, ResultFile& results,
                Progress& progress) {
    progress.begin("what-if points", static_cast<std::int64_t>(scenarios.size()));
    std::atomic<std::size_t> next{0};
    std::atomic<std::size_t> done{0};
    std::atomic<bool> stop{false};
    std::exception_ptr failure;
    std::mutex failure_mutex;
    // The calling thread shows how far all are, and works too.
    const auto work = [&](bool shows) {
        try {
            for (;;) {
                const std::size_t first = next.fetch_add(kBlock);
                const std::size_t last = std::min(scenarios.size(), first + kBlock);
                if (first >= last) return;
                for (std::size_t i = first; i < last && !stop; ++i) {
                    if (results.find(key_of(identity, scenarios[i])) == nullptr) {
                        results.add(answer(simulator, identity, scenarios[i]));
                    }
                    ++done;
                    if (!shows) continue;
                    progress.update(static_cast<std::int64_t>(done));
                    if (progress.cancelled()) stop = true;
                }
                if (stop) return;
            }
        } catch (...) {
            const std::lock_guard lock(failure_mutex);
            if (failure == nullptr) failure = std::current_exception();
            stop = true;
        }
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work, false);
    work(true);
    for (std::thread& other : others) other.join();
    if (failure != nullptr) std::rethrow_exception(failure);
    if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
    progress.end();
}

TuneResult tune(const Simulator& simulator, const Identity& identity, const TuneOptions& options,
                ResultFile& results, Progress& progress) {
    answer_all(simulator, identity, options.grid, options.threads, results, progress);
    TuneResult out;
    std::vector<Figures> figures;
    for (const Scenario& scenario : options.grid) {
        const Point* point = results.find(key_of(identity, scenario));
        HC_CHECK(point != nullptr);
        if (!point->figures) {
            ++out.refused;
            out.refusal = point->refused;
            continue;
        }
        figures.push_back(*point->figures);
        out.points.push_back({scenario, *point->figures});
    }
    if (out.points.empty()) {
        throw_refused("no point of the grid can be answered: " + out.refusal);
    }
    out.front = pareto_front(figures, {options.goal.metric, Metric::kMemory, Metric::kRecall});
    out.ranking.resize(figures.size());
    std::iota(out.ranking.begin(), out.ranking.end(), std::size_t{0});
    std::stable_sort(out.ranking.begin(), out.ranking.end(), [&](std::size_t a, std::size_t b) {
        return options.goal.better(figures[a], figures[b]);
    });
    out.best = out.points[out.ranking.front()];
    if (options.head_trials > 0 && simulator.heads() != nullptr) {
        out.best = HeadSearch(simulator, identity, options, results, progress).improve(out.best);
    }
    out.heads_changed = out.best.scenario.heads != nullptr;
    out.keeps_limits = options.goal.missed(out.best.figures) == 0;
    return out;
}

}  // namespace hc::sim
