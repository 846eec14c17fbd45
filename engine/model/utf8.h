/// UTF-8 checked and walked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hc::model {

/// Byte offset of the first ill-formed sequence (overlong forms, surrogates and values above
/// U+10FFFF are ill-formed); nullopt when `text` is UTF-8.
[[nodiscard]] std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// The code point at `position`, which moves behind it. `text` must be UTF-8.
[[nodiscard]] char32_t next_code_point(std::string_view text, std::size_t& position);

void append_utf8(char32_t code_point, std::string& text);

}  // namespace hc::model
