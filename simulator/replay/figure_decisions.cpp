#include "simulator/replay/figure_decisions.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include "engine/core/error.h"
#include "engine/policy/selection.h"

namespace hc::sim {
namespace {

constexpr std::size_t kMostBytes = std::size_t{192} << 20;  // of all sets of one replayer
constexpr std::size_t kMostPlaces = std::size_t{1} << 24;   // sequences times heads
constexpr std::size_t kSetOverhead = 160;                   // of one set beside its words

struct SetKey {
    std::int32_t sequence = 0;
    HeadId head;
    std::int64_t step = 0;
    std::int64_t capacity = 0;
    std::int64_t lowest = 0;
    bool forced = false;
    [[nodiscard]] bool operator==(const SetKey&) const = default;
};

struct SetKeyHash {
    std::size_t operator()(const SetKey& key) const {
        std::uint64_t h = static_cast<std::uint64_t>(key.step) * 0x9e3779b97f4a7c15ULL;
        const auto mix = [&h](std::int64_t value) {
            h = (h ^ static_cast<std::uint64_t>(value)) * 0xbf58476d1ce4e5b9ULL;
            h ^= h >> 29;
        };
        mix(std::int64_t{key.head.layer} << 20 | key.head.head);
        mix(key.capacity << 1 | (key.forced ? 1 : 0));
        mix(std::int64_t{key.sequence} << 40 ^ key.lowest);
        return static_cast<std::size_t>(h);
    }
};

}  // namespace

FigureDecisions figures_of(const Decisions& decisions,
                           const std::optional<analysis::RecallInterval>& recall) {
    FigureDecisions out;
    out.checks.reserve(decisions.checks.size());
    for (const DriftRecord& check : decisions.checks) {
        out.checks.push_back(
            {check.step, check.layer, check.pivot, check.sequence, check.triggered});
    }
    out.fetches = decisions.fetches;
    out.recall = recall;
    return out;
}

ProbRows::ProbRows(const trace::RunData& attention, std::int32_t num_layers,
                   std::int32_t num_kv_heads)
    : num_layers_(num_layers), num_kv_heads_(num_kv_heads) {
    for (const AttentionRecord& row : attention.attention) {
        const bool weighs = row.values.size() == row.ranked.size();
        if (row.kind != AttentionRowKind::kProb || !weighs) continue;
        const bool inside = row.layer >= 0 && row.layer < num_layers && row.head >= 0 &&
                            row.head < num_kv_heads && row.sequence >= 0 && row.sequence < 1 << 12;
        if (!inside) throw_input("a probability row of the drift trace is of no head of the model");
        const auto place =
            (static_cast<std::size_t>(row.sequence) * static_cast<std::size_t>(num_layers) +
             static_cast<std::size_t>(row.layer)) *
                static_cast<std::size_t>(num_kv_heads) +
            static_cast<std::size_t>(row.head);
        if (place >= kMostPlaces) {
            throw_input("the drift trace has probability rows of too many sequences and heads");
        }
        if (place >= rows_.size()) rows_.resize(place + 1);
        rows_[place].push_back(&row);
    }
    for (auto& rows : rows_) {
        std::stable_sort(rows.begin(), rows.end(),
                         [](const auto* a, const auto* b) { return a->step < b->step; });
    }
}

const std::vector<const AttentionRecord*>& ProbRows::of(std::int32_t sequence, HeadId head) const {
    static const std::vector<const AttentionRecord*> none;
    const std::size_t place =
        (static_cast<std::size_t>(sequence) * static_cast<std::size_t>(num_layers_) +
         static_cast<std::size_t>(head.layer)) *
            static_cast<std::size_t>(num_kv_heads_) +
        static_cast<std::size_t>(head.head);
    return place < rows_.size() ? rows_[place] : none;
}

/// The sets of one combination of budgets; scenarios of other thresholds, windows and lags ask for
/// the same ones.
struct FigureReplayer::BudgetSets {
    std::int64_t base = 0;
    std::vector<std::int64_t> capacity;
    std::int32_t sink = 0;
    std::int32_t recent = 0;
    std::unordered_map<SetKey, SetPointer, SetKeyHash> sets;
    std::size_t bytes = 0;
};

FigureReplayer::FigureReplayer(const ScoreIndex& scores, const ProbRows& probabilities,
                               std::size_t most_sets)
    : scores_(scores),
      probabilities_(probabilities),
      most_sets_(most_sets),
      prefixes_(scores.prompt()),
      masses_(scores.prompt()) {}
FigureReplayer::~FigureReplayer() = default;

FigureReplayer::BudgetSets& FigureReplayer::sets_for(const policy::Budgets& budgets,
                                                     const policy::Settings& settings) {
    const auto known = std::find_if(budgets_.begin(), budgets_.end(), [&](const auto& sets) {
        return sets->base == budgets.base && sets->sink == settings.sink &&
               sets->recent == settings.recent && sets->capacity == budgets.capacity;
    });
    if (known != budgets_.end()) {
        budgets_.splice(budgets_.begin(), budgets_, known);
    } else {
        auto sets = std::make_unique<BudgetSets>();
        sets->base = budgets.base;
        sets->capacity = budgets.capacity;
        sets->sink = settings.sink;
        sets->recent = settings.recent;
        budgets_.push_front(std::move(sets));
    }
    std::size_t total = 0;
    for (const auto& sets : budgets_) total += sets->bytes;
    while (total > kMostBytes && budgets_.size() > 1) {
        total -= budgets_.back()->bytes;
        budgets_.pop_back();
    }
    return *budgets_.front();
}

/// As analysis::run_recall judges a row by a resident set.
analysis::RecallInterval FigureReplayer::judge(const JudgedSet& held, const AttentionRecord& row) {
    const PositionSet& resident = held.set;
    PrefixMass mass;
    if (!held.prefix_of.empty()) {
        mass = masses_.of(held.prefix_of, resident.size(), row);
    } else {
        for (std::size_t i = 0; i < row.ranked.size(); ++i) {
            if (!resident.holds(row.ranked[i])) continue;
            mass.known += static_cast<double>(row.values[i]);
            ++mass.held;
        }
    }
    const std::int64_t beyond = resident.size() - mass.held;
    const std::int64_t rest = scores_.prompt() - static_cast<std::int64_t>(row.ranked.size());
    analysis::RecallInterval recall{mass.known + row.mass_generated,
                                    mass.known + row.mass_generated};
    if (beyond > 0) recall.high += row.mass_rest;
    if (beyond >= rest) recall.low = recall.high;
    return {std::clamp(recall.low, 0.0, 1.0), std::clamp(recall.high, 0.0, 1.0)};
}

PositionSet FigureReplayer::best_of(std::int64_t base, std::int32_t sequence, HeadId head,
                                    std::int64_t step) {
    const std::span<const Position> row = scores_.require(sequence, head, step);
    if (base > static_cast<std::int64_t>(row.size())) {
        return PositionSet::kept(row, scores_.prompt(), base, 0, 0);  // refuses
    }
    return prefixes_.best(row, base);
}

SetPointer FigureReplayer::set_of(BudgetSets& sets, std::int32_t sequence, HeadId head,
                                  std::int64_t step, std::int64_t capacity, bool forced,
                                  std::int64_t lowest) {
    const std::int64_t prompt = scores_.prompt();
    const SetKey key{sequence, head, step, capacity, lowest, forced};
    SetPointer& found = sets.sets[key];
    if (found != nullptr) return found;
    // Everything is kept: order does not matter, and short rows will do.
    const std::span<const Position> row = sets.base >= prompt
                                              ? std::span<const Position>(all_)
                                              : scores_.require(sequence, head, step);
    auto made = std::make_shared<JudgedSet>();
    const bool plain = !forced || (sets.sink == 0 && sets.recent == 0);
    if (plain && capacity < prompt && capacity <= static_cast<std::int64_t>(row.size())) {
        made->set = prefixes_.best(row, capacity);
        if (lowest == 0) made->prefix_of = row;
    } else {
        made->set = PositionSet::kept(row, prompt, capacity, forced ? sets.sink : 0,
                                      forced ? sets.recent : 0);
    }
    if (lowest > 0) made->set = made->set.lowest(lowest);
    sets.bytes += made->set.bytes() + kSetOverhead;
    // A long run: what is still needed is held by its users, and a larger map only gets slower.
    if (sets.bytes > kMostBytes || sets.sets.size() > most_sets_) {
        sets.sets.clear();
        sets.bytes = 0;
        return made;
    }
    found = made;
    return made;
}

/// One sequence under one combination of settings: HeteroCachePolicy and SequenceReplay in one.
class SequenceFigures {
public:
    SequenceFigures(FigureReplayer& replayer, FigureReplayer::BudgetSets& sets,
                    const HeadProfile& profile, const policy::Budgets& budgets,
                    const policy::Settings& settings, std::int32_t sequence,
                    std::int64_t first_step, bool keeps_candidates, FigureDecisions& out)
        : replayer_(replayer),
          sets_(sets),
          profile_(profile),
          budgets_(budgets),
          settings_(settings),
          sequence_(sequence),
          row_sequence_(sequence % replayer.scores_.sequences()),
          offset_(first_step - 1),
          prompt_(replayer.scores_.prompt()),
          keeps_candidates_(keeps_candidates),
          resident_(profile.size()),
          reference_(profile.size()),
          history_(profile.size()),
          out_(out) {
        find_slots();
        prefill();
    }

    void begin_step(std::int64_t step) {
        while (!open_.empty() && out_.fetches[open_.front().fetch].due_step <= step) {
            land(open_.front(), step);
            open_.pop_front();
        }
    }

    [[nodiscard]] bool checks_at(std::int32_t layer, std::int64_t step) const {
        const std::int64_t window = settings_.window;
        if (!settings_.retrieval || step - offset_ < window) return false;
        const std::int64_t phase = settings_.stagger_checks ? layer % window : 0;
        return (step - offset_) % window == phase;
    }

    void checks(std::int32_t layer, std::int64_t step) {
        if (!checks_at(layer, step)) return;
        for (const Star& star : stars(layer)) {
            if (!star.members.empty()) check(layer, star, step);
        }
    }

    /// Adds the recall of every probability row of a compressed head.
    void judge_rows(analysis::RecallInterval& sum, std::int64_t& count) const {
        for (std::size_t i = 0; i < profile_.size(); ++i) {
            if (is_full(profile_.roles[i])) continue;
            const auto heads = static_cast<std::size_t>(profile_.num_kv_heads);
            const HeadId head{static_cast<std::int32_t>(i / heads),
                              static_cast<std::int32_t>(i % heads)};
            std::size_t next = 0;
            SetPointer now;
            for (const AttentionRecord* row : replayer_.probabilities_.of(row_sequence_, head)) {
                const auto& list = history_[i];
                for (; next < list.size() && list[next].from <= row->step; ++next) {
                    now = list[next].set;
                }
                if (now == nullptr) continue;
                auto [mass, fresh] = now->mass.try_emplace(row);
                if (fresh) mass->second = replayer_.judge(*now, *row);
                sum.low += mass->second.low;
                sum.high += mass->second.high;
                ++count;
            }
        }
    }

private:
    struct Open {
        std::size_t fetch = 0;
        HeadId pivot;
        std::vector<SetPointer> wanted;  // of the star's members
    };
    struct Held {
        std::int64_t from = 0;  // step
        SetPointer set;
    };

    const std::vector<Star>& stars(std::int32_t layer) const {
        return profile_.stars[static_cast<std::size_t>(layer)];
    }

    /// Row 2, reference: the i-th pivot of the file uses the set of the i-th in ascending order.
    void find_slots() {
        slot_.resize(profile_.size());
        std::iota(slot_.begin(), slot_.end(), std::size_t{0});
        if (!settings_.reference_sets_by_file_order) return;
        for (std::int32_t layer = 0; layer < profile_.num_layers; ++layer) {
            std::vector<std::int32_t> ascending;
            for (const Star& star : stars(layer)) ascending.push_back(star.pivot);
            std::sort(ascending.begin(), ascending.end());
            for (std::size_t i = 0; i < ascending.size(); ++i) {
                slot_[profile_.index({layer, stars(layer)[i].pivot})] =
                    profile_.index({layer, ascending[i]});
            }
        }
    }

    SetPointer kept(HeadId row_of, std::int64_t step, std::int64_t capacity) {
        return replayer_.set_of(sets_, row_sequence_, row_of, step, capacity, true, 0);
    }
    SetPointer best(HeadId row_of, std::int64_t step) {
        return replayer_.set_of(sets_, row_sequence_, row_of, step, budgets_.base, false, 0);
    }

    void prefill() {
        const std::int64_t step = replayer_.scores_.prompt_step(row_sequence_);
        for (std::int32_t layer = 0; layer < profile_.num_layers; ++layer) {
            for (std::int32_t head = 0; head < profile_.num_kv_heads; ++head) {
                const std::size_t i = profile_.index({layer, head});
                if (is_full(profile_.roles[i])) continue;
                resident_[i] = kept({layer, head}, step, budgets_.capacity[i]);
                history_[i].push_back({step, resident_[i]});
            }
            for (const Star& star : stars(layer)) {
                const HeadId pivot{layer, star.pivot};
                reference_[profile_.index(pivot)] = best(pivot, step);
            }
        }
    }

    /// The median overlap of the window's candidates with the reference set.
    double median_overlap(HeadId pivot, std::int64_t step, const PositionSet& reference,
                          SetPointer& last) {
        if (budgets_.base >= prompt_) return 1.0;
        overlaps_.clear();
        const auto add = [&](const PositionSet& candidate) {
            const bool none = candidate.size() == 0 || reference.size() == 0;
            overlaps_.push_back(none ? 0.0
                                     : static_cast<double>(common(candidate, reference)) /
                                           static_cast<double>(candidate.size()));
        };
        for (std::int64_t s = step - settings_.window + 1; s <= step; ++s) {
            if (keeps_candidates_) {
                last = best(pivot, s);
                add(last->set);
            } else {
                add(replayer_.best_of(budgets_.base, row_sequence_, pivot, s));
            }
        }
        const double median = policy::median(overlaps_);
        if (!settings_.chance_corrected) return median;
        const double chance = static_cast<double>(budgets_.base) / static_cast<double>(prompt_);
        return (median - chance) / (1.0 - chance);
    }

    void check(std::int32_t layer, const Star& star, std::int64_t step) {
        const HeadId pivot{layer, star.pivot};
        SetPointer& reference = reference_[slot_[profile_.index(pivot)]];
        SetPointer last;
        const double median = median_overlap(pivot, step, reference->set, last);
        const bool triggered = median < settings_.stable_threshold;
        out_.checks.push_back({step, layer, star.pivot, sequence_, triggered});
        if (!triggered) return;
        reference = last != nullptr ? last : best(pivot, step);
        trigger(pivot, star, step);
    }

    std::vector<SetPointer> wanted_of(HeadId pivot, const Star& star, std::int64_t step) {
        std::vector<SetPointer> wanted;
        std::int64_t most = 0;
        for (const std::int32_t member : star.members) {
            most = std::max(most, budgets_.capacity[profile_.index({pivot.layer, member})]);
        }
        for (const std::int32_t member : star.members) {
            const std::int64_t capacity = budgets_.capacity[profile_.index({pivot.layer, member})];
            if (settings_.satellites_cut_by_position && capacity < most) {
                wanted.push_back(
                    replayer_.set_of(sets_, row_sequence_, pivot, step, most, true, capacity));
            } else {
                wanted.push_back(kept(pivot, step, capacity));
            }
        }
        return wanted;
    }

    void trigger(HeadId pivot, const Star& star, std::int64_t step) {
        const auto older = std::find_if(open_.begin(), open_.end(),
                                        [&](const Open& open) { return open.pivot == pivot; });
        if (older != open_.end()) {
            out_.fetches[older->fetch].superseded = true;
            open_.erase(older);
        }
        FetchDecision fetch;
        fetch.check = out_.checks.size() - 1;
        fetch.sequence = sequence_;
        fetch.layer = pivot.layer;
        fetch.pivot = pivot.head;
        fetch.step = step;
        fetch.due_step = step + settings_.commit_lag;
        Open open{out_.fetches.size(), pivot, wanted_of(pivot, star, step)};
        for (std::size_t m = 0; m < star.members.size(); ++m) {
            const PositionSet& wanted = open.wanted[m]->set;
            const std::size_t index = profile_.index({pivot.layer, star.members[m]});
            fetch.rows_wanted += wanted.size();
            if (settings_.fetch_missing_only) {
                const Difference missing = difference(wanted, resident_[index]->set);
                fetch.rows_fetched += missing.rows;
                fetch.runs += missing.runs;
            } else {
                fetch.rows_fetched += wanted.size();
                fetch.runs += runs_of(wanted);
            }
        }
        out_.fetches.push_back(fetch);
        if (settings_.commit_lag == 0) {
            land(open, settings_.retrieve_before_attention ? step : step + 1);
        } else {
            open_.push_back(std::move(open));
        }
    }

    void land(const Open& open, std::int64_t holds_from) {
        out_.fetches[open.fetch].committed = true;
        const auto& list = stars(open.pivot.layer);
        const auto star = std::find_if(list.begin(), list.end(),
                                       [&](const Star& s) { return s.pivot == open.pivot.head; });
        for (std::size_t m = 0; m < star->members.size(); ++m) {
            const std::size_t index = profile_.index({open.pivot.layer, star->members[m]});
            resident_[index] = open.wanted[m];
            history_[index].push_back({holds_from, open.wanted[m]});
        }
    }

    FigureReplayer& replayer_;
    FigureReplayer::BudgetSets& sets_;
    const HeadProfile& profile_;
    const policy::Budgets& budgets_;
    const policy::Settings& settings_;
    std::int32_t sequence_;
    std::int32_t row_sequence_;  // whose rows it uses
    std::int64_t offset_;        // the policy counts decode steps from 1
    std::int64_t prompt_;
    bool keeps_candidates_;  // for the next scenario; a long run makes more than are worth it
    std::vector<SetPointer> resident_;        // [head]
    std::vector<SetPointer> reference_;       // [head], pivots
    std::vector<std::size_t> slot_;           // [head] of a pivot: whose reference set it uses
    std::vector<std::vector<Held>> history_;  // [head] resident sets in the order of their steps
    std::deque<Open> open_;
    std::vector<double> overlaps_;
    FigureDecisions& out_;
};

FigureDecisions FigureReplayer::replay(const HeadProfile& profile, const policy::Budgets& budgets,
                                       const policy::Settings& settings, std::int64_t first_step,
                                       std::int64_t last_step, std::int32_t num_sequences,
                                       bool wants_recall) {
    FigureDecisions out;
    if (budgets.base < scores_.prompt()) {
        check_depth(scores_, profile, settings, budgets);
    } else if (all_.empty()) {
        all_.resize(static_cast<std::size_t>(scores_.prompt()));
        std::iota(all_.begin(), all_.end(), Position{0});
    }
    BudgetSets& sets = sets_for(budgets, settings);
    const std::int64_t candidates =
        (last_step - first_step + 1) * profile.count(HeadRole::kPivot) * num_sequences;
    std::vector<SequenceFigures> sequences;
    sequences.reserve(static_cast<std::size_t>(num_sequences));
    for (std::int32_t s = 0; s < num_sequences; ++s) {
        sequences.emplace_back(*this, sets, profile, budgets, settings, s, first_step,
                               candidates <= static_cast<std::int64_t>(most_sets_), out);
    }
    for (std::int64_t step = first_step; step <= last_step; ++step) {
        for (SequenceFigures& sequence : sequences) sequence.begin_step(step);
        for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
            for (SequenceFigures& sequence : sequences) sequence.checks(layer, step);
        }
    }
    if (!wants_recall) return out;
    analysis::RecallInterval sum;
    std::int64_t count = 0;
    for (const SequenceFigures& sequence : sequences) sequence.judge_rows(sum, count);
    if (count > 0) {
        const auto n = static_cast<double>(count);
        out.recall = analysis::RecallInterval{sum.low / n, sum.high / n};
    }
    return out;
}

}  // namespace hc::sim
