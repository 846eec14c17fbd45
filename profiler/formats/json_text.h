/// Pieces of JSON appended to a text, for documents too long to be built in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hc::formats {

/// `text` in quotes. The result is valid JSON whatever bytes come in: control characters are
/// escaped, and each byte that is no part of well-formed UTF-8 becomes U+FFFD.
void append_quoted(std::string& out, std::string_view text);

/// Nanoseconds as microseconds with three decimals, exact for every value: 1234567 is 1234.567.
void append_us(std::string& out, std::int64_t ns);
void append_us(std::string& out, std::uint64_t ns);

/// The shortest text that reads back as the same number; "null" when it is not finite, which
/// JSON cannot say.
void append_number(std::string& out, double number);

}  // namespace hc::formats
