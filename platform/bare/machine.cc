#include "platform/bare/machine.h"

#include "platform/bare/console.h"
#include "platform/bare/internal.h"

namespace bulkhead::bare {

void exit(int code)
{
	bool const own = code == EXIT_ABORT || code == EXIT_EXCEPTION;
	if (!own && (code < 0 || code > EXIT_MAX)) code = EXIT_MAX;
	print("bare: exit ", code, "\n");
	power_off(code);
}

void report(Exception const &exception)
{
	static bool reporting;
	if (reporting) power_off(EXIT_EXCEPTION);
	reporting = true;

	auto const fault = exception.fault_address;
	bool const overflow = fault >= address(bare_guard_start) && fault < address(bare_stack_start);
	print("\nbare: exception: ", exception.name, overflow ? " (stack overflow)" : "", " at ",
		Hex(exception.instruction), " address ", Hex(fault), " stack ", Hex(exception.stack),
		" syndrome ", Hex(exception.syndrome), "\n");
	exit(EXIT_EXCEPTION);
}

} // namespace bulkhead::bare

void bare_start()
{
	bulkhead::bare::machine_setup();
	bulkhead::bare::exit(bare_main());
}
