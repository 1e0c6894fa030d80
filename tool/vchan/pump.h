#pragma once

// Moves bytes between a channel and two descriptors, both ways at once, until both directions have
// ended. They go from the descriptor straight into the ring and from the ring straight out again,
// so that nothing has left one side without having reached the other.

#include "tool/vchan/channel.h"
#include "tool/vchan/hex_dump.h"
#include "tool/vchan/stream.h"

namespace bulkhead::tool {

/* How a channel has come to its end. */
enum class Ending {
	IN_ORDER,
	INPUT_LEFT, // the other side ended before it had all that was to be sent
	DIED, // the other side
	BROKEN, // by the other side
	OUTPUT_GONE, // nobody reads ours
	OUTPUT_FAILED, // as on a full disk
	INPUT_FAILED,
	INTERRUPTED, // by a signal
};

class Pump
{
public:
	struct Ways
	{
		Input input{}; // to be sent
		Output output{}; // for what comes
		bool finish = true; // the other side is told when the input ends
		bool end_output = true; // the reader is told when the other side has ended
		// If nobody reads what comes any more, it vanishes as long as there is something to send.
		bool output_optional = false;
		bool dump_output = false; // what comes, as a dump
		bool dump_aside = false; // both ways, on standard error
	};

private:
	static constexpr size_t DUMP_BYTES = 4096; // at a time

	/* What is in the way of one direction. */
	enum class Waits : uint8_t { NOTHING, CHANNEL, DESCRIPTOR, OVER };

	Bulkhead_vchan *const _channel;
	Interrupt const &_interrupt;
	Ways _ways;
	Waits _sending = Waits::NOTHING;
	Waits _receiving = Waits::NOTHING;
	unsigned _armed = 0;
	uint64_t _sent = 0;
	uint64_t _received = 0;
	int _channel_error = 0;
	int _descriptor_error = 0;
	bool _input_ended = false;
	bool _input_failed = false;
	bool _unread = false;
	bool _output_gone = false;
	bool _output_failed = false;
	Hex_dump _dump_sent{'>'};
	Hex_dump _dump_received{'<'};
	std::string _text{}; // of a dump, to be written

	void _note(int error);
	void _dump(Hex_dump &, iovec const *pieces, size_t size, std::string &to);
	void _dump_aside(Hex_dump &, iovec const *pieces, size_t size);
	Waits _send();
	Waits _receive();
	Waits _write(iovec const *pieces, int count, ssize_t &written);
	Waits _write_text();
	Waits _take(iovec const *pieces, size_t size);
	Waits _received_all();
	bool _lost_reader(int error);
	unsigned _reasons() const;
	void _wait();
	bool _over() const;
	Ending _ending() const;

public:
	/* All but the descriptors of the ways outlive it. The other side is there. */
	Pump(Bulkhead_vchan *channel, Interrupt const &, Ways);

	/* To the end, once. */
	Ending run();

	uint64_t sent() const { return _sent; }
	uint64_t received() const { return _received; }

	/* The errno of OUTPUT_FAILED and INPUT_FAILED. */
	int error() const { return _descriptor_error; }
};

} // namespace bulkhead::tool
