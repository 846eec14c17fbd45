#include "engine/cuda/bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/core/atomic_file.h"
#include "engine/core/clock.h"
#include "engine/core/error.h"

namespace hc::cuda::bench {

Report::Report(std::optional<std::filesystem::path> out, std::vector<std::string> only)
    : out_(std::move(out)), only_(std::move(only)), document_(Json::object()) {
    document_["points"] = Json::array();
}

void Report::describe(const std::string& key, Json value) {
    // The points stay last: they are what grows.
    Json points = std::move(document_["points"]);
    document_.erase("points");
    document_[key] = std::move(value);
    document_["points"] = std::move(points);
    write();
}

bool Report::wants(std::string_view name) const {
    return only_.empty() || std::any_of(only_.begin(), only_.end(), [&](const std::string& only) {
               return name.starts_with(only);
           });
}

bool Report::wants_any(std::initializer_list<std::string_view> beginnings) const {
    if (only_.empty()) return true;
    for (const std::string_view beginning : beginnings) {
        for (const std::string& only : only_) {
            if (only.starts_with(beginning) || beginning.starts_with(only)) return true;
        }
    }
    return false;
}

bool Report::measure(const std::string& name, const std::function<Json()>& work) {
    if (!wants(name)) return false;
    const std::int64_t begin = now_ns();
    Json point = {{"name", name}};
    bool measured = false;
    try {
        point.update(work());
        measured = !point.contains("skipped");
    } catch (const Error& error) {
        point[error.code() == ExitCode::kRefused ? "skipped" : "error"] = error.what();
    } catch (const std::exception& error) {
        point["error"] = error.what();
    }
    add(std::move(point), 1e-9 * static_cast<double>(now_ns() - begin));
    return measured;
}

void Report::group(const std::string& name, const std::function<void()>& work) {
    const std::int64_t begin = now_ns();
    try {
        work();
    } catch (const std::exception& error) {
        add({{"name", name}, {"error", error.what()}},
            1e-9 * static_cast<double>(now_ns() - begin));
    }
}

std::optional<double> Report::figure(std::string_view name, const std::string& key) const {
    for (const Json& point : document_["points"]) {
        if (point["name"].get_ref<const std::string&>() != name) continue;
        const auto found = point.find(key);
        if (found == point.end() || !found->is_number()) return std::nullopt;
        return found->get<double>();
    }
    return std::nullopt;
}

void Report::add(Json point, double seconds) {
    point["elapsed_s"] = rounded(seconds);
    std::printf("%s\n", point.dump().c_str());
    std::fflush(stdout);
    document_["points"].push_back(std::move(point));
    write();
}

void Report::write() const {
    if (out_) write_file_atomically(*out_, document_.dump(1) + "\n");
}

double rounded(double value) {
    if (value == 0 || !std::isfinite(value)) return value;
    const double scale = std::pow(10.0, 5 - std::floor(std::log10(std::abs(value))));
    return std::round(value * scale) / scale;
}

Json or_null(std::optional<double> value) {
    return value && std::isfinite(*value) ? Json(rounded(*value)) : Json(nullptr);
}

std::optional<double> ratio(std::optional<double> a, std::optional<double> b) {
    if (!a || !b || *b == 0) return std::nullopt;
    return *a / *b;
}

}  // namespace hc::cuda::bench
