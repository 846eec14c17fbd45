#include "engine/config/npy.h"

#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/half.h"

namespace hc::config {
namespace {

constexpr std::size_t kMagicBytes = 8;  ///< magic string and two version bytes
constexpr std::size_t kElementBytes = 2;
constexpr std::size_t kMostDimensions = 32;  ///< NumPy's own limit

std::uint32_t byte_at(std::span<const std::byte> file, std::size_t i) {
    return std::to_integer<std::uint32_t>(file[i]);
}

/// Reads the header, a Python literal of a dict with three keys, in any order. Everything that
/// NumPy does not write is refused.
class HeaderParser {
public:
    HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

    std::vector<std::int64_t> shape() {
        expect('{');
        while (!take('}')) {
            entry();
            if (!take(',')) {
                expect('}');
                break;
            }
        }
        skip_spaces();
        if (at_ != text_.size()) fail("text after the header's closing brace");
        if (!has_type_ || !has_order_ || !shape_) {
            fail("a header without one of the keys descr, fortran_order, shape");
        }
        return *std::move(shape_);
    }

private:
    [[noreturn]] void fail(const std::string& found) const {
        throw_input("'" + name_ + "' is no float16 array in C order: found " + found);
    }

    void entry() {
        const std::string_view key = quoted_text();
        expect(':');
        if (key == "descr" && !has_type_) {
            const std::string_view type = quoted_text();
            if (type != "<f2") fail("an unexpected element type, expected '<f2'");
            has_type_ = true;
        } else if (key == "fortran_order" && !has_order_) {
            if (!take_word("False")) fail("an order that is not C order");
            has_order_ = true;
        } else if (key == "shape" && !shape_) {
            shape_ = tuple();
        } else {
            fail("an unknown or repeated header key");
        }
    }

    std::vector<std::int64_t> tuple() {
        std::vector<std::int64_t> values;
        expect('(');
        while (!take(')')) {
            if (values.size() == kMostDimensions) fail("too many dimensions");
            values.push_back(number());
            if (!take(',')) {
                expect(')');
                break;
            }
        }
        return values;
    }

    std::int64_t number() {
        skip_spaces();
        constexpr std::int64_t kMost = std::int64_t{1} << 48;
        std::int64_t value = 0;
        const std::size_t start = at_;
        while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
            value = value * 10 + (text_[at_++] - '0');
            if (value > kMost) fail("a dimension that is too large");
        }
        if (at_ == start) fail("a dimension that is no number");
        if (value == 0) fail("an empty dimension");
        return value;
    }

    std::string_view quoted_text() {
        skip_spaces();
        if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) {
            fail("a header that is no Python dict");
        }
        const char quote = text_[at_++];
        const std::size_t end = text_.find(quote, at_);
        if (end == std::string_view::npos) fail("a header with an open string");
        const std::string_view inside = text_.substr(at_, end - at_);
        at_ = end + 1;
        return inside;
    }

    void skip_spaces() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    }
    bool take(char c) {
        skip_spaces();
        if (at_ == text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    bool take_word(std::string_view word) {
        skip_spaces();
        if (text_.substr(at_, word.size()) != word) return false;
        at_ += word.size();
        return true;
    }
    void expect(char c) {
        if (!take(c)) fail(std::string("a header without the expected '") + c + "'");
    }

    std::string_view text_;
    const std::string& name_;
    std::size_t at_ = 0;
    bool has_type_ = false;
    bool has_order_ = false;
    std::optional<std::vector<std::int64_t>> shape_;
};

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& name) {
    constexpr char kMagic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
    if (file.size() < kMagicBytes + 2 || std::memcmp(file.data(), kMagic, sizeof kMagic) != 0) {
        throw_input("'" + name + "' is no .npy file");
    }
    const std::uint32_t major = byte_at(file, 6);
    if ((major != 1 && major != 2) || byte_at(file, 7) != 0) {
        throw_input("'" + name + "' has .npy format version " + std::to_string(major) + "." +
                    std::to_string(byte_at(file, 7)) + ", expected 1.0 or 2.0");
    }
    const std::size_t length_bytes = major == 1 ? 2 : 4;
    const std::size_t text_offset = kMagicBytes + length_bytes;
    if (file.size() < text_offset) throw_input("'" + name + "' ends within its header");
    std::size_t length = 0;
    for (std::size_t i = 0; i < length_bytes; ++i) {
        length |= std::size_t{byte_at(file, kMagicBytes + i)} << (8 * i);
    }
    if (length > file.size() - text_offset) throw_input("'" + name + "' ends within its header");
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + text_offset, length);
    NpyHeader header;
    header.shape = HeaderParser(text, name).shape();
    header.data_offset = text_offset + length;
    header.count = 1;
    for (const std::int64_t dimension : header.shape) {
        const auto size = static_cast<std::size_t>(dimension);
        if (header.count > std::numeric_limits<std::size_t>::max() / kElementBytes / size) {
            throw_input("'" + name + "' says that it holds more elements than can be addressed");
        }
        header.count *= size;
    }
    const std::size_t data_bytes = file.size() - header.data_offset;
    if (data_bytes != header.count * kElementBytes) {
        throw_input("'" + name + "' has " + std::to_string(data_bytes) +
                    " bytes of data, expected " + std::to_string(header.count * kElementBytes) +
                    " for its shape");
    }
    return header;
}

HalfArray::HalfArray(const std::filesystem::path& path)
    : file_(path), header_(parse_npy_header(file_.bytes(), path.string())) {}

void HalfArray::read(std::size_t first, std::span<float> out) const {
    HC_CHECK(first <= header_.count);
    HC_CHECK(out.size() <= header_.count - first);
    const std::byte* data = file_.bytes().data() + header_.data_offset + first * kElementBytes;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto low = std::to_integer<std::uint32_t>(data[2 * i]);
        const auto high = std::to_integer<std::uint32_t>(data[2 * i + 1]);
        out[i] = half_to_float(static_cast<std::uint16_t>(low | (high << 8)));
    }
}

}  // namespace hc::config
