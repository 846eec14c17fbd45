/// Work beside the window: one thread, of which only the latest job counts.
#pragma once

#include <QObject>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace hc::gui {

/// Lives in the thread of its event loop. A job runs in the worker; what it returns runs in the
/// event loop, unless a newer job was started or the job was cancelled meanwhile. Starting never
/// waits: the job under way is told to stop, and the new one begins when it has.
class Background : public QObject {
    Q_OBJECT
public:
    using Cancelled = std::atomic<bool>;
    /// Runs in the event loop; may be empty.
    using Delivery = std::function<void()>;
    /// Runs in the worker and polls the flag. Must not throw.
    using Job = std::function<Delivery(const Cancelled&)>;

    explicit Background(QObject* parent = nullptr);
    /// Cancels, and waits for the job under way.
    ~Background() override;

    void start(Job job);
    /// Drops the job under way and its delivery.
    void cancel();
    /// A job waits, runs, or its delivery has not run yet.
    [[nodiscard]] bool busy() const { return busy_; }

private:
    struct Ticket {
        Job job;
        std::shared_ptr<Cancelled> cancelled;
        quint64 generation = 0;
    };
    void work();
    void deliver(quint64 generation, const Delivery& delivery);

    // Event loop only.
    std::shared_ptr<Cancelled> current_;
    quint64 generation_ = 0;
    bool busy_ = false;

    std::mutex mutex_;  ///< guards the two below
    Ticket waiting_;    ///< job empty: none
    bool stop_ = false;
    std::condition_variable wake_;
    std::thread thread_;  ///< started by the first job
};

}  // namespace hc::gui
