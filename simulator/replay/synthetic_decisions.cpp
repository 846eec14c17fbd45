#include "simulator/replay/synthetic_decisions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

/// SplitMix64's finaliser, as kernels/cuda/drift.h has it (a room that this one does not include;
/// a test holds both to the same numbers).
std::uint64_t hash_on(std::uint64_t state, std::uint64_t value) {
    std::uint64_t h = state + (value + 1) * 0x9e3779b97f4a7c15ULL;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

double unit_of_hash(std::uint64_t hash) {
    return static_cast<double>(hash >> 11) * (1.0 / 9007199254740992.0);
}

/// Rows that the rule asks for: a share of the capacity, as far as there are rows left.
double asked_rows(const ToldDrift& drift, std::int64_t capacity, std::int64_t prompt) {
    return std::min(drift.new_rows * static_cast<double>(capacity),
                    static_cast<double>(std::max<std::int64_t>(0, prompt - capacity)));
}

struct StarAt {
    HeadId pivot;
    std::int32_t number = 0;
    double asked = 0;           // rows per fetch, by the rule
    double asked_recorded = 0;  // at the recorded capacities
    std::int64_t wanted = 0;
};

std::vector<StarAt> stars_of(const HeadProfile& profile, const ToldDrift& told,
                             const ToldDrift& drift, const policy::Budgets& budgets,
                             const policy::Budgets& recorded) {
    std::vector<StarAt> stars;
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
            if (star.members.empty()) continue;
            StarAt at;
            at.pivot = {layer, star.pivot};
            at.number = static_cast<std::int32_t>(stars.size());
            for (const std::int32_t member : star.members) {
                const std::size_t i = profile.index({layer, member});
                at.wanted += budgets.capacity[i];
                at.asked += asked_rows(drift, budgets.capacity[i], budgets.prompt);
                at.asked_recorded += asked_rows(told, recorded.capacity[i], recorded.prompt);
            }
            stars.push_back(at);
        }
    }
    return stars;
}

/// Recorded rows over rows asked for, of all recorded fetches together.
double mean_share(const SourceRun& source, const std::vector<StarAt>& stars) {
    double rows = 0;
    double asked = 0;
    for (const auto& [key, fetch] : source.fetches) {
        for (const StarAt& star : stars) {
            if (star.pivot.layer != fetch.layer || star.pivot.head != fetch.pivot) continue;
            rows += static_cast<double>(fetch.rows);
            asked += star.asked_recorded;
        }
    }
    return rows > 0 && asked > 0 ? rows / asked : 1.0;
}

double mean_length(const SourceRun& source, const ToldDrift& drift) {
    double rows = 0;
    double runs = 0;
    for (const auto& [key, fetch] : source.fetches) {
        rows += static_cast<double>(fetch.rows);
        runs += static_cast<double>(fetch.runs);
    }
    return runs > 0 ? rows / runs : drift.run;
}

class ToldReplay {
public:
    ToldReplay(const SourceRun& source, const ToldDrift& recorded, const ToldDrift& drift,
               const policy::Settings& settings, std::vector<StarAt> stars, FigureDecisions& out)
        : source_(source),
          drift_(drift),
          settings_(settings),
          stars_(std::move(stars)),
          share_(mean_share(source, stars_)),
          length_factor_(recorded.run > 0 ? drift.run / recorded.run : 1),
          length_(mean_length(source, recorded)),
          out_(out) {}

    void step(std::int64_t step, std::int64_t decode_step, std::int32_t layer,
              std::int32_t sequence, bool everything) {
        for (const StarAt& star : stars_) {
            if (star.pivot.layer != layer) continue;
            const bool triggered =
                !everything && told_trigger(drift_, sequence, decode_step, star.number);
            out_.checks.push_back({step, layer, star.pivot.head, sequence, triggered});
            if (triggered) trigger(star, step, sequence);
        }
    }

    void commit_due(std::int64_t step) {
        for (; !open_.empty() && out_.fetches[open_.front()].due_step <= step; open_.pop_front()) {
            out_.fetches[open_.front()].committed = true;
        }
    }

private:
    void trigger(const StarAt& star, std::int64_t step, std::int32_t sequence) {
        const auto older = std::find_if(open_.begin(), open_.end(), [&](std::size_t id) {
            const FetchDecision& fetch = out_.fetches[id];
            return fetch.sequence == sequence && fetch.layer == star.pivot.layer &&
                   fetch.pivot == star.pivot.head;
        });
        if (older != open_.end()) {
            out_.fetches[*older].superseded = true;
            open_.erase(older);
        }
        FetchDecision fetch;
        fetch.check = out_.checks.size() - 1;
        fetch.sequence = sequence;
        fetch.layer = star.pivot.layer;
        fetch.pivot = star.pivot.head;
        fetch.step = step;
        fetch.due_step = step + settings_.commit_lag;
        fetch.rows_wanted = star.wanted;
        fetch.rows_fetched = rows_of(star, fetch);
        fetch.runs = runs_of(fetch);
        out_.fetches.push_back(fetch);
        if (settings_.commit_lag == 0) {
            out_.fetches.back().committed = true;
        } else {
            open_.push_back(out_.fetches.size() - 1);
        }
    }

    std::int64_t rows_of(const StarAt& star, const FetchDecision& fetch) const {
        if (!settings_.fetch_missing_only) return star.wanted;
        const auto own =
            source_.fetches.find({fetch.sequence, fetch.layer, fetch.pivot, fetch.step});
        const bool known = own != source_.fetches.end() && star.asked_recorded > 0;
        const double rows =
            known ? static_cast<double>(own->second.rows) * star.asked / star.asked_recorded
                  : share_ * star.asked;
        return std::clamp<std::int64_t>(std::llround(rows), 0, star.wanted);
    }

    /// Rows per piece as recorded of this fetch, else of all together.
    std::int64_t runs_of(const FetchDecision& fetch) const {
        const auto own =
            source_.fetches.find({fetch.sequence, fetch.layer, fetch.pivot, fetch.step});
        const bool known = own != source_.fetches.end() && own->second.runs > 0;
        const double length =
            known ? static_cast<double>(own->second.rows) / static_cast<double>(own->second.runs)
                  : length_;
        return std::max<std::int64_t>(fetch.rows_fetched > 0 ? 1 : 0,
                                      std::llround(static_cast<double>(fetch.rows_fetched) /
                                                   std::max(1.0, length * length_factor_)));
    }

    const SourceRun& source_;
    const ToldDrift& drift_;
    const policy::Settings& settings_;
    std::vector<StarAt> stars_;
    double share_;
    double length_factor_;          // rows per piece, over the recorded ones
    double length_;                 // rows per piece as recorded, of all fetches
    std::deque<std::size_t> open_;  // fetches, by due step
    FigureDecisions& out_;
};

}  // namespace

ToldDrift told_drift(const std::string& synthetic, const std::string& name) {
    constexpr std::string_view kPrefix = "synthetic:";
    const std::size_t at = synthetic.find(kPrefix);
    if (at == std::string::npos) {
        throw_input(
            fmt::format("{}: its drift is synthetic and its parameters do not tell how "
                        "('{:.80}'), expected synthetic:rate=...,new=...,run=...,seed=...",
                        name, synthetic));
    }
    ToldDrift drift;
    std::string_view rest = std::string_view(synthetic).substr(at + kPrefix.size());
    int found = 0;
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const std::string_view pair = rest.substr(0, comma);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        const std::size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view key = pair.substr(0, equals);
        const std::string_view text = pair.substr(std::min(equals + 1, pair.size()));
        double value = -1;
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool number = status == std::errc{} && end == text.data() + text.size();
        double* const target = key == "rate"  ? &drift.rate
                               : key == "new" ? &drift.new_rows
                               : key == "run" ? &drift.run
                                              : nullptr;
        const double most = key == "run" ? 1e6 : key == "seed" ? 9e15 : 1.0;
        if ((target == nullptr && key != "seed") || !number || !(value >= 0 && value <= most)) {
            throw_input(fmt::format("{}: cannot read its synthetic drift at '{:.60}'", name, pair));
        }
        if (target != nullptr) *target = value;
        if (key == "seed") drift.seed = static_cast<std::uint64_t>(value);
        ++found;
    }
    if (found != 4) {
        throw_input(fmt::format("{}: its synthetic drift names {} of rate, new, run and seed", name,
                                found));
    }
    return drift;
}

bool told_trigger(const ToldDrift& drift, std::int32_t sequence, std::int64_t step,
                  std::int32_t number) {
    const std::uint64_t seed = drift.seed + static_cast<std::uint64_t>(sequence);
    return unit_of_hash(hash_on(hash_on(seed, static_cast<std::uint64_t>(step)),
                                static_cast<std::uint64_t>(number))) < drift.rate;
}

FigureDecisions told_decisions(const SourceRun& source, const ToldDrift& recorded,
                               const ToldDrift& drift, const HeadProfile& profile,
                               const policy::Budgets& budgets,
                               const policy::Budgets& recorded_budgets,
                               const policy::Settings& settings, std::int64_t first_step,
                               std::int64_t last_step, std::int32_t sequences) {
    FigureDecisions out;
    if (!settings.retrieval) return out;
    const bool everything = budgets.base >= budgets.prompt;
    ToldReplay replay(source, recorded, drift, settings,
                      stars_of(profile, recorded, drift, budgets, recorded_budgets), out);
    const std::int64_t window = settings.window;
    for (std::int64_t step = first_step; step <= last_step; ++step) {
        const std::int64_t decode_step = step - first_step + 1;
        replay.commit_due(step);
        if (decode_step < window) continue;
        for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
            const std::int64_t phase = settings.stagger_checks ? layer % window : 0;
            if (decode_step % window != phase) continue;
            for (std::int32_t s = 0; s < sequences; ++s) {
                replay.step(step, decode_step, layer, s, everything);
            }
        }
    }
    return out;
}

Decisions decisions_of(const FigureDecisions& figures, const policy::Budgets& budgets,
                       const policy::Settings& settings) {
    Decisions out;
    out.budgets = budgets;
    out.fetches = figures.fetches;
    for (const FigureCheck& check : figures.checks) {
        DriftRecord record;
        record.check_id = static_cast<std::int64_t>(out.checks.size());
        record.step = check.step;
        record.layer = check.layer;
        record.pivot = check.pivot;
        record.sequence = check.sequence;
        record.base = budgets.base;
        record.threshold = settings.stable_threshold;
        record.triggered = check.triggered;
        out.checks.push_back(std::move(record));
    }
    return out;
}

}  // namespace hc::sim
