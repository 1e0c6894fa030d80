#pragma once

// What the machine under a bare-metal image can do besides computing: end, and wait politely.
// An image is one thread that polls: no interrupt ever runs code of the program. To wait for a time
// with the processor stopped, see idle_until_us() in clock.h.

namespace bulkhead::bare {

// Exit codes that the layer itself uses; a program's own are 0 (success) to EXIT_MAX.
inline constexpr int EXIT_MAX = 40;
inline constexpr int EXIT_ABORT = 41;
inline constexpr int EXIT_EXCEPTION = 42;

// QEMU's own exit status for a code: odd, and apart from those of QEMU's failures, of the shell and
// of signals, so that no failure passes for an image's exit. `run_image` gives the code back.
constexpr int qemu_status(int code) { return 33 + 2 * code; }

// Prints `bare: exit CODE` on the console and leaves QEMU with qemu_status(code). Codes outside of
// 0…EXIT_MAX that aren't one of the layer's own become EXIT_MAX.
[[noreturn]] void exit(int code);

// Tells the processor that it is in a loop that waits; returns at once.
void relax();

} // namespace bulkhead::bare

// The program. Its result is the image's exit code.
int bare_main();
