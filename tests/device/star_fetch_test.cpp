#include "kernels/cuda/star_fetch.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>

#include "engine/policy/heterocache.h"
#include "kernels/cuda/drift.h"
#include "kernels/cuda/top_k.h"
#include "tests/device/device_buffer.h"
#include "tests/device/mapped_array.h"

namespace hc {
namespace {

using kernels::cuda::bitmap_words;
using kernels::cuda::Run;
using test::DeviceArray;
using test::MappedArray;
using Bitmap = std::vector<std::uint32_t>;
using Values = std::vector<std::uint16_t>;

constexpr std::uint16_t kUntouched = 0xFFFF;

Bitmap to_bitmap(const Positions& positions, std::int32_t bits) {
    Bitmap bitmap(static_cast<std::size_t>(bitmap_words(bits)), 0);
    for (const auto position : positions) bitmap[position / 32] |= 1U << (position % 32);
    return bitmap;
}

/// Row `row` of a [rows, stride] array, its first `count` elements.
template <typename T, typename Count>
std::vector<T> row_of(const std::vector<T>& all, std::size_t row, std::size_t stride, Count count) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * stride);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

std::vector<Run> runs_of(const Positions& positions) {
    std::vector<Run> runs;
    for (std::size_t i = 0; i < positions.size(); ++i) {
        if (i == 0 || positions[i] != positions[i - 1] + 1) {
            runs.push_back(
                {static_cast<std::int32_t>(positions[i]), 0, static_cast<std::int32_t>(i)});
        }
        ++runs.back().length;
    }
    return runs;
}

Values random_values(std::size_t count, std::mt19937& random) {
    Values values(count);
    for (auto& x : values) x = static_cast<std::uint16_t>(random() % kUntouched);
    return values;
}

struct StarCase {
    std::int32_t prompt, base;
    std::vector<std::int64_t> caps;
    policy::Settings settings;
    int distinct;  // values among the scores; few: many ties
    std::int32_t head_dim, page_size, large_run_rows, max_large_runs;
};

/// One star with its policy on the host and its state on the device; both see the same scores.
class StarPair {
public:
    StarPair(const StarCase& c, std::uint32_t seed)
        : c_(c),
          members_(c.caps.size()),
          words_(static_cast<std::size_t>(bitmap_words(c.prompt))),
          row_values_(static_cast<std::size_t>(c.head_dim) * 2),
          profile_(make_profile(c.caps.size())),
          policy_(profile_, make_budgets(c), c.settings),
          random_(seed),
          plan_header_(1),
          drift_header_(1),
          reference_(words_),
          step_counter_(std::vector<std::int64_t>{0}) {
        scores_ = draw_scores(std::vector<float>(static_cast<std::size_t>(c.prompt)), 1.0);
        const auto row = policy::ScoreRow::dense(scores_);
        policy_.set_reference({0, 0}, row);
        upload(reference_, to_bitmap(policy_.reference_set({0, 0}), c.prompt));
        most_ = static_cast<std::size_t>(*std::max_element(c.caps.begin(), c.caps.end()));
        make_members(row);
        make_plan();
    }

    /// A check of a window of queries whose scores differ by `change` from those before; a
    /// triggered one is planned and gathered, and committed where `commits` says so.
    void check(double change, bool commits) {
        std::vector<std::vector<float>> window;
        std::vector<float> packed;
        for (std::int32_t w = 0; w < c_.settings.window; ++w) {
            scores_ = draw_scores(scores_, w == 0 ? change : 0.05);
            window.push_back(scores_);
            packed.insert(packed.end(), scores_.begin(), scores_.end());
        }
        std::vector<policy::ScoreRow> rows;
        for (const auto& scores : window) rows.push_back(policy::ScoreRow::dense(scores));
        const policy::CheckResult expected = policy_.check({0, 0}, rows);
        const DeviceArray<float> device_scores(packed);
        ++step_;
        decide(device_scores, expected);
        if (testing::Test::HasFatalFailure() || !expected.triggered) return;
        ++triggers_;
        const float* last =
            device_scores.get() + (c_.settings.window - 1) * static_cast<std::int64_t>(c_.prompt);
        plan(last);
        compare_plan(expected);
        if (testing::Test::HasFatalFailure()) return;
        bring(expected);
        if (testing::Test::HasFatalFailure() || !commits) return;
        policy_.commit({0, 0});
        HC_ASSERT_CUDA(kernels::cuda::star_commit(fetch_, nullptr));
        compare_residency();
    }

    void compare_residency() const {
        const Values pool = pool_->read();
        for (std::size_t j = 0; j < members_; ++j) {
            const Positions& resident = policy_.resident(head(j));
            EXPECT_EQ(residents_[j]->read(), to_bitmap(resident, c_.prompt));
            const std::vector<std::int32_t> slots = slot_positions_[j]->read();
            Positions held(slots.begin(), slots.end());
            std::sort(held.begin(), held.end());
            ASSERT_EQ(held, resident) << "member " << j;
            for (std::size_t s = 0; s < slots.size(); ++s) {
                const auto position = static_cast<std::size_t>(slots[s]);
                ASSERT_EQ(token(pool, j, s, 0), host_half(j, position, 0)) << "slot " << s;
                ASSERT_EQ(token(pool, j, s, 1), host_half(j, position, 1)) << "slot " << s;
            }
        }
    }

    [[nodiscard]] int triggers() const { return triggers_; }

private:
    static HeadProfile make_profile(std::size_t members) {
        HeadProfile profile;
        profile.num_layers = 1;
        profile.num_kv_heads = static_cast<std::int32_t>(members) + 1;
        profile.roles.assign(members + 1, HeadRole::kSatellite);
        profile.roles[0] = HeadRole::kPivot;
        profile.ratios.assign(members + 1, 1.0);
        Star star;
        star.members.resize(members);
        std::iota(star.members.begin(), star.members.end(), 1);
        profile.stars = {{star}};
        return profile;
    }
    static policy::Budgets make_budgets(const StarCase& c) {
        policy::Budgets budgets;
        budgets.prompt = c.prompt;
        budgets.base = c.base;
        budgets.capacity = c.caps;
        budgets.capacity.insert(budgets.capacity.begin(), c.prompt);
        return budgets;
    }
    static HeadId head(std::size_t member) { return {0, static_cast<std::int32_t>(member) + 1}; }
    template <typename T>
    static void upload(const DeviceArray<T>& array, const std::vector<T>& values) {
        EXPECT_EQ(cudaMemcpy(array.get(), values.data(), values.size() * sizeof(T),
                             cudaMemcpyHostToDevice),
                  cudaSuccess);
    }

    /// Stretches of 1 to 8 tokens keep their values or get new ones.
    std::vector<float> draw_scores(std::vector<float> scores, double change) {
        std::uniform_real_distribution<double> unit(0.0, 1.0);
        for (std::size_t i = 0; i < scores.size();) {
            const std::size_t end = std::min(scores.size(), i + 1 + random_() % 8);
            const bool changes = unit(random_) < change;
            const auto value =
                static_cast<double>(random_() % static_cast<std::uint32_t>(c_.distinct));
            for (; i < end; ++i) {
                if (changes) scores[i] = static_cast<float>(value / c_.distinct);
            }
        }
        return scores;
    }

    void make_members(const policy::ScoreRow& row) {
        std::vector<std::int32_t> pages;  // of all members, in random order
        std::int32_t num_pages = 0;
        for (const auto cap : c_.caps) {
            num_pages += static_cast<std::int32_t>((cap + c_.page_size - 1) / c_.page_size);
        }
        pages.resize(static_cast<std::size_t>(num_pages));
        std::iota(pages.begin(), pages.end(), 0);
        std::shuffle(pages.begin(), pages.end(), random_);
        Values pool(pages.size() * static_cast<std::size_t>(c_.page_size) * row_values_,
                    kUntouched);
        for (std::size_t j = 0; j < members_; ++j) {
            const auto cap = static_cast<std::size_t>(c_.caps[j]);
            const std::size_t count = (cap + static_cast<std::size_t>(c_.page_size) - 1) /
                                      static_cast<std::size_t>(c_.page_size);
            indices_.emplace_back(pages.end() - static_cast<std::ptrdiff_t>(count), pages.end());
            pages.resize(pages.size() - count);
            hosts_.push_back(std::make_unique<MappedArray<std::uint16_t>>(
                random_values(static_cast<std::size_t>(c_.prompt) * row_values_, random_)));
            const Positions& resident = policy_.select_at_prefill(head(j), row);
            for (std::size_t s = 0; s < resident.size(); ++s) {
                for (std::size_t half = 0; half < 2; ++half) {
                    const Values values = host_half(j, resident[s], half);
                    std::copy(values.begin(), values.end(),
                              pool.begin() + static_cast<std::ptrdiff_t>(token_at(j, s, half)));
                }
            }
            residents_.push_back(
                std::make_unique<DeviceArray<std::uint32_t>>(to_bitmap(resident, c_.prompt)));
            slot_positions_.push_back(std::make_unique<DeviceArray<std::int32_t>>(
                std::vector<std::int32_t>(resident.begin(), resident.end())));
            device_indices_.push_back(std::make_unique<DeviceArray<std::int32_t>>(indices_[j]));
            stagings_.push_back(
                std::make_unique<DeviceArray<std::uint16_t>>((cap + 1) * row_values_));
        }
        pool_ = std::make_unique<DeviceArray<std::uint16_t>>(pool);
    }

    void make_plan() {
        row_stride_ = most_ + 5;
        const std::size_t rows = members_ * row_stride_;
        for (auto* bitmaps : {&wanted_, &fetched_, &evicted_}) {
            *bitmaps = std::make_unique<DeviceArray<std::uint32_t>>(members_ * words_);
        }
        positions_ = std::make_unique<DeviceArray<std::int32_t>>(rows);
        slots_ = std::make_unique<DeviceArray<std::int32_t>>(rows);
        runs_ = std::make_unique<DeviceArray<Run>>(rows);
        num_rows_ = std::make_unique<DeviceArray<std::int32_t>>(members_);
        num_runs_ = std::make_unique<DeviceArray<std::int32_t>>(members_);
        large_runs_ = std::make_unique<MappedArray<Run>>(
            members_ * static_cast<std::size_t>(c_.max_large_runs) + 1);
        fetch_.num_members = static_cast<std::int32_t>(members_);
        fetch_.prompt = c_.prompt;
        fetch_.page_size = c_.page_size;
        fetch_.head_dim = c_.head_dim;
        fetch_.pages = pool_->get();
        fetch_.wanted = wanted_->get();
        fetch_.fetched = fetched_->get();
        fetch_.evicted = evicted_->get();
        fetch_.positions = positions_->get();
        fetch_.slots = slots_->get();
        fetch_.num_rows = num_rows_->get();
        fetch_.row_stride = static_cast<std::int64_t>(row_stride_);
        fetch_.runs = runs_->get();
        fetch_.num_runs = num_runs_->get();
        fetch_.run_stride = static_cast<std::int64_t>(row_stride_);
        for (std::size_t j = 0; j < members_; ++j) {
            fetch_.members[j] = {static_cast<std::int32_t>(c_.caps[j]),
                                 residents_[j]->get(),
                                 slot_positions_[j]->get(),
                                 device_indices_[j]->get(),
                                 hosts_[j]->device(),
                                 stagings_[j]->get()};
        }
    }

    [[nodiscard]] std::size_t token_at(std::size_t member, std::size_t slot,
                                       std::size_t half) const {
        const auto page_size = static_cast<std::size_t>(c_.page_size);
        const auto page = static_cast<std::size_t>(indices_[member][slot / page_size]);
        return ((page * 2 + half) * page_size + slot % page_size) * row_values_ / 2;
    }
    [[nodiscard]] Values token(const Values& pool, std::size_t member, std::size_t slot,
                               std::size_t half) const {
        const auto begin = pool.begin() + static_cast<std::ptrdiff_t>(token_at(member, slot, half));
        return {begin, begin + c_.head_dim};
    }
    [[nodiscard]] Values host_half(std::size_t member, std::size_t position,
                                   std::size_t half) const {
        const auto row =
            hosts_[member]->host().subspan(position * row_values_ + half * row_values_ / 2);
        return {row.begin(), row.begin() + c_.head_dim};
    }

    /// Sets of `k` from rows of scores, into `bitmaps`.
    void select(const float* scores, const std::vector<std::int32_t>& k, bool one_row,
                std::uint32_t* bitmaps) const {
        const auto rows = static_cast<std::int32_t>(k.size());
        const DeviceArray<std::int32_t> device_k(k);
        const DeviceArray<std::int32_t> source(std::vector<std::int32_t>(k.size(), 0));
        const DeviceArray<std::uint8_t> workspace(
            kernels::cuda::top_k_workspace_bytes(rows, c_.prompt));
        kernels::cuda::TopKArguments a;
        a.scores = scores;
        a.score_stride = c_.prompt;
        a.source_rows = one_row ? source.get() : nullptr;
        a.k = device_k.get();
        a.num_rows = rows;
        a.count = c_.prompt;
        a.bitmaps = bitmaps;
        a.bitmap_stride = static_cast<std::int64_t>(words_);
        a.workspace = workspace.get();
        HC_ASSERT_CUDA(kernels::cuda::top_k(a, nullptr));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());  // before the workspace goes
    }

    void decide(const DeviceArray<float>& scores, const policy::CheckResult& expected) {
        const auto window = static_cast<std::size_t>(c_.settings.window);
        const DeviceArray<std::uint32_t> candidates(window * words_);
        select(scores.get(), std::vector<std::int32_t>(window, c_.base), false, candidates.get());
        upload(step_counter_, {step_});
        kernels::cuda::DriftDecideArguments a;
        a.candidates = candidates.get();
        a.candidate_stride = static_cast<std::int64_t>(words_);
        a.reference = reference_.get();
        a.prompt = c_.prompt;
        a.base = c_.base;
        a.window = c_.settings.window;
        a.threshold = c_.settings.stable_threshold;
        a.chance_corrected = c_.settings.chance_corrected;
        a.step_counter = step_counter_.get();
        a.host_header = drift_header_.device();
        HC_ASSERT_CUDA(kernels::cuda::drift_decide(a, nullptr));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());
        const auto& got = drift_header_.host()[0];
        ASSERT_EQ(got.ticket, static_cast<std::uint64_t>(step_) + 1);
        for (std::size_t w = 0; w < window; ++w) EXPECT_EQ(got.overlaps[w], expected.overlaps[w]);
        EXPECT_EQ(got.median, expected.median);
        ASSERT_EQ(got.triggered != 0, expected.triggered);
        EXPECT_EQ(reference_.read(), to_bitmap(policy_.reference_set({0, 0}), c_.prompt));
    }

    void plan(const float* last) {
        const auto& settings = c_.settings;
        const DeviceArray<float> forced(static_cast<std::size_t>(c_.prompt));
        if (settings.sink > 0 || settings.recent > 0) {
            HC_ASSERT_CUDA(kernels::cuda::force_scores(last, c_.prompt, settings.sink,
                                                       settings.recent, forced.get(), nullptr));
            last = forced.get();
        }
        const DeviceArray<std::uint32_t> best(words_);
        kernels::cuda::StarPlanOptions options;
        if (settings.satellites_cut_by_position) {
            select(last, {static_cast<std::int32_t>(most_)}, true, best.get());
            options.best = best.get();
        } else {
            select(last, std::vector<std::int32_t>(c_.caps.begin(), c_.caps.end()), true,
                   wanted_->get());
        }
        const DeviceArray<std::uint8_t> workspace(kernels::cuda::star_plan_workspace_bytes(
            fetch_.num_members, static_cast<std::int64_t>(row_stride_)));
        options.missing_only = settings.fetch_missing_only;
        options.large_run_rows = c_.large_run_rows;
        options.max_large_runs = c_.max_large_runs;
        options.host_large_runs = large_runs_->device();
        options.host_header = plan_header_.device();
        options.ticket = static_cast<std::uint64_t>(step_) + 1000;
        options.workspace = workspace.get();
        HC_ASSERT_CUDA(kernels::cuda::plan_star(fetch_, options, nullptr));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());
        ASSERT_EQ(plan_header_.host()[0].ticket, options.ticket);
    }

    /// The runs of a fetch that are left to copies.
    [[nodiscard]] std::vector<Run> large_runs(const Positions& fetched) const {
        std::vector<Run> large;
        for (const Run& run : runs_of(fetched)) {
            if (c_.large_run_rows > 0 && run.length >= c_.large_run_rows &&
                large.size() < static_cast<std::size_t>(c_.max_large_runs)) {
                large.push_back(run);
            }
        }
        return large;
    }

    void compare_plan(const policy::CheckResult& expected) const {
        const auto& header = plan_header_.host()[0];
        for (std::size_t j = 0; j < members_; ++j) {
            SCOPED_TRACE(::testing::Message() << "member " << j);
            const policy::HeadFetch& fetch = expected.fetches[j];
            EXPECT_EQ(row_of(wanted_->read(), j, words_, words_),
                      to_bitmap(fetch.wanted, c_.prompt));
            EXPECT_EQ(row_of(fetched_->read(), j, words_, words_),
                      to_bitmap(fetch.fetched, c_.prompt));
            EXPECT_EQ(row_of(evicted_->read(), j, words_, words_),
                      to_bitmap(fetch.evicted, c_.prompt));
            const std::size_t rows = fetch.fetched.size();
            ASSERT_EQ(static_cast<std::size_t>(num_rows_->read()[j]), rows);
            ASSERT_EQ(static_cast<std::size_t>(header.num_rows[j]), rows);
            std::vector<std::int32_t> positions(fetch.fetched.begin(), fetch.fetched.end());
            const std::vector<Run> large = large_runs(fetch.fetched);
            ASSERT_EQ(static_cast<std::size_t>(header.num_large_runs[j]), large.size());
            for (std::size_t i = 0; i < large.size(); ++i) {
                const Run& run =
                    large_runs_->host()[j * static_cast<std::size_t>(c_.max_large_runs) + i];
                EXPECT_EQ(run.start, large[i].start);
                EXPECT_EQ(run.length, large[i].length);
                EXPECT_EQ(run.first, large[i].first);
                for (std::int32_t row = 0; row < large[i].length; ++row) {
                    positions[static_cast<std::size_t>(large[i].first + row)] |=
                        ~kernels::cuda::kPositionMask;
                }
            }
            EXPECT_EQ(row_of(positions_->read(), j, row_stride_, rows), positions);
            EXPECT_EQ(static_cast<std::size_t>(header.num_runs[j]), runs_of(fetch.fetched).size());
            EXPECT_EQ(row_of(slots_->read(), j, row_stride_, rows), free_slots(j, fetch));
        }
    }

    [[nodiscard]] std::vector<std::int32_t> free_slots(std::size_t member,
                                                       const policy::HeadFetch& fetch) const {
        const std::vector<std::int32_t> held = slot_positions_[member]->read();
        std::vector<std::int32_t> slots;
        for (std::size_t s = 0; s < held.size(); ++s) {
            const bool goes = std::binary_search(fetch.evicted.begin(), fetch.evicted.end(),
                                                 static_cast<Position>(held[s]));
            if (goes || !c_.settings.fetch_missing_only) {
                slots.push_back(static_cast<std::int32_t>(s));
            }
        }
        return slots;
    }

    /// Gathers, checks that the large runs were left alone, and brings these as the host would.
    void bring(const policy::CheckResult& expected) {
        for (std::size_t j = 0; j < members_; ++j) {
            const std::size_t bytes =
                (static_cast<std::size_t>(c_.caps[j]) + 1) * row_values_ * sizeof(std::uint16_t);
            HC_ASSERT_CUDA(cudaMemset(stagings_[j]->get(), 0xff, bytes));
        }
        // Blocks of every kind: each must share out all rows, whatever its number of warps.
        constexpr std::int32_t kBlockThreads[] = {256, 1024, 32, 96};
        HC_ASSERT_CUDA(
            kernels::cuda::gather_star(fetch_, 1 + step_ % 5, nullptr, kBlockThreads[step_ % 4]));
        for (std::size_t j = 0; j < members_; ++j) {
            SCOPED_TRACE(::testing::Message() << "member " << j);
            const Positions& fetched = expected.fetches[j].fetched;
            Values staged((static_cast<std::size_t>(c_.caps[j]) + 1) * row_values_, kUntouched);
            const auto host = hosts_[j]->host();
            for (std::size_t i = 0; i < fetched.size(); ++i) {
                const auto row = host.subspan(fetched[i] * row_values_, row_values_);
                std::copy(row.begin(), row.end(),
                          staged.begin() + static_cast<std::ptrdiff_t>(i * row_values_));
            }
            const std::vector<Run> large = large_runs(fetched);
            Values gathered = staged;
            for (const Run& run : large) {
                std::fill_n(gathered.begin() + run.first * static_cast<std::ptrdiff_t>(row_values_),
                            static_cast<std::size_t>(run.length) * row_values_, kUntouched);
            }
            ASSERT_EQ(stagings_[j]->read(), gathered);
            for (const Run& run : large) {
                const std::size_t values = static_cast<std::size_t>(run.length) * row_values_;
                HC_ASSERT_CUDA(cudaMemcpy(
                    stagings_[j]->get() + static_cast<std::size_t>(run.first) * row_values_,
                    host.data() + static_cast<std::size_t>(run.start) * row_values_, values * 2,
                    cudaMemcpyHostToDevice));
            }
            ASSERT_EQ(stagings_[j]->read(), staged);
        }
    }

    StarCase c_;
    std::size_t members_;
    std::size_t words_;
    std::size_t row_values_;
    HeadProfile profile_;
    policy::HeteroCachePolicy policy_;
    std::mt19937 random_;
    std::vector<float> scores_;
    std::size_t most_ = 0;
    std::size_t row_stride_ = 0;
    std::int32_t step_ = 0;
    int triggers_ = 0;

    MappedArray<kernels::cuda::StarPlanHeader> plan_header_;
    MappedArray<kernels::cuda::DriftHeader> drift_header_;
    DeviceArray<std::uint32_t> reference_;
    DeviceArray<std::int64_t> step_counter_;
    std::vector<std::vector<std::int32_t>> indices_;
    std::vector<std::unique_ptr<MappedArray<std::uint16_t>>> hosts_;
    std::vector<std::unique_ptr<DeviceArray<std::uint32_t>>> residents_;
    std::vector<std::unique_ptr<DeviceArray<std::int32_t>>> slot_positions_;
    std::vector<std::unique_ptr<DeviceArray<std::int32_t>>> device_indices_;
    std::vector<std::unique_ptr<DeviceArray<std::uint16_t>>> stagings_;
    std::unique_ptr<DeviceArray<std::uint16_t>> pool_;
    std::unique_ptr<DeviceArray<std::uint32_t>> wanted_;
    std::unique_ptr<DeviceArray<std::uint32_t>> fetched_;
    std::unique_ptr<DeviceArray<std::uint32_t>> evicted_;
    std::unique_ptr<DeviceArray<std::int32_t>> positions_;
    std::unique_ptr<DeviceArray<std::int32_t>> slots_;
    std::unique_ptr<DeviceArray<Run>> runs_;
    std::unique_ptr<DeviceArray<std::int32_t>> num_rows_;
    std::unique_ptr<DeviceArray<std::int32_t>> num_runs_;
    std::unique_ptr<MappedArray<Run>> large_runs_;
    kernels::cuda::StarFetch fetch_;
};

/// Several checks in a row, some triggered, some of these superseded before their commit.
int run_checks(const StarCase& c, std::uint32_t seed) {
    SCOPED_TRACE(::testing::Message()
                 << "prompt " << c.prompt << " base " << c.base << " members " << c.caps.size()
                 << " W " << c.settings.window << " distinct " << c.distinct << " seed " << seed);
    StarPair pair(c, seed);
    pair.compare_residency();
    constexpr double kChanges[] = {0.05, 0.95, 0.5, 0.95, 0.95, 0.2, 0.95, 0.7};
    for (std::size_t i = 0; i < std::size(kChanges); ++i) {
        if (testing::Test::HasFatalFailure()) break;
        pair.check(kChanges[i], i % 4 != 1);
    }
    return pair.triggers();
}

policy::Settings settings_of(std::int32_t window) {
    policy::Settings settings;
    settings.window = window;
    return settings;
}

class DeviceStarFetch : public test::DeviceTest {};

TEST_F(DeviceStarFetch, DecidesFetchesAndCommitsAsThePolicyDoes) {
    int triggers = 0;
    std::uint32_t seed = 51;
    for (const std::int32_t window : {1, 2, 5}) {
        for (const int distinct : {1 << 20, 40, 3}) {
            const StarCase c{2003, 500, {700, 31, 1200, 500}, settings_of(window), distinct, 64, 16,
                             0,    0};
            triggers += run_checks(c, seed++);
        }
    }
    EXPECT_GT(triggers, 20);
}

TEST_F(DeviceStarFetch, FollowsEveryOptionOfThePolicy) {
    std::uint32_t seed = 71;
    int triggers = 0;
    for (int options = 0; options < 16; ++options) {
        policy::Settings settings = settings_of(options % 2 == 0 ? 2 : 5);
        settings.fetch_missing_only = (options & 1) != 0;
        settings.satellites_cut_by_position = (options & 2) != 0;
        settings.chance_corrected = (options & 4) != 0;
        if ((options & 8) != 0) {
            settings.sink = 4;
            settings.recent = 64;
        }
        // Capacities below, inside and above the forced tokens.
        const StarCase c{1500, 300, {3, 40, 68, 600}, settings, 50, 96, 10, 0, 0};
        triggers += run_checks(c, seed++);
    }
    EXPECT_GT(triggers, 30);
}

TEST_F(DeviceStarFetch, LeavesLargeRunsToCopies) {
    const StarCase some{3001, 700, {900, 2000}, settings_of(2), 1 << 20, 128, 16, 6, 1000};
    EXPECT_GT(run_checks(some, 91), 1);
    const StarCase few{3001, 700, {900, 2000}, settings_of(2), 1 << 20, 64, 16, 4, 3};
    EXPECT_GT(run_checks(few, 92), 1);
    policy::Settings whole = settings_of(1);
    whole.fetch_missing_only = false;
    const StarCase all{40'000, 9000, {20'000}, whole, 1 << 20, 8, 16, 1, 20'000};
    EXPECT_GT(run_checks(all, 93), 1);
}

TEST_F(DeviceStarFetch, WorksAtTheEndsOfItsRanges) {
    // Everything in the sets; a capacity of the whole prompt; prompts of one word and less.
    run_checks({500, 500, {100, 500}, settings_of(2), 100, 64, 16, 0, 0}, 101);
    run_checks({640, 100, {640, 1, 320}, settings_of(2), 1 << 20, 64, 16, 0, 0}, 102);
    run_checks({32, 8, {16, 5}, settings_of(1), 1 << 20, 8, 1, 2, 4}, 103);
    run_checks({7, 2, {3}, settings_of(1), 1 << 20, 64, 16, 0, 0}, 104);
    const StarCase many{300, 60, std::vector<std::int64_t>(32, 100), settings_of(1), 30, 64, 16,
                        0,   0};
    EXPECT_GT(run_checks(many, 105), 0);
}

TEST_F(DeviceStarFetch, RefusesWhatItCannotDo) {
    kernels::cuda::StarFetch fetch;
    fetch.num_members = 1;
    fetch.prompt = 10;
    fetch.head_dim = 64;
    fetch.members[0].cap = 11;
    fetch.row_stride = 20;
    EXPECT_EQ(kernels::cuda::star_commit(fetch, nullptr), cudaErrorInvalidValue);
    fetch.members[0].cap = 10;
    fetch.head_dim = 12;
    EXPECT_EQ(kernels::cuda::star_commit(fetch, nullptr), cudaErrorInvalidValue);
    fetch.head_dim = 64;
    EXPECT_EQ(kernels::cuda::gather_star(fetch, 0, nullptr), cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::gather_star(fetch, 1, nullptr, 48), cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::gather_star(fetch, 1, nullptr, 2048), cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::plan_star(fetch, {}, nullptr), cudaErrorInvalidValue);
}

// ---- gather alone ----------------------------------------------------------------------------

TEST_F(DeviceStarFetch, GathersRunsOfAnyLengthAndEmptyMembers) {
    std::mt19937 random(111);
    constexpr std::int32_t kDims[] = {128, 64, 256, 40};
    for (std::size_t round = 0; round < 4; ++round) {
        const std::int32_t head_dim = kDims[round];
        const auto row_values = static_cast<std::size_t>(head_dim) * 2;
        const std::size_t run_lengths[] = {1, 2, 0, 5, 100};  // 0: nothing at all
        constexpr std::size_t kPrompt = 4000;
        constexpr std::size_t kRows = 1500;
        kernels::cuda::StarFetch fetch;
        fetch.num_members = static_cast<std::int32_t>(std::size(run_lengths));
        fetch.prompt = static_cast<std::int32_t>(kPrompt);
        fetch.head_dim = head_dim;
        fetch.row_stride = static_cast<std::int64_t>(kRows);
        std::vector<std::int32_t> positions(std::size(run_lengths) * kRows, -1);
        std::vector<std::int32_t> counts;
        std::vector<std::unique_ptr<MappedArray<std::uint16_t>>> hosts;
        std::vector<std::unique_ptr<DeviceArray<std::uint16_t>>> stagings;
        std::vector<Values> expected;
        for (std::size_t j = 0; j < std::size(run_lengths); ++j) {
            hosts.push_back(std::make_unique<MappedArray<std::uint16_t>>(
                random_values(kPrompt * row_values, random)));
            stagings.push_back(
                std::make_unique<DeviceArray<std::uint16_t>>((kRows + 1) * row_values));
            expected.emplace_back((kRows + 1) * row_values, kUntouched);
            std::size_t count = 0;
            for (std::size_t at = 1; at < kPrompt && count < kRows && run_lengths[j] > 0;) {
                for (std::size_t i = 0; i < run_lengths[j] && at < kPrompt && count < kRows; ++i) {
                    const auto row = hosts[j]->host().subspan(at * row_values, row_values);
                    std::copy(
                        row.begin(), row.end(),
                        expected[j].begin() + static_cast<std::ptrdiff_t>(count * row_values));
                    positions[j * kRows + count++] = static_cast<std::int32_t>(at++);
                }
                at += 1 + random() % 3;
            }
            counts.push_back(static_cast<std::int32_t>(count));
            fetch.members[j].host_rows = hosts[j]->device();
            fetch.members[j].staging = stagings[j]->get();
        }
        const DeviceArray<std::int32_t> device_positions(positions);
        const DeviceArray<std::int32_t> num_rows(counts);
        fetch.positions = device_positions.get();
        fetch.num_rows = num_rows.get();
        for (const std::int32_t threads : {1024, 256, 32, 96}) {
            for (const auto& staging : stagings) {
                HC_ASSERT_CUDA(cudaMemset(staging->get(), 0xff,
                                          (kRows + 1) * row_values * sizeof(std::uint16_t)));
            }
            HC_ASSERT_CUDA(kernels::cuda::gather_star(
                fetch, static_cast<std::int32_t>(round) * 5 + 1, nullptr, threads));
            for (std::size_t j = 0; j < std::size(run_lengths); ++j) {
                EXPECT_TRUE(stagings[j]->read() == expected[j])
                    << "D " << head_dim << " member " << j << ", " << threads << " threads";
            }
        }
    }
}

// ---- after prefill ---------------------------------------------------------------------------

TEST_F(DeviceStarFetch, CompactsKeptRowsAndOffloadsAllOfThem) {
    std::mt19937 random(121);
    constexpr std::int32_t kDims[] = {128, 64, 256, 40, 8};
    for (std::size_t round = 0; round < 10; ++round) {
        const std::int32_t head_dim = kDims[round % 5];
        const std::int32_t page_size = round % 2 == 0 ? 16 : 7;
        const auto prompt = static_cast<std::int32_t>(1 + random() % 3000);
        const auto row_values = static_cast<std::size_t>(head_dim) * 2;
        const auto count = static_cast<std::size_t>((prompt + page_size - 1) / page_size);
        SCOPED_TRACE(::testing::Message() << "D " << head_dim << " prompt " << prompt);
        std::vector<std::int32_t> pages(2 * count);
        std::iota(pages.begin(), pages.end(), 0);
        std::shuffle(pages.begin(), pages.end(), random);
        const auto source = row_of(pages, 0, count, count);
        const auto target = row_of(pages, 1, count, count);
        const std::size_t half = static_cast<std::size_t>(head_dim);
        const auto at = [&](const std::vector<std::int32_t>& list, std::int32_t slot,
                            std::size_t part) {
            const auto page =
                static_cast<std::size_t>(list[static_cast<std::size_t>(slot / page_size)]);
            return ((page * 2 + part) * static_cast<std::size_t>(page_size) +
                    static_cast<std::size_t>(slot % page_size)) *
                   half;
        };
        Values pool =
            random_values(2 * count * static_cast<std::size_t>(page_size) * row_values, random);
        std::vector<std::int32_t> all(static_cast<std::size_t>(prompt));
        std::iota(all.begin(), all.end(), 0);
        std::vector<std::int32_t> kept;
        std::sample(all.begin(), all.end(), std::back_inserter(kept),
                    static_cast<std::ptrdiff_t>(random() % (all.size() + 1)), random);
        const DeviceArray<std::uint16_t> device_pool(pool);
        const DeviceArray<std::int32_t> device_source(source);
        const DeviceArray<std::int32_t> device_target(target);
        const DeviceArray<std::int32_t> device_kept(kept);
        const DeviceArray<std::int32_t> num_kept(
            std::vector<std::int32_t>{static_cast<std::int32_t>(kept.size())});
        const DeviceArray<std::int32_t> slot_positions(kept.size());

        kernels::cuda::OffloadRowsArguments offload;
        offload.pages = device_pool.get();
        offload.page_indices = device_source.get();
        offload.page_size = page_size;
        offload.head_dim = head_dim;
        offload.first = prompt / 3;
        offload.num_rows = prompt - offload.first;
        const DeviceArray<std::uint16_t> rows((static_cast<std::size_t>(offload.num_rows) + 1) *
                                              row_values);
        offload.rows = rows.get();
        HC_ASSERT_CUDA(kernels::cuda::offload_rows(offload, nullptr));
        Values expected((static_cast<std::size_t>(offload.num_rows) + 1) * row_values, kUntouched);
        for (std::int32_t i = 0; i < offload.num_rows; ++i) {
            for (std::size_t part = 0; part < 2; ++part) {
                std::copy_n(
                    pool.begin() + static_cast<std::ptrdiff_t>(at(source, offload.first + i, part)),
                    half,
                    expected.begin() + static_cast<std::ptrdiff_t>(
                                           (static_cast<std::size_t>(i) * 2 + part) * half));
            }
        }
        EXPECT_EQ(rows.read(), expected);

        kernels::cuda::KeptRowsArguments a;
        a.pages = device_pool.get();
        a.source_indices = device_source.get();
        a.target_indices = device_target.get();
        a.page_size = page_size;
        a.head_dim = head_dim;
        a.kept = device_kept.get();
        a.num_kept = num_kept.get();
        a.max_kept = prompt;
        a.slot_positions = slot_positions.get();
        HC_ASSERT_CUDA(kernels::cuda::gather_kept(a, nullptr));
        for (std::size_t i = 0; i < kept.size(); ++i) {
            for (std::size_t part = 0; part < 2; ++part) {
                std::copy_n(pool.begin() + static_cast<std::ptrdiff_t>(at(source, kept[i], part)),
                            half,
                            pool.begin() + static_cast<std::ptrdiff_t>(
                                               at(target, static_cast<std::int32_t>(i), part)));
            }
        }
        EXPECT_EQ(device_pool.read(), pool);
        EXPECT_EQ(slot_positions.read(), kept);
    }
}

}  // namespace
}  // namespace hc
