#pragma once

// What comes before a call's first byte on the host: asking a daemon, and meeting the other side.
// These functions block; who has an event loop uses Link and Data_channel themselves.

#include "sdk/qrexec/data_channel.h"
#include "sdk/qrexec/link.h"

namespace bulkhead::qrexec {

inline constexpr int NO_TIMEOUT = 0;

/* Whether a target stands for the host: "dom0", "@adminvm", the id of zeros. */
bool refers_to_host(std::string_view target);

/* The question of a Link, begun with one of its functions. False was said. */
bool finish_asking(Link &link, std::string_view whom);

/* Ends `link`, which is ANSWERED, when the other side does. */
void wait_for_end(Link &link);

struct Meeting
{
	Side side;
	Exec_params with; // domain and port
	int timeout_s = NO_TIMEOUT;
	Link *link = nullptr; // may be null; if it ends meanwhile nobody will come
};

/* Domain id of this side: $VCHAN_DOMAIN, else 0, the host's. */
int own_domain();

/*
 * Listens, or searches, and waits until the other side has come and greeted. Null was said. Its
 * transport is chosen by the environment.
 */
std::unique_ptr<Data_channel> meet(Meeting const &);

/*
 * In two steps, so that a service may start meanwhile: begins to listen or search; and waits.
 * Null and false were said.
 */
std::unique_ptr<Data_channel> begin_to_meet(Meeting const &);
bool wait_until_met(Data_channel &, Meeting const &);

/* Waits until the other side can read all that was sent, or has gone; at most so long. */
void wait_until_delivered(Data_channel &, int timeout_s);

} // namespace bulkhead::qrexec
