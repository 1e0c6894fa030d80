#pragma once

// Assertions are for our own mistakes only: a device, a peer or a file that misbehaves is a value,
// not an assertion. They stay on in release builds and stop the program at the place of the fault.

#define BULKHEAD_ASSERT(condition) \
	do { \
		if (!(condition)) [[unlikely]] \
			__builtin_trap(); \
	} while (false)
