#include "simulator/replay/policy_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <numeric>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

/// A trace may claim any step or sequence; the index below is dense.
constexpr std::int64_t kMaxIndexCells = std::int64_t{1} << 28;

std::int64_t contiguous_runs(const Positions& ascending) {
    std::int64_t runs = 0;
    for (std::size_t i = 0; i < ascending.size(); ++i) {
        if (i == 0 || ascending[i] != ascending[i - 1] + 1) ++runs;
    }
    return runs;
}

/// The deepest row that a policy with these budgets asks for.
std::int64_t needed_depth(const HeadProfile& profile, const policy::Budgets& budgets) {
    std::int64_t need = budgets.base;
    for (std::size_t i = 0; i < profile.size(); ++i) {
        if (!is_full(profile.roles[i])) need = std::max(need, budgets.capacity[i]);
    }
    return need;
}

/// The largest ratio whose rows are at most `depth` deep; nullopt when not even the smallest.
std::optional<double> largest_ratio(const HeadProfile& profile, policy::Settings settings,
                                    std::int64_t prompt, std::int64_t depth) {
    const auto fits = [&](double ratio) {
        settings.ratio = ratio;
        return needed_depth(profile, policy::compute_budgets(profile, prompt, settings)) <= depth;
    };
    double low = std::min(1.0, policy::minimum_ratio(profile, prompt, settings));
    double high = 1.0;
    if (!fits(low)) return std::nullopt;
    for (int i = 0; i < 40 && high - low > 1e-4; ++i) {
        const double middle = (low + high) / 2;
        (fits(middle) ? low : high) = middle;
    }
    return low;
}

/// The policy of one sequence with its rows and its open fetches.
class SequenceReplay {
public:
    SequenceReplay(const ScoreIndex& scores, const HeadProfile& profile,
                   const policy::Budgets& budgets, const policy::Settings& settings,
                   std::int32_t sequence, std::int64_t first_step, Decisions& out)
        : scores_(scores),
          profile_(profile),
          settings_(settings),
          sequence_(sequence),
          row_sequence_(sequence % scores.sequences()),
          offset_(first_step - 1),
          policy_(profile, budgets, settings),
          everything_(budgets.base >= scores.prompt()),
          out_(out) {
        if (everything_) {
            all_.resize(static_cast<std::size_t>(scores.prompt()));
            std::iota(all_.begin(), all_.end(), Position{0});
        }
    }

    void prefill() {
        const std::int64_t prompt_step = scores_.prompt_step(row_sequence_);
        for (std::int32_t layer = 0; layer < profile_.num_layers; ++layer) {
            for (std::int32_t head = 0; head < profile_.num_kv_heads; ++head) {
                const HeadId id{layer, head};
                if (is_full(profile_.role(id))) continue;
                RowsRecord rows;
                rows.step = prompt_step;
                rows.sequence = sequence_;
                rows.layer = layer;
                rows.head = head;
                rows.fetched = policy_.select_at_prefill(id, row(id, prompt_step));
                out_.rows.push_back(std::move(rows));
            }
            for (const Star& star : stars(layer)) {
                policy_.set_reference({layer, star.pivot}, row({layer, star.pivot}, prompt_step));
            }
        }
    }

    /// Commits what is due at the start of `step`.
    void begin_step(std::int64_t step) {
        while (!open_.empty() && out_.fetches[open_.front().fetch].due_step <= step) {
            land(open_.front(), step);
            open_.pop_front();
        }
    }

    void checks(std::int32_t layer, std::int64_t step) {
        if (!settings_.retrieval || !policy_.checks_at(layer, step - offset_)) return;
        for (const Star& star : stars(layer)) {
            if (!star.members.empty()) check({layer, star.pivot}, step);
        }
    }

private:
    struct Open {
        std::size_t fetch = 0;
        HeadId pivot;
        std::vector<policy::HeadFetch> heads;
    };

    const std::vector<Star>& stars(std::int32_t layer) const {
        return profile_.stars[static_cast<std::size_t>(layer)];
    }

    policy::ScoreRow row(HeadId head, std::int64_t step) const {
        const auto prompt = static_cast<std::size_t>(scores_.prompt());
        // Everything is kept: order does not matter, and short rows will do.
        if (everything_) return policy::ScoreRow::ranked(all_, prompt);
        return policy::ScoreRow::ranked(scores_.require(row_sequence_, head, step), prompt);
    }

    void check(HeadId pivot, std::int64_t step) {
        window_.clear();
        for (std::int64_t s = step - settings_.window + 1; s <= step; ++s) {
            window_.push_back(row(pivot, s));
        }
        policy::CheckResult result = policy_.check(pivot, window_);
        DriftRecord record;
        record.check_id = static_cast<std::int64_t>(out_.checks.size());
        record.step = step;
        record.layer = pivot.layer;
        record.pivot = pivot.head;
        record.sequence = sequence_;
        record.base = policy_.budgets().base;
        record.overlaps = std::move(result.overlaps);
        record.median = result.median;
        record.threshold = result.threshold;
        record.triggered = result.triggered;
        out_.checks.push_back(std::move(record));
        if (result.triggered) trigger(pivot, step, std::move(result.fetches));
    }

    void trigger(HeadId pivot, std::int64_t step, std::vector<policy::HeadFetch> heads) {
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
        for (const policy::HeadFetch& head : heads) {
            fetch.rows_wanted += static_cast<std::int64_t>(head.wanted.size());
            fetch.rows_fetched += static_cast<std::int64_t>(head.fetched.size());
            fetch.runs += contiguous_runs(head.fetched);
        }
        Open open{out_.fetches.size(), pivot, std::move(heads)};
        out_.fetches.push_back(fetch);
        if (settings_.commit_lag == 0) {
            // Seen by this step's attention, or by the next one's (row 4).
            land(open, settings_.retrieve_before_attention ? step : step + 1);
        } else {
            open_.push_back(std::move(open));
        }
    }

    void land(const Open& open, std::int64_t holds_from) {
        policy_.commit(open.pivot);
        FetchDecision& fetch = out_.fetches[open.fetch];
        fetch.committed = true;
        for (const policy::HeadFetch& head : open.heads) {
            RowsRecord rows;
            rows.fetch_id = static_cast<std::int64_t>(open.fetch);
            rows.step = holds_from;
            rows.sequence = sequence_;
            rows.layer = open.pivot.layer;
            rows.head = head.head;
            rows.fetched = head.fetched;
            rows.evicted = head.evicted;
            out_.rows.push_back(std::move(rows));
        }
    }

    const ScoreIndex& scores_;
    const HeadProfile& profile_;
    const policy::Settings& settings_;
    std::int32_t sequence_;
    std::int32_t row_sequence_;  // whose rows it uses
    std::int64_t offset_;        // the policy counts decode steps from 1
    policy::HeteroCachePolicy policy_;
    bool everything_;
    Positions all_;
    std::deque<Open> open_;  // by due step: lag is the same for all
    std::vector<policy::ScoreRow> window_;
    Decisions& out_;
};

}  // namespace

void check_depth(const ScoreIndex& scores, const HeadProfile& profile,
                 const policy::Settings& settings, const policy::Budgets& budgets) {
    const std::int64_t need = needed_depth(profile, budgets);
    if (need <= scores.depth()) return;
    const auto largest = largest_ratio(profile, settings, scores.prompt(), scores.depth());
    const std::string limit =
        largest ? fmt::format("the largest ratio it can answer is {:.3f}", *largest - 5e-4)
                : std::string("no ratio can be answered from it");
    throw_refused(
        fmt::format("ratio {} needs the best {} of {} prompt positions, and the drift "
                    "trace holds {}: {}; record a drift trace with a larger k",
                    settings.ratio, need, scores.prompt(), scores.depth(), limit));
}

ScoreIndex::ScoreIndex(const trace::RunData& attention, std::int32_t num_layers,
                       std::int32_t num_kv_heads)
    : prompt_(attention.run.prompt_tokens), num_layers_(num_layers), num_kv_heads_(num_kv_heads) {
    const std::string name = fmt::format("drift trace of run {}", attention.run.id);
    for (const AttentionRecord& row : attention.attention) {
        if (row.kind != AttentionRowKind::kScore) continue;
        if (row.sequence < 0 || row.step < 0 || row.layer < 0 || row.layer >= num_layers ||
            row.head < 0 || row.head >= num_kv_heads) {
            throw_input(fmt::format(
                "{}: a row of sequence {}, layer {}, head {}, step {}, expected "
                "{} layers of {} heads",
                name, row.sequence, row.layer, row.head, row.step, num_layers, num_kv_heads));
        }
        sequences_ = std::max(sequences_, row.sequence + 1);
        last_step_ = std::max(last_step_, row.step);
    }
    if (prompt_ <= 0 || prompt_ > kMaxIndexCells) {
        throw_input(fmt::format("{}: a prompt of {} tokens", name, prompt_));
    }
    if (sequences_ == 0) {
        throw_refused(fmt::format("run {} has no drift trace: record one with --drift-trace",
                                  attention.run.id));
    }
    const std::int64_t heads = std::int64_t{num_layers} * num_kv_heads;
    if (last_step_ >= kMaxIndexCells / heads / sequences_) {
        throw_input(fmt::format("{}: {} sequences, {} heads and step {} are too many", name,
                                sequences_, heads, last_step_));
    }
    rows_.assign(static_cast<std::size_t>(sequences_ * heads * (last_step_ + 1)), nullptr);
    depth_ = std::numeric_limits<std::int64_t>::max();
    prompt_step_.assign(static_cast<std::size_t>(sequences_), last_step_);
    std::vector<std::uint32_t> seen(static_cast<std::size_t>(prompt_), 0);  // by which row
    std::uint32_t stamp = 0;
    for (const AttentionRecord& row : attention.attention) {
        if (row.kind != AttentionRowKind::kScore || row.ranked.empty()) continue;
        ++stamp;
        std::int64_t& prompt_step = prompt_step_[static_cast<std::size_t>(row.sequence)];
        prompt_step = std::min(prompt_step, row.step);
        for (const Position position : row.ranked) {
            if (position >= prompt_ || seen[position] == stamp) {
                throw_input(
                    fmt::format("{}: position {} twice in a row, or beyond a prompt of {} "
                                "tokens",
                                name, position, prompt_));
            }
            seen[position] = stamp;
        }
        rows_[at(row.sequence, {row.layer, row.head}, row.step)] = &row;
        depth_ = std::min(depth_, static_cast<std::int64_t>(row.ranked.size()));
    }
    depth_ = std::min(depth_, prompt_);
}

std::size_t ScoreIndex::at(std::int32_t sequence, HeadId head, std::int64_t step) const {
    const std::int64_t index =
        (std::int64_t{sequence} * num_layers_ + head.layer) * num_kv_heads_ + head.head;
    return static_cast<std::size_t>(index * (last_step_ + 1) + step);
}

std::span<const Position> ScoreIndex::row(std::int32_t sequence, HeadId head,
                                          std::int64_t step) const {
    if (sequence >= sequences_ || step < 0 || step > last_step_) return {};
    const AttentionRecord* row = rows_[at(sequence, head, step)];
    return row == nullptr ? std::span<const Position>{} : std::span<const Position>(row->ranked);
}

std::span<const Position> ScoreIndex::require(std::int32_t sequence, HeadId head,
                                              std::int64_t step) const {
    const std::span<const Position> ranked = row(sequence, head, step);
    if (ranked.empty()) {
        throw_refused(fmt::format(
            "the drift trace holds no scores of sequence {}, layer {}, head {} at step {}: it was "
            "recorded with other heads or ends earlier",
            sequence, head.layer, head.head, step));
    }
    return ranked;
}

Decisions replay_policy(const ScoreIndex& scores, const HeadProfile& profile,
                        const policy::Settings& settings, std::int64_t first_step,
                        std::int64_t last_step, std::int32_t num_sequences) {
    policy::validate(settings);
    Decisions decisions;
    decisions.budgets = policy::compute_budgets(profile, scores.prompt(), settings);
    if (decisions.budgets.base < scores.prompt()) {
        check_depth(scores, profile, settings, decisions.budgets);
    }
    std::vector<SequenceReplay> sequences;
    sequences.reserve(static_cast<std::size_t>(num_sequences));
    for (std::int32_t s = 0; s < num_sequences; ++s) {
        sequences.emplace_back(scores, profile, decisions.budgets, settings, s, first_step,
                               decisions);
        sequences.back().prefill();
    }
    for (std::int64_t step = first_step; step <= last_step; ++step) {
        for (SequenceReplay& sequence : sequences) sequence.begin_step(step);
        for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
            for (SequenceReplay& sequence : sequences) sequence.checks(layer, step);
        }
    }
    return decisions;
}

}  // namespace hc::sim
