/// Pictures as SVG that stands within a page. Colours are classes ("c-mlp"), which the page's style
/// sheet fills, so that they follow a light or a dark ground.
#pragma once

#include <string>
#include <string_view>

namespace hc::cli {

/// What has a meaning in HTML and SVG is escaped; bytes that are no UTF-8 and control characters
/// become U+FFFD.
[[nodiscard]] std::string escaped(std::string_view text);

class Svg {
public:
    /// `id` is unique in the page; `title` and `description` are for those who cannot see it.
    Svg(std::string_view id, double width, double height, std::string_view title,
        std::string_view description);

    void rect(double x, double y, double width, double height, std::string_view css_class,
              std::string_view tooltip = {});
    void line(double x1, double y1, double x2, double y2, std::string_view css_class);
    /// `data` is the value of d.
    void path(std::string_view data, std::string_view css_class, std::string_view tooltip = {});
    enum class Anchor { kStart, kMiddle, kEnd };
    void text(double x, double y, std::string_view words, Anchor anchor = Anchor::kStart,
              std::string_view css_class = {});
    /// The picture; nothing may be added after.
    [[nodiscard]] std::string finish();

private:
    std::string out_;
};

/// A number with at most two digits after the point, as short as can be.
[[nodiscard]] std::string svg_number(double value);

/// A step for the lines of an axis from 0 to `largest`: 1, 2 or 5 times a power of ten, at most
/// `lines` of them.
[[nodiscard]] double nice_step(double largest, int lines);

}  // namespace hc::cli
