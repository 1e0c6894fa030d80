#pragma once

// What the machine under a bare-metal image can do besides computing: end, and wait politely.
// An image is one thread that polls: no interrupt ever runs code of the program. To wait for a time
// with the processor stopped, see idle_until_us() in clock.h.

namespace bulkhead::bare {

// Exit codes that the layer itself uses; a program's own are 0 (success) to EXIT_MAX.
inline constexpr int EXIT_MAX = 95;
inline constexpr int EXIT_ABORT = 98;
inline constexpr int EXIT_EXCEPTION = 99;

// Prints `bare: exit CODE` on the console and leaves QEMU. Codes outside of 0…EXIT_MAX that aren't
// one of the layer's own become EXIT_MAX. On x86_64 QEMU's status is 33 + 2 * code, as
// isa-debug-exit cannot say 0; on aarch64 it is the code. `run_image` gives the code on both.
[[noreturn]] void exit(int code);

// Tells the processor that it is in a loop that waits; returns at once.
void relax();

} // namespace bulkhead::bare

// The program. Its result is the image's exit code.
int bare_main();
