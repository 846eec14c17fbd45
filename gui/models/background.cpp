#include "gui/models/background.h"

#include <QMetaObject>
#include <utility>

namespace hc::gui {

Background::Background(QObject* parent) : QObject(parent) {}

Background::~Background() {
    cancel();
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    // Queued deliveries of a destroyed receiver are dropped by Qt.
    thread_.join();
}

void Background::start(Job job) {
    cancel();
    current_ = std::make_shared<Cancelled>(false);
    busy_ = true;
    {
        const std::lock_guard lock(mutex_);
        waiting_ = {std::move(job), current_, ++generation_};
    }
    wake_.notify_one();
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

void Background::cancel() {
    if (current_) *current_ = true;
    busy_ = false;
    ++generation_;
    const std::lock_guard lock(mutex_);
    waiting_ = {};
}

void Background::work() {
    for (;;) {
        Ticket ticket;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stop_ || waiting_.job; });
            if (stop_) return;
            ticket = std::exchange(waiting_, {});
        }
        Delivery delivery = ticket.job(*ticket.cancelled);
        // What the job holds (a whole run, perhaps) is freed here and not in the event loop.
        ticket.job = nullptr;
        QMetaObject::invokeMethod(
            this,
            [this, generation = ticket.generation, delivery = std::move(delivery)] {
                deliver(generation, delivery);
            },
            Qt::QueuedConnection);
    }
}

void Background::deliver(quint64 generation, const Delivery& delivery) {
    if (generation != generation_) return;
    busy_ = false;
    if (delivery) delivery();
}

}  // namespace hc::gui
