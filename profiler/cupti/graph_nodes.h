/// Which node of an executable CUDA graph came from which node that was captured or added.
///
/// Kernels of a graph launch carry the node id of the executable graph. Instantiation clones the
/// captured graph, so those ids are new; CUPTI says of each clone what it was cloned from.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace hc::cupti {

/// Thread-safe.
class GraphNodes {
public:
    struct Node {
        std::uint64_t original_id = 0;  ///< of the node at the start of the chain of clones
        std::int64_t tag = -1;          ///< of the thread that made the original; -1: none
    };

    /// Nodes that the calling thread adds to graphs from here on carry this tag, -1 for none: an
    /// operation's number, say, set before its launches are captured.
    static void set_thread_tag(std::int64_t tag) noexcept;

    void created(std::uint64_t id);
    void cloned(std::uint64_t id, std::uint64_t from_id);
    /// nullopt for a node that was made while nobody looked.
    [[nodiscard]] std::optional<Node> find(std::uint64_t id) const;
    [[nodiscard]] std::size_t size() const;

private:
    mutable std::mutex mutex_;
    std::unordered_map<std::uint64_t, Node> nodes_;  // guarded by mutex_
};

}  // namespace hc::cupti
