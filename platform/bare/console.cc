#include "platform/bare/console.h"

#include "platform/bare/internal.h"

namespace bulkhead::bare {

void put(std::string_view text)
{
	for (char const byte : text) {
		if (byte == '\n') send('\r');
		send(byte);
	}
}

} // namespace bulkhead::bare
