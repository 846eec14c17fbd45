#include "engine/config/head_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <regex>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/config/json_reader.h"
#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/mapped_file.h"

namespace hc::config {
namespace {

constexpr std::size_t kLargestFile = std::size_t{64} << 20;
constexpr std::int64_t kMostLayers = 4096;
constexpr std::int64_t kMostHeads = 4096;

/// Both spellings that the authors' tools have used.
struct RoleSpelling {
    std::string_view name;
    HeadRole role;
};
constexpr std::array<RoleSpelling, 8> kRoleSpellings{{
    {"anchor", HeadRole::kAnchor},
    {"volatile", HeadRole::kVolatile},
    {"pivot", HeadRole::kPivot},
    {"satellite", HeadRole::kSatellite},
    {"Stable_Unique", HeadRole::kAnchor},
    {"Decaying_Unique", HeadRole::kVolatile},
    {"Similar_Leader", HeadRole::kPivot},
    {"Similar_Member", HeadRole::kSatellite},
}};

std::optional<HeadRole> role_of(std::string_view name) {
    for (const RoleSpelling& spelling : kRoleSpellings) {
        if (spelling.name == name) return spelling.role;
    }
    return std::nullopt;
}

class HeadFileReader {
public:
    HeadFileReader(const std::string& text, const std::string& name, HeadProfile start)
        : name_(name), document_(parse_json(text, name)), profile_(std::move(start)) {}

    HeadProfile read() {
        read_type_map();
        read_roles();
        profile_.ratios =
            matrix("allocation_matrix", member(document_, "allocation_matrix", name_));
        check_ratios();
        read_stars();
        read_meta();
        return std::move(profile_);
    }

private:
    [[noreturn]] void fail(const std::string& what) const {
        throw_input(in_quotes(name_) + ": " + what);
    }

    static std::string place(std::string_view matrix, std::size_t layer, std::size_t head) {
        return fmt::format("{}[{}][{}]", matrix, layer, head);
    }

    /// meta, or null where the file has none.
    const Json& meta() const {
        static const Json kNone;
        if (!document_.is_object()) fail("the document is not a JSON object");
        const auto found = document_.find("meta");
        if (found == document_.end()) return kNone;
        if (!found->is_object()) fail("meta is not an object");
        return *found;
    }

    void read_type_map() {
        const Json& m = meta();
        const auto found = m.is_object() ? m.find("type_map") : m.end();
        if (!m.is_object() || found == m.end()) {
            for (int i = 1; i <= 4; ++i) classes_[i] = static_cast<HeadRole>(i);
            return;
        }
        if (!found->is_object()) fail("meta.type_map is not an object");
        for (const auto& [key, value] : found->items()) {
            const std::optional<HeadRole> role = role_of(key);
            if (!role) continue;  // a name for "not calibrated", say: its number stays unknown
            const std::int64_t number = integer(value, 1, 255, name_, "meta.type_map." + key);
            const auto [entry, added] = classes_.emplace(number, *role);
            if (!added && entry->second != *role) {
                fail(fmt::format("meta.type_map gives class {} to two roles", number));
            }
        }
    }

    void read_roles() {
        const Json& rows = member(document_, "classification_matrix", name_);
        if (!rows.is_array() || rows.empty()) fail("classification_matrix is not a list of layers");
        if (static_cast<std::int64_t>(rows.size()) > kMostLayers) {
            fail(fmt::format("classification_matrix has {} layers, expected at most {}",
                             rows.size(), kMostLayers));
        }
        if (!rows.front().is_array() || rows.front().empty() ||
            static_cast<std::int64_t>(rows.front().size()) > kMostHeads) {
            fail(
                fmt::format("classification_matrix[0] is not a list of 1 to {} heads", kMostHeads));
        }
        profile_.num_layers = static_cast<std::int32_t>(rows.size());
        profile_.num_kv_heads = static_cast<std::int32_t>(rows.front().size());
        for (std::size_t layer = 0; layer < rows.size(); ++layer) {
            check_row("classification_matrix", rows[layer], layer);
            for (std::size_t head = 0; head < rows[layer].size(); ++head) {
                profile_.roles.push_back(
                    role(rows[layer][head], place("classification_matrix", layer, head)));
            }
        }
    }

    void check_row(std::string_view matrix_name, const Json& row, std::size_t layer) const {
        if (!row.is_array() || row.size() != static_cast<std::size_t>(profile_.num_kv_heads)) {
            fail(fmt::format("{}[{}] has {} entries, expected {}", matrix_name, layer,
                             row.is_array() ? row.size() : 0, profile_.num_kv_heads));
        }
    }

    HeadRole role(const Json& value, const std::string& where) const {
        if (value.is_string()) {
            const std::optional<HeadRole> named = role_of(value.get<std::string>());
            if (!named) fail(where + " is " + dump(value) + ", no role of a head");
            return *named;
        }
        const std::int64_t number = integer(value, 0, 255, name_, where);
        if (number == 0) fail(where + " is class 0: this layer was not calibrated");
        const auto found = classes_.find(number);
        if (found == classes_.end())
            fail(fmt::format("{} is class {}, which is unknown", where, number));
        return found->second;
    }

    /// [layer * num_kv_heads + head] of a matrix of numbers.
    std::vector<double> matrix(std::string_view matrix_name, const Json& rows) const {
        if (!rows.is_array() || rows.size() != static_cast<std::size_t>(profile_.num_layers)) {
            fail(fmt::format("{} has {} layers, expected {}", matrix_name,
                             rows.is_array() ? rows.size() : 0, profile_.num_layers));
        }
        std::vector<double> values;
        for (std::size_t layer = 0; layer < rows.size(); ++layer) {
            check_row(matrix_name, rows[layer], layer);
            for (std::size_t head = 0; head < rows[layer].size(); ++head) {
                constexpr double kLargest = 1e12;
                values.push_back(real(rows[layer][head], -1.0, kLargest, name_,
                                      place(matrix_name, layer, head)));
            }
        }
        return values;
    }

    void check_ratios() {
        const auto num_heads = static_cast<std::size_t>(profile_.num_kv_heads);
        for (std::size_t i = 0; i < profile_.size(); ++i) {
            if (is_full(profile_.roles[i])) {
                profile_.ratios[i] = -1.0;
            } else if (!(profile_.ratios[i] > 0.0)) {
                fail(fmt::format("{} is {}, expected a ratio above 0 for a head of role {}",
                                 place("allocation_matrix", i / num_heads, i % num_heads),
                                 profile_.ratios[i], role_name(profile_.roles[i])));
            }
        }
    }

    void read_stars() {
        const Json& layers = member(document_, "leader_member_relations", name_);
        if (!layers.is_array() || layers.size() != static_cast<std::size_t>(profile_.num_layers)) {
            fail(fmt::format("leader_member_relations has {} layers, expected {}",
                             layers.is_array() ? layers.size() : 0, profile_.num_layers));
        }
        for (std::size_t layer = 0; layer < layers.size(); ++layer) {
            if (!layers[layer].is_object())
                fail(fmt::format("leader_member_relations[{}] is not an object", layer));
            std::vector<Star> stars;
            std::vector<bool> taken(static_cast<std::size_t>(profile_.num_kv_heads), false);
            for (const auto& [key, value] : layers[layer].items()) {
                stars.push_back(star(static_cast<std::int32_t>(layer), key, value, taken));
            }
            profile_.stars.push_back(std::move(stars));
        }
    }

    Star star(std::int32_t layer, const std::string& key, const Json& members,
              std::vector<bool>& taken) const {
        const std::string where = fmt::format("leader_member_relations[{}]", layer);
        Star out;
        out.pivot = pivot_of(key, where);
        if (profile_.role({layer, out.pivot}) != HeadRole::kPivot) {
            fail(fmt::format("{} has a star of head {}, which is no pivot but {}", where, out.pivot,
                             role_name(profile_.role({layer, out.pivot}))));
        }
        if (!members.is_array()) fail(fmt::format("{}[\"{}\"] is not a list", where, out.pivot));
        for (const Json& value : members) {
            const auto head = static_cast<std::int32_t>(
                integer(value, 0, profile_.num_kv_heads - 1, name_,
                        fmt::format("a member of {}[\"{}\"]", where, out.pivot)));
            if (profile_.role({layer, head}) != HeadRole::kSatellite) {
                fail(fmt::format("{}[\"{}\"] names head {}, which is no satellite but {}", where,
                                 out.pivot, head, role_name(profile_.role({layer, head}))));
            }
            if (taken[static_cast<std::size_t>(head)])
                fail(fmt::format("{} names satellite {} twice", where, head));
            taken[static_cast<std::size_t>(head)] = true;
            out.members.push_back(head);
        }
        std::sort(out.members.begin(), out.members.end());
        return out;
    }

    std::int32_t pivot_of(const std::string& key, const std::string& where) const {
        std::int32_t pivot = -1;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), pivot);
        if (error != std::errc{} || end != key.data() + key.size() ||
            key != std::to_string(pivot) || pivot < 0 || pivot >= profile_.num_kv_heads) {
            fail(fmt::format("{} has the key {}, expected a head from 0 to {}", where,
                             dump(Json(key)), profile_.num_kv_heads - 1));
        }
        return pivot;
    }

    void read_meta() {
        const Json& m = meta();
        if (!m.is_object()) return;
        if (m.contains("stable_threshold")) {
            profile_.stable_threshold =
                real(m["stable_threshold"], 0.0, 1.0, name_, "meta.stable_threshold");
        }
        if (m.contains("sim_threshold")) {
            profile_.sim_threshold =
                real(m["sim_threshold"], 0.0, 1.0, name_, "meta.sim_threshold");
        }
        constexpr std::int64_t kMost = std::int64_t{1} << 40;
        if (m.contains("topk")) profile_.topk = integer(m["topk"], 0, kMost, name_, "meta.topk");
        if (m.contains("calibration_step")) {
            profile_.calibration_step =
                integer(m["calibration_step"], 0, kMost, name_, "meta.calibration_step");
        }
        if (m.contains("stability")) profile_.stability = matrix("meta.stability", m["stability"]);
    }

    const std::string& name_;
    Json document_;
    std::map<std::int64_t, HeadRole> classes_;
    HeadProfile profile_;
};

/// What only the authors' file names say, as the start of a profile; `meta` wins over it.
HeadProfile profile_of_file_name(const std::filesystem::path& path) {
    static const std::regex kPattern(
        R"(.*_topk(\d{1,12})_th(\d*\.?\d+)_sim(\d*\.?\d+)_step(\d{1,12})\.json)");
    HeadProfile profile;
    std::smatch match;
    const std::string file = path.filename().string();
    if (file.size() > 255 || !std::regex_match(file, match, kPattern)) return profile;
    const double stable = std::strtod(match[2].str().c_str(), nullptr);
    const double similar = std::strtod(match[3].str().c_str(), nullptr);
    if (stable <= 1.0) profile.stable_threshold = stable;
    if (similar <= 1.0) profile.sim_threshold = similar;
    profile.topk = std::strtoll(match[1].str().c_str(), nullptr, 10);
    profile.calibration_step = std::strtoll(match[4].str().c_str(), nullptr, 10);
    return profile;
}

template <typename Value, typename Get>
Json matrix_json(const HeadProfile& profile, Get get) {
    Json rows = Json::array();
    for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
        Json row = Json::array();
        for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
            row.push_back(static_cast<Value>(get(profile.index({layer, head}))));
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

Json relations_json(const HeadProfile& profile) {
    Json layers = Json::array();
    for (const std::vector<Star>& stars : profile.stars) {
        Json layer = Json::object();
        for (const Star& star : stars) layer[std::to_string(star.pivot)] = star.members;
        layers.push_back(std::move(layer));
    }
    return layers;
}

/// As Python writes a float, which is what the authors' names hold: 1 is "1.0".
std::string python_float(double value) {
    std::string text = fmt::format("{}", value);
    if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
    return text;
}

}  // namespace

HeadProfile parse_head_file(const std::string& text, const std::string& name) {
    return HeadFileReader(text, name, {}).read();
}

HeadProfile read_head_file(const std::filesystem::path& path) {
    const MappedFile file(path);
    if (file.bytes().size() > kLargestFile) {
        throw_input(fmt::format("'{}' has {} bytes, expected a head file of at most {}",
                                path.string(), file.bytes().size(), kLargestFile));
    }
    const std::string text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    const std::string name = path.string();
    return HeadFileReader(text, name, profile_of_file_name(path)).read();
}

std::string head_file_json(const HeadProfile& profile, const std::string& model_name) {
    constexpr std::array kRoles{HeadRole::kAnchor, HeadRole::kVolatile, HeadRole::kPivot,
                                HeadRole::kSatellite};
    Json document;
    Json& meta = document["meta"];
    for (const HeadRole role : kRoles)
        meta["type_map"][std::string(role_name(role))] = static_cast<int>(role);
    for (const HeadRole role : kRoles)
        meta["counts"][std::string(role_name(role))] = profile.count(role);
    if (!model_name.empty()) meta["model"] = model_name;
    meta["topk"] = profile.topk;
    meta["stable_threshold"] = profile.stable_threshold;
    meta["sim_threshold"] = profile.sim_threshold;
    meta["calibration_step"] = profile.calibration_step;
    if (!profile.stability.empty()) {
        meta["stability"] =
            matrix_json<double>(profile, [&](std::size_t i) { return profile.stability[i]; });
    }
    document["classification_matrix"] =
        matrix_json<int>(profile, [&](std::size_t i) { return profile.roles[i]; });
    document["allocation_matrix"] =
        matrix_json<double>(profile, [&](std::size_t i) { return profile.ratios[i]; });
    document["leader_member_relations"] = relations_json(profile);
    return dump(document, 4);
}

void write_head_file(const std::filesystem::path& path, const HeadProfile& profile,
                     const std::string& model_name) {
    write_file_atomically(path, head_file_json(profile, model_name) + "\n");
}

std::string head_file_name(const HeadProfile& profile, const std::string& model_name) {
    std::string base = model_name.substr(model_name.find_last_of('/') + 1);  // npos + 1 is 0
    for (char& c : base) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = std::isalnum(byte) != 0 || c == '.' || c == '-' || c == '_';
        c = plain ? static_cast<char>(std::tolower(byte)) : '-';
    }
    return fmt::format("Head_Analysis_{}_topk{}_th{}_sim{}_step{}.json", base, profile.topk,
                       python_float(profile.stable_threshold), python_float(profile.sim_threshold),
                       profile.calibration_step);
}

}  // namespace hc::config
