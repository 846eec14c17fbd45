#include "profiler/inject/options.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "engine/core/error.h"
#include "profiler/inject/environment.h"

namespace hc::inject {
namespace {

constexpr double kMaxSeconds = 1e9;

[[noreturn]] void refuse(const char* name, const std::string& found, const char* expected) {
    throw_usage(std::string(name) + " is '" + found.substr(0, 60) + "', expected " + expected);
}

long whole_number(const char* name, const std::string& text, long low, long high,
                  const char* expected) {
    long value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stop != end || value < low || value > high) {
        refuse(name, text, expected);
    }
    return value;
}

}  // namespace

std::string expand_path(const std::string& pattern, long pid) {
    namespace fs = std::filesystem;
    std::string text;
    bool has_pid = false;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const char next = at + 1 < pattern.size() ? pattern[at + 1] : '\0';
        if (pattern[at] != '%' || (next != 'p' && next != '%')) {
            text += pattern[at];
            continue;
        }
        ++at;
        has_pid = has_pid || next == 'p';
        text += next == 'p' ? std::to_string(pid) : "%";
    }
    fs::path path = text;
    if (!has_pid) {
        const fs::path extension = path.extension();
        path.replace_extension("." + std::to_string(pid) + extension.string());
    }
    return fs::absolute(path).string();
}

Options read_options(const Environment& get, long pid) {
    Options options;
    const std::string output = get(kEnvOutput);
    options.output = expand_path(output.empty() ? "hcprof-%p.sqlite" : output, pid);
    if (const std::string status = get(kEnvStatus); !status.empty()) {
        options.status = expand_path(status, pid);
    }
    options.command = get(kEnvCommand);
    options.cupti = get(kEnvCupti);
    activity::CollectOptions& collect = options.session.collect;
    if (const std::string kinds = get(kEnvKinds); !kinds.empty()) {
        collect.kinds = activity::parse_collect(kEnvKinds, kinds);
    }
    if (const std::string api = get(kEnvApi); !api.empty()) {
        collect.api = activity::parse_api_level(kEnvApi, api);
    }
    options.session.capture_range = get(kEnvCaptureRange);
    if (options.session.capture_range.starts_with('@')) {
        refuse(kEnvCaptureRange, options.session.capture_range, "NAME or NAME@DOMAIN");
    }
    if (const std::string text = get(kEnvDuration); !text.empty()) {
        char* end = nullptr;
        const double seconds = std::strtod(text.c_str(), &end);
        if (end != text.c_str() + text.size() || !(seconds > 0) || seconds > kMaxSeconds) {
            refuse(kEnvDuration, text, "seconds above 0");
        }
        options.duration =
            std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
    }
    if (const std::string text = get(kEnvFlushMs); !text.empty()) {
        collect.flush_period = std::chrono::milliseconds(
            whole_number(kEnvFlushMs, text, 10, 1000, "10 to 1000 milliseconds"));
    }
    if (const std::string text = get(kEnvBufferMb); !text.empty()) {
        const long megabytes = whole_number(kEnvBufferMb, text, 4, 4096, "4 to 4096 MiB");
        collect.num_buffers =
            (static_cast<std::size_t>(megabytes) << 20) / collect.buffer_bytes;
    }
    return options;
}

}  // namespace hc::inject
