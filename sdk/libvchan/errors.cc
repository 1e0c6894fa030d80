#include "sdk/libvchan/errors.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bulkhead::sdk {
namespace {

thread_local char text_of_thread[512];

bool debugging()
{
	char const *const value = getenv("BULKHEAD_VCHAN_DEBUG");
	return value && strcmp(value, "1") == 0;
}

} // namespace

int errno_of(vchan::Error error)
{
	using enum vchan::Error;
	switch (error) {
	case CANCELLED: return ECANCELED;
	case TIMEOUT: return ETIMEDOUT;
	case OUT_OF_FRAMES: return ENOMEM;
	case WOULD_BLOCK: return EAGAIN;
	case TOO_LONG: return EMSGSIZE;
	case CLOSED: return ESHUTDOWN;
	case ONE_WAY: return EOPNOTSUPP;
	case PEER_CLOSED: return EPIPE;
	case PEER_DEAD: return ECONNRESET;
	case BAD_SIZE:
	case REGION_TOO_SMALL:
	case MISALIGNED:
	case BAD_MAGIC:
	case BAD_VERSION:
	case BAD_GENERATION:
	case PEER_PRODUCED_TOO_MUCH:
	case PEER_CONSUMED_TOO_MUCH:
	case PEER_BAD_LIFE:
	case PEER_STALE: return EPROTO;
	}
	return EIO;
}

void note_error(int number, std::string_view text)
{
	size_t const n = text.copy(text_of_thread, sizeof(text_of_thread) - 1);
	text_of_thread[n] = '\0';
	if (debugging()) fprintf(stderr, "libvchan: %s (%s)\n", text_of_thread, strerror(number));
}

char const *noted_error() { return text_of_thread; }

} // namespace bulkhead::sdk
