#include "cli/record_session.h"

#include <fmt/format.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "profiler/inject/environment.h"

namespace hc::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kTraceName = "trace-%p.sqlite";
constexpr const char* kStatusName = "status-%p.json";
/// A status file has a few hundred bytes; what is larger is none.
constexpr std::uintmax_t kMaxStatusBytes = 1 << 20;

/// In a pattern a percent sign stands for itself when it is doubled.
std::string escaped(const std::string& path) {
    std::string out;
    for (const char c : path) out += c == '%' ? std::string("%%") : std::string(1, c);
    return out;
}

std::string text_of(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) return "";
    // The program's paths are anything; one line of it goes to the terminal.
    std::string text = found->get<std::string>().substr(0, 4096);
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    }
    return text;
}

std::map<std::string, std::int64_t> counts_of(const Json& object, const char* key) {
    std::map<std::string, std::int64_t> out;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_object()) return out;
    for (const auto& [name, value] : found->items()) {
        if (value.is_number_integer() && value.get<std::int64_t>() > 0) {
            out[name] = value.get<std::int64_t>();
        }
    }
    return out;
}

std::optional<ProcessStatus> read_status(const fs::path& path) {
    std::error_code error;
    if (fs::file_size(path, error) > kMaxStatusBytes || error) return std::nullopt;
    std::ifstream file(path, std::ios::binary);
    const Json object = Json::parse(file, nullptr, false);
    if (!object.is_object()) return std::nullopt;
    const auto pid = object.find("pid");
    if (pid == object.end() || !pid->is_number_integer()) return std::nullopt;
    ProcessStatus out;
    out.pid = static_cast<pid_t>(std::clamp<std::int64_t>(pid->get<std::int64_t>(), 0, 1 << 30));
    out.state = text_of(object, "state");
    out.reason = text_of(object, "reason");
    out.executable = text_of(object, "executable");
    out.rows = counts_of(object, "rows");
    out.lost = counts_of(object, "lost");
    return out;
}

}  // namespace

RecordFolder::RecordFolder(const fs::path& output) {
    std::error_code error;
    const fs::path absolute = fs::absolute(output, error);
    std::string pattern = (absolute.parent_path() / ".hcprof-record.XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
        throw_io(fmt::format("cannot write '{}': no folder for it can be made beside it: {}",
                             output.string(), std::strerror(errno)));
    }
    path_ = pattern;
}

RecordFolder::~RecordFolder() {
    if (keep_) return;
    // A process that outlived us may still put a file there.
    for (int attempt = 0; attempt < 3; ++attempt) {
        std::error_code error;
        fs::remove_all(path_, error);
        if (!error) return;
    }
}

std::vector<std::pair<std::string, std::string>> RecordFolder::environment(
    const std::string& library, const CollectSettings& settings) const {
    const std::string folder = escaped(path_.string());
    std::vector<std::pair<std::string, std::string>> out{
        {inject::kEnvCudaInjection, library},
        {inject::kEnvNvtxInjection, library},
        {inject::kEnvOutput, folder + "/" + kTraceName},
        {inject::kEnvStatus, folder + "/" + kStatusName},
    };
    if (!settings.kinds.empty()) out.emplace_back(inject::kEnvKinds, settings.kinds);
    if (!settings.api.empty()) out.emplace_back(inject::kEnvApi, settings.api);
    if (!settings.capture_range.empty()) {
        out.emplace_back(inject::kEnvCaptureRange, settings.capture_range);
    }
    if (settings.duration_s) {
        out.emplace_back(inject::kEnvDuration, fmt::format("{}", *settings.duration_s));
    }
    return out;
}

std::vector<ProcessStatus> RecordFolder::statuses() const {
    std::vector<ProcessStatus> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(path_, error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("status-") || !name.ends_with(".json")) continue;
        if (std::optional<ProcessStatus> status = read_status(entry.path())) {
            out.push_back(std::move(*status));
        }
    }
    std::sort(out.begin(), out.end(),
              [](const ProcessStatus& a, const ProcessStatus& b) { return a.pid < b.pid; });
    return out;
}

std::vector<fs::path> RecordFolder::traces() const {
    std::vector<fs::path> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(path_, error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("trace-") || !name.ends_with(".sqlite")) continue;
        std::error_code unknown;
        if (fs::file_size(entry.path(), unknown) > 0 && !unknown) out.push_back(entry.path());
    }
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace hc::cli
