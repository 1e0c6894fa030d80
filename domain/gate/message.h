#pragma once

// What goes over a gate, the channel between a domain and its broker: qrexec's control protocol,
// one message a packet, and a few messages of our own that only the operator's connections carry.
// With the messages that announce a call comes this side's end of its channel
// (platform/linux/gate.h: as descriptors).
//
//	broker → domain   HELLO              at its start, and again from a broker that has taken over:
//	                                     what it was asked and hasn't answered is to be asked again
//	domain → broker   HELLO              ready to serve; the answer to each HELLO
//	domain → broker   TRIGGER_SERVICE4   wants a call; the ident is the domain's choice
//	broker → caller   SERVICE_CONNECT    allowed: Exec_params {id of the target, port}, ident,
//	                                     and the channel's server end
//	broker → caller   SERVICE_REFUSED    ident; never a reason
//	broker → service  EXEC_CMDLINE       Exec_params {id of the caller, port}, "DEFAULT:QUBESRPC
//	                                     service+argument caller" and NUL, and the client end
//	either → broker   CONNECTION_TERMINATED   this side is done with the call: the other side's id,
//	                                     and the port
//
// A port is the call's number and its channel's generation.

#include "rpc/qrexec/message.h"

namespace bulkhead::domain {

/* The longest packet. */
inline constexpr size_t PACKET_MAX = qrexec::CONTROL_RING_BYTES;

/* Id and name of the operator, in whose name the tools call. */
inline constexpr uint32_t OPERATOR_ID = 0;
inline constexpr std::string_view OPERATOR = "dom0";

/* A domain's name: a letter, then letters, digits, '_', '-', '.'. */
inline constexpr size_t NAME_MAX_BYTES = 31;

/* Descriptors that come with SERVICE_CONNECT and EXEC_CMDLINE, in this order. */
enum Descriptor : unsigned { MEMORY, BELL_OUT, BELL_IN, DESCRIPTORS };

/*
 * Of the operator's connections only, which besides carry all of the above with the operator as the
 * caller. Each has one answer; the next is sent after it.
 */
enum class Admin : uint32_t {
	STATUS = 0x1001, // empty; the answer brings a memfd with JSON (doc/domains.md)
	START = 0x1002, // a domain's name, without NUL; as the next two. Answered once it runs
	STOP = 0x1003, // answered once it has ended
	RESTART = 0x1004, // a stop, then a start
	RELOAD = 0x1005, // empty: reads manifest and policy again
	SHUT_DOWN = 0x1006, // empty: ends all; answered before the broker ends
	DONE = 0x1010, // the answer: uint32, 0 or an errno; then a text for people, without NUL
};

} // namespace bulkhead::domain
