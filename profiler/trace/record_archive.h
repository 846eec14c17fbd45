/// Packs records into flat bytes and back, so that the queue is one block of memory and adding a
/// record is a copy. The bytes never leave the process.
///
/// `fields(archive, record)` names the members of each record once; three archives walk them:
/// Sizer counts, Packer writes, Unpacker reads.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/records.h"
#include "profiler/trace/activity_names.h"
#include "profiler/trace/columns.h"

namespace hc::trace {

template <typename T>
concept Flat = std::is_trivially_copyable_v<T>;

class Sizer {
public:
    template <Flat T>
    void operator()(const T&) {
        size_ += sizeof(T);
    }
    void operator()(const std::string& text) { size_ += sizeof(std::uint64_t) + text.size(); }
    template <Flat T>
    void operator()(const std::vector<T>& list) {
        size_ += sizeof(std::uint64_t) + list.size() * sizeof(T);
    }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    std::size_t size_ = 0;
};

class Packer {
public:
    explicit Packer(std::byte* to) : to_(to) {}
    template <Flat T>
    void operator()(const T& value) {
        raw(&value, sizeof(T));
    }
    void operator()(const std::string& text) { list(std::span(text.data(), text.size())); }
    template <Flat T>
    void operator()(const std::vector<T>& values) {
        list(std::span<const T>(values));
    }
    template <Flat T>
    void list(std::span<const T> values) {
        (*this)(static_cast<std::uint64_t>(values.size()));
        raw(values.data(), values.size_bytes());
    }
    [[nodiscard]] const std::byte* position() const { return to_; }

private:
    void raw(const void* from, std::size_t size) {
        if (size == 0) return;  // an empty list may have no address
        std::memcpy(to_, from, size);
        to_ += size;
    }

    std::byte* to_;
};

class Unpacker {
public:
    explicit Unpacker(std::span<const std::byte> bytes) : bytes_(bytes) {}
    template <Flat T>
    void operator()(T& value) {
        HC_CHECK(sizeof(T) <= bytes_.size());
        std::memcpy(&value, bytes_.data(), sizeof(T));
        bytes_ = bytes_.subspan(sizeof(T));
    }
    void operator()(std::string& text) { list(text); }
    template <Flat T>
    void operator()(std::vector<T>& values) {
        list(values);
    }
    template <Flat T>
    [[nodiscard]] T next() {
        T value;
        (*this)(value);
        return value;
    }
    [[nodiscard]] bool done() const { return bytes_.empty(); }

private:
    template <typename List>
    void list(List& values) {
        const auto count = static_cast<std::size_t>(next<std::uint64_t>());
        const std::size_t size = count * sizeof(values[0]);
        HC_CHECK(size <= bytes_.size());
        values.resize(count);
        if (size > 0) std::memcpy(values.data(), bytes_.data(), size);
        bytes_ = bytes_.subspan(size);
    }

    std::span<const std::byte> bytes_;
};

template <typename R, typename Record>
concept Is = std::same_as<std::remove_const_t<R>, Record>;

void fields(auto& archive, Flat auto& record) {
    archive(record);
}

void fields(auto& a, Is<Run> auto& r) {
    a(r.id), a(r.origin), a(r.source_run), a(r.attention_run), a(r.policy), a(r.mode);
    a(r.parameters_json), a(r.window), a(r.commit_lag), a(r.model_name), a(r.model_hash);
    a(r.shape_json), a(r.weights), a(r.prefill), a(r.drift), a(r.tokens), a(r.backend);
    a(r.prompt_tokens), a(r.batch), a(r.seed);
}

/// A run, and what is taken from the times of its records.
struct RunEntry {
    Run run;
    std::int64_t zero_ns = 0;
};

void fields(auto& a, Is<RunEntry> auto& r) {
    fields(a, r.run);
    a(r.zero_ns);
}

void fields(auto& a, Is<Machine> auto& r) {
    a(r.run), a(r.name), a(r.compute_capability), a(r.num_sms), a(r.memory_bytes);
}

void fields(auto& a, Is<Value> auto& r) {
    a(r.run), a(r.machine), a(r.name), a(r.argument), a(r.number), a(r.unit), a(r.origin);
    a(r.source);
}

void fields(auto& a, Is<Stream> auto& r) {
    a(r.key), a(r.pid), a(r.device), a(r.context), a(r.stream_id), a(r.name), a(r.role);
}

void fields(auto& a, Is<DriftRecord> auto& r) {
    a(r.check_id), a(r.op_id), a(r.step), a(r.layer), a(r.pivot), a(r.sequence), a(r.base);
    a(r.overlaps), a(r.median), a(r.threshold), a(r.triggered);
}

void fields(auto& a, Is<RowsRecord> auto& r) {
    a(r.fetch_id), a(r.step), a(r.sequence), a(r.layer), a(r.head), a(r.fetched), a(r.evicted);
}

void fields(auto& a, Is<AttentionRecord> auto& r) {
    a(r.step), a(r.sequence), a(r.layer), a(r.head), a(r.kind), a(r.ranked), a(r.values);
    a(r.mass_generated), a(r.mass_rest);
}

void fields(auto& a, Is<StringEntry> auto& r) {
    a(r.id), a(r.text);
}

void fields(auto& a, Is<ProcessEntry> auto& r) {
    a(r.pid), a(r.name);
}

void fields(auto& a, Is<Gpu> auto& r) {
    a(r.device), a(r.name), a(r.uuid), a(r.bus_location), a(r.compute_major), a(r.compute_minor);
    a(r.num_sms), a(r.memory_bytes), a(r.l2_bytes), a(r.memory_bandwidth), a(r.clock_hz);
    a(r.constant_memory_bytes), a(r.async_engines), a(r.threads_per_warp), a(r.max_warps_per_sm);
    a(r.max_blocks_per_sm), a(r.max_threads_per_block), a(r.max_registers_per_block);
    a(r.max_registers_per_sm), a(r.max_shared_per_block), a(r.max_shared_per_block_optin);
    a(r.max_shared_per_sm), a(r.max_block), a(r.max_grid);
}

/// A row of hc_meta.
struct MetaEntry {
    std::string key, value;
};

void fields(auto& a, Is<MetaEntry> auto& r) {
    a(r.key), a(r.value);
}

}  // namespace hc::trace
