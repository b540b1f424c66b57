// Ctrl-C and SIGTERM ask a long job to stop at its next safe place; a second Ctrl-C ends the program at once.
#pragma once

namespace deskhand {

void install_interrupt_handler();   // once, in main
bool interrupted() noexcept;
void check_interrupt();             // throws Error(kInterrupted) if asked to stop

}  // namespace deskhand
