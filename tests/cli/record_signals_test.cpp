// hcprof record: signals reach the program once, and durations end what they should; with the
// double of a recorded program (tests/cli/double).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdlib>

#include "tests/cli/record_fixture.h"

namespace hc {
namespace {

using ::testing::ElementsAre;

// ---- Signals

TEST_F(Record, SignalsToHcprofReachTheProgramOnce) {
    for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1}) {
        fs::remove(marker());
        fs::remove(folder_.path() / "out");
        const std::string number = std::to_string(signal);
        start({"-o", output(), "--force"}, doubled({"cuda=2", "trap=" + number, "touch=" + marker(),
                                                    "await=" + number, "exit=5"}));
        ASSERT_TRUE(wait_for_marker());
        ::kill(running_, signal);
        EXPECT_EQ(finish(), 5) << signal << err();
        EXPECT_EQ(out(), "signal " + number + " came 1 times\n");
        EXPECT_EQ(kernels(output()), 2);
        EXPECT_THAT(files(), ElementsAre("out.sqlite"));
    }
}

TEST_F(Record, AProgramThatASignalEndsIsStillMerged) {
    start({"-o", output()},
          {"/bin/sh", "-c",
           double_ + " cuda=2; exec " + double_ + " cuda=3 touch=" + marker() + " sleep=60000"});
    ASSERT_TRUE(wait_for_marker());
    ::kill(running_, SIGTERM);
    EXPECT_EQ(finish(), 128 + SIGTERM) << err();
    EXPECT_EQ(kernels(output()), 5);
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
}

TEST_F(Record, ASecondInterruptEndsAProgramThatIgnoresTheFirst) {
    start({"-o", output()},
          {"/bin/sh", "-c",
           "trap '' INT; " + double_ + " cuda=4 trap=2 touch=" + marker() + " sleep=60000 & wait"});
    ASSERT_TRUE(wait_for_marker());
    const pid_t grandchild = marker_pid();
    ::kill(running_, SIGINT);
    ::usleep(200'000);
    EXPECT_EQ(::kill(grandchild, 0), 0) << "the first one is the program's to decide";
    ::kill(running_, SIGINT);
    EXPECT_EQ(finish(), 128 + SIGKILL) << err();
    EXPECT_NE(::kill(grandchild, 0), 0) << "the whole tree ends";
    EXPECT_EQ(kernels(output()), 4) << "what was recorded is kept";
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
}

/// hcprof in the foreground of a terminal of its own; what is typed goes to the whole group.
class Terminal {
public:
    Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
        ::grantpt(master_);
        ::unlockpt(master_);
        name_ = ::ptsname(master_);
        ::fcntl(master_, F_SETFL, O_NONBLOCK);
    }
    ~Terminal() { ::close(master_); }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    /// In the child: the terminal controls its session, and keeps its standard input.
    void enter() const {
        ::setsid();
        const int slave = ::open(name_.c_str(), O_RDWR);
        ::ioctl(slave, TIOCSCTTY, 0);
        ::dup2(slave, 0);
    }
    void type(char c) const { ASSERT_EQ(::write(master_, &c, 1), 1); }

private:
    int master_;
    std::string name_;
};

TEST_F(Record, CtrlCOnATerminalReachesTheProgramOnce) {
    const Terminal terminal;
    start({"-o", output()}, doubled({"cuda=2", "trap=2", "touch=" + marker(), "await=2", "exit=9"}),
          [&] { terminal.enter(); });
    ASSERT_TRUE(wait_for_marker());
    terminal.type('\x03');
    EXPECT_EQ(finish(), 9) << err();
    EXPECT_EQ(out(), "signal 2 came 1 times\n");
    EXPECT_EQ(kernels(output()), 2);
}

TEST_F(Record, CtrlCOnATerminalEndsAProgramThatDoesNotCatchIt) {
    const Terminal terminal;
    start({"-o", output()}, doubled({"cuda=2", "touch=" + marker(), "sleep=60000"}),
          [&] { terminal.enter(); });
    ASSERT_TRUE(wait_for_marker());
    terminal.type('\x03');
    EXPECT_EQ(finish(), 128 + SIGINT) << err();
    EXPECT_EQ(kernels(output()), 2);
    EXPECT_THAT(files(), ElementsAre("out.sqlite"));
}

TEST_F(Record, CtrlZStopsBothAndTheyGoOn) {
    // The stop signal of a session's only group is dropped (it would be an orphan): a shell
    // between.
    const Terminal terminal;
    start({"-o", output()}, doubled({"cuda=2", "touch=" + marker(), "sleep=500"}), [&] {
        terminal.enter();
        const pid_t job = ::fork();
        if (job == 0) {
            ::setpgid(0, 0);
            ::signal(SIGTTOU, SIG_IGN);
            ::tcsetpgrp(0, ::getpid());
            ::signal(SIGTTOU, SIG_DFL);
            return;  // goes on to be hcprof
        }
        // The shell: waits for the stop, tells, continues the job, and takes its exit code.
        int status = 0;
        ::waitpid(job, &status, WUNTRACED);
        const bool stopped = WIFSTOPPED(status);
        ::kill(-job, SIGCONT);
        if (stopped) ::waitpid(job, &status, 0);
        ::_exit(stopped && WIFEXITED(status) ? 40 + WEXITSTATUS(status) : 1);
    });
    ASSERT_TRUE(wait_for_marker());
    terminal.type('\x1a');
    EXPECT_EQ(finish(), 40) << err();
    EXPECT_EQ(kernels(output()), 2);
}

// ---- Durations

TEST_F(Record, StopProgramEndsItWhenTheCollectionIsOver) {
    const Clock::time_point began = Clock::now();
    start({"-o", output(), "--duration", "0.3", "--stop-program"},
          doubled({"cuda=2", "sleep=60000"}));
    EXPECT_EQ(finish(), 0) << err();
    EXPECT_LT(seconds_since(began), 30);
    EXPECT_EQ(kernels(output()), 2);
}

TEST_F(Record, StopProgramFollowsTheLibraryWithACaptureRange) {
    start({"-o", output(), "--duration", "0.2", "--stop-program", "--capture-range", "x"},
          doubled({"cuda=2", "finish", "touch=" + marker(), "sleep=60000"}));
    ASSERT_TRUE(wait_for_marker());
    EXPECT_EQ(finish(), 0) << err();
    EXPECT_EQ(kernels(output()), 2);
}

TEST_F(Record, WithoutStopProgramItRunsOn) {
    start({"-o", output(), "--duration", "0.1"},
          doubled({"cuda=2", "sleep=1500", "out=still here", "exit=6"}));
    EXPECT_EQ(finish(), 6) << err();
    EXPECT_EQ(out(), "still here\n");
}

}  // namespace
}  // namespace hc
