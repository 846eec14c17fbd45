#include "engine/model/byte_alphabet.h"

#include "engine/core/error.h"
#include "engine/model/utf8.h"

namespace hc::model {

ByteAlphabet::ByteAlphabet() {
    byte_of_.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        const char32_t code_point = printable ? static_cast<char32_t>(byte) : next++;
        append_utf8(code_point, spelling_[static_cast<std::size_t>(byte)]);
        byte_of_[code_point] = static_cast<std::int16_t>(byte);
    }
    HC_CHECK(next == byte_of_.size());
}

std::optional<std::string> ByteAlphabet::bytes(std::string_view spelled) const {
    if (find_invalid_utf8(spelled)) return std::nullopt;
    std::string raw;
    for (std::size_t i = 0; i < spelled.size();) {
        const char32_t code_point = next_code_point(spelled, i);
        if (code_point >= byte_of_.size() || byte_of_[code_point] < 0) return std::nullopt;
        raw += static_cast<char>(byte_of_[code_point]);
    }
    return raw;
}

}  // namespace hc::model
