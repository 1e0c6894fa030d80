// Any packets from any side, deaths, time, reloads, and what is lacking: the books stay right, each
// call is answered once, and everything ends when it is told to.

#include "domain/broker/test/play.h"

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	domain::test::Play const play(Bytes(data, std::min<size_t>(size, 1024)));
	return 0;
}
