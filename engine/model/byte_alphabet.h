/// The spelling of bytes in a byte-level vocabulary: every byte is one printable character.
///
/// GPT-2's mapping: printable bytes of Latin-1 stand for themselves, the other 68 bytes are, in
/// order, U+0100 and following.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hc::model {

class ByteAlphabet {
public:
    ByteAlphabet();

    /// The character that spells `byte`, in UTF-8.
    [[nodiscard]] const std::string& spelling(std::uint8_t byte) const { return spelling_[byte]; }
    /// The bytes that `spelled` stands for; nullopt where it holds a character that spells none
    /// or is not UTF-8.
    [[nodiscard]] std::optional<std::string> bytes(std::string_view spelled) const;

private:
    std::array<std::string, 256> spelling_;
    std::array<std::int16_t, 324> byte_of_;  ///< by code point; -1: spells no byte
};

}  // namespace hc::model
