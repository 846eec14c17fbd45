#include "cli/svg.h"

#include <fmt/format.h>

#include <cmath>

namespace hc::cli {
namespace {

/// Length of the well-formed UTF-8 sequence at the front; 0 where there is none. After table 3-7
/// of the Unicode standard.
std::size_t sequence_length(std::string_view text) {
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return byte(i) >= low && byte(i) <= high;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return follows(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;
        const unsigned high = lead == 0xed ? 0x9f : 0xbf;
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

}  // namespace

std::string escaped(std::string_view text) {
    constexpr std::string_view kReplacement = "\xef\xbf\xbd";
    std::string out;
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        const auto first = static_cast<unsigned char>(text.front());
        if (length == 0 || (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f) {
            out += kReplacement;
            text.remove_prefix(1);
            continue;
        }
        switch (text.front()) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            default:
                out += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    return out;
}

std::string svg_number(double value) {
    if (!std::isfinite(value)) return "0";
    std::string text = fmt::format("{:.2f}", value);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    return text == "-0" ? "0" : text;
}

double nice_step(double largest, int lines) {
    if (!(largest > 0)) return 1;
    const double rough = largest / lines;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= rough) return factor * power;
    }
    return 10 * power;
}

Svg::Svg(std::string_view id, double width, double height, std::string_view title,
         std::string_view description) {
    out_ = fmt::format(
        "<svg viewBox=\"0 0 {0} {1}\" role=\"img\" aria-labelledby=\"{2}-t {2}-d\">\n"
        "<title id=\"{2}-t\">{3}</title><desc id=\"{2}-d\">{4}</desc>\n",
        svg_number(width), svg_number(height), id, escaped(title), escaped(description));
}

void Svg::rect(double x, double y, double width, double height, std::string_view css_class,
               std::string_view tooltip) {
    out_ +=
        fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{}\"",
                    svg_number(x), svg_number(y), svg_number(width), svg_number(height), css_class);
    out_ += tooltip.empty() ? "/>\n" : "><title>" + escaped(tooltip) + "</title></rect>\n";
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css_class) {
    out_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>\n",
                        svg_number(x1), svg_number(y1), svg_number(x2), svg_number(y2), css_class);
}

void Svg::path(std::string_view data, std::string_view css_class, std::string_view tooltip) {
    out_ += fmt::format("<path d=\"{}\" class=\"{}\"", data, css_class);
    out_ += tooltip.empty() ? "/>\n" : "><title>" + escaped(tooltip) + "</title></path>\n";
}

void Svg::text(double x, double y, std::string_view words, Anchor anchor,
               std::string_view css_class) {
    out_ += fmt::format("<text x=\"{}\" y=\"{}\"", svg_number(x), svg_number(y));
    if (anchor == Anchor::kMiddle) out_ += " text-anchor=\"middle\"";
    if (anchor == Anchor::kEnd) out_ += " text-anchor=\"end\"";
    if (!css_class.empty()) out_ += fmt::format(" class=\"{}\"", css_class);
    out_ += ">" + escaped(words) + "</text>\n";
}

std::string Svg::finish() {
    return std::move(out_) + "</svg>\n";
}

}  // namespace hc::cli
