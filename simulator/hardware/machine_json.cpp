#include "simulator/hardware/machine_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::size_t kMaxBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxMachines = 1000;
constexpr std::size_t kMaxValues = 1000;  // of one machine
constexpr std::size_t kMaxNames = 20;     // of one machine's device
constexpr std::size_t kMaxText = 400;     // bytes of one string
constexpr std::string_view kOneFormat = "hcprof-machine";
constexpr std::string_view kManyFormat = "hcprof-machines";

[[noreturn]] void fail(const std::string& where, const std::string& what) {
    throw_input(fmt::format("{}: {}", where, what));
}

Json parse(std::string_view text, const std::string& name) {
    if (text.size() > kMaxBytes) {
        fail(name, fmt::format("a machine file of {} bytes, expected at most {}", text.size(),
                               kMaxBytes));
    }
    try {
        return Json::parse(text);
    } catch (const Json::exception& error) {
        // A message can quote a token as long as the file.
        fail(name, fmt::format("not JSON ({:.160})", error.what()));
    }
}

void check_keys(const Json& object, const std::set<std::string>& known, const std::string& where) {
    if (!object.is_object()) fail(where, "expected a JSON object");
    for (const auto& item : object.items()) {
        if (!known.contains(item.key())) {
            fail(where, fmt::format("unknown key '{:.40}'", item.key()));
        }
    }
}

const Json& member(const Json& object, const char* key, const std::string& where) {
    const auto found = object.find(key);
    if (found == object.end()) fail(where, fmt::format("no '{}'", key));
    return *found;
}

std::string text(const Json& object, const char* key, const std::string& where) {
    const Json& value = member(object, key, where);
    if (!value.is_string()) fail(where, fmt::format("'{}' is no string", key));
    auto result = value.get<std::string>();
    if (result.empty() || result.size() > kMaxText) {
        fail(where,
             fmt::format("'{}' has {} bytes, expected 1 to {}", key, result.size(), kMaxText));
    }
    const bool control = std::any_of(result.begin(), result.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (control) fail(where, fmt::format("'{}' holds a control character", key));
    return result;
}

/// Every value of a machine is a size, a speed or a share: finite and not negative.
double number(const Json& object, const char* key, const std::string& where) {
    const Json& value = member(object, key, where);
    if (!value.is_number()) fail(where, fmt::format("'{}' is no number", key));
    const auto result = value.get<double>();
    if (!std::isfinite(result) || result < 0 || result > 1e18) {
        fail(where, fmt::format("'{}' is {}, expected 0 to 1e18", key, result));
    }
    return result;
}

trace::ValueOrigin origin(const Json& object, const std::string& where) {
    using trace::ValueOrigin;
    const std::string name = text(object, "origin", where);
    for (const ValueOrigin candidate : {ValueOrigin::kMeasured, ValueOrigin::kFitted,
                                        ValueOrigin::kCatalogue, ValueOrigin::kAssumed}) {
        if (name == trace::value_origin_name(candidate)) return candidate;
    }
    fail(where,
         fmt::format("origin '{:.40}', expected measured, fitted, catalogue or assumed", name));
}

trace::Value value_of(const Json& object, const std::string& where) {
    check_keys(object, {"name", "argument", "number", "unit", "origin", "source"}, where);
    trace::Value value;
    value.name = text(object, "name", where);
    const std::string here = fmt::format("{}: value '{:.60}'", where, value.name);
    if (object.contains("argument")) value.argument = number(object, "argument", here);
    value.number = number(object, "number", here);
    value.unit = text(object, "unit", here);
    value.origin = origin(object, here);
    value.source = text(object, "source", here);
    for (const ValueName& known : value_names()) {
        if (known.name == value.name && known.unit != value.unit) {
            fail(here, fmt::format("unit '{:.40}', expected '{}'", value.unit, known.unit));
        }
    }
    return value;
}

void check_id(const std::string& id, const std::string& where) {
    const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
    if (!plain || id.size() > 60) {
        fail(where, fmt::format("id '{:.60}', expected at most 60 of a-z, 0-9, '-' and '.'", id));
    }
}

MachineSpec machine_of(const Json& object, const std::string& where) {
    MachineSpec machine;
    machine.id = text(object, "id", where);
    check_id(machine.id, where);
    const std::string here = fmt::format("{}: machine '{}'", where, machine.id);
    machine.name = text(object, "name", here);
    const std::string kind = text(object, "kind", here);
    if (kind != "cpu" && kind != "gpu") {
        fail(here, fmt::format("kind '{:.40}', expected cpu or gpu", kind));
    }
    machine.kind = kind == "cpu" ? MachineKind::kCpu : MachineKind::kGpu;
    if (object.contains("device_names")) {
        const Json& names = object["device_names"];
        if (!names.is_array() || names.size() > kMaxNames) {
            fail(here, fmt::format("'device_names' is no array of at most {}", kMaxNames));
        }
        for (const Json& name : names) {
            machine.device_names.push_back(text({{"name", name}}, "name", here));
        }
    }
    const Json& values = member(object, "values", here);
    if (!values.is_array()) fail(here, "'values' is no array");
    if (values.size() > kMaxValues) {
        fail(here, fmt::format("{} values, expected at most {}", values.size(), kMaxValues));
    }
    machine.values.reserve(values.size());
    for (const Json& value : values) {
        machine.values.push_back(value_of(value, here));
        machine.values.back().machine = machine.name;
    }
    return machine;
}

void check_format(const Json& object, std::string_view format, const std::string& name) {
    if (!object.is_object()) fail(name, "expected a JSON object");
    const std::string found = text(object, "format", name);
    if (found != format) {
        fail(name, fmt::format("format '{:.40}', expected '{}'", found, format));
    }
    const Json& version = member(object, "version", name);
    if (!version.is_number_integer() || version.get<std::int64_t>() != kVersion) {
        fail(name, fmt::format("another version, expected {}", kVersion));
    }
}

}  // namespace

MachineSpec parse_machine(std::string_view text, const std::string& name) {
    const Json json = parse(text, name);
    check_format(json, kOneFormat, name);
    check_keys(json, {"format", "version", "id", "name", "kind", "device_names", "values"}, name);
    return machine_of(json, name);
}

std::vector<MachineSpec> parse_machines(std::string_view text, const std::string& name) {
    const Json json = parse(text, name);
    check_format(json, kManyFormat, name);
    check_keys(json, {"format", "version", "machines"}, name);
    const Json& list = member(json, "machines", name);
    if (!list.is_array() || list.size() > kMaxMachines) {
        fail(name, fmt::format("'machines' is no array of at most {}", kMaxMachines));
    }
    std::vector<MachineSpec> machines;
    std::set<std::string> ids;
    for (const Json& object : list) {
        check_keys(object, {"id", "name", "kind", "device_names", "values"}, name);
        machines.push_back(machine_of(object, name));
        if (!ids.insert(machines.back().id).second) {
            fail(name, fmt::format("machine '{}' stands twice", machines.back().id));
        }
    }
    return machines;
}

std::string to_json(const MachineSpec& machine) {
    Json json;
    json["format"] = kOneFormat;
    json["version"] = kVersion;
    json["id"] = machine.id;
    json["name"] = machine.name;
    json["kind"] = machine.kind == MachineKind::kCpu ? "cpu" : "gpu";
    if (!machine.device_names.empty()) json["device_names"] = machine.device_names;
    json["values"] = Json::array();
    for (const trace::Value& value : machine.values) {
        Json entry;
        entry["name"] = value.name;
        if (value.argument != 0) entry["argument"] = value.argument;
        entry["number"] = value.number;
        entry["unit"] = value.unit;
        entry["origin"] = trace::value_origin_name(value.origin);
        entry["source"] = value.source;
        json["values"].push_back(std::move(entry));
    }
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

const std::vector<ValueName>& value_names() {
    static const std::vector<ValueName> names = {
        {"cores", "1", "cores that the engine would use"},
        {"clock_GHz", "GHz", "base clock of a core"},
        {"read_bandwidth_GBps", "GB/s", "memory read by all cores"},
        {"sustained_share", "share", "part of a data sheet's bandwidth that programs reach"},
        {"copy_bandwidth_GBps", "GB/s", "bytes copied by one thread, each counted once"},
        {"fp32_GFLOPs", "GFLOP/s", "fp32 multiply-adds of all cores, two operations each"},
        {"int8_GOPs", "GOP/s", "int8 multiply-adds of all cores, two operations each"},
        {"l3_MB", "MB", "last-level cache"},
        {"host_link_GBps", "GB/s", "bytes from the host tier over its link, one direction"},
        {"host_link_latency_us", "us", "first byte of a fetch over that link"},
        {"memory_bandwidth_GBps", "GB/s", "device memory read"},
        {"memory_copy_GBps", "GB/s", "device copy, bytes read plus written"},
        {"memory_GB", "GB", "device memory"},
        {"bf16_TFLOPs", "TFLOP/s", "dense bf16 with tensor cores"},
        {"fp32_TFLOPs", "TFLOP/s", "fp32"},
        {"l2_MB", "MB", "last-level cache of the device"},
        {"sms", "1", "multiprocessors or compute units"},
        {"link_GBps", "GB/s", "host link in theory, one direction"},
        {"h2d_GBps", "GB/s", "pinned host to device, reached"},
        {"d2h_GBps", "GB/s", "device to pinned host, reached"},
        {"bidirectional_GBps", "GB/s", "both directions at once, sum"},
        {"bidirectional_h2d_GBps", "GB/s", "host to device while the other direction is busy"},
        {"bidirectional_d2h_GBps", "GB/s", "device to host while the other direction is busy"},
        {"copy_engines", "1", "asyncEngineCount or its like"},
        {"launch_us", "us", "an empty kernel, one after the other"},
        {"h2d_latency_us", "us", "host to device, the part that does not grow with bytes"},
        {"d2h_latency_us", "us", "device to host, the part that does not grow with bytes"},
        {"gather_GBps", "GB/s", "rows read from pinned host memory by a kernel"},
        {"attention_GBps", "GB/s", "KV read by decode attention"},
        {"matmul_GBps", "GB/s", "weights read by the products of a decode step"},
        {"interference", "1", "extra time of reading memory beside a transfer, as a share"},
        {"copy_latency_us", "us", "gathering one row by one thread"},
    };
    return names;
}

}  // namespace hc::sim
