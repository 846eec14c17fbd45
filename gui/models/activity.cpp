#include "gui/models/activity.h"

#include <array>

namespace hc::gui {
namespace {

template <typename T>
std::size_t bytes_of(const std::vector<T>& column) {
    return column.size() * sizeof(T);
}

template <std::size_t N>
QString word(const std::array<const char*, N>& words, int i) {
    return i >= 0 && static_cast<std::size_t>(i) < N ? QString(words[static_cast<std::size_t>(i)])
                                                     : QString("kind %1").arg(i);
}

}  // namespace

std::size_t ActivityDetails::memory() const {
    return bytes_of(kernel_correlation) + bytes_of(kernel_launch) + bytes_of(copy_correlation) +
           bytes_of(copies) + bytes_of(set_correlation) + bytes_of(set_bytes) +
           bytes_of(sync_correlation) + bytes_of(sync_type) + bytes_of(api_correlation) +
           api_failures.size() * 32 + nvtx.size() * 48 + bytes_of(launches) + bytes_of(strings);
}

QString copy_direction(int copy_kind) {
    constexpr std::array<const char*, 14> kWords = {"unknown",
                                                    "host to device",
                                                    "device to host",
                                                    "host to array",
                                                    "array to host",
                                                    "array to array",
                                                    "array to device",
                                                    "device to array",
                                                    "device to device",
                                                    "host to host",
                                                    "peer to peer",
                                                    "managed host to device",
                                                    "managed device to host",
                                                    "managed device to device"};
    return word(kWords, copy_kind);
}

QString memory_kind(int kind) {
    constexpr std::array<const char*, 8> kWords = {
        "pageable", "pinned", "device", "array", "managed", "device static", "managed static", ""};
    return kind >= 0 && kind < 7 ? word(kWords, kind) : QString();
}

QString sync_name(int type) {
    constexpr std::array<const char*, 5> kWords = {"synchronize", "event synchronize",
                                                   "stream wait event", "stream synchronize",
                                                   "context synchronize"};
    return type >= 0 && type < 5 ? word(kWords, type) : word(kWords, 0);
}

}  // namespace hc::gui
