// Messages of a handshake from anybody: what decodes is what its bytes say, and encodes to them.

#include "platform/linux/vchan/hello.h"

#include <cstdlib>

namespace {

using namespace bulkhead;
using namespace bulkhead::linux_host;

void demand(bool condition)
{
	if (!condition) abort();
}

template <typename MESSAGE>
void check(Attempt<MESSAGE, Connect_error> const &decoded, Bytes bytes)
{
	if (decoded.ok()) {
		demand(equal(encode(decoded.value()), bytes));
		demand(version_of(bytes) == HELLO_VERSION);
	} else if (decoded.error() == Connect_error::PEER_VERSION) {
		demand(version_of(bytes) && version_of(bytes) != HELLO_VERSION);
	} else {
		demand(decoded.error() == Connect_error::BAD_MESSAGE);
	}
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	Bytes const bytes{data, size};
	check(decode_hello(bytes), bytes);
	check(decode_welcome(bytes), bytes);
	return 0;
}
