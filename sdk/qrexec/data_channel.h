#pragma once

// One end of a call's data connection: streams and an exit code over a vchan, on any transport.
// Nothing blocks; bytes are used where they lie, in the ring.

#include "rpc/qrexec/data_reader.h"
#include "sdk/libvchan/transport.h"
#include "sdk/qrexec/side.h"

namespace bulkhead::qrexec {

/* Belongs to one thread. */
class Data_channel
{
public:
	enum class State : uint8_t {
		WAITING, // for the peer
		GREETING, // for its HELLO
		OPEN,
		CLOSED, // the peer has closed or died, or we have; what it had sent has been read
		BROKEN, // the peer has broken the protocol, or the search for it failed: `message`
	};

	enum class Kind : uint8_t { NOTHING, BYTES, END, EXIT_CODE };

	struct Incoming
	{
		Kind kind = Kind::NOTHING;
		Stream stream = Stream::IN;
		Bytes bytes{}; // BYTES: in shared memory, may change while one looks
		int32_t exit_code = 0;
	};

	/*
	 * Ring sizes that a caller asks for: some chunks with their headers, so that neither side has
	 * to sleep for each. Only what is used takes memory.
	 */
	static constexpr size_t RING_BYTES = 512 * 1024;

private:
	std::unique_ptr<sdk::Transport> _transport;
	Side const _side;
	State _state = State::WAITING;
	Data_reader _reader;
	std::string _message{};

	bool _greeted = false; // our HELLO is sent
	bool _exit_sent = false;
	bool _peer_finished = false; // it sends no more
	bool _peer_gone = false; // nor takes anything
	uint8_t _ended = 0; // a bit for each stream of ours

	size_t _seen = 0; // bytes that are known to be in the ring, and not committed
	size_t _header_bytes = 0; // of them, in front of the chunk that `peek` has shown
	size_t _shown = 0; // of that chunk

	Stream _reserved_stream = Stream::IN;
	vchan::Pieces<Mutable_bytes> _reserved{}; // with room for the header

	State _end(State state, std::string_view why);
	State _lost(vchan::Error error);
	void _greet();
	void _await_hello();
	void _look_at_peer();
	void _committed(size_t bytes);
	Bytes _next_bytes();
	bool _send_all(std::span<Bytes const> views);
	Type _type_of(Stream stream) const;

public:
	/* Takes a transport that listens (CALLER) or searches (SERVICE). */
	Data_channel(std::unique_ptr<sdk::Transport> transport, Side side);
	Data_channel(Data_channel const &) = delete;
	Data_channel &operator=(Data_channel const &) = delete;
	/*
	 * Closes; what was sent before can still be read by the peer. That may take a moment
	 * (`Socket_transport::close`), unless it was `delivered` or abandoned.
	 */
	~Data_channel();

	/* Readable when `look` has something to do; the same for as long as this exists. */
	int fd() const { return _transport->fd(); }

	/* Takes in what has happened, greets, and returns the state. What was armed is so no more. */
	State look();
	State state() const { return _state; }

	/* Agreed version; 0 before. */
	uint32_t version() const { return _reader.version(); }

	/* What went wrong, for BROKEN and CLOSED; one line for people. */
	std::string const &message() const { return _message; }

	/*
	 * Room for bytes of a stream of this side, at most a chunk: empty as long as there is none (or
	 * the channel isn't OPEN). To be followed by `commit` with how many of them are filled (0:
	 * none after all), before any other call.
	 */
	vchan::Pieces<Mutable_bytes> reserve(Stream stream, size_t max = CHUNK_MAX);
	void commit(size_t bytes);

	/*
	 * Whether a stream of this side may still be sent, now or when there is room: it is OPEN, the
	 * stream has not ended, and the peer is there.
	 */
	bool takes(Stream stream) const;

	/* Sends bytes that lie elsewhere, as many as fit: how many; 0: no room now. */
	size_t send(Stream stream, Bytes bytes);

	/* Ends a stream; false: no room now. Once it has ended: true, and nothing is sent. */
	bool send_end(Stream stream);
	/* The last that a service sends; false: no room now. */
	bool send_exit_code(int32_t code);

	/*
	 * What comes next; END and EXIT_CODE are told once. Of BYTES one takes some or all by
	 * `consume`. A fault of the peer makes the channel BROKEN.
	 */
	Incoming peek();
	void consume(size_t bytes);

	/*
	 * Has `fd` become readable when there is something to read, or room to write. Arm, try once
	 * more, and only then wait. The peer's coming, greeting and end are always told.
	 */
	void arm(bool to_read, bool to_write);

	/*
	 * Whether the peer takes nothing any more, as `look` has found: what is sent is lost. What it
	 * had sent can still be read, as long as the state is OPEN.
	 */
	bool peer_gone() const { return _peer_gone; }

	/* The service's exit code has come, or ours is sent. */
	bool exited() const { return _exit_sent || _reader.exited(); }

	/* Whether the peer has taken all that was sent to where it can read it after our end. */
	bool delivered() { return _transport->delivered(); }

	/* Sends no more; the peer still reads what there is. */
	void finish();

	/* Ends it at once. What the peer hasn't taken may be lost; this never waits for it. */
	void abandon();
};

} // namespace bulkhead::qrexec
