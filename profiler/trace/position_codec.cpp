#include "profiler/trace/position_codec.h"

#include <zstd.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace hc::trace {
namespace {

enum class Coding : std::uint8_t { kVarint = 0, kVarintZstd = 1, kBits = 2, kPlain = 3, kZstd = 4 };

constexpr int kZstdLevel = 3;
constexpr int kLevels = 255;  // of the logarithmic scale, beside 0

std::byte coding_byte(Coding coding) {
    return static_cast<std::byte>(coding);
}

Blob compress(Coding coding, std::span<const std::byte> raw) {
    Blob out(1 + ZSTD_compressBound(raw.size()));
    out[0] = coding_byte(coding);
    const std::size_t size =
        ZSTD_compress(out.data() + 1, out.size() - 1, raw.data(), raw.size(), kZstdLevel);
    if (ZSTD_isError(size) != 0) return {};  // the caller has another coding
    out.resize(1 + size);
    return out;
}

/// At most `limit` bytes; throws BadData beyond that.
Blob decompress(std::span<const std::byte> packed, std::size_t limit) {
    const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > limit) {
        throw BadData("compressed blob has a wrong size");
    }
    Blob out(static_cast<std::size_t>(size));
    const std::size_t got = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
    if (ZSTD_isError(got) != 0 || got != out.size()) throw BadData("compressed blob is damaged");
    return out;
}

/// Differences of neighbours, zigzag, 7 bits a byte.
Blob encode_varint(std::span<const Position> positions) {
    Blob out;
    out.reserve(1 + positions.size() * 2);
    out.push_back(coding_byte(Coding::kVarint));
    std::int64_t last = -1;
    for (const Position p : positions) {
        // Minus one, so that neighbouring tokens in ascending order give zero.
        const std::int64_t delta = static_cast<std::int64_t>(p) - last - 1;
        auto v = (static_cast<std::uint64_t>(delta) << 1) ^ static_cast<std::uint64_t>(delta >> 63);
        while (v >= 0x80) {
            out.push_back(static_cast<std::byte>(v | 0x80));
            v >>= 7;
        }
        out.push_back(static_cast<std::byte>(v));
        last = p;
    }
    return out;
}

Positions decode_varint(std::span<const std::byte> bytes, std::size_t count, std::size_t prompt) {
    Positions out;
    out.reserve(std::min(count, bytes.size()));
    std::size_t at = 0;
    std::int64_t last = -1;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint64_t v = 0;
        int shift = 0;
        for (;;) {
            if (at >= bytes.size() || shift > 35) throw BadData("position list is cut off");
            const auto byte = static_cast<std::uint64_t>(bytes[at++]);
            v |= (byte & 0x7f) << shift;
            if (byte < 0x80) break;
            shift += 7;
        }
        const auto delta = static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
        const std::int64_t p = last + 1 + delta;
        if (p < 0 || static_cast<std::uint64_t>(p) >= prompt) {
            throw BadData("position beyond the prompt");
        }
        out.push_back(static_cast<Position>(p));
        last = p;
    }
    if (at != bytes.size()) throw BadData("position list is longer than its count");
    return out;
}

/// One byte of width, then that many bits per position, lowest first.
Blob encode_bits(std::span<const Position> positions) {
    Position largest = 0;
    for (const Position p : positions) largest = std::max(largest, p);
    const int width = std::max(1, static_cast<int>(std::bit_width(largest)));
    Blob out;
    out.reserve(10 + positions.size() * static_cast<std::size_t>(width) / 8);
    out.push_back(coding_byte(Coding::kBits));
    out.push_back(static_cast<std::byte>(width));
    std::uint64_t pending = 0;
    int bits = 0;
    for (const Position p : positions) {
        pending |= static_cast<std::uint64_t>(p) << bits;
        bits += width;
        for (; bits >= 8; bits -= 8) {
            out.push_back(static_cast<std::byte>(pending & 0xff));
            pending >>= 8;
        }
    }
    if (bits > 0) out.push_back(static_cast<std::byte>(pending & 0xff));
    return out;
}

Positions decode_bits(std::span<const std::byte> bytes, std::size_t count, std::size_t prompt) {
    if (bytes.empty()) throw BadData("position list is cut off");
    const auto width = static_cast<std::size_t>(bytes[0]);
    if (width < 1 || width > 32) throw BadData("position list has a wrong width");
    bytes = bytes.subspan(1);
    if (bytes.size() != (count * width + 7) / 8) throw BadData("position list has a wrong length");
    const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
    Positions out;
    out.reserve(count);
    std::uint64_t pending = 0;
    std::size_t bits = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
        while (bits < width) {
            pending |= static_cast<std::uint64_t>(bytes[at++]) << bits;
            bits += 8;
        }
        const std::uint64_t p = pending & mask;
        if (p >= prompt) throw BadData("position beyond the prompt");
        out.push_back(static_cast<Position>(p));
        pending >>= width;
        bits -= width;
    }
    return out;
}

struct ValueScale {
    float smallest = 0;  // decoded value of code 1
    float largest = 0;   // decoded value of code 255
};

float decode_value(const ValueScale& scale, double log_step, std::uint8_t code) {
    if (code == 0) return 0;
    return static_cast<float>(static_cast<double>(scale.smallest) *
                              std::exp(log_step * (code - 1)));
}

double log_step_of(const ValueScale& scale) {
    if (scale.smallest <= 0) return 0;
    return std::log(static_cast<double>(scale.largest) / scale.smallest) / (kLevels - 1);
}

}  // namespace

Blob encode_positions(std::span<const Position> positions) {
    if (positions.empty()) return {};
    Blob best = encode_varint(positions);
    Blob packed = compress(Coding::kVarintZstd, std::span(best).subspan(1));
    if (!packed.empty() && packed.size() < best.size()) best = std::move(packed);
    Blob bits = encode_bits(positions);
    if (bits.size() < best.size()) best = std::move(bits);
    return best;
}

Positions decode_positions(std::span<const std::byte> blob, std::size_t count, std::size_t prompt) {
    if (count > kMaxPositions) throw BadData("position list is longer than any prompt");
    if (count == 0) {
        if (!blob.empty()) throw BadData("position list is longer than its count");
        return {};
    }
    if (blob.empty()) throw BadData("position list is cut off");
    const std::span<const std::byte> rest = blob.subspan(1);
    switch (static_cast<Coding>(blob[0])) {
        case Coding::kVarint:
            return decode_varint(rest, count, prompt);
        case Coding::kVarintZstd:
            return decode_varint(decompress(rest, count * 5), count, prompt);
        case Coding::kBits:
            return decode_bits(rest, count, prompt);
        default:
            throw BadData("position list has an unknown coding");
    }
}

Blob encode_values(std::span<const float> values) {
    if (values.empty()) return {};
    ValueScale scale;
    double sum = 0;
    for (const float v : values) {
        if (!(v > 0) || !std::isfinite(v)) continue;
        if (scale.smallest == 0 || v < scale.smallest) scale.smallest = v;
        scale.largest = std::max(scale.largest, v);
        sum += v;
    }
    const double log_step = log_step_of(scale);
    Blob codes(1 + sizeof(scale) + values.size());
    double decoded_sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint8_t code = 0;
        if (values[i] > 0 && std::isfinite(values[i])) {
            const double steps =
                log_step > 0 ? std::log(static_cast<double>(values[i]) / scale.smallest) / log_step
                             : 0;
            code = static_cast<std::uint8_t>(1 + std::clamp(std::lround(steps), 0L, kLevels - 1L));
        }
        codes[1 + sizeof(scale) + i] = static_cast<std::byte>(code);
        decoded_sum += decode_value(scale, log_step, code);
    }
    if (decoded_sum > 0) {
        // Shifts the whole scale: ratios stay, the sum (a probability mass) becomes exact.
        scale.smallest = static_cast<float>(scale.smallest * (sum / decoded_sum));
        scale.largest = static_cast<float>(scale.largest * (sum / decoded_sum));
    }
    codes[0] = coding_byte(Coding::kPlain);
    std::memcpy(codes.data() + 1, &scale, sizeof(scale));
    Blob packed = compress(Coding::kZstd, std::span(codes).subspan(1));
    return !packed.empty() && packed.size() < codes.size() ? packed : codes;
}

std::vector<float> decode_values(std::span<const std::byte> blob, std::size_t count) {
    if (count > kMaxPositions) throw BadData("value list is longer than any prompt");
    if (blob.empty()) return {};  // values were not recorded
    Blob unpacked;
    std::span<const std::byte> bytes = blob.subspan(1);
    const auto coding = static_cast<Coding>(blob[0]);
    ValueScale scale;
    if (coding == Coding::kZstd) {
        unpacked = decompress(bytes, sizeof(scale) + count);
        bytes = unpacked;
    } else if (coding != Coding::kPlain) {
        throw BadData("value list has an unknown coding");
    }
    if (bytes.size() != sizeof(scale) + count) throw BadData("value list has a wrong length");
    std::memcpy(&scale, bytes.data(), sizeof(scale));
    const bool sane = std::isfinite(scale.smallest) && std::isfinite(scale.largest) &&
                      scale.smallest >= 0 && scale.largest >= scale.smallest;
    if (!sane) throw BadData("value list has a wrong scale");
    const double log_step = log_step_of(scale);
    float table[kLevels + 1];
    for (int code = 0; code <= kLevels; ++code) {
        table[code] = decode_value(scale, log_step, static_cast<std::uint8_t>(code));
    }
    std::vector<float> out(count);
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = table[static_cast<std::uint8_t>(bytes[sizeof(scale) + i])];
    }
    return out;
}

}  // namespace hc::trace
