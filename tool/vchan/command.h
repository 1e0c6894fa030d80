#pragma once

// A command whose standard input and output are ours to write and read.

#include "tool/vchan/channel.h"
#include "tool/vchan/interrupt.h"
#include "tool/vchan/stream.h"

#include <string>
#include <vector>

namespace bulkhead::tool {

class Command
{
private:
	pid_t _child = -1;

public:
	static constexpr int NOT_FOUND = 127; // as shells have it
	static constexpr int NOT_EXECUTABLE = 126;

	Command() = default;
	Command(Command const &) = delete;
	Command &operator=(Command const &) = delete;
	/* Kills it if nobody has waited for its end. */
	~Command();

	/*
	 * Begins it. Variables tell it who is there: BULKHEAD_VCHAN_PEER and BULKHEAD_VCHAN_PORT.
	 * Returns 0, or the errno of why not.
	 */
	int start(std::vector<std::string> const &words, Address const &peer, Input &output_of_it,
		Output &input_of_it);

	/*
	 * Until it has ended; its exit code, or 128 and the signal that has killed it. What interrupts
	 * us is passed on, and a second time kills it.
	 */
	int wait(Interrupt const &);
};

} // namespace bulkhead::tool
