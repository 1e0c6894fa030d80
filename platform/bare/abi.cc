#include "platform/bare/console.h"
#include "platform/bare/machine.h"

#include <cstddef>

// The functions that compilers and standard headers call by name and that mean the program is at
// fault: each says so and ends the image. The linker drops those that nothing refers to.

namespace {

[[noreturn]] void die(char const *reason)
{
	bulkhead::bare::print("\nbare: ", reason, "\n");
	bulkhead::bare::exit(bulkhead::bare::EXIT_ABORT);
}

} // namespace

extern "C" {
[[gnu::noreturn]] void abort() { die("abort"); }
[[noreturn]] void __cxa_pure_virtual() { die("pure virtual function called"); }
[[noreturn]] void __cxa_deleted_virtual() { die("deleted virtual function called"); }
}

// A virtual destructor's table refers to these although no free-standing code deletes anything.
void operator delete(void *) noexcept { die("operator delete called"); }
void operator delete(void *, std::size_t) noexcept { die("operator delete called"); }

// libstdc++'s checks in string_view, span and array end here.
namespace std {

[[gnu::noreturn]] void terminate() noexcept { die("std::terminate"); }
[[gnu::noreturn]] void __throw_out_of_range_fmt(char const *, ...) { die("std::out_of_range"); }
[[gnu::noreturn]] void __throw_out_of_range(char const *) { die("std::out_of_range"); }
[[gnu::noreturn]] void __throw_length_error(char const *) { die("std::length_error"); }
[[gnu::noreturn]] void __throw_logic_error(char const *) { die("std::logic_error"); }
[[gnu::noreturn]] void __throw_invalid_argument(char const *) { die("std::invalid_argument"); }

[[gnu::noreturn]] void __glibcxx_assert_fail(
	char const *, int, char const *, char const *condition) noexcept
{
	die(condition ? condition : "std assertion");
}

} // namespace std
