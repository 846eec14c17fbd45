#include "engine/model/gguf_file.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "engine/core/error.h"
#include "engine/model/byte_reader.h"

namespace hc::model {
namespace {

constexpr std::uint32_t kNewestVersion = 3;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kLargestAlignment = 1U << 20;
constexpr std::uint32_t kMostDims = 4;
constexpr int kDeepestArray = 4;
// The least that an entry takes: a key's length, a type and one byte; a name's length, one
// dimension, type and offset. They bound the counts of a header before anything is reserved.
constexpr std::uint64_t kSmallestValue = 8 + 4 + 1;
constexpr std::uint64_t kSmallestTensor = 8 + 4 + 8 + 4 + 8;

/// Bytes of a scalar; 0 for strings, arrays and numbers that are no type.
std::uint64_t scalar_bytes(GgufType type) {
    switch (type) {
        case GgufType::kUint8:
        case GgufType::kInt8:
        case GgufType::kBool:
            return 1;
        case GgufType::kUint16:
        case GgufType::kInt16:
            return 2;
        case GgufType::kUint32:
        case GgufType::kInt32:
        case GgufType::kFloat32:
            return 4;
        case GgufType::kUint64:
        case GgufType::kInt64:
        case GgufType::kFloat64:
            return 8;
        case GgufType::kString:
        case GgufType::kArray:
            break;
    }
    return 0;
}

/// Walks the part of the file before the tensor data; every failure names file and place.
class HeaderParser {
public:
    HeaderParser(std::span<const std::byte> bytes, const GgufFile& file)
        : reader_(bytes), file_(file) {}

    [[nodiscard]] std::size_t position() const { return reader_.position(); }
    [[nodiscard]] std::size_t remaining() const { return reader_.remaining(); }

    template <Scalar T>
    [[nodiscard]] T read(std::string_view what) {
        T value{};
        if (!reader_.read(value)) fail_truncated(what);
        return value;
    }

    [[nodiscard]] std::string_view read_string(std::string_view what) {
        const auto length = read<std::uint64_t>(what);
        std::span<const std::byte> bytes;
        if (!reader_.take(length, bytes)) {
            file_.fail(fmt::format("{} is {} bytes long at byte {}, only {} are left in the file",
                                   what, length, position(), remaining()));
        }
        return as_text(bytes);
    }

    [[nodiscard]] GgufValue read_value(std::string_view key) {
        GgufValue value;
        value.type = read_type(key);
        const std::size_t begin = position();
        if (value.type == GgufType::kString) {
            const std::string_view text = read_string(describe(key));
            value.bytes = std::as_bytes(std::span(text.data(), text.size()));
            return value;
        }
        if (value.type == GgufType::kArray) {
            value.element_type = read_type(key);
            value.count = read<std::uint64_t>(describe(key));
            const std::size_t payload = position();
            skip_elements(value.element_type, value.count, key, 1);
            value.bytes = reread(payload);
            return value;
        }
        skip(scalar_bytes(value.type), 1, key);
        value.bytes = reread(begin);
        if (value.type == GgufType::kBool) check_bool(value.bytes[0], key);
        return value;
    }

    void set_whole(std::span<const std::byte> whole) { whole_ = whole; }

private:
    [[nodiscard]] static std::string describe(std::string_view key) {
        return fmt::format("metadata '{}'", printable(key));
    }

    [[noreturn]] void fail_truncated(std::string_view what) const {
        file_.fail(fmt::format("the file ends at byte {} in {}", position() + remaining(), what));
    }

    [[nodiscard]] std::span<const std::byte> reread(std::size_t begin) const {
        return whole_.subspan(begin, position() - begin);
    }

    [[nodiscard]] GgufType read_type(std::string_view key) {
        const auto number = read<std::uint32_t>(describe(key));
        if (number > static_cast<std::uint32_t>(GgufType::kFloat64)) {
            file_.fail(
                fmt::format("{} has value type {}, expected 0 to 12", describe(key), number));
        }
        return static_cast<GgufType>(number);
    }

    void check_bool(std::byte byte, std::string_view key) const {
        if (byte > std::byte{1}) {
            file_.fail(fmt::format("{} is a bool of value {}, expected 0 or 1", describe(key),
                                   static_cast<int>(byte)));
        }
    }

    void skip(std::uint64_t size, std::uint64_t count, std::string_view key) {
        std::span<const std::byte> ignored;
        if (count > remaining() / size || !reader_.take(size * count, ignored)) {
            file_.fail(
                fmt::format("{} claims {} elements of {} bytes at byte {}, only {} bytes "
                            "are left in the file",
                            describe(key), count, size, position(), remaining()));
        }
    }

    void skip_elements(GgufType type, std::uint64_t count, std::string_view key, int depth) {
        if (const std::uint64_t size = scalar_bytes(type); size > 0) return skip(size, count, key);
        // A string takes at least its length, an array its type and count.
        const std::uint64_t least = type == GgufType::kString ? 8 : 12;
        if (count > remaining() / least) {
            file_.fail(
                fmt::format("{} claims {} elements at byte {}, only {} bytes are left in "
                            "the file",
                            describe(key), count, position(), remaining()));
        }
        if (type == GgufType::kArray && depth >= kDeepestArray) {
            file_.fail(fmt::format("{} nests arrays deeper than {}", describe(key), kDeepestArray));
        }
        const std::string who = describe(key);  // once: a vocabulary has 100,000 strings
        for (std::uint64_t i = 0; i < count; ++i) {
            if (type == GgufType::kString) {
                (void)read_string(who);
            } else {
                const GgufType inner = read_type(key);
                const auto inner_count = read<std::uint64_t>(who);
                skip_elements(inner, inner_count, key, depth + 1);
            }
        }
    }

    ByteReader reader_;
    const GgufFile& file_;
    std::span<const std::byte> whole_;
};

struct DirectoryEntry {
    GgufTensor tensor;
    std::uint64_t offset = 0;
};

DirectoryEntry read_tensor(HeaderParser& parser, std::uint64_t index, const GgufFile& file) {
    DirectoryEntry entry;
    const std::string place = fmt::format("tensor {} of the directory", index);
    entry.tensor.name = parser.read_string("the name of " + place);
    const std::string who = fmt::format("tensor '{}'", printable(entry.tensor.name));
    const auto num_dims = parser.read<std::uint32_t>(place);
    if (num_dims < 1 || num_dims > kMostDims) {
        file.fail(fmt::format("{} has {} dimensions, expected 1 to {}", who, num_dims, kMostDims));
    }
    for (std::uint32_t d = 0; d < num_dims; ++d) {
        const auto extent = parser.read<std::uint64_t>(place);
        if (extent < 1 ||
            extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            file.fail(fmt::format("dimension {} of {} is {}", d, who, extent));
        }
        entry.tensor.dims.push_back(static_cast<std::int64_t>(extent));
    }
    const auto type = parser.read<std::uint32_t>(place);
    entry.tensor.type = static_cast<DType>(type);
    if (block_geometry(entry.tensor.type).elements == 0) {
        file.fail(
            fmt::format("{} has element type {}, which is not read here (F32, F16, BF16, "
                        "Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K are)",
                        who, type));
    }
    entry.offset = parser.read<std::uint64_t>(place);
    return entry;
}

/// Bytes that the tensor's shape needs; nullopt where the product does not fit 64 bits.
std::optional<std::uint64_t> data_bytes(const GgufTensor& tensor) {
    const BlockGeometry geometry = block_geometry(tensor.type);
    std::uint64_t bytes = static_cast<std::uint64_t>(tensor.dims[0]) / geometry.elements;
    if (__builtin_mul_overflow(bytes, std::uint64_t{geometry.bytes}, &bytes)) return std::nullopt;
    for (std::size_t d = 1; d < tensor.dims.size(); ++d) {
        if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(tensor.dims[d]), &bytes)) {
            return std::nullopt;
        }
    }
    return bytes;
}

void check_version(std::uint32_t version, const GgufFile& file) {
    if (version == 2 || version == kNewestVersion) return;
    if (version != 0 && (version & 0xFFFFU) == 0) {
        file.fail("is a big-endian GGUF file, expected little endian");
    }
    file.fail(fmt::format("is GGUF version {}, {} than what is read here (2 and {})", version,
                          version > kNewestVersion ? "newer" : "older", kNewestVersion));
}

void check_count(std::uint64_t count, std::uint64_t least, std::size_t left, std::string_view what,
                 const GgufFile& file) {
    if (count > left / least) {
        file.fail(fmt::format("the header claims {} {}, which {} bytes of file cannot hold", count,
                              what, left));
    }
}

std::uint64_t read_alignment(const GgufFile& file) {
    const std::int64_t alignment =
        file.find_int("general.alignment").value_or(static_cast<std::int64_t>(kDefaultAlignment));
    if (alignment < 8 || alignment > static_cast<std::int64_t>(kLargestAlignment) ||
        !std::has_single_bit(static_cast<std::uint64_t>(alignment))) {
        file.fail(fmt::format("general.alignment is {}, expected a power of two from 8 to {}",
                              alignment, kLargestAlignment));
    }
    return static_cast<std::uint64_t>(alignment);
}

}  // namespace

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string path) : path_(std::move(path)) {
    HeaderParser parser(bytes, *this);
    parser.set_whole(bytes);
    constexpr std::string_view kMagic = "GGUF";
    if (as_text(bytes.first(std::min(bytes.size(), kMagic.size()))) != kMagic) {
        fail(fmt::format("is no GGUF file: begins with '{}', expected 'GGUF'",
                         printable(as_text(bytes.first(std::min<std::size_t>(bytes.size(), 4))))));
    }
    (void)parser.read<std::uint32_t>("the magic");
    version_ = parser.read<std::uint32_t>("the header");
    check_version(version_, *this);
    const auto num_tensors = parser.read<std::uint64_t>("the header");
    const auto num_values = parser.read<std::uint64_t>("the header");
    check_count(num_tensors, kSmallestTensor, parser.remaining(), "tensors", *this);
    check_count(num_values, kSmallestValue, parser.remaining(), "metadata values", *this);

    for (std::uint64_t i = 0; i < num_values; ++i) {
        const std::string_view key = parser.read_string(fmt::format("metadata key {}", i));
        if (!values_.emplace(key, parser.read_value(key)).second) {
            fail(fmt::format("metadata '{}' stands twice", printable(key)));
        }
    }
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t i = 0; i < num_tensors; ++i) {
        DirectoryEntry entry = read_tensor(parser, i, *this);
        if (!tensor_by_name_.emplace(entry.tensor.name, tensors_.size()).second) {
            fail(fmt::format("tensor '{}' stands twice", printable(entry.tensor.name)));
        }
        tensors_.push_back(std::move(entry.tensor));
        offsets.push_back(entry.offset);
    }
    const std::uint64_t alignment = read_alignment(*this);
    const std::uint64_t data_begin = (parser.position() + alignment - 1) / alignment * alignment;
    header_ = bytes.first(parser.position());
    const bool has_data = data_begin < bytes.size();
    place_tensors(offsets, has_data ? bytes.subspan(data_begin) : std::span<const std::byte>{},
                  alignment);
}

void GgufFile::place_tensors(std::span<const std::uint64_t> offsets,
                             std::span<const std::byte> data, std::uint64_t alignment) {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
        GgufTensor& tensor = tensors_[i];
        const std::string who = fmt::format("tensor '{}'", printable(tensor.name));
        const std::uint32_t block = block_geometry(tensor.type).elements;
        if (tensor.dims[0] % block != 0) {
            fail(fmt::format("rows of {} have {} elements, expected a multiple of {} ({})", who,
                             tensor.dims[0], block, dtype_name(tensor.type)));
        }
        if (offsets[i] % alignment != 0) {
            fail(fmt::format("{} lies at offset {}, expected a multiple of {}", who, offsets[i],
                             alignment));
        }
        const std::optional<std::uint64_t> size = data_bytes(tensor);
        if (!size) fail(fmt::format("the size of {} exceeds 64 bits", who));
        if (offsets[i] > data.size() || *size > data.size() - offsets[i]) {
            fail(
                fmt::format("{} needs {} bytes at offset {}, the file holds {} bytes of tensor "
                            "data (truncated?)",
                            who, *size, offsets[i], data.size()));
        }
        tensor.bytes = data.subspan(offsets[i], *size);
    }
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& tensor : tensors_) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const GgufTensor* a, const GgufTensor* b) {
        return a->bytes.data() < b->bytes.data();
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const std::span<const std::byte> before = order[i - 1]->bytes;
        if (before.data() + before.size() > order[i]->bytes.data()) {
            fail(fmt::format("tensors '{}' and '{}' overlap", printable(order[i - 1]->name),
                             printable(order[i]->name)));
        }
    }
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
    const auto found = tensor_by_name_.find(name);
    return found == tensor_by_name_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::fail(const std::string& what) const {
    throw_input("'" + path_ + "': " + what);
}

}  // namespace hc::model
