#include "engine/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/cuda/device_info.h"
#include "engine/policy/device_memory.h"
#include "engine/runtime/rope_frequencies.h"
#include "kernels/cuda/sample.h"

namespace hc::cuda {
namespace {

constexpr std::int64_t kListSlack =
    1;  // pages beyond what was asked for, so that a turn is no growth

const runtime::EngineOptions& checked(const runtime::EngineOptions& options,
                                      const ModelShape& shape) {
    if (options.page_size < 16 || options.page_size % 16 != 0) {
        throw_usage(fmt::format("page size {}: backend cuda needs a multiple of 16 tokens",
                                options.page_size));
    }
    if (options.prefill_chunk < 1) {
        throw_usage(
            fmt::format("prefill chunk {}: expected at least 1 token", options.prefill_chunk));
    }
    const std::int64_t dim = shape.head_dim;
    if (dim != 64 && dim != 96 && dim != 128 && dim != 256) {
        throw_refused(fmt::format(
            "head dimension {}: backend cuda has kernels for 64, 96, 128 and 256", dim));
    }
    if (shape.group() > 16) {
        throw_refused(fmt::format(
            "{} query heads per KV head: backend cuda has kernels for at most 16", shape.group()));
    }
    if (shape.hidden % 32 != 0 || shape.mlp % 32 != 0 || shape.hidden > 16384) {
        throw_refused(fmt::format(
            "hidden size {} and MLP size {}: backend cuda needs multiples of 32, hidden at most "
            "16384",
            shape.hidden, shape.mlp));
    }
    return options;
}

bool asked_to_wait() {
    const char* value = std::getenv("HCPROF_CUDA_SYNC");
    return value != nullptr && std::string_view(value) == "1";
}

DeviceInfo started(const CudaOptions& options) {
    const DeviceInfo info = device_info(options.device);
    check(cudaSetDevice(options.device), "cudaSetDevice");
    return info;
}

}  // namespace

CudaBackend::CudaBackend(const model::Model& model, const runtime::EngineOptions& options,
                         const CudaOptions& cuda, Observer* observer)
    : model_(model),
      shape_(model.shape),
      options_(checked(options, model.shape)),
      cuda_(cuda),
      observer_(observer),
      info_(started(cuda)),
      compute_(Priority::kNormal),
      // A step always has its next kernel waiting for room: without a higher priority checks would
      // run when the step has ended.
      side_(Priority::kHigh),
      fetch_(Priority::kLow),
      pool_(ledger_, 2 * options.page_size * model.shape.head_dim, info_.memory_bytes),
      table_(ledger_),
      weights_(model, ledger_, compute_.get(), cuda.seed),
      timer_(options.record_operations && observer != nullptr) {
    cuda_.synchronous_kernels = cuda_.synchronous_kernels || asked_to_wait();
    if (cuda_.synchronous_kernels) cuda_.graphs = false;
    library_ = MatmulLibrary::open(library_ledger_, no_library_why_);
    const std::vector<float> frequencies =
        runtime::rope_frequencies(shape_, model.weights.rope_factors);
    inv_freq_ = DeviceBuffer(ledger_, "step",
                             static_cast<std::int64_t>(frequencies.size() * sizeof(float)));
    check(cudaMemcpy(inv_freq_.as<float>(), frequencies.data(), frequencies.size() * sizeof(float),
                     cudaMemcpyHostToDevice),
          "uploading RoPE frequencies");
    upload_told_drift();
    reserve_batch(1);
}

CudaBackend::~CudaBackend() {
    // The worker first: it enqueues on streams and reads headers that go away below.
    worker_.reset();
    static_cast<void>(cudaDeviceSynchronize());
}

DeviceSequence& CudaBackend::sequence(SequenceId id) {
    return const_cast<DeviceSequence&>(std::as_const(*this).sequence(id));
}

const DeviceSequence& CudaBackend::sequence(SequenceId id) const {
    const bool known = id >= 0 && static_cast<std::size_t>(id) < sequences_.size() &&
                       sequences_[static_cast<std::size_t>(id)] != nullptr;
    if (!known) throw_usage(fmt::format("sequence {} does not exist in this engine", id));
    return *sequences_[static_cast<std::size_t>(id)];
}

void CudaBackend::check_profile(const HeadProfile& profile) const {
    if (profile.num_layers == shape_.num_layers && profile.num_kv_heads == shape_.num_kv_heads) {
        return;
    }
    throw_input(fmt::format(
        "the head profile is of another model: it has {} layers of {} KV heads, {} has {} of {}",
        profile.num_layers, profile.num_kv_heads, model_.name, shape_.num_layers,
        shape_.num_kv_heads));
}

void CudaBackend::check_tokens(std::span<const TokenId> tokens) const {
    for (const TokenId token : tokens) {
        if (token >= 0 && token < shape_.vocab) continue;
        throw_input(
            fmt::format("token {} is not in the vocabulary of {} tokens", token, shape_.vocab));
    }
}

SequenceId CudaBackend::add_sequence(const runtime::SequenceOptions& options) {
    if (options.heterocache) {
        if (options.profile == nullptr) throw_usage("heterocache needs a head profile");
        check_profile(*options.profile);
        policy::validate(options.settings);
        if (options.settings.half_precision_scores && !cuda_.synthetic_prefill) {
            throw_refused(
                "half_precision_scores: backend cuda computes scores in fp32 only; use --set "
                "half_precision_scores=false, or backend cpu");
        }
    }
    const auto id = static_cast<SequenceId>(sequences_.size());
    auto seq = std::make_unique<DeviceSequence>(id, options);
    seq->heads.resize(static_cast<std::size_t>(shape_.num_kv_heads_total()));
    sequences_.push_back(std::move(seq));
    std::int32_t live = 0;
    for (const auto& s : sequences_) live += s != nullptr ? 1 : 0;
    reserve_batch(live);
    return id;
}

void CudaBackend::remove_sequence(SequenceId id) {
    DeviceSequence& seq = sequence(id);
    check(cudaStreamSynchronize(compute_.get()), "waiting for a sequence");
    settle_fetches(seq);
    if (worker_ != nullptr) {
        check(cudaStreamSynchronize(fetch_.get()), "waiting for fetches");
        worker_->drop(seq);
    }
    for (const auto& other : sequences_) {
        const bool lost = other != nullptr && other.get() != &seq && other->last_batch != nullptr &&
                          other->retrieves();
        if (!lost) continue;
        const std::vector<SequenceId>& ids = other->last_batch->ids;
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) continue;
        // Its window of queries lies in a batch that goes away: move it to one of its own.
        batches_.push_back(make_batch({other->id}));
        other->last_batch = batches_.back().get();
    }
    for (const auto& other : sequences_) {
        if (other == nullptr || other->last_batch == nullptr) continue;
        const std::vector<SequenceId>& ids = other->last_batch->ids;
        if (std::find(ids.begin(), ids.end(), id) != ids.end()) other->last_batch = nullptr;
    }
    std::erase_if(batches_, [&](const auto& batch) {
        return std::find(batch->ids.begin(), batch->ids.end(), id) != batch->ids.end();
    });
    for (std::size_t head = 0; head < seq.heads.size(); ++head) release_pages(seq, head);
    if (seq.table_first >= 0) {
        table_.give_back(seq.table_first,
                         seq.list_stride * static_cast<std::int64_t>(seq.heads.size()));
    }
    sequences_[static_cast<std::size_t>(id)].reset();
}

/// Page lists that hold `tokens` of every head. Those there were move with their content.
void CudaBackend::ensure_lists(DeviceSequence& seq, std::int64_t tokens) {
    const std::int64_t page = options_.page_size;
    const std::int64_t needed = (tokens + page - 1) / page;
    const auto heads = static_cast<std::int64_t>(seq.heads.size());
    if (seq.views.empty()) {
        seq.views = DeviceBuffer(ledger_, "page lists", 2 * 4 * heads);
    }
    if (needed <= seq.list_stride) return;
    if (seq.table_first >= 0) {
        table_.give_back(seq.table_first, seq.list_stride * heads);
        seq.list_stride = needed + needed / 4;  // a second time: more may follow
    } else {
        seq.list_stride = needed + kListSlack;
    }
    seq.table_first = table_.take(seq.list_stride * heads);
    ++seq.table_version;
    for (std::int64_t head = 0; head < heads; ++head) {
        const HeadPages& kv = seq.heads[static_cast<std::size_t>(head)];
        for (std::size_t i = 0; i < kv.pages.size(); ++i) {
            table_.set(seq.table_first + head * seq.list_stride + static_cast<std::int64_t>(i),
                       kv.pages[i]);
        }
    }
    std::vector<std::int32_t> indptr;
    for (std::int64_t head = 0; head < heads; ++head) {
        indptr.push_back(static_cast<std::int32_t>(seq.table_first + head * seq.list_stride));
    }
    check(cudaMemcpyAsync(seq.views.as<std::int32_t>(), indptr.data(),
                          indptr.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice,
                          compute_.get()),
          "uploading page lists");
    upload_lists(seq, 0, num_layers());
    for (StarState& star : seq.stars) {
        for (std::int32_t m = 0; m < star.fetch.num_members; ++m) {
            const std::size_t index =
                head_index(star.layer, star.members[static_cast<std::size_t>(m)]);
            star.fetch.members[m].page_indices = list_of(seq, index);
        }
    }
}

void CudaBackend::extend(DeviceSequence& seq, std::size_t head, std::int64_t length) {
    HeadPages& kv = seq.heads[head];
    const std::int64_t page = options_.page_size;
    while (static_cast<std::int64_t>(kv.pages.size()) * page < length) {
        const auto entry = static_cast<std::int64_t>(kv.pages.size());
        HC_CHECK(entry < seq.list_stride);
        kv.pages.push_back(pool_.take());
        table_.set(seq.table_first + static_cast<std::int64_t>(head) * seq.list_stride + entry,
                   kv.pages.back());
    }
    kv.length = length;
}

/// Backs the pages of a prompt's tokens, and of those generated behind it, at one go.
void CudaBackend::reserve_pages(const DeviceSequence& seq, std::int64_t tokens) {
    const std::int64_t page = options_.page_size;
    const std::int64_t behind = tokens + seq.options.reserve_generated;
    std::int64_t pages = 0;
    std::int64_t transient = 0;
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
        std::int64_t compressed = 0;
        for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
            const std::size_t index = head_index(layer, head);
            const HeadPages& kv = seq.heads[index];
            std::int64_t length = kv.length + behind;
            if (seq.length == 0 && seq.budgets) {
                length = seq.budgets->capacity[index] + seq.options.reserve_generated;
                compressed += is_full(seq.options.profile->roles[index]) ? 0 : 1;
            }
            pages += std::max<std::int64_t>(
                0, (length + page - 1) / page - static_cast<std::int64_t>(kv.pages.size()));
        }
        transient = std::max(transient, compressed * ((tokens + page - 1) / page));
    }
    pool_.reserve(pages + transient);
}

void CudaBackend::release_pages(DeviceSequence& seq, std::size_t head) {
    for (const std::int32_t page : seq.heads[head].pages) pool_.give_back(page);
    seq.heads[head].pages.clear();
    seq.heads[head].length = 0;
}

void CudaBackend::upload_lists(DeviceSequence& seq, std::int32_t first_layer, std::int32_t layers) {
    table_.upload(seq.table_first + first_layer * shape_.num_kv_heads * seq.list_stride,
                  layers * shape_.num_kv_heads * seq.list_stride, compute_.get());
}

void CudaBackend::upload_lengths(DeviceSequence& seq, std::int32_t layer) {
    std::vector<std::int32_t> lengths;
    for (std::int32_t head = 0; head < num_kv_heads(); ++head) {
        lengths.push_back(static_cast<std::int32_t>(seq.heads[head_index(layer, head)].length));
    }
    check(cudaMemcpyAsync(seq.views.as<std::int32_t>() + seq.heads.size() + head_index(layer, 0),
                          lengths.data(), lengths.size() * sizeof(std::int32_t),
                          cudaMemcpyHostToDevice, compute_.get()),
          "uploading lengths");
}

kernels::cuda::PagedKvCache CudaBackend::cache_of(const DeviceSequence& seq,
                                                  std::int32_t layer) const {
    auto* views = seq.views.as<std::int32_t>();
    kernels::cuda::PagedKvCache cache;
    cache.pages = pool_.pages();
    cache.page_indices = table_.device();
    cache.page_indptr = views + head_index(layer, 0);
    cache.lengths = views + seq.heads.size() + head_index(layer, 0);
    cache.num_pairs = num_kv_heads();
    cache.page_size = static_cast<std::int32_t>(options_.page_size);
    cache.head_dim = head_dim();
    return cache;
}

const std::int32_t* CudaBackend::list_of(const DeviceSequence& seq, std::size_t head) const {
    return table_.device() + seq.table_first + static_cast<std::int64_t>(head) * seq.list_stride;
}

void CudaBackend::refuse_what_does_not_fit(const DeviceSequence& seq, std::int64_t prompt) {
    policy::DeviceMemoryQuestion question;
    question.shape = shape_;
    if (seq.options.heterocache) {
        question.profile = seq.options.profile;
        question.settings = seq.options.settings;
    }
    question.prompt = prompt;
    question.generated = seq.options.reserve_generated;
    question.page_tokens = options_.page_size;
    question.prefill_chunk = options_.prefill_chunk;
    question.staging_bytes = cuda_.staging_bytes;
    question.synthetic_prefill = cuda_.synthetic_prefill;
    question.copy_cache_each_token = cuda_.copy_cache_each_token;
    const policy::DeviceMemoryForecast forecast = policy::forecast_device_memory(question);
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
    // Pages that earlier sequences left behind are free to take.
    const std::int64_t page_bytes = 4 * options_.page_size * shape_.head_dim;
    const std::int64_t free_device =
        static_cast<std::int64_t>(free_bytes) + pool_.free_pages() * page_bytes;
    const std::int64_t needed = forecast.device_bytes() - forecast.of("weights");
    const std::int64_t free_host = available_host_bytes();
    if (needed <= free_device && forecast.host_tier_bytes <= free_host) return;
    const policy::LargestThatFits largest =
        policy::largest_that_fits(question, free_device + forecast.of("weights"), free_host);
    const bool device_short = needed > free_device;
    std::string advice = "no ratio fits";
    if (question.profile == nullptr) {
        advice = "full attention does not fit; a heterocache run may";
    } else if (largest.ratio > 0) {
        advice = fmt::format("the largest ratio that fits is {:.2f}", largest.ratio);
    }
    throw_refused(fmt::format("{} tokens of prompt need {} bytes of {}, {} are available; {}",
                              prompt, device_short ? needed : forecast.host_tier_bytes,
                              device_short ? "device memory" : "pinned host memory",
                              device_short ? free_device : free_host, advice));
}

/// Buffers of a decode step. Graphs hold their addresses, so growing drops the graphs.
void CudaBackend::reserve_batch(std::int32_t batch) {
    if (batch <= max_batch_) return;
    check(cudaStreamSynchronize(compute_.get()), "waiting for a step");
    for (const auto& known : batches_) known->graphs.clear();
    max_batch_ = batch;
    const std::int64_t n = batch;
    const auto sampling = static_cast<std::int64_t>(
        kernels::cuda::sample_workspace_bytes(batch, static_cast<std::int32_t>(shape_.vocab)));
    step_memory_ = DeviceBuffer();  // the old one first: both may not fit
    step_memory_ = DeviceBuffer(
        ledger_, "step", policy::step_memory_bytes(shape_, n) + policy::aligned_bytes(sampling));
    std::byte* at = step_memory_.as<std::byte>();
    const auto take = [&](std::int64_t bytes) {
        std::byte* part = at;
        at += policy::aligned_bytes(bytes);
        return part;
    };
    buffers_.tokens = reinterpret_cast<std::int32_t*>(take(4 * n));
    buffers_.positions = reinterpret_cast<std::int32_t*>(take(4 * n));
    buffers_.steps = reinterpret_cast<std::int64_t*>(take(8 * n));
    buffers_.random = reinterpret_cast<std::uint64_t*>(take(8 * n));
    buffers_.sampled = reinterpret_cast<std::int32_t*>(take(4 * n));
    buffers_.stream = reinterpret_cast<float*>(take(4 * n * shape_.hidden));
    buffers_.attended = reinterpret_cast<Bf16*>(take(2 * n * q_elements()));
    buffers_.mlp = reinterpret_cast<Bf16*>(take(2 * n * shape_.mlp));
    buffers_.logits = reinterpret_cast<float*>(take(4 * n * shape_.vocab));
    buffers_.sample_workspace = take(sampling);
    // tokens to random lie together: one copy brings a step's inputs.
    input_bytes_ = reinterpret_cast<std::byte*>(buffers_.sampled) - step_memory_.as<std::byte>();
    inputs_ = PinnedBuffer(host_ledger_, "step inputs", input_bytes_);
    outputs_ = PinnedBuffer(host_ledger_, "step outputs", 4 * n * (shape_.vocab + 1) + 16);
}

void CudaBackend::set_drift(const std::optional<SyntheticDrift>& drift) {
    if (drift.has_value() != cuda_.drift.has_value() && !drift_scratch_.memory.empty()) {
        throw_usage("synthetic drift cannot begin or end once a sequence has a prompt");
    }
    settle_everything();
    cuda_.drift = drift;
    upload_told_drift();
    restart_worker();
}

/// Triggers of all recorded stars, one byte a check, behind each other.
void CudaBackend::upload_told_drift() {
    told_first_.clear();
    if (!cuda_.drift || cuda_.drift->told.empty()) return;
    std::vector<std::uint8_t> triggers;
    for (const std::vector<runtime::ToldCheck>& star : cuda_.drift->told) {
        HC_CHECK(!star.empty());
        told_first_.push_back(triggers.size());
        for (const runtime::ToldCheck& check : star) triggers.push_back(check.triggered ? 1 : 0);
    }
    told_triggers_ = DeviceBuffer(ledger_, "step", static_cast<std::int64_t>(triggers.size()));
    check(cudaMemcpy(told_triggers_.as<void>(), triggers.data(), triggers.size(),
                     cudaMemcpyHostToDevice),
          "uploading recorded triggers");
}

void CudaBackend::retune(const CudaOptions& options) {
    settle_everything();
    cuda_.gather_blocks = options.gather_blocks;
    cuda_.gather_threads = options.gather_threads;
    cuda_.spare_sms = options.spare_sms;
    cuda_.cluster_top_k = options.cluster_top_k;
    cuda_.copy_engine_rows = options.copy_engine_rows;
    cuda_.dependent_launch = options.dependent_launch;
    for (const auto& batch : batches_) plan_attention(*batch);
    restart_worker();
}

void CudaBackend::settle_everything() {
    for (const auto& seq : sequences_) {
        if (seq != nullptr) settle_fetches(*seq);
    }
    check(cudaStreamSynchronize(compute_.get()), "waiting for a step");
}

/// The worker and captured steps hold options of their own: others take their place.
void CudaBackend::restart_worker() {
    for (const auto& batch : batches_) batch->graphs.clear();
    if (worker_ == nullptr) return;
    const std::int64_t staging = worker_->staging_bytes();
    worker_.reset();
    worker_ = std::make_unique<FetchWorker>(ledger_, host_ledger_, cuda_, fetch_.get(),
                                            drift_scratch_, info_.memory_bytes);
    worker_->grow_staging(staging);
}

void CudaBackend::keep_prefill_logits(std::int64_t count) {
    if (count < 0) throw_usage(fmt::format("{} prefill logits asked for", count));
    kept_logit_rows_ = count;
}

std::int64_t CudaBackend::length(SequenceId id) const {
    return sequence(id).length;
}

void CudaBackend::capture_attention(SequenceId id,
                                    const std::optional<runtime::AttentionCapture>& capture) {
    DeviceSequence& seq = sequence(id);
    if (capture) {
        if (capture->profile == nullptr) throw_usage("a drift trace needs a head profile");
        check_profile(*capture->profile);
        if (!(capture->keep > 0 && capture->keep <= 1)) {
            throw_usage(fmt::format(
                "drift trace keeps {} of the prompt: expected a share in (0, 1]", capture->keep));
        }
        if (capture->every < 1) {
            throw_usage(
                fmt::format("drift trace every {} steps: expected at least 1", capture->every));
        }
    }
    seq.capture = capture;
}

void CudaBackend::capture_rows(SequenceId id, runtime::AttentionRowSink* sink) {
    DeviceSequence& seq = sequence(id);
    if (sink != nullptr && seq.options.heterocache) {
        throw_refused("attention rows for calibration need a sequence that keeps every token");
    }
    seq.row_sink = sink;
}

void CudaBackend::use_oracle(SequenceId id, const HeadProfile& profile,
                             const policy::Settings& settings) {
    DeviceSequence& seq = sequence(id);
    if (seq.options.heterocache) {
        throw_refused("the oracle needs a sequence that keeps every token");
    }
    check_profile(profile);
    policy::validate(settings);
    seq.oracle.emplace();
    seq.oracle->profile = &profile;
    seq.oracle->settings = settings;
    if (seq.prompt > 0) begin_oracle(seq, seq.prompt);
}

void CudaBackend::finish() {
    check(cudaStreamSynchronize(compute_.get()), "waiting for the last step");
    for (const auto& seq : sequences_) {
        if (seq != nullptr) settle_fetches(*seq);
    }
}

void CudaBackend::launched(cudaError_t status, const char* what) {
    if (status == cudaSuccess && cuda_.synchronous_kernels) {
        status = cudaStreamSynchronize(compute_.get());
        if (status == cudaSuccess) status = cudaStreamSynchronize(side_.get());
    }
    if (status == cudaSuccess) return;
    check(status, fmt::format("kernel {} in step {}", what, step_).c_str());
}

}  // namespace hc::cuda
