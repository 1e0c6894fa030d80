#pragma once

// Has a Connection wait in a Loop: its jobs go on when the other side has come, rings or ends.
//
//	Connection connection;
//	TRY(connection.connect(name));
//	Loop_connection watched(loop, connection);
//	CO_TRY(co_await watched.joined(job));
//	co_await connection.endpoint()->read(job, buffer);

#include "base/event.h"
#include "base/task.h"
#include "platform/linux/loop.h"
#include "platform/linux/vchan/connection.h"

namespace bulkhead::linux_host {

/* The connection and the loop outlive it. It belongs to the loop's thread, as the connection. */
class Loop_connection final : private Loop::Source
{
private:
	Loop &_watcher;
	Connection &_connection;
	Event _changed{};
	Attempt<void, Connect_error> _outcome = Ok{};
	bool _handed_over = false;

	Attempt<void> _watch();
	void ready(uint32_t events) override;

public:
	Loop_connection(Loop &loop, Connection &connection) : _watcher(loop), _connection(connection) {}

	/* Begins to watch. Errors: those of `Loop::add`. */
	Attempt<void> start();

	/*
	 * Until both sides have the channel. Errors: those of the search (`Connection::message`),
	 * CANCELLED, TIMEOUT (microseconds of the loop's clock), OUT_OF_FRAMES.
	 */
	Task<void> joined(Job &, uint64_t until_us = NEVER_US);
};

} // namespace bulkhead::linux_host
