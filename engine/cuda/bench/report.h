/// Points as they are measured: printed at once, and the whole file rewritten after each, so that
/// a run that is cut off keeps what it had.
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hc::cuda::bench {

using Json = nlohmann::ordered_json;

class Report {
public:
    /// `only`: names of points, or what they begin with; empty: all.
    Report(std::optional<std::filesystem::path> out, std::vector<std::string> only);

    /// Part of the document beside the points.
    void describe(const std::string& key, Json value);

    [[nodiscard]] bool wants(std::string_view name) const;
    [[nodiscard]] bool wants_any(std::initializer_list<std::string_view> beginnings) const;

    /// Measures `name` if it is wanted. `work` returns its figures; what it throws becomes the
    /// point's "error", or, where the engine refused, its "skipped", and the run goes on. False
    /// when there are no figures of it.
    bool measure(const std::string& name, const std::function<Json()>& work);

    /// Runs what belongs to several points; what it throws becomes a point `name` with an error.
    void group(const std::string& name, const std::function<void()>& work);

    /// A figure of a point measured before.
    [[nodiscard]] std::optional<double> figure(std::string_view name, const std::string& key) const;

private:
    void add(Json point, double seconds);
    void write() const;

    std::optional<std::filesystem::path> out_;
    std::vector<std::string> only_;
    Json document_;
};

/// Six significant digits: more are noise.
[[nodiscard]] double rounded(double value);
/// `value` rounded, or null.
[[nodiscard]] Json or_null(std::optional<double> value);
/// a / b where both are there.
[[nodiscard]] std::optional<double> ratio(std::optional<double> a, std::optional<double> b);

}  // namespace hc::cuda::bench
