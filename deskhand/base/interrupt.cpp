#include "deskhand/base/interrupt.h"

#include <csignal>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

volatile std::sig_atomic_t requests = 0;   // the one global that signals force upon a program

void on_signal(int signal) {
  requests = requests + 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void install_interrupt_handler() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() noexcept { return requests > 0; }

void check_interrupt() {
  if (interrupted()) throw Error(ExitCode::kInterrupted, "interrupted; the same command goes on from here");
}

}  // namespace deskhand
