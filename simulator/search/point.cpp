#include "simulator/search/point.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "engine/config/settings_json.h"
#include "engine/core/error.h"
#include "simulator/hardware/machine_json.h"

namespace hc::sim {
namespace {

using Json = nlohmann::ordered_json;

/// Raised when the same question would be answered differently.
constexpr std::string_view kAnswers = "hcprof-simulator-2";
constexpr std::size_t kMostLine = 64 << 10;
constexpr std::size_t kMostLines = std::size_t{10'000'000};

std::string hex(XXH128_hash_t hash) {
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

Json json_of(const Estimate& e) {
    return Json::array({e.value, e.low, e.high});
}

template <typename T>
void put(Json& json, const char* key, const std::optional<T>& value) {
    if (value) json[key] = *value;
}

[[noreturn]] void broken(const std::string& place, const std::string& what) {
    throw_input(fmt::format("{}: {}, expected a line that 'hcprof sweep' wrote", place, what));
}

const Json& member(const Json& json, const char* key, const std::string& place) {
    const auto found = json.find(key);
    if (found == json.end()) broken(place, fmt::format("no '{}'", key));
    return *found;
}

double number(const Json& json, const std::string& place) {
    if (!json.is_number()) broken(place, fmt::format("'{:.40}' is no number", json.dump()));
    return json.get<double>();
}

std::int64_t whole(const Json& json, const char* key, const std::string& place) {
    const Json& value = member(json, key, place);
    if (!value.is_number_integer()) broken(place, fmt::format("'{}' is no whole number", key));
    return value.get<std::int64_t>();
}

std::string text(const Json& json, const char* key, const std::string& place) {
    const Json& value = member(json, key, place);
    if (!value.is_string()) broken(place, fmt::format("'{}' is no text", key));
    return value.get<std::string>();
}

Estimate estimate(const Json& json, const char* key, const std::string& place) {
    const Json& value = member(json, key, place);
    if (!value.is_array() || value.size() != 3) {
        broken(place, fmt::format("'{}' is no value with its interval", key));
    }
    return {number(value[0], place), number(value[1], place), number(value[2], place)};
}

bool is_hash(const std::string& text) {
    return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Json json_of(const Figures& f) {
    Json json;
    json["tag"] = f.tag;
    json["step_median_ns"] = json_of(f.step_median_ns);
    json["step_p95_ns"] = json_of(f.step_p95_ns);
    json["step_p99_ns"] = json_of(f.step_p99_ns);
    json["tokens_per_s"] = json_of(f.tokens_per_s);
    if (f.hiding) json["hiding"] = json_of(*f.hiding);
    if (f.interference) json["interference"] = json_of(*f.interference);
    json["exposed_ns"] = f.exposed_ns;
    json["transfer_ns"] = f.transfer_ns;
    if (f.recall) json["recall"] = Json::array({f.recall->low, f.recall->high});
    json["steps"] = f.steps;
    json["triggers"] = f.triggers;
    json["fetches"] = f.fetches;
    json["rows_fetched"] = f.rows_fetched;
    json["fetch_bytes"] = f.fetch_bytes;
    json["kv_pool_bytes"] = f.kv_pool_bytes;
    json["host_tier_bytes"] = f.host_tier_bytes;
    json["device_bytes"] = f.device_bytes;
    return json;
}

Figures figures_from(const Json& json, const std::string& place) {
    if (!json.is_object()) broken(place, "'figures' is no object");
    Figures f;
    f.tag = text(json, "tag", place);
    f.step_median_ns = estimate(json, "step_median_ns", place);
    f.step_p95_ns = estimate(json, "step_p95_ns", place);
    f.step_p99_ns = estimate(json, "step_p99_ns", place);
    f.tokens_per_s = estimate(json, "tokens_per_s", place);
    if (json.contains("hiding")) f.hiding = estimate(json, "hiding", place);
    if (json.contains("interference")) f.interference = estimate(json, "interference", place);
    f.exposed_ns = number(member(json, "exposed_ns", place), place);
    f.transfer_ns = number(member(json, "transfer_ns", place), place);
    if (json.contains("recall")) {
        const Json& recall = json["recall"];
        if (!recall.is_array() || recall.size() != 2) broken(place, "'recall' is no interval");
        f.recall = analysis::RecallInterval{number(recall[0], place), number(recall[1], place)};
    }
    f.steps = whole(json, "steps", place);
    f.triggers = whole(json, "triggers", place);
    f.fetches = whole(json, "fetches", place);
    f.rows_fetched = whole(json, "rows_fetched", place);
    f.fetch_bytes = whole(json, "fetch_bytes", place);
    f.kv_pool_bytes = whole(json, "kv_pool_bytes", place);
    f.host_tier_bytes = whole(json, "host_tier_bytes", place);
    f.device_bytes = whole(json, "device_bytes", place);
    return f;
}

/// Where a point stands among others: by what is asked, so that people find their way.
auto order_of(const Json& question) {
    const auto value = [&](const char* key) {
        const auto found = question.find(key);
        return found != question.end() && found->is_number() ? found->get<double>() : -1.0;
    };
    const auto word = [&](const char* key) {
        const auto found = question.find(key);
        return found != question.end() && found->is_string() ? found->get<std::string>()
                                                             : std::string();
    };
    return std::tuple(word("policy"), word("machine"), value("prompt_tokens"), value("batch"),
                      value("ratio"), value("threshold"), value("window"), value("commit_lag"));
}

}  // namespace

std::string hash_of_text(std::string_view text) {
    return hex(XXH3_128bits(text.data(), text.size()));
}

std::string hash_of_file(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        throw Error(ExitCode::kIo,
                    fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)));
    }
    XXH3_state_t* const state = XXH3_createState();
    if (state == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state);
    std::vector<char> buffer(1 << 20);
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
        XXH3_128bits_update(state, buffer.data(), static_cast<std::size_t>(in.gcount()));
    }
    const std::string hash = hex(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    if (in.bad()) throw Error(ExitCode::kIo, "cannot read " + file.string());
    return hash;
}

std::string question_json(const Scenario& s) {
    Json json = Json::object();
    put(json, "policy", s.policy);
    put(json, "ratio", s.ratio);
    put(json, "threshold", s.stable_threshold);
    put(json, "window", s.window);
    put(json, "commit_lag", s.commit_lag);
    put(json, "retrieval", s.retrieval);
    put(json, "prompt_tokens", s.prompt_tokens);
    put(json, "batch", s.batch);
    if (s.drift) {
        json["drift"] = {s.drift->rate, s.drift->new_rows, s.drift->run, s.drift->seed};
    }
    if (s.mode) json["mode"] = std::string(policy::mode_name(*s.mode));
    if (s.machine) {
        json["machine"] = s.machine->id;
        json["machine_hash"] = hash_of_text(to_json(*s.machine));
    }
    if (s.heads) json["heads_hash"] = hash_of_text(config::profile_to_json(*s.heads));
    return json.dump();
}

std::string key_of(const Identity& identity, const Scenario& scenario) {
    return hash_of_text(fmt::format("{}\n{}\n{}\n{}", kAnswers, identity.trace, identity.rest,
                                    question_json(scenario)));
}

Figures figures_of(const Prediction& p) {
    Figures f;
    f.tag = tag_name(p.tag);
    f.step_median_ns = p.step_ns_median;
    f.step_p95_ns = p.step_ns_p95;
    f.step_p99_ns = p.step_ns_p99;
    f.tokens_per_s = p.tokens_per_s;
    f.hiding = p.hiding;
    f.interference = p.interference;
    f.exposed_ns = p.exposed_ns.value;
    f.transfer_ns = p.transfer_ns.value;
    f.recall = p.recall;
    f.steps = p.steps;
    f.triggers = p.triggers;
    f.fetches = p.fetches;
    f.rows_fetched = p.rows_fetched;
    f.fetch_bytes = p.fetch_bytes;
    f.kv_pool_bytes = p.kv_pool_bytes;
    f.host_tier_bytes = p.host_tier_bytes;
    f.device_bytes = p.device_bytes;
    return f;
}

Point answer(const Simulator& simulator, const Identity& identity, const Scenario& scenario) {
    Point point;
    point.key = key_of(identity, scenario);
    point.trace = identity.trace;
    point.question = question_json(scenario);
    try {
        point.figures = figures_of(simulator.figures(scenario));
    } catch (const Error& error) {
        if (error.code() != ExitCode::kRefused) throw;
        point.refused = error.what();
    }
    return point;
}

std::string line_of(const Point& point) {
    Json json;
    json["key"] = point.key;
    json["trace"] = point.trace;
    json["question"] = Json::parse(point.question);
    if (point.figures) {
        json["figures"] = json_of(*point.figures);
    } else {
        json["refused"] = point.refused;
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Point parse_point(std::string_view line, const std::string& place) {
    if (line.size() > kMostLine) broken(place, fmt::format("a line of {} bytes", line.size()));
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) broken(place, "not a JSON object");
    Point point;
    point.key = text(json, "key", place);
    point.trace = text(json, "trace", place);
    if (!is_hash(point.key) || !is_hash(point.trace)) broken(place, "'key' or 'trace' is no hash");
    const Json& question = member(json, "question", place);
    if (!question.is_object()) broken(place, "'question' is no object");
    point.question = question.dump();
    if (json.contains("figures")) {
        point.figures = figures_from(json["figures"], place);
    } else {
        point.refused = text(json, "refused", place);
    }
    return point;
}

std::string merge_points(const std::vector<std::filesystem::path>& files) {
    struct Entry {
        std::string line;
        Json question;
    };
    std::map<std::string, Entry> by_key;
    std::string trace;
    for (const std::filesystem::path& file : files) {
        std::ifstream in(file, std::ios::binary);
        if (!in) {
            throw Error(ExitCode::kIo,
                        fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)));
        }
        std::size_t number = 0;
        for (std::string line; std::getline(in, line);) {
            const std::string place = fmt::format("{}, line {}", file.string(), ++number);
            if (in.eof()) {
                throw_input(place +
                            ": not ended: that shard was stopped; run it again, it goes on there");
            }
            const Point point = parse_point(line, place);
            if (trace.empty()) trace = point.trace;
            if (point.trace != trace) {
                throw_input(place + ": a result of another trace than the lines before");
            }
            // Written again, so that one point has one form.
            Entry entry{line_of(point), Json::parse(point.question)};
            const auto [known, fresh] = by_key.try_emplace(point.key, std::move(entry));
            if (!fresh && known->second.line != line_of(point)) {
                throw_input(place + ": the same question has another answer elsewhere");
            }
            if (by_key.size() > kMostLines) throw_input(place + ": too many points");
        }
    }
    std::vector<const std::pair<const std::string, Entry>*> order;
    for (const auto& entry : by_key) order.push_back(&entry);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return order_of(a->second.question) < order_of(b->second.question);
    });
    std::string out;
    for (const auto* entry : order) out += entry->second.line + "\n";
    return out;
}

}  // namespace hc::sim
