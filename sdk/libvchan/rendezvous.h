#pragma once

// Finds the transport and the names of a channel that a C program asks for; what it doesn't say
// comes from the environment.

#include "sdk/libvchan/transport.h"

namespace bulkhead::sdk {

/* A domain id from the environment: $VCHAN_DOMAIN. */
inline constexpr int OWN_FROM_ENVIRONMENT = -1;

/*
 * The transport that a name, or null, stands for: $BULKHEAD_VCHAN; else `socket` where only
 * $VCHAN_SOCKET_DIR says where domains meet, as programs for vchan-socket are started; else `shm`.
 */
std::string_view transport_name(char const *name);

/*
 * Begins to listen or to search with a transport of this name (`transport_name`).
 * Null and `why`, and its errno, if that can't be: EINVAL (domains, port), EDESTADDRREQ (no own
 * domain), ELOOP (a domain and itself without `within_domain`), EPROTONOSUPPORT (no such
 * transport), EOPNOTSUPP (not yet), and those of the transport.
 */
std::unique_ptr<Transport> open_transport(
	char const *name, Wanted wanted, int &error, std::string &why);

} // namespace bulkhead::sdk
