#pragma once

// What a session relies on the kernel for, of requests that come from somebody else: that they are
// as long as their kind wants, that names end, and that only such come as it knows.

#include "base/bytes.h"

#include <linux/fuse.h>

namespace bulkhead::remote {

/* The oldest protocol that is spoken: 7.31. */
inline constexpr uint32_t MINOR_LEAST = 31;

/* What a request is at most longer than the data of a write: headers, names, the target of a link.
 */
inline constexpr size_t HEADER_ROOM = 4096;

/* The end of a request of INIT that a client of today sends; older ones are shorter. */
inline constexpr size_t INIT_BYTES = sizeof(fuse_in_header) + sizeof(fuse_init_in);

/*
 * 0 if the session can take the request; else the errno to answer with: ENOSYS (a kind that isn't
 * served), EPROTO (another version), EINVAL.
 */
int fault_of(fuse_in_header const &header, Bytes arguments, size_t io_max);

/* Whether a request of this kind is never answered. */
constexpr bool unanswered(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

} // namespace bulkhead::remote
